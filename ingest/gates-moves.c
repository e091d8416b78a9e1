/* Returns and gaps: what is between a row and the one before it. */
#include "ingest/gaps.h"
#include "ingest/gates-priv.h"

#define SPIKE_ROWS 5 /* how many rows a spike may last */

/* The first row from `row` on that is not cut and has prices; n_past when there is none. */
static size_t good_row(const struct tv_pass *p, size_t row)
{
	while (row < p->n_past && (tv_pass_is_cut(p, row) || !tv_bars_row_ok(p->bars, row)))
		row++;
	return row;
}

static bool is_toxic(const struct tv_gates_rules *rules, double from, double to)
{
	return to > from * (1 + rules->toxic_return) || to < from * (1 - rules->toxic_fall);
}

/* Where the close is again near that of row `before`: soon after row i, or n_past. */
static size_t spike_end(const struct tv_pass *p, size_t before, size_t i, size_t *rows)
{
	const double *close = p->bars->close;
	size_t row = i;
	for (*rows = 1; *rows <= SPIKE_ROWS; ++*rows) {
		row = good_row(p, row + 1);
		if (row == p->n_past || !is_toxic(p->rules, close[before], close[row]))
			return row;
	}
	return p->n_past;
}

/* Tells row i; *next is the row that the following one is compared with. */
static int tell_toxic(const struct tv_pass *p, size_t before, size_t i, size_t *next)
{
	const struct tv_bars *b = p->bars;
	bool by_close = is_toxic(p->rules, b->close[before], b->close[i]);
	double value = by_close ? b->close[i] : b->open[i];
	const char *behind = "; only the open";
	size_t rows = 1;
	*next = i;
	if (by_close) {
		size_t end = spike_end(p, before, i, &rows);
		behind = good_row(p, i + 1) == p->n_past ? "; the last row"
			 : end == p->n_past ? "; and it stays: a split, another unit or a crash"
					    : "; and back";
		if (end == p->n_past)
			rows = 1;
		else
			*next = end;
	}
	struct tv_finding where = tv_pass_at(p, TV_GATE_TOXICITY, TV_REFUSE, i, rows);
	return tv_findings_add(p->found, &where, p->err, "%s %.10g after %.10g, %+.1f %%%s",
			       by_close ? "close" : "open", value, b->close[before],
			       (value / b->close[before] - 1) * 100, behind);
}

/* High and low beyond what a return may be. They happen in thin markets, so they are only recorded. */
static int tell_wick(const struct tv_pass *p, double before, size_t i)
{
	const struct tv_bars *b = p->bars;
	/* most rows: open and close are between low and high */
	if (!is_toxic(p->rules, b->low[i], b->high[i]) &&
	    !is_toxic(p->rules, b->high[i], b->low[i]))
		return 0;
	double most = tv_more(tv_more(b->open[i], b->close[i]), before);
	double least = tv_less(tv_less(b->open[i], b->close[i]), before);
	bool high = is_toxic(p->rules, most, b->high[i]);
	if (!high && !is_toxic(p->rules, least, b->low[i]))
		return 0;
	struct tv_finding where = tv_pass_at(p, TV_GATE_WICK, TV_RECORD, i, 1);
	return tv_findings_add(p->found, &where, p->err,
			       "%s %.10g, while open is %.10g, close %.10g", high ? "high" : "low",
			       high ? b->high[i] : b->low[i], b->open[i], b->close[i]);
}

int tv_pass_moves(struct tv_pass *p)
{
	const struct tv_bars *b = p->bars;
	size_t before = good_row(p, 0), i;
	if (before == p->n_past)
		return 0;
	int r = tell_wick(p, b->close[before], before);
	for (; r == 0 && (i = good_row(p, before + 1)) < p->n_past;) {
		size_t next = i;
		if (is_toxic(p->rules, b->close[before], b->close[i]) ||
		    is_toxic(p->rules, b->close[before], b->open[i]))
			r = tell_toxic(p, before, i, &next);
		else
			r = tell_wick(p, b->close[before], i);
		before = next;
	}
	return r;
}

int64_t tv_gates_missing(const struct tv_gates_rules *rules, int64_t before, int64_t after)
{
	return tv_calendar_sessions(rules->calendar, tv_calendar_day(before) + 1,
				    tv_calendar_day(after));
}

bool tv_gates_is_gap(const struct tv_gates_rules *rules, int64_t before, int64_t after,
		     int64_t *missing)
{
	/* most rows are nearer than any gap; times may be as far apart as two of them can be */
	int64_t gap = (int64_t)rules->gap_sessions;
	if ((uint64_t)after - (uint64_t)before <= (uint64_t)gap * TV_DAY_SECONDS)
		return false;
	*missing = tv_gates_missing(rules, before, after);
	return *missing > gap;
}

static int tell_gap(const struct tv_pass *p, size_t before, size_t i)
{
	const int64_t *t = p->bars->timestamp;
	int64_t missing;
	char since[TV_DAY_TEXT];
	if (!tv_gates_is_gap(p->rules, t[before], t[i], &missing) ||
	    tv_gaps_cover(p->rules->permanent, tv_calendar_day(t[before]) + 1,
			  tv_calendar_day(t[i]) - 1))
		return 0;
	tv_calendar_day_text(t[before], since);
	struct tv_finding where = tv_pass_at(p, TV_GATE_GAP, TV_RECORD, i, (size_t)missing);
	return tv_findings_add(p->found, &where, p->err,
			       "%lld sessions are missing since the row of %s", (long long)missing,
			       since);
}

static int tell_stale(const struct tv_pass *p, size_t last)
{
	int64_t t = p->bars->timestamp[last];
	char fetched[TV_DAY_TEXT];
	if (p->fetched_s == TV_GATES_NO_TIME)
		return 0;
	int64_t missing = tv_gates_missing(p->rules, t, p->fetched_s);
	if (missing <= (int64_t)p->rules->gap_sessions)
		return 0;
	tv_calendar_day_text(p->fetched_s, fetched);
	struct tv_finding where = tv_pass_at(p, TV_GATE_STALE, TV_RECORD, last, (size_t)missing);
	return tv_findings_add(p->found, &where, p->err,
			       "the last row; %lld sessions before it was fetched on %s",
			       (long long)missing, fetched);
}

int tv_pass_gaps(struct tv_pass *p)
{
	size_t before = 0;
	int r = 0;
	for (size_t i = 1; i < p->n_past && r == 0; i++) {
		if (tv_pass_is_cut(p, i))
			continue;
		r = tell_gap(p, before, i);
		before = i;
	}
	return r < 0 || p->n_past == 0 ? r : tell_stale(p, before);
}
