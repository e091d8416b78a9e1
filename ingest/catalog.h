/*
 * What the entries of catalog.json and foundation_health.json say; the documents are symbol maps, see
 * ingest/symbol-map.h. Entries of older scripts may lack members or hold others: reading takes what is
 * there, writing leaves what it does not know.
 */
#ifndef TV_INGEST_CATALOG_H
#define TV_INGEST_CATALOG_H

#include "ingest/symbol-map.h"

#define TV_CATALOG_FILE "catalog.json"
#define TV_HEALTH_FILE "foundation_health.json"

#define TV_CATALOG_UNKNOWN INT64_MIN /* a number that is not there */

/* Texts that are not there are "", the score NAN. A day is YYYY-MM-DD. */
struct tv_catalog_entry {
	int64_t freshness; /* Unix seconds: when it was fetched */
	char start_date[11], end_date[11];
	double data_quality_score; /* 0 to 1 */
	int64_t rows;
	char source[64];
	char sha256[65]; /* of the file, hexadecimal */
};

/* A symbol's entry; false when there is none. A member that cannot be understood (a text that is no time,
 * a number too large, a source too long) counts as not there: what has no freshness is not fresh. */
bool tv_catalog_get(const struct tv_symbol_map *catalog, const char *symbol,
		    struct tv_catalog_entry *out);

/* Sets it. The first four must be there (-EINVAL); of the others an unknown one is removed. */
int tv_catalog_set(struct tv_symbol_map *catalog, const char *symbol,
		   const struct tv_catalog_entry *entry, struct tv_err *err);

/* The day of a time, "2026-01-19"; -ERANGE outside of the years 0 to 9999. */
int tv_catalog_day(int64_t seconds, char out[11], struct tv_err *err);

/* The verdicts, and how they are written. Others, which older scripts wrote, read as OTHER. */
enum tv_health {
	TV_HEALTH_OK,	       /* "ok" */
	TV_HEALTH_WARN,	       /* "warn": usable, the reason says what to know */
	TV_HEALTH_STALE,       /* "stale": nothing new came */
	TV_HEALTH_GAP,	       /* "gap": days are missing */
	TV_HEALTH_QUARANTINED, /* "quarantined": what came was refused; the version before stands */
	TV_HEALTH_FAILED,      /* "failed": nothing could be fetched */
	TV_HEALTH_OTHER,
};

const char *tv_health_name(enum tv_health status); /* OTHER: "other" */

struct tv_health_entry {
	enum tv_health status;
	int64_t last_audit; /* Unix seconds; TV_CATALOG_UNKNOWN */
	char *reason;	    /* owned when read; NULL: there is none */
};

void tv_health_entry_free(struct tv_health_entry *entry); /* NULL is fine */
#define tv_autohealth __attribute__((cleanup(tv_health_entry_free)))

/* 1, 0 when there is no entry, -ENOMEM. A status is understood in any case of letters. */
int tv_health_get(const struct tv_symbol_map *health, const char *symbol,
		  struct tv_health_entry *out, struct tv_err *err);

/* Sets it. OTHER leaves the status that there is, -EINVAL where there is none. No reason: none stays. */
int tv_health_set(struct tv_symbol_map *health, const char *symbol,
		  const struct tv_health_entry *entry, struct tv_err *err);

#endif
