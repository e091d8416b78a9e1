/*
 * symbols.parquet: what each symbol is, and was (slowly changing dimension, type 2). Of a symbol's rows
 * the last one without a valid_until holds now. Rows are struct tv_rows of tv_symbols_shape().
 */
#ifndef TV_INGEST_SYMBOLS_H
#define TV_INGEST_SYMBOLS_H

#include "ingest/rows.h"

#define TV_SYMBOLS_FILE "symbols.parquet"

const struct tv_rows_shape *tv_symbols_shape(void);

/* What can be told of a symbol: a cell for each column from base to session, by number. */
#define TV_FACTS 14
struct tv_facts {
	struct tv_cell cells[TV_FACTS];
};

/* Name and kind of a fact, and its number by name (-1: there is no such fact). */
const struct tv_rows_column *tv_fact_column(size_t fact);
ptrdiff_t tv_fact_named(const char *name);

/* What is known of a symbol now. A fact that is not told does not take back one that was. */
struct tv_symbol_news {
	const char *symbol; /* EXCHANGE:SYMBOL */
	struct tv_facts facts;
	bool active;
};

/*
 * Applies news, a symbol at most once in them. A symbol without a row that holds gets one (of a known exchange with
 * its time zone). Where something differs, the row that holds gets valid_until = now and a new row begins;
 * but a row that does not hold since before now is corrected in place, as no row ends before it
 * begins. Where nothing differs nothing changes (rows->changed). After a failure the rows are of no use.
 * -EINVAL: no EXCHANGE:SYMBOL, or a symbol twice. now: microseconds.
 */
int tv_symbols_apply(struct tv_rows *symbols, const struct tv_symbol_news *news, size_t n,
		     int64_t now, struct tv_err *err);

/* The row that holds, -1. */
ptrdiff_t tv_symbols_find(const struct tv_rows *symbols, const char *symbol);

/* A symbol's sector, until the rows change; NULL when nothing tells. */
const char *tv_symbols_sector(const struct tv_rows *symbols, const char *symbol);

/* Adds the symbols that are active now, ascending. -ENOMEM. */
int tv_symbols_active(const struct tv_rows *symbols, struct tv_name_list *out, struct tv_err *err);

/* Whether there are rows of it, and none says that it is active now: it is delisted. */
bool tv_symbols_is_retired(const struct tv_rows *symbols, const char *symbol);

/* -EINVAL when it is not EXCHANGE:SYMBOL: two parts without space, control characters, '/' and a second
 * colon, that make a file's name. */
int tv_symbol_check(const char *symbol, struct tv_err *err);

#endif
