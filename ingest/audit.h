/*
 * Audit: every published asset is judged again, by the gates that ingestion has, against the schema and the
 * catalog, by its age, and against another foundation. docs/gates.md says what is looked for, and what a
 * finding is. Reads only.
 *
 * Assets are judged by several threads; the report is the same, and in the same order, with any number.
 */
#ifndef TV_INGEST_AUDIT_H
#define TV_INGEST_AUDIT_H

#include "ingest/findings.h"
#include "ingest/lakehouse.h"
#include "store/base/buf.h"
#include "store/base/progress.h"

/* What was found: the gates of enum tv_gate, and: */
enum tv_audit_kind {
	TV_AUDIT_UNREADABLE = TV_GATES, /* "unreadable": no Parquet, or its bytes cannot be had */
	TV_AUDIT_SCHEMA,       /* "schema": columns or types are not those of the registry */
	TV_AUDIT_CATALOG,      /* "catalog": it says something else than the file */
	TV_AUDIT_SHRUNK,       /* "shrunk": fewer rows, a later start or an earlier end */
	TV_AUDIT_DISTRIBUTION, /* "distribution": returns are others than they were */
	TV_AUDIT_KINDS
};

const char *tv_audit_kind_text(unsigned kind);

#define TV_AUDIT_CLOSES 41 /* of rows around a finding */

struct tv_audit_finding {
	unsigned kind;
	size_t times, rows;
	char *reason; /* owned: one line */
	size_t n_told, cap;
	char **told;	     /* owned, as their texts: the first few, in words */
	double *closes;	     /* owned: of the rows around the first one; NULL */
	size_t n_closes, at; /* which of them it is about */
};

struct tv_audited {
	char *file;	  /* owned */
	char *symbol;	  /* owned: EXCHANGE:SYMBOL; NULL: a table of the lakehouse */
	bool known;	  /* it is quarantined: what is found is not new */
	bool compared;	  /* with the other foundation, where its bytes are others */
	char *quarantine; /* owned: why it is quarantined, or NULL */
	size_t n, cap;
	struct tv_audit_finding *findings; /* owned; by kind */
	size_t recorded[TV_GATES];	   /* what ingestion lets pass, too: counted only */
};

struct tv_audit_report {
	size_t n, cap;
	struct tv_audited *items;      /* those of which there is something to say, by file */
	size_t assets, compared, same; /* published; compared; of the same bytes in both */
	size_t times[TV_AUDIT_KINDS];  /* findings, without those that are known */
	size_t recorded[TV_GATES];
	size_t found, quarantined; /* assets (and tables) with findings; quarantined ones */
};

#define TV_AUDIT_REPORT_INIT ((struct tv_audit_report){ .items = NULL })

void tv_audit_report_free(struct tv_audit_report *report); /* empties it; NULL is fine */
#define tv_auto_audit_report __attribute__((cleanup(tv_audit_report_free)))

struct tv_audit_how {
	struct tv_lakehouse *lake;
	struct tv_lakehouse *against; /* NULL: nothing is compared */
	struct tv_duck *duck;	      /* for the tables */
	const cJSON *gates;	      /* of the settings, or NULL */
	int64_t now_s;		      /* Unix seconds */
	int64_t fresh_s; /* what was fetched within this time is not stale, whatever its last row */
	unsigned threads; /* 0: one a processor that this process may use */
	const struct tv_progress *progress;
};

/* 0 whatever is found. -EINVAL: the settings; -TV_E_INTERRUPTED; -ENOMEM. *out is empty before. */
int tv_audit(const struct tv_audit_how *how, struct tv_audit_report *out, struct tv_err *err);

/* --- telling ----------------------------------------------------------------------------------- */

/* What was audited, for a report's reader. Texts are the caller's; NULL: there is none. */
struct tv_audit_about {
	const char *folder, *ref;	 /* what was named */
	const char *commit, *foundation; /* hexadecimal */
	const char *against;		 /* what it was compared with, as it was named */
	const char *against_commit, *against_foundation;
	const char *when; /* RFC 3339 */
	double seconds;
};

/* {"kind": "audit", ...}, docs/commands/tvfs-audit.md. The caller owns it. NULL when out of memory. */
cJSON *tv_audit_json(const struct tv_audit_report *report, const struct tv_audit_about *about);

/* One page of HTML that needs nothing else: no network, no scripts. -ENOMEM. */
int tv_audit_html(const struct tv_audit_report *report, const struct tv_audit_about *about,
		  struct tv_buf *out, struct tv_err *err);

#endif
