/*
 * Daily bars in Parquet: the files EXCHANGE_SYMBOL_1d.parquet.
 *
 * Reading takes what people's programs write. The six columns are found by name, in any order and any
 * row groups; a time may be an integer, a double, a date or a timestamp of any unit; a price or volume
 * any integer or float. A value that a column of the documented type (int64 seconds, double) cannot hold
 * exactly is an error, as are nulls, missing columns and others beyond the six, but for the index without a
 * name that pandas stores after rows were left out. (A zoned timestamp in
 * nanoseconds is read in microseconds.) Rows are taken as they stand: order and sense of the numbers are
 * judged elsewhere, NaN and infinity are read and written.
 *
 * Writing gives the same bytes for the same rows and the same tv_duck_version().
 */
#ifndef TV_INGEST_BARS_PARQUET_H
#define TV_INGEST_BARS_PARQUET_H

#include "ingest/bars.h"
#include "ingest/parquet.h"

#define TV_PANDAS_INDEX "__index_level_" /* then its number, and "__" */

/* -TV_E_GATE names file, column and row (from 0). *out holds nothing before (TV_BARS_INIT). */
int tv_bars_read(const struct tv_parquet *file, struct tv_bars *out, struct tv_err *err);

/* The same of rows that were read already: a result with all of a file's columns. */
int tv_bars_take(const char *name, const struct tv_duck_result *rows, struct tv_bars *out,
		 struct tv_err *err);

/* The same of a file whose columns have other names, and that may hold more of them. names: the
 * timestamp's, then as tv_bars_value_name counts; NULL for a volume that is not there: 0. */
int tv_bars_read_named(const struct tv_parquet *file, const char *const names[TV_BARS_VALUES + 1],
		       struct tv_bars *out, struct tv_err *err);
/* The same, and the file's columns (tv_parquet_columns), which are empty when they cannot be read; free them
 * whatever the result. */
int tv_bars_read_with(const struct tv_parquet *file, struct tv_duck_result *columns,
		      struct tv_bars *out, struct tv_err *err);

/* tv_parquet_open, tv_bars_read. */
int tv_bars_load(struct tv_duck *duck, int dirfd, const char *path, struct tv_bars *out,
		 struct tv_err *err);

/* Into an open file, see tv_duck_write_parquet. No rows are -EINVAL: no such file has a use. */
int tv_bars_write(struct tv_duck *duck, const struct tv_bars *bars, int fd, struct tv_err *err);

/* Atomically and durably, see tv_parquet_save. */
int tv_bars_save(struct tv_duck *duck, const struct tv_bars *bars, int dirfd, const char *path,
		 struct tv_err *err);

#endif
