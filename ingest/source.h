/*
 * Where prices come from. A source is one entry of "sources" in the settings, chosen by a symbol's
 * exchange: an exchange's public API, a URL template with a description of its answer, a folder of
 * CSV or Parquet files, or a program. It says which URLs to ask for, and turns one body into rows.
 *
 * Nothing here touches the network. Sources do not change once they are made, so threads may share
 * them. Rows are given as the source has them, oldest first: to judge them (order, duplicates, prices)
 * is not this module's work. Texts of errors pass tv_secrets_redact.
 */
#ifndef TV_INGEST_SOURCE_H
#define TV_INGEST_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/bars.h"
#include "ingest/duck.h"
#include "ingest/secret.h"
#include "store/base/buf.h"
#include "store/base/err.h"
#include "store/base/json.h"
#include "store/base/progress.h"

#define TV_SOURCE_NEVER INT64_MIN /* there is no last row yet */

struct tv_source;

/*
 * From its settings (docs/sources.md). Keys that it names are added to secrets as NAME.KEY; secrets
 * must live as long as the source. -EINVAL names the setting.
 */
int tv_source_new(const char *name, const cJSON *settings, struct tv_secrets *secrets,
		  struct tv_source **out, struct tv_err *err);
void tv_source_free(struct tv_source *s);

const char *tv_source_name(const struct tv_source *s);
const char *tv_source_kind(const struct tv_source *s);
bool tv_source_is_http(const struct tv_source *s);

/* Requests that are needed for the days from <= t < to. */
unsigned tv_source_pages(const struct tv_source *s, int64_t from, int64_t to);

struct tv_source_call {
	char *url;	/* owned; holds keys */
	char **headers; /* owned, NULL-terminated; hold keys */
	bool confidential;
};

/* What to ask for page n (from 0) of an exchange's symbol. */
int tv_source_call(const struct tv_source *s, const char *symbol, int64_t from, int64_t to,
		   unsigned page, struct tv_source_call *out, struct tv_err *err);
void tv_source_call_free(struct tv_source_call *call); /* wipes */

/*
 * Appends the rows of one body. -TV_E_MISSING: the source does not know the symbol (no rows at all
 * are 0); -EBUSY: it wants to be left alone for a time; -EREMOTE: it says something else that is wrong;
 * -EPROTO: not an answer of this source, or one for another symbol. http_status 0 when there was none.
 */
int tv_source_parse(const struct tv_source *s, const char *symbol, long http_status,
		    const char *body, size_t n, struct tv_bars *out, struct tv_err *err);

/* Takes the keys out of an answer that is kept; the new length. */
size_t tv_source_redact(const struct tv_source *s, char *bytes, size_t n);

struct tv_source_ask {
	const char *symbol; /* the exchange's */
	int64_t from, to;
	struct tv_duck *duck; /* NULL: Parquet is -ENOSYS */

	/* A program is ended when this asks to stop (-TV_E_INTERRUPTED), or at the deadline of
	 * tv_boottime_ns (0: there is only its own). */
	const struct tv_progress *progress;
	uint64_t done, total; /* for the progress: how many symbols */
	int64_t deadline_ns;
};

/* Reads the rows of sources that are not HTTP: a file of a folder, or what a program prints or writes.
 * What was read and is no answer (-EPROTO) is appended to body (or NULL), keys and all. */
int tv_source_read(const struct tv_source *s, const struct tv_source_ask *ask, struct tv_bars *out,
		   struct tv_buf *body, struct tv_err *err);

/* The days to ask for when rows up to `last` are there: from `overlap_days` before it, so that changed
 * history is seen, to the last day that is over. False when nothing can be new. */
bool tv_source_span(int64_t last, int64_t start, unsigned overlap_days, int64_t now_s,
		    int64_t *from, int64_t *to);

static inline void tv_source_free_p(struct tv_source **s)
{
	tv_source_free(*s);
}

#endif
