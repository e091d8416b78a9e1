/* What the parts of an ingestion share. Only ingest/ingest*.c include this. */
#ifndef TV_INGEST_INGEST_PRIV_H
#define TV_INGEST_INGEST_PRIV_H

#include "ingest/ingest.h"
#include "ingest/tables.h"

struct tv_ingest_job {
	const struct tv_ingest_how *how;
	struct tv_lakehouse *lake;
	struct tv_duck *duck;
	struct tv_ingest_report *report;
	struct tv_tables tables;
	struct tv_source **sources; /* owned */
	size_t n_sources;

	/* What is asked for: an ask and its item's number. */
	struct tv_collect_ask *asks;
	size_t *item_of, n_asks;
	bool whole; /* the second round: all history of those that need it */
};

/* --- ingest-plan.c --- */

/* The sources of the settings. -EINVAL names the setting. */
int tv_ingest_sources(struct tv_ingest_job *job, struct tv_err *err);

/* Decides for each candidate whether it is fetched, and which days; fills asks. */
int tv_ingest_plan(struct tv_ingest_job *job, struct tv_err *err);

/* The published bars of an item; none when there is no file. */
int tv_ingest_published(struct tv_ingest_job *job, const struct tv_ingested *item,
			struct tv_bars *out, struct tv_err *err);

/* --- ingest-judge.c --- */

/* What came for ask number `n`, as tv_collect tells it: judged, staged, and put into the tables. */
int tv_ingest_take(struct tv_ingest_job *job, size_t n, const struct tv_collected *got,
		   int64_t fetched_s, struct tv_err *err);

/* --- ingest.c --- */

/* Notes an outcome; the reason is copied. */
int tv_ingest_end(struct tv_ingested *item, enum tv_outcome outcome, const char *reason,
		  struct tv_err *err);

/* Evidence of what was refused: "quarantine/EXCHANGE_SYMBOL.csv", or ".body". Owned; NULL: no memory. */
char *tv_ingest_evidence(const struct tv_ingested *item, const char *suffix);

#endif
