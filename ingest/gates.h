/*
 * The judgement of a symbol's daily bars, without I/O, network or clock. What each gate looks for, why,
 * and what happens then is in docs/gates.md.
 *
 * Judging is causal where it cuts: whether a row is cut depends on it and on rows before it, and is the
 * same whether those that were cut before it are there or not. So history that was judged
 * may be judged again with new rows behind it, and nothing that was published goes away.
 *
 * Rules do not change once they are read, so threads may share them.
 */
#ifndef TV_INGEST_GATES_H
#define TV_INGEST_GATES_H

#include "ingest/bars.h"
#include "ingest/calendar.h"
#include "ingest/findings.h"

struct tv_gaps;

struct tv_gates_rules {
	const struct tv_calendar *calendar;
	double toxic_return;		 /* a close or open above (1 + this) x the close before */
	double toxic_fall;		 /* ... or below (1 - this) x; 1: no fall is too deep */
	double ohlc_tolerance;		 /* part by which high and low may be missed */
	double padding_share;		 /* part of the rows that may be cut as idle */
	double restatement_tolerance;	 /* relative change of a published price that is let pass */
	double restatement_volume;	 /* the same of a published volume */
	size_t padding_run;		 /* the idle row from which on they are cut; 0: none are */
	size_t gap_sessions;		 /* missing sessions above which there is a gap */
	size_t told;			 /* findings of a kind that are told, not only counted */
	size_t max_open_gaps;		 /* of all symbols together; no gate looks at it */
	const struct tv_gaps *permanent; /* gaps that are no finding (gaps.h), or NULL */
};

/* {monday-friday, 5.0, 5/6, 0, 0.2, 0.001, 0.25, 5, 5, 20, no limit, NULL} */
struct tv_gates_rules tv_gates_defaults(void);

/*
 * The rules for one symbol, EXCHANGE:SYMBOL, from the member "gates" of the settings, which may be NULL:
 * defaults, under what it says, under what its "exchanges" says of the exchange, under what its "symbols"
 * says of the symbol. The calendar is the exchange's (tv_calendar_of) where none is named. Where a
 * toxic_return is set without a toxic_fall at the same place, the fall is its mirror image: 1 - 1 / (1 + it).
 *
 * All of it is checked, also what is about other symbols: -EINVAL names the member.
 */
int tv_gates_rules_read(const cJSON *gates, const char *symbol, enum tv_calendar_crypto crypto,
			struct tv_gates_rules *out, struct tv_err *err);

#define TV_GATES_NO_TIME INT64_MAX /* when the rows were fetched is not known */

struct tv_judged {
	size_t n;  /* rows that were judged */
	bool *cut; /* owned: for each row whether it is cut; NULL: none is */
	size_t n_cut;
};

#define TV_JUDGED_INIT ((struct tv_judged){ 0, NULL, 0 })

void tv_judged_free(struct tv_judged *j); /* empties it; NULL is fine */
#define tv_autojudged __attribute__((cleanup(tv_judged_free)))

/*
 * Judges bars, in any state, that were fetched at a time (Unix seconds). Findings are added to f, by
 * gate, then by row. Where the order of rows is refused, gates that need order (session, padding, toxicity, wick,
 * gap, stale) do not look. *out must be empty. -ENOMEM.
 */
int tv_gates_judge(const struct tv_bars *bars, const struct tv_gates_rules *rules,
		   int64_t fetched_s, struct tv_findings *f, struct tv_judged *out,
		   struct tv_err *err);

/* Sessions that are missing between a row and the next, by their times: a gap, when they are more than
 * rules->gap_sessions. */
int64_t tv_gates_missing(const struct tv_gates_rules *rules, int64_t before, int64_t after);

/* Whether so many are missing between two rows that it is a gap, permanent or not. */
bool tv_gates_is_gap(const struct tv_gates_rules *rules, int64_t before, int64_t after,
		     int64_t *missing);

/* Adds the rows that were not cut to *kept. -ENOMEM. */
int tv_gates_keep(const struct tv_bars *bars, const struct tv_judged *judged, struct tv_bars *kept,
		  struct tv_err *err);

#endif
