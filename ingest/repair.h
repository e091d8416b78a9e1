/*
 * Repair: the gaps in published bars are fetched from each symbol's source, just their days, and filled
 * with what comes. A fill passes the gates, or nothing of it is published; what is published already stays
 * as it is. What the source answered and does not have becomes a permanent gap (gaps.h), which is not
 * asked for again. All of it is published at once. docs/ingest.md tells the rules.
 *
 * A call that finds no open gap fetches nothing and publishes nothing.
 */
#ifndef TV_INGEST_REPAIR_H
#define TV_INGEST_REPAIR_H

#include "ingest/gaps.h"
#include "ingest/ingest.h"

enum tv_repair_outcome {
	TV_REPAIR_FILLED,      /* "filled": no gap is left there */
	TV_REPAIR_PARTLY,      /* "partly": the source has some rows; what is left is permanent */
	TV_REPAIR_PERMANENT,   /* "permanent": the source does not have it */
	TV_REPAIR_QUARANTINED, /* "quarantined": what came was refused */
	TV_REPAIR_FAILED,      /* "failed": nothing came, or the symbol cannot be repaired */
	TV_REPAIR_OUTRUN,      /* "outrun": somebody else published the symbol meanwhile */
	TV_REPAIR_LEFT,	       /* "left": max_fills were fetched before */
	TV_REPAIR_OPEN,	       /* "open": it was only looked for */
	TV_REPAIR_OUTCOMES
};

const char *tv_repair_outcome_text(enum tv_repair_outcome outcome);

struct tv_repair_range {
	char *symbol; /* owned */
	struct tv_gap gap;
	bool whole; /* no gap: all of the symbol, which could not be looked at */
	enum tv_repair_outcome outcome;
	char *reason; /* owned; NULL: none */
	size_t added; /* rows */
	unsigned tries;
};

struct tv_repair_report {
	size_t n, cap;
	struct tv_repair_range *ranges; /* owned; by file, then by day */
	size_t times[TV_REPAIR_OUTCOMES];
	size_t symbols;	  /* that were looked at */
	size_t permanent; /* gaps that were permanent before */
	size_t added;	  /* rows in all */
	struct tv_lakehouse_published published;
};

#define TV_REPAIR_REPORT_INIT ((struct tv_repair_report){ .ranges = NULL })

void tv_repair_report_free(struct tv_repair_report *report); /* empties it; NULL is fine */
#define tv_auto_repair_report __attribute__((cleanup(tv_repair_report_free)))

/* Of every range with `all`, else of those that were asked for. The caller owns it. NULL when out of memory. */
cJSON *tv_repair_report_json(const struct tv_repair_report *report, bool all);

struct tv_repair_how {
	/* Of an ingestion: candidates, fresh_s, start_s, overlap_days, accept_restatement and spool are not
	 * looked at. */
	struct tv_ingest_how ingest;
	size_t max_fills; /* ranges that are fetched; SIZE_MAX: all */
	bool check;	  /* only looks: nothing is fetched, nothing is published */
};

/* Repairs a lakehouse that was just opened and can only be freed afterwards. As tv_ingest: 0 also when
 * ranges failed. */
int tv_repair(struct tv_lakehouse *l, struct tv_duck *duck, const struct tv_repair_how *how,
	      struct tv_repair_report *out, struct tv_err *err);

#endif
