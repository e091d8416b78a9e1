/*
 * One symbol after a fetch: what is to be published, and what is to be said of it. Joins, judges, cuts and
 * compares in the order in which that is right.
 *
 * Pure; any number of threads may each have their own.
 */
#ifndef TV_INGEST_VERDICT_H
#define TV_INGEST_VERDICT_H

#include "ingest/gaps.h"
#include "ingest/restate.h"

struct tv_verdict_ask {
	const struct tv_gates_rules *rules;
	const struct tv_bars *published; /* none: no rows */
	const struct tv_bars *fetched;	 /* as the source has them */
	int64_t from;			 /* the first day that was asked for, or TV_RESTATE_ALL */
	int64_t fetched_s;		 /* when, in Unix seconds */
	bool accepted;			 /* --accept-restatement */
};

struct tv_verdict {
	struct tv_bars bars; /* to be published unless refused; else what was judged */
	/* rows are those of tv_restate_join's bars, before anything was cut; but of a restatement
	 * those of `bars` */
	struct tv_findings findings;
	struct tv_restatement restatement;
	bool refused, changed; /* changed: the bars are not those that are published */
	double score;	       /* of the bars; 0 when refused */
};

#define TV_VERDICT_INIT ((struct tv_verdict){ .findings = TV_FINDINGS_INIT })

void tv_verdict_free(struct tv_verdict *v); /* empties it; NULL is fine */
#define tv_autoverdict __attribute__((cleanup(tv_verdict_free)))

/* *out must be empty. -ENOMEM; -EINVAL when the published rows are not in order. */
int tv_verdict_make(const struct tv_verdict_ask *ask, struct tv_verdict *out, struct tv_err *err);

/* The same of what was fetched for a gap: rows in it are taken, and no others. Those of days that are
 * published tell whether the source still has the same history: where they differ beyond the tolerance that
 * is refused, accepted or not; else what is published stays. Rows that fill are no restatement. `from` is
 * not looked at. */
int tv_verdict_fill(const struct tv_verdict_ask *ask, const struct tv_gap *gap,
		    struct tv_verdict *out, struct tv_err *err);

/* data_quality_score, 0 to 1 (docs/gates.md has the formula); bars in order, without what was cut. r may
 * be NULL. */
double tv_quality_score(const struct tv_bars *bars, const struct tv_gates_rules *rules,
			const struct tv_findings *f, const struct tv_restatement *r);

#endif
