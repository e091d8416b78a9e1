/*
 * Many symbols and their bars, one at a time, in the order of their names: what features and matrices
 * are made from. Not thread-safe.
 */
#ifndef TV_INGEST_SYMBOL_BARS_H
#define TV_INGEST_SYMBOL_BARS_H

#include "ingest/bars.h"

struct tv_symbol {
	const char *symbol; /* EXCHANGE:SYMBOL, UTF-8 */
	const char *sector; /* NULL: unknown */
};

/* All of it is the caller's, and nothing of it outlives a call. */
struct tv_symbol_source {
	const struct tv_symbol *symbols; /* in any order, none of them twice */
	size_t n;
	/* Gives the bars of symbols[i] into *out, which is empty; their receiver frees them. It is called
	 * by name, in the calling thread or as features.h says. Negative ends everything. */
	int (*bars)(void *arg, size_t i, struct tv_bars *out, struct tv_err *err);
	void *arg;
};

/* The symbols' numbers, ascending by name (bytes); owned by the caller. -EINVAL: two have the same name; if
 * they shall be columns, also one that differs in case only, which DuckDB takes for the same. */
int tv_symbols_sort(const struct tv_symbol_source *source, bool columns, size_t **out,
		    struct tv_err *err);

/* The bars of symbols[i], into *out, which is empty. -TV_E_GATE: they do not ascend, or are not at a
 * day's start, or centuries away. */
int tv_symbols_bars(const struct tv_symbol_source *source, size_t i, struct tv_bars *out,
		    struct tv_err *err);

#endif
