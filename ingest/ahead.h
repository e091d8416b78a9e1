/*
 * Files of bars that are read ahead, in threads: most of the time that features and matrices take goes into
 * reading. The caller takes them in their order. Where no thread can be started they are read as they are taken.
 *
 * Lock order: `opening`, `lock`. Opening a file is done by one thread at a time; between tv_ahead_new and
 * tv_ahead_free nobody else may use what `open` uses.
 */
#ifndef TV_INGEST_AHEAD_H
#define TV_INGEST_AHEAD_H

#include "ingest/bars.h"

struct tv_ahead;

struct tv_ahead_files {
	size_t n;
	/* Opens file number i: its descriptor, or an error. Called in any thread, by one at a time. */
	int (*open)(void *arg, size_t i, struct tv_err *err);
	/* What messages call it. Called in any thread, by many. */
	const char *(*name)(void *arg, size_t i);
	void *arg;
};

/* Begins with file number `first`. -ENOMEM or DuckDB's errors. */
int tv_ahead_new(const struct tv_ahead_files *files, size_t first, struct tv_ahead **out,
		 struct tv_err *err);

/* Stops the threads. NULL is fine. */
void tv_ahead_free(struct tv_ahead *a);
static inline void tv_ahead_free_p(struct tv_ahead **a)
{
	tv_ahead_free(*a);
}

/* The bars of the next file, see tv_bars_read; the error is that file's. */
int tv_ahead_next(struct tv_ahead *a, struct tv_bars *out, struct tv_err *err);

#endif
