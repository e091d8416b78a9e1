/* What the parts of an ingestion share, and repairs with them. Only ingest/ingest*.c and ingest/repair*.c include this. */
#ifndef TV_INGEST_INGEST_PRIV_H
#define TV_INGEST_INGEST_PRIV_H

#include "ingest/gaps.h"
#include "ingest/ingest.h"
#include "ingest/tables.h"
#include "ingest/verdict.h"

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

/* The one that serves a symbol's exchange, NULL. */
const struct tv_source *tv_ingest_source_of(const struct tv_ingest_job *job, const char *symbol);

/* Decides for each candidate whether it is fetched, and which days; fills asks. */
int tv_ingest_plan(struct tv_ingest_job *job, struct tv_err *err);

/* The published bars of an item; none when there is no file. */
int tv_ingest_published(struct tv_ingest_job *job, const struct tv_ingested *item,
			struct tv_bars *out, struct tv_err *err);

/* --- ingest-judge.c --- */

/* What came for ask number `n`, as tv_collect tells it: judged, staged, and put into the tables. */
int tv_ingest_take(struct tv_ingest_job *job, size_t n, const struct tv_collected *got,
		   int64_t fetched_s, struct tv_err *err);

/* The rules for a symbol. Its permanent gaps are added to *permanent, which must live as long. */
int tv_ingest_rules(const struct tv_ingest_job *job, const char *symbol, struct tv_gaps *permanent,
		    struct tv_gates_rules *out, struct tv_err *err);

/* --- ingest-stage.c --- */

/* Evidence of what was refused: "quarantine/EXCHANGE_SYMBOL.csv" and so on. Owned; NULL: no memory. */
char *tv_ingest_evidence(const struct tv_ingested *item, const char *suffix);
#define TV_EVIDENCE_ROWS ".csv"
#define TV_EVIDENCE_BODY ".body"
#define TV_EVIDENCE_REPAIR ".repair.csv"
#define TV_EVIDENCES                                                                               \
	{                                                                                          \
		TV_EVIDENCE_ROWS, TV_EVIDENCE_BODY, TV_EVIDENCE_REPAIR                             \
	}

int tv_ingest_put_evidence(struct tv_ingest_job *job, const struct tv_ingested *item,
			   const char *suffix, const void *bytes, size_t n, struct tv_err *err);
int tv_ingest_put_rows(struct tv_ingest_job *job, const struct tv_ingested *item,
		       const char *suffix, const struct tv_bars *rows, struct tv_err *err);
int tv_ingest_drop_evidence(struct tv_ingest_job *job, const struct tv_ingested *item,
			    const char *suffix, struct tv_err *err);

/* The health of bars that are published: "ok", or what is worth knowing of them. */
enum tv_health tv_ingest_health_of(const struct tv_verdict *v, char *reason, size_t n);

/* Sets a symbol's health. One that it has already is written anew only with `again`, whenever it was made. */
int tv_ingest_set_health(struct tv_ingest_job *job, const struct tv_ingested *item,
			 enum tv_health status, const char *reason, bool again, struct tv_err *err);

/* Stages a verdict's bars, notes in the item what they are, and sets the symbol's entry in the catalog. */
int tv_ingest_put_bars(struct tv_ingest_job *job, struct tv_ingested *item,
		       const struct tv_verdict *v, bool changed, int64_t fetched_s,
		       struct tv_err *err);

/* --- ingest.c --- */

/* Frees all but how, lake, duck and report. */
void tv_ingest_job_free(struct tv_ingest_job *job);

/* Publishes what is staged. report: the metadata, NULL when there was no memory for it; taken. Symbols that
 * somebody else has published meanwhile become TV_OUTRUN. */
int tv_ingest_publish(struct tv_ingest_job *job, cJSON *report, struct tv_err *err);

/* Notes an outcome; the reason is copied. */
int tv_ingest_end(struct tv_ingested *item, enum tv_outcome outcome, const char *reason,
		  struct tv_err *err);

#endif
