/* What the parts of an ingestion share, and repairs with them. Only ingest/ingest*.c and ingest/repair*.c include this. */
#ifndef TV_INGEST_INGEST_PRIV_H
#define TV_INGEST_INGEST_PRIV_H

#include "ingest/gaps.h"
#include "ingest/ingest.h"
#include "ingest/tables.h"
#include "ingest/verdict.h"

struct tv_ingest_pool;

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

	int64_t storing_ns;	     /* how long putting files into the lakehouse took */
	struct tv_ingest_pool *pool; /* judges in threads; NULL: in the caller's */
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

/* --- ingest-pool.c --- */

/* A symbol that is judged: what is read, compared and written needs nothing of the job. */
struct tv_ingest_work {
	struct tv_ingest_work *next;
	struct tv_ingested *item; /* only its file's name is looked at */
	struct tv_gaps permanent; /* the rules point to them */
	struct tv_gates_rules rules;
	int64_t from, fetched_s;
	bool accepted;
	int published_fd; /* -1: there is none */
	struct tv_bars rows, published;
	/* The result. */
	int r;
	struct tv_err err;
	struct tv_verdict verdict;
	int file; /* the new bars as Parquet; -1: there are none to write */
};

struct tv_ingest_work *tv_ingest_work_new(struct tv_err *err);
void tv_ingest_work_free(struct tv_ingest_work *work);
static inline void tv_ingest_work_free_p(struct tv_ingest_work **work)
{
	tv_ingest_work_free(*work);
}
void tv_ingest_work_do(struct tv_ingest_work *work, struct tv_duck *duck);

int tv_ingest_pool_new(struct tv_ingest_pool **out, struct tv_err *err);
void tv_ingest_pool_free(struct tv_ingest_pool *pool); /* NULL is fine */

/* Takes it. */
void tv_ingest_pool_push(struct tv_ingest_pool *pool, struct tv_ingest_work *work);

/* The next one that is done; the caller owns it. NULL when none is and no more than `left` are under way,
 * else it waits. */
struct tv_ingest_work *tv_ingest_pool_pop(struct tv_ingest_pool *pool, size_t left);

/* --- ingest-judge.c --- */

/* What came for ask number `n`, as tv_collect tells it: judged, staged, and put into the tables. With a pool that may
 * happen later: tv_ingest_settle waits for all. got->rows may be taken. */
int tv_ingest_settle(struct tv_ingest_job *job, struct tv_err *err);
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

/* Stages a verdict's bars, notes in the item what they are, and sets the symbol's entry in the catalog. file: the
 * bars as Parquet, -1: it is made here. */
int tv_ingest_put_bars(struct tv_ingest_job *job, struct tv_ingested *item,
		       const struct tv_verdict *v, bool changed, int file, int64_t fetched_s,
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
