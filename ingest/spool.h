/*
 * What was fetched and is not yet published: a file a symbol, so that an interrupted ingestion goes on
 * where it was. Files are not synced: one that a power cut damaged is not taken, and is fetched again.
 */
#ifndef TV_INGEST_SPOOL_H
#define TV_INGEST_SPOOL_H

#include "ingest/bars.h"

struct tv_spooled {
	int64_t from, to;  /* the days that were asked for */
	int64_t fetched_s; /* Unix seconds */
};

/* Keeps rows under a name, in place of what was there. */
int tv_spool_save(int dirfd, const char *name, const struct tv_spooled *what,
		  const struct tv_bars *bars, struct tv_err *err);

/* 1 and the rows; 0 when there is nothing that can be used. *bars holds nothing before. -ENOMEM. */
int tv_spool_load(int dirfd, const char *name, struct tv_spooled *what, struct tv_bars *bars,
		  struct tv_err *err);

void tv_spool_remove(int dirfd, const char *name);

/* Removes all files that were written before that time (Unix seconds). */
void tv_spool_sweep(int dirfd, int64_t before_s);

#endif
