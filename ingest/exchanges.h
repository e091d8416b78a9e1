/*
 * exchanges.parquet: a row an exchange, with what is known of it: from the settings, else from the file
 * as it is, else from a table of well-known exchanges that is built in. Rows are struct tv_rows of
 * tv_exchanges_shape().
 */
#ifndef TV_INGEST_EXCHANGES_H
#define TV_INGEST_EXCHANGES_H

#include "ingest/rows.h"

#define TV_EXCHANGES_FILE "exchanges.parquet"

const struct tv_rows_shape *tv_exchanges_shape(void);

/* Of texts, NULL is: not told. */
struct tv_exchange {
	const char *name;     /* as in EXCHANGE:SYMBOL */
	const char *timezone; /* IANA */
	const char *country, *description;
	int is_crypto; /* 1: open at all hours of all days; 0; -1: not told */
};

/* What is built in; NULL when the name is not known. */
const struct tv_exchange *tv_exchange_known(const char *name);

/* All that is built in, ascending by name. */
const struct tv_exchange *tv_exchanges_known(size_t *n);

/*
 * Sees to an exchange's row. `said` (what the settings say, may be NULL) goes before the row that is there,
 * that before what is built in. Nothing changes where the row says it all. updated_at = now
 * (microseconds) of a row that changes. -ENOENT: nothing tells time zone, or whether it is crypto; the
 * message names the settings.
 */
int tv_exchanges_see(struct tv_rows *exchanges, const char *name, const struct tv_exchange *said,
		     int64_t now, struct tv_err *err);

/* Whether it trades at all hours of all days: 1, 0, -1 when neither the rows (may be NULL) nor the
 * built-in table tell. */
int tv_exchanges_is_crypto(const struct tv_rows *exchanges, const char *name);

/* Its time zone, NULL when nothing tells; lives until the rows change. */
const char *tv_exchanges_timezone(const struct tv_rows *exchanges, const char *name);

#endif
