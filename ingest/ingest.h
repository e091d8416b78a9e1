/*
 * Ingestion: from a list of symbols to one publishing. Each symbol that is not fresh is fetched from its
 * exchange's source, judged (verdict.h), and staged; what is refused is quarantined: its bytes become
 * evidence, the version before stays. One symbol that fails never stops the others.
 *
 * What was fetched is kept in a spool until it is published, so a call that was interrupted goes on
 * where it was. A call that finds everything fresh stages nothing and publishes nothing.
 */
#ifndef TV_INGEST_INGEST_H
#define TV_INGEST_INGEST_H

#include "ingest/candidates.h"
#include "ingest/collect.h"
#include "ingest/lakehouse.h"

enum tv_outcome {
	TV_FETCHED,	/* "fetched": its bars are new, or are published again with new rows */
	TV_CONFIRMED,	/* "confirmed": fetched, and nothing has changed */
	TV_SKIPPED,	/* "skipped": it is fresh */
	TV_QUARANTINED, /* "quarantined": what came was refused */
	TV_FAILED,	/* "failed": nothing came */
	TV_OUTRUN,	/* "outrun": somebody else published it meanwhile */
	TV_OUTCOMES
};

const char *tv_outcome_text(enum tv_outcome outcome);

struct tv_ingest_how {
	const struct tv_candidates *candidates;
	/* Objects of the settings, or NULL: docs/sources.md, docs/gates.md, docs/ingest.md. */
	const cJSON *sources, *gates, *exchanges;
	struct tv_secrets *secrets;
	struct tv_fetch_limits limits;
	const struct tv_fetch_time *time; /* NULL: the machine's */
	int64_t now_s;			  /* Unix seconds */
	int64_t fresh_s;		  /* younger in the catalog: skipped; 0: nothing is */
	int64_t start_s;		  /* the first day of a symbol that is new */
	unsigned overlap_days;		  /* asked for again, so that changed history is seen */
	bool accept_restatement;
	int spool; /* a folder's descriptor, -1: none */
	const char *author, *message, *trace_id;
	const struct tv_progress *progress;
};

struct tv_ingested {
	const char *symbol; /* the candidates' */
	enum tv_outcome outcome;
	char *reason;	    /* owned; NULL: none */
	char *file;	    /* owned: its name in the lakehouse; NULL */
	const char *source; /* while tv_ingest runs */
	size_t rows, added; /* published; how many more than before */
	int64_t first_s, last_s;
	double score;
	unsigned tries;
	bool spooled;		       /* it came from the spool */
	bool needs_all;		       /* refused because all its history has to be fetched first */
	cJSON *findings, *restatement; /* owned; NULL: there are none */
};

struct tv_ingest_report {
	size_t n;
	struct tv_ingested *items; /* in the candidates' order */
	size_t times[TV_OUTCOMES];
	int64_t storing_ns, publishing_ns; /* spent on files of bars, and on the commit */
	struct tv_lakehouse_published published;
};

#define TV_INGEST_REPORT_INIT ((struct tv_ingest_report){ .items = NULL })

void tv_ingest_report_free(struct tv_ingest_report *report); /* empties it; NULL is fine */
#define tv_auto_ingest_report __attribute__((cleanup(tv_ingest_report_free)))

/* Of every symbol with `all`, else of those that were quarantined, failed or restated. The caller owns it.
 * NULL when out of memory. */
cJSON *tv_ingest_report_json(const struct tv_ingest_report *report, bool all);

/*
 * Ingests into a lakehouse that was just opened and can only be freed afterwards. 0 also when symbols were
 * quarantined or failed: the report tells. -EINVAL: the settings; -TV_E_INTERRUPTED, -TV_E_LOCKED and what
 * tv_lakehouse_publish gives: nothing is published, and the spool holds what was fetched.
 */
int tv_ingest(struct tv_lakehouse *l, struct tv_duck *duck, const struct tv_ingest_how *how,
	      struct tv_ingest_report *out, struct tv_err *err);

#endif
