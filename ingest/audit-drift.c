/* An asset in two foundations. */
#include <math.h>
#include <stdio.h>

#include "ingest/audit-priv.h"
#include "ingest/distribution.h"
#include "ingest/restate.h"
#include "store/base/cleanup.h"

static int tell_shrunk(struct tv_audit_task *task, const struct tv_bars *now,
		       const struct tv_bars *before, bool *shrunk, struct tv_err *err)
{
	char was[TV_DAY_TEXT], is[TV_DAY_TEXT],
		start[2 * TV_DAY_TEXT + 32] = "", end[2 * TV_DAY_TEXT + 32] = "";
	bool later = now->timestamp[0] > before->timestamp[0];
	bool earlier = now->timestamp[now->n - 1] < before->timestamp[before->n - 1];
	*shrunk = later || earlier || now->n < before->n;
	if (!*shrunk)
		return 0;
	if (later) {
		tv_calendar_day_text(now->timestamp[0], is);
		tv_calendar_day_text(before->timestamp[0], was);
		snprintf(start, sizeof(start), "; begins on %s, began on %s", is, was);
	}
	if (earlier) {
		tv_calendar_day_text(now->timestamp[now->n - 1], is);
		tv_calendar_day_text(before->timestamp[before->n - 1], was);
		snprintf(end, sizeof(end), "; ends on %s, ended on %s", is, was);
	}
	struct tv_audit_finding *f;
	int r = tv_audit_add(task->item, TV_AUDIT_SHRUNK, &f, err, "%zu rows, were %zu%s%s", now->n,
			     before->n, start, end);
	if (r == 0)
		f->rows = before->n > now->n ? before->n - now->n : 0;
	return r;
}

/* What is beyond the tolerance: how many rows, when, how large. */
struct restated {
	size_t changed, gone;
	int64_t first, last;
	double largest;
	size_t row;
};

static struct restated sum_up(const struct tv_restatement *r)
{
	struct restated sum = { .largest = 0 };
	for (size_t i = 0; i < r->n; i++) {
		const struct tv_restated *row = &r->rows[i];
		bool gone = row->kind == TV_RESTATE_VANISHED;
		if (!row->beyond)
			continue;
		int64_t day = gone ? row->before.timestamp : row->after.timestamp;
		if (!sum.changed && !sum.gone) {
			sum.first = day;
			sum.row = row->row;
		}
		sum.last = day;
		sum.changed += !gone;
		sum.gone += gone;
		sum.largest = fmax(sum.largest, row->change);
	}
	return sum;
}

/* The words are those of an ingestion that would refuse it. */
static int add_told(struct tv_audit_finding *f, const struct tv_restatement *r, size_t told,
		    struct tv_err *err)
{
	tv_autofindings struct tv_findings words = TV_FINDINGS_INIT;
	words.told_max = told;
	int res = tv_restate_tell(r, false, &words, err);
	for (size_t i = 0; i < words.n && res == 0; i++)
		if (words.told[i].severity == TV_REFUSE)
			res = tv_audit_tell(f, words.told[i].text, err);
	return res;
}

static int tell_restated(struct tv_audit_task *task, const struct tv_bars *now,
			 const struct tv_restatement *r, bool shrunk, struct tv_err *err)
{
	struct restated sum = sum_up(r);
	struct tv_audit_finding *f;
	char first[TV_DAY_TEXT], last[TV_DAY_TEXT] = "", most[64] = "";
	if (!sum.changed && (!sum.gone || shrunk))
		return 0;
	tv_calendar_day_text(sum.first, first);
	if (sum.last > sum.first)
		tv_calendar_day_text(sum.last, last);
	if (sum.largest > 0)
		snprintf(most, sizeof(most), "; prices by at most %.4g %%", sum.largest * 100);
	int code = tv_audit_add(task->item, TV_GATE_RESTATEMENT, &f, err,
				"rows changed: %zu, gone: %zu; %s%s%s%s", sum.changed, sum.gone,
				first, *last ? " to " : "", last, most);
	if (code < 0)
		return code;
	f->times = sum.changed + sum.gone;
	f->rows = f->times;
	code = add_told(f, r, task->rules.told, err);
	return code < 0 ? code : tv_audit_keep_closes(f, now, sum.row, err);
}

static int compare(struct tv_audit_task *task, const struct tv_bars *now,
		   const struct tv_bars *before, struct tv_err *err)
{
	tv_autorestatement struct tv_restatement r = TV_RESTATEMENT_INIT;
	struct tv_err why = TV_ERR_INIT;
	bool shrunk;
	int code = tv_restate_compare(before, now, TV_RESTATE_ALL, &task->rules, &r, &why);
	if (code == -EINVAL) /* one of them is not in order, which the gates tell */
		return 0;
	if (code < 0)
		return tv_err_set(err, code, "%s", why.text);
	task->item->compared = true;
	code = tell_shrunk(task, now, before, &shrunk, err);
	if (code == 0)
		code = tell_restated(task, now, &r, shrunk, err);
	if (r.n > r.beyond)
		task->item->recorded[TV_GATE_RESTATEMENT] += r.n - r.beyond;
	return code;
}

static int tell_shift(struct tv_audit_task *task, const struct tv_bars *now,
		      const struct tv_bars *before, struct tv_err *err)
{
	struct tv_returns_shift s;
	struct tv_audit_finding *f;
	tv_returns_compare(now, before, &s);
	if (!s.shifted)
		return 0;
	int r = tv_audit_add(task->item, TV_AUDIT_DISTRIBUTION, &f, err,
			     "the last %zu daily returns spread by %.3g %% and the %zu before them "
			     "by %.3g %% (%.3g times; distance %.2f, by chance at most %.2f)",
			     s.n_now, s.scale_now * 100, s.n_before, s.scale_before * 100,
			     s.scale_now / s.scale_before, s.distance, s.critical);
	if (r < 0)
		return r;
	f->rows = s.n_now;
	return tv_audit_keep_closes(f, now, now->n - s.n_now, err);
}

int tv_audit_drift(struct tv_audit_task *task, const struct tv_bars *now,
		   const struct tv_bars *before, struct tv_err *err)
{
	int r = before && before->n ? compare(task, now, before, err) : 0;
	return r < 0 ? r : tell_shift(task, now, task->item->compared ? before : now, err);
}
