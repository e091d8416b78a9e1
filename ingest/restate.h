/*
 * History that changes: the published bars against those that are to take their place. Every row that
 * was published and is another now, or is gone, or is new in the past, is kept with its old and new
 * values. docs/gates.md says what is let pass.
 *
 * Pure; not thread-safe. After a failure outputs are as they were.
 */
#ifndef TV_INGEST_RESTATE_H
#define TV_INGEST_RESTATE_H

#include "ingest/gates.h"

#define TV_RESTATE_ALL INT64_MIN /* as `from`: the whole history was fetched */

enum tv_restate_kind {
	TV_RESTATE_CHANGED,  /* "changed" */
	TV_RESTATE_VANISHED, /* "vanished" */
	TV_RESTATE_ADDED,    /* "added": new, and not behind the last published row */
	TV_RESTATE_KINDS
};

const char *tv_restate_kind_text(enum tv_restate_kind kind);

struct tv_restated {
	enum tv_restate_kind kind;
	struct tv_bar before, after; /* zeroes where there is none */
	size_t row;		     /* of the new bars; where it would be, when it vanished */
	double change; /* the largest relative one of a price, against what it was; may be infinite */
	bool beyond;   /* it is more than the tolerance, or the row vanished */
};

struct tv_restatement {
	struct tv_restated *rows; /* owned; by day */
	size_t n, cap;
	size_t times[TV_RESTATE_KINDS];
	size_t beyond;
	size_t compared; /* rows that both have, and that were fetched */
	/* When all that changed is one stretch from the oldest compared row on, multiplied by one
	 * number: the number, else 0; and how many rows. A split or a dividend does that. */
	double factor;
	size_t scaled;
	/* A change beyond the tolerance reaches the oldest row that was fetched, and there are older
	 * ones: they may have changed, too. Nothing can be accepted before all history is fetched. */
	bool needs_all;
};

#define TV_RESTATEMENT_INIT ((struct tv_restatement){ .rows = NULL })

void tv_restatement_free(struct tv_restatement *r); /* empties it; NULL is fine */
#define tv_autorestatement __attribute__((cleanup(tv_restatement_free)))

/* The bars to judge after a fetch of the days from `from` on: published rows before it, then the fetched
 * ones that are not before it, as they are. *out holds nothing before. -ENOMEM. */
int tv_restate_join(const struct tv_bars *published, const struct tv_bars *fetched, int64_t from,
		    struct tv_bars *out, struct tv_err *err);

/*
 * Compares. Both must be in order without double rows, else -EINVAL; `now` are the bars that are to be
 * published: joined, judged, without what was cut. *out holds nothing before. -ENOMEM.
 */
int tv_restate_compare(const struct tv_bars *published, const struct tv_bars *now, int64_t from,
		       const struct tv_gates_rules *rules, struct tv_restatement *out,
		       struct tv_err *err);

/* Takes the added rows out of it: they were looked for. */
void tv_restate_forget_added(struct tv_restatement *r);

/* Adds the findings of gate "restatement": refused are those beyond the tolerance, unless they are
 * accepted. -ENOMEM. */
int tv_restate_tell(const struct tv_restatement *r, bool accepted, struct tv_findings *f,
		    struct tv_err *err);

/* {"compared", "changed", "vanished", "added", "beyond", "factor" and "scaled" (or not there), "needs_all",
 * "rows": [{"day", "kind", "beyond", "before": [open, high, low, close, volume], "after": [...]}]}; before and after are
 * left out where there is none, numbers that are not finite are null. The caller owns it. NULL when out of
 * memory. */
cJSON *tv_restatement_json(const struct tv_restatement *r);

#endif
