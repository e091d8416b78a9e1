/*
 * A symbol's daily bars, as arrays: row i is the same index in each. Nothing here judges them: rows may
 * be in any order and hold any number.
 *
 * Not thread-safe. After a failure the bars are as they were.
 */
#ifndef TV_INGEST_BARS_H
#define TV_INGEST_BARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/err.h"

#define TV_DAY_SECONDS INT64_C(86400)

struct tv_bar {
	int64_t timestamp; /* Unix seconds, UTC: the start of the day */
	double open, high, low, close, volume;
};

struct tv_bars {
	size_t n, cap;
	int64_t *timestamp; /* all owned */
	double *open, *high, *low, *close, *volume;
};

#define TV_BARS_INIT ((struct tv_bars){ 0, 0, NULL, NULL, NULL, NULL, NULL, NULL })

void tv_bars_free(struct tv_bars *bars); /* empties them; NULL is fine */
#define tv_autobars __attribute__((cleanup(tv_bars_free)))

/* Makes room for n rows in all. -ENOMEM. */
int tv_bars_reserve(struct tv_bars *bars, size_t n, struct tv_err *err);

/* Adds a row at the end. -ENOMEM. */
int tv_bars_add(struct tv_bars *bars, const struct tv_bar *bar, struct tv_err *err);

/* Adds rows [first, end) of others at the end. -ENOMEM. */
int tv_bars_append(struct tv_bars *bars, const struct tv_bars *from, size_t first, size_t end,
		   struct tv_err *err);

/* Adds those rows of others that are dated from <= t <= last, in their order. -ENOMEM. */
int tv_bars_append_between(struct tv_bars *bars, const struct tv_bars *others, int64_t from,
			   int64_t last, struct tv_err *err);

/* Drops rows before `from`, and the bar of the day that begins at `to`, which is not finished yet. What
 * is later than that stays, for a gate to find. */
void tv_bars_clip(struct tv_bars *bars, int64_t from, int64_t to);

/* Row i < n. */
struct tv_bar tv_bars_get(const struct tv_bars *bars, size_t i);

/* The first row at or after a time, n when there is none. The rows must be in order. */
size_t tv_bars_find(const struct tv_bars *bars, int64_t timestamp);

/* Bit by bit: -0.0 is not 0.0, and a NaN is itself. */
bool tv_bars_equal(const struct tv_bars *a, const struct tv_bars *b);

/* The five columns of prices and volume, by number, and their names ("open", ... "volume"). */
#define TV_BARS_VALUES 5
double *tv_bars_values(const struct tv_bars *bars, size_t column);
const char *tv_bars_value_name(size_t column);

/* "NASDAQ:AAPL" to "NASDAQ_AAPL_1d.parquet", owned by the caller. -EINVAL when the symbol is not two
 * parts that a file name can hold. */
int tv_bars_file_name(const char *symbol, char **out, struct tv_err *err);

#endif
