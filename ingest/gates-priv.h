/* What the files gates*.c share. */
#ifndef TV_INGEST_GATES_PRIV_H
#define TV_INGEST_GATES_PRIV_H

#include <float.h>

#include "ingest/gates.h"

/* One judgement that is under way. */
struct tv_pass {
	const struct tv_bars *bars;
	const struct tv_gates_rules *rules;
	int64_t fetched_s;
	size_t n_past; /* rows before the first that is dated after the fetch; only of rows in order */
	struct tv_findings *found;
	struct tv_judged *judged;
	struct tv_err *err;
};

static inline struct tv_finding tv_pass_at(const struct tv_pass *p, enum tv_gate gate,
					   enum tv_severity severity, size_t row, size_t rows)
{
	return (struct tv_finding){ .gate = gate,
				    .severity = severity,
				    .row = row,
				    .rows = rows,
				    .timestamp = p->bars->timestamp[row] };
}

static inline bool tv_pass_is_cut(const struct tv_pass *p, size_t row)
{
	return p->judged->cut && p->judged->cut[row];
}

/* fmax and fmin are calls, because they think of NaN; rows with one were found before. */
static inline double tv_more(double a, double b)
{
	return a > b ? a : b;
}

static inline double tv_less(double a, double b)
{
	return a < b ? a : b;
}

/* A price is finite and above 0, a volume finite and not below; NaN is neither. */
static inline bool tv_price_ok(double v)
{
	return v > 0 && v <= DBL_MAX;
}

static inline bool tv_bars_row_ok(const struct tv_bars *b, size_t i)
{
	return tv_price_ok(b->open[i]) && tv_price_ok(b->high[i]) && tv_price_ok(b->low[i]) &&
	       tv_price_ok(b->close[i]) && b->volume[i] >= 0 && b->volume[i] <= DBL_MAX;
}

static inline bool tv_bars_row_same(const struct tv_bars *b, size_t i, size_t k)
{
	return b->open[i] == b->open[k] && b->high[i] == b->high[k] && b->low[i] == b->low[k] &&
	       b->close[i] == b->close[k] && b->volume[i] == b->volume[k];
}

/* session, padding, and double rows: decides what is cut (gates-padding.c) */
int tv_pass_sift(struct tv_pass *p);

/* toxicity and wick; gap and stale: of the rows that are not cut (gates-moves.c) */
int tv_pass_moves(struct tv_pass *p);
int tv_pass_gaps(struct tv_pass *p);

#endif
