#include "ingest/gates.h"

#include <stdlib.h>

#include "ingest/gates-priv.h"
#include "store/base/cleanup.h"

struct tv_gates_rules tv_gates_defaults(void)
{
	return (struct tv_gates_rules){
		.calendar = tv_calendar_named("monday-friday"),
		.toxic_return = 5.0,
		.toxic_fall = 1 - 1 / (1 + 5.0),
		.ohlc_tolerance = 0,
		.padding_share = 0.2,
		.restatement_tolerance = 0.001,
		.restatement_volume = 0.25,
		.padding_run = 5,
		.gap_sessions = 5,
		.told = TV_FINDINGS_TOLD,
		.max_open_gaps = SIZE_MAX,
	};
}

void tv_judged_free(struct tv_judged *j)
{
	if (!j)
		return;
	free(j->cut);
	*j = TV_JUDGED_INIT;
}

/* --- gates that look at one row, or at it and the one before ------------------------------------ */

static int gate_empty(struct tv_pass *p)
{
	struct tv_finding where = { .gate = TV_GATE_EMPTY, .severity = TV_REFUSE };
	return p->bars->n ? 0 : tv_findings_add(p->found, &where, p->err, "no rows");
}

static int gate_order(struct tv_pass *p)
{
	const int64_t *t = p->bars->timestamp;
	for (size_t i = 1; i < p->bars->n; i++) {
		/* what says the same twice is cut, by tv_pass_sift */
		if (t[i] > t[i - 1] || (t[i] == t[i - 1] && tv_bars_row_same(p->bars, i, i - 1)))
			continue;
		struct tv_finding where = tv_pass_at(p, TV_GATE_ORDER, TV_REFUSE, i, 1);
		char before[TV_DAY_TEXT];
		tv_calendar_day_text(t[i - 1], before);
		int r = tv_findings_add(p->found, &where, p->err,
					t[i] == t[i - 1] ? "is another row of %s, and differs"
							 : "comes after the row of %s",
					before);
		if (r < 0)
			return r;
	}
	return 0;
}

static int gate_day(struct tv_pass *p)
{
	const int64_t *t = p->bars->timestamp;
	for (size_t i = 0; i < p->bars->n; i++) {
		if (t[i] % TV_DAY_SECONDS == 0)
			continue;
		struct tv_finding where = tv_pass_at(p, TV_GATE_DAY, TV_REFUSE, i, 1);
		long long late = t[i] % TV_DAY_SECONDS;
		late += late < 0 ? TV_DAY_SECONDS : 0;
		int r = tv_findings_add(p->found, &where, p->err,
					"%lld seconds after the day's start in UTC", late);
		if (r < 0)
			return r;
	}
	return 0;
}

static int gate_future(struct tv_pass *p)
{
	char fetched[TV_DAY_TEXT];
	tv_calendar_day_text(p->fetched_s, fetched);
	for (size_t i = 0; i < p->bars->n; i++) {
		if (p->bars->timestamp[i] <= p->fetched_s)
			continue;
		struct tv_finding where = tv_pass_at(p, TV_GATE_FUTURE, TV_REFUSE, i, 1);
		int r = tv_findings_add(p->found, &where, p->err, "was fetched before, on %s",
					fetched);
		if (r < 0)
			return r;
	}
	return 0;
}

static int gate_values(struct tv_pass *p)
{
	for (size_t i = 0; i < p->bars->n; i++) {
		if (tv_bars_row_ok(p->bars, i))
			continue;
		struct tv_finding where = tv_pass_at(p, TV_GATE_VALUES, TV_REFUSE, i, 1);
		size_t c = 0;
		while (c < TV_BARS_VALUES - 1 && tv_price_ok(tv_bars_values(p->bars, c)[i]))
			c++;
		double v = tv_bars_values(p->bars, c)[i];
		int r = tv_findings_add(p->found, &where, p->err, "%s is %.10g",
					tv_bars_value_name(c), v);
		if (r < 0)
			return r;
	}
	return 0;
}

static int gate_ohlc(struct tv_pass *p)
{
	const struct tv_bars *b = p->bars;
	double above = 1 + p->rules->ohlc_tolerance, below = 1 - p->rules->ohlc_tolerance;
	for (size_t i = 0; i < b->n; i++) {
		double most = tv_more(tv_more(b->open[i], b->close[i]), b->low[i]);
		double least = tv_less(tv_less(b->open[i], b->close[i]), b->high[i]);
		bool high_ok = b->high[i] >= most * below, low_ok = b->low[i] <= least * above;
		if ((high_ok && low_ok) || !tv_bars_row_ok(b, i))
			continue;
		struct tv_finding where = tv_pass_at(p, TV_GATE_OHLC, TV_REFUSE, i, 1);
		int r = tv_findings_add(p->found, &where, p->err,
					high_ok ? "low %.10g is above %.10g"
						: "high %.10g is below %.10g",
					high_ok ? b->low[i] : b->high[i], high_ok ? least : most);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- all of them -------------------------------------------------------------------------------- */

int tv_gates_judge(const struct tv_bars *bars, const struct tv_gates_rules *rules,
		   int64_t fetched_s, struct tv_findings *f, struct tv_judged *out,
		   struct tv_err *err)
{
	static int (*const each[])(struct tv_pass * p) = { gate_empty,	gate_order,  gate_day,
							   gate_future, gate_values, gate_ohlc };
	static int (*const ordered[])(struct tv_pass * p) = { tv_pass_sift, tv_pass_moves,
							      tv_pass_gaps };
	tv_autojudged struct tv_judged judged = { .n = bars->n };
	struct tv_pass p = { bars, rules, fetched_s, 0, f, &judged, err };
	size_t disorder = f->times[TV_GATE_ORDER][TV_REFUSE];
	int r = 0;
	f->told_max = rules->told;
	for (size_t i = 0; i < TV_ARRAY_LEN(each) && r == 0; i++)
		r = each[i](&p);
	bool in_order = f->times[TV_GATE_ORDER][TV_REFUSE] == disorder;
	if (in_order)
		p.n_past = fetched_s == INT64_MAX ? bars->n : tv_bars_find(bars, fetched_s + 1);
	for (size_t i = 0; i < TV_ARRAY_LEN(ordered) && in_order && r == 0; i++)
		r = ordered[i](&p);
	if (r < 0)
		return r;
	*out = judged;
	judged = TV_JUDGED_INIT;
	return 0;
}

int tv_gates_keep(const struct tv_bars *bars, const struct tv_judged *judged, struct tv_bars *kept,
		  struct tv_err *err)
{
	int r = tv_bars_reserve(kept, kept->n + bars->n - judged->n_cut, err);
	for (size_t first = 0, end; first < bars->n && r == 0; first = end + 1) {
		end = first;
		while (end < bars->n && !(judged->cut && judged->cut[end]))
			end++;
		r = tv_bars_append(kept, bars, first, end, err);
	}
	return r;
}
