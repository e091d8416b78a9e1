/*
 * From a list of symbols to their rows: asks each one's source for every page, many at once, and puts
 * the pages together. One symbol that fails does not stop the others. Sources that are not HTTP are
 * read one after another, after all others.
 */
#ifndef TV_INGEST_COLLECT_H
#define TV_INGEST_COLLECT_H

#include "ingest/fetch.h"
#include "ingest/source.h"

struct tv_collect_ask {
	const struct tv_source *source;
	const char *symbol;
	int64_t from, to; /* as tv_source_span gives them */
};

struct tv_collected {
	size_t index;	      /* of the ask */
	int code;	      /* 0, or why there are no rows (tv_fetch_run, tv_source_parse) */
	const char *error;    /* "" or one line, without keys */
	struct tv_bars *rows; /* clipped, in the source's order; the callback may take them */
	const char *body;     /* the answer that was refused, without keys; NULL: none came */
	size_t n_body;
	unsigned tries; /* requests in all */
};

/* Called once for each ask, in the order in which they end. Negative ends everything. */
typedef int tv_collect_done(void *arg, const struct tv_collected *got, struct tv_err *err);

/* duck may be NULL, see tv_source_read. f must be empty and is empty afterwards, unless this fails as tv_fetch_run does. */
int tv_collect(struct tv_fetch *f, struct tv_duck *duck, const struct tv_collect_ask *asks,
	       size_t n, tv_collect_done *done, void *arg, const struct tv_progress *progress,
	       struct tv_err *err);

#endif
