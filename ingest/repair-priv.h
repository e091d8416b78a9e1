/* What the parts of a repair share. Only ingest/repair*.c include this. */
#ifndef TV_INGEST_REPAIR_PRIV_H
#define TV_INGEST_REPAIR_PRIV_H

#include "ingest/assets.h"
#include "ingest/ingest-priv.h"
#include "ingest/repair.h"

#define TV_REPAIR_NO_ITEM SIZE_MAX

/* A range of the report while it is worked on. */
struct tv_repair_work {
	size_t item;	     /* of the job's report; TV_REPAIR_NO_ITEM: it is not asked for */
	bool came;	     /* the source answered */
	struct tv_bars rows; /* what it has, as tv_collect gives them */
};

struct tv_repair_job {
	struct tv_ingest_job ingest;
	struct tv_ingest_report items; /* an item a symbol that is asked for */
	size_t cap_items;
	const struct tv_repair_how *how;
	struct tv_repair_report *report;
	struct tv_assets assets;
	struct tv_repair_work *work; /* owned: one a range of the report */
	size_t cap_work;
	size_t n_asked;
};

/* --- repair-plan.c --- */

/* Looks for gaps in all active symbols: fills the report, and decides which are asked for. */
int tv_repair_plan(struct tv_repair_job *job, struct tv_err *err);

/* --- repair-mend.c --- */

/* What came for the ranges [first, end), which are all of one symbol: judged, staged, and put into the
 * tables. */
int tv_repair_mend(struct tv_repair_job *job, size_t first, size_t end, struct tv_err *err);

/* --- repair.c --- */

/* Notes an outcome; the reason is copied. */
int tv_repair_end(struct tv_repair_range *range, enum tv_repair_outcome outcome, const char *reason,
		  struct tv_err *err);

#endif
