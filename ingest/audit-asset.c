/* One asset, judged by itself and against what was published before. */
#include <stdlib.h>
#include <string.h>

#include "ingest/audit-priv.h"
#include "ingest/bars-parquet.h"
#include "store/base/cleanup.h"

/* --- reading ----------------------------------------------------------------------------------- */

/* What cannot be read is this asset's trouble alone. */
static int unreadable(struct tv_audit_task *task, const struct tv_err *why, struct tv_err *err)
{
	return tv_audit_add(task->item, TV_AUDIT_UNREADABLE, NULL, err, "%s", why->text);
}

int tv_audit_schema_found(void *arg, const struct tv_schema_finding *found, struct tv_err *err)
{
	struct tv_audit_schema_words *w = arg;
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	if (found->column)
		tv_buf_addf(&text, "column '%s'", found->column);
	if (found->row >= 0)
		tv_buf_addf(&text, "%srow %lld", found->column ? ", " : "", (long long)found->row);
	tv_buf_addf(&text, "%s%s", text.len ? ": " : "", found->what);
	tv_autofree char *line = tv_buf_steal_str(&text);
	int r = line ? 0 : tv_err_nomem(err);
	if (r == 0 && !w->finding)
		r = tv_audit_add(w->item, TV_AUDIT_SCHEMA, &w->finding, err, "%s", line);
	else if (r == 0)
		w->finding->times++;
	return r < 0 ? r : tv_audit_tell(w->finding, line, err);
}

/* All that is wrong with a file that is not just as the registry says. */
static int check_schema(struct tv_audit_task *task, const struct tv_parquet *file, int read,
			const struct tv_err *why_not, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_audit_schema_words words = { task->item, NULL };
	const struct tv_schema_findings findings = { tv_audit_schema_found, &words };
	int r = tv_schema_check(task->schema, file, &findings, &why);
	if (words.finding || r == 0)
		return words.finding || read == 0 ? 0 : unreadable(task, why_not, err);
	return unreadable(task, &why, err);
}

/* 1: there are rows to judge. */
static int read_rows(struct tv_audit_task *task, struct tv_duck *duck, struct tv_bars *out,
		     struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result columns = TV_DUCK_RESULT_INIT;
	const struct tv_parquet file = { duck, task->item->file, task->fd };
	struct tv_err why = task->why;
	int r = task->fd < 0 ? task->fd : tv_bars_read_with(&file, &columns, out, &why);
	if (r < 0 && (r != -TV_E_GATE || !columns.n_columns))
		return unreadable(task, &why, err);
	int code = 0;
	if (r < 0 || !tv_schema_columns_fit(task->schema, &columns))
		code = check_schema(task, &file, r, &why, err);
	return code < 0 ? code : r == 0;
}

/* --- the gates --------------------------------------------------------------------------------- */

/* What a gate would refuse or cut is a finding; the first one gives the reason. */
static int tell_gate(struct tv_audit_task *task, const struct tv_bars *bars,
		     const struct tv_findings *f, enum tv_gate gate, struct tv_err *err)
{
	size_t times = f->times[gate][TV_REFUSE] + f->times[gate][TV_CUT];
	struct tv_audit_finding *out = NULL;
	int r = 0;
	for (size_t i = 0; i < f->n && r == 0 && times; i++) {
		const struct tv_finding *told = &f->told[i];
		if (told->gate != gate || told->severity == TV_RECORD)
			continue;
		if (!out && times > 1)
			r = tv_audit_add(task->item, gate, &out, err, "%s (and %zu more)",
					 told->text, times - 1);
		else if (!out)
			r = tv_audit_add(task->item, gate, &out, err, "%s", told->text);
		if (r == 0)
			r = tv_audit_tell(out, told->text, err);
		if (r == 0)
			r = tv_audit_keep_closes(out, bars, told->row, err);
	}
	if (!out && times && r == 0) /* nothing is to be told: "told": 0 */
		r = tv_audit_add(task->item, gate, &out, err, "found");
	if (r < 0 || !out)
		return r;
	out->times = times;
	out->rows = f->rows[gate][TV_REFUSE] + f->rows[gate][TV_CUT];
	return 0;
}

/* When the rows were fetched: what the catalog says of just these bytes. */
static int64_t fetched_at(const struct tv_audit_task *task)
{
	const struct tv_catalog_entry *e = &task->entry;
	bool told = task->in_catalog && e->freshness != TV_CATALOG_UNKNOWN &&
		    e->freshness <= task->now_s && strcmp(e->sha256, task->sha) == 0;
	return told ? e->freshness : task->now_s;
}

static int judge(struct tv_audit_task *task, const struct tv_bars *bars, struct tv_bars *kept,
		 bool *in_order, struct tv_err *err)
{
	tv_autofindings struct tv_findings f = TV_FINDINGS_INIT;
	tv_autojudged struct tv_judged judged = TV_JUDGED_INIT;
	int r = tv_gates_judge(bars, &task->rules, fetched_at(task), &f, &judged, err);
	for (int g = 0; g < TV_GATES && r == 0; g++) {
		r = tell_gate(task, bars, &f, (enum tv_gate)g, err);
		if (g != TV_GATE_STALE) /* judged here by another clock */
			task->item->recorded[g] += f.times[g][TV_RECORD];
	}
	*in_order = !f.times[TV_GATE_ORDER][TV_REFUSE];
	return r < 0 || !*in_order ? r : tv_gates_keep(bars, &judged, kept, err);
}

/* --- the catalog ------------------------------------------------------------------------------- */

static void differ(struct tv_buf *out, const char *what, const char *told, const char *is)
{
	if (*told && strcmp(told, is) != 0)
		tv_buf_addf(out, "%s%s is %s, the file's is %s", out->len ? "; " : "", what, told,
			    is);
}

static int check_catalog(struct tv_audit_task *task, const struct tv_bars *bars, bool in_order,
			 struct tv_err *err)
{
	const struct tv_catalog_entry *e = &task->entry;
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	char day[TV_DAY_TEXT];
	if (!task->has_catalog)
		return 0;
	if (!task->in_catalog)
		return tv_audit_add(task->item, TV_AUDIT_CATALOG, NULL, err,
				    "the catalog does not have it");
	if (in_order && bars->n) {
		tv_calendar_day_text(bars->timestamp[0], day);
		differ(&text, "start_date", e->start_date, day);
		tv_calendar_day_text(bars->timestamp[bars->n - 1], day);
		differ(&text, "end_date", e->end_date, day);
	}
	if (e->rows != TV_CATALOG_UNKNOWN && e->rows != (int64_t)bars->n)
		tv_buf_addf(&text, "%srows is %lld, the file has %zu", text.len ? "; " : "",
			    (long long)e->rows, bars->n);
	if (*e->sha256 && strcmp(e->sha256, task->sha) != 0)
		tv_buf_addf(&text, "%ssha256 is %.12s…, the file's is %.12s…", text.len ? "; " : "",
			    e->sha256, task->sha);
	if (!text.len && !text.failed)
		return 0;
	tv_autofree char *line = tv_buf_steal_str(&text);
	return line ? tv_audit_add(task->item, TV_AUDIT_CATALOG, NULL, err, "%s", line)
		    : tv_err_nomem(err);
}

/* --- age --------------------------------------------------------------------------------------- */

static int check_age(struct tv_audit_task *task, const struct tv_bars *bars, struct tv_err *err)
{
	int64_t last = bars->timestamp[bars->n - 1], fetched = task->entry.freshness;
	int64_t missing = tv_gates_missing(&task->rules, last, task->now_s);
	bool known = task->in_catalog && fetched != TV_CATALOG_UNKNOWN;
	char day[TV_DAY_TEXT], when[TV_DAY_TEXT] = "";
	const char *on = "not in the catalog";
	if (missing <= (int64_t)task->rules.gap_sessions)
		return 0;
	/* Nothing newer is to be had where it was just asked for, or where it is traded no longer. */
	if (!task->active || (known && task->now_s - fetched <= task->fresh_s)) {
		task->item->recorded[TV_GATE_STALE]++;
		return 0;
	}
	tv_calendar_day_text(last, day);
	if (known) {
		tv_calendar_day_text(fetched, when);
		on = "fetched last on ";
	}
	struct tv_audit_finding *f;
	int r = tv_audit_add(task->item, TV_GATE_STALE, &f, err,
			     "the last row is of %s, %lld sessions are missing since; %s%s", day,
			     (long long)missing, on, when);
	if (r == 0)
		f->rows = (size_t)missing;
	return r;
}

/* --- all of it --------------------------------------------------------------------------------- */

static int check_drift(struct tv_audit_task *task, struct tv_duck *duck, const struct tv_bars *now,
		       struct tv_err *err)
{
	tv_autobars struct tv_bars before = TV_BARS_INIT;
	const struct tv_parquet file = { duck, task->item->file, task->fd_before };
	if (task->same)
		return 0;
	/* A file that was unreadable before is no measure. */
	bool there = task->fd_before >= 0 && tv_bars_read(&file, &before, NULL) == 0;
	return tv_audit_drift(task, now, there ? &before : NULL, err);
}

static int by_kind(const void *a, const void *b)
{
	const struct tv_audit_finding *x = a, *y = b;
	return (x->kind > y->kind) - (x->kind < y->kind);
}

int tv_audit_asset(struct tv_audit_task *task, struct tv_duck *duck, struct tv_err *err)
{
	tv_autobars struct tv_bars bars = TV_BARS_INIT, kept = TV_BARS_INIT;
	bool in_order = false;
	int there = read_rows(task, duck, &bars, err);
	int r = there < 0 ? there : 0;
	if (there == 1) {
		r = judge(task, &bars, &kept, &in_order, err);
		if (r == 0)
			r = check_catalog(task, &bars, in_order, err);
	}
	if (r == 0 && in_order && kept.n)
		r = check_age(task, &kept, err);
	if (r == 0 && in_order && kept.n)
		r = check_drift(task, duck, &kept, err);
	if (r == 0 && task->item->n)
		qsort(task->item->findings, task->item->n, sizeof(*task->item->findings), by_kind);
	return r;
}
