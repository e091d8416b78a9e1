/*
 * DuckDB, as far as it is used here: an in-memory database that can reach no file but those whose
 * descriptors it is given, SQL with bound values, results and tables as arrays, Parquet out.
 *
 * Files. DuckDB opens files by path. It gets "/proc/self/fd/N" (TV_DUCK_FILE, tv_duck_write_parquet)
 * and may open nothing else, so a statement reads what the caller has opened, whatever is renamed
 * meanwhile, and a name with '*' in it is not a pattern. Extensions are neither loaded nor fetched,
 * nothing is spilled to disk.
 *
 * One tv_duck is used by one thread at a time; any number of them may exist. Opening one takes tens
 * of milliseconds: keep it. When DuckDB fails in a way after which it refuses all work, the database
 * is made anew within the same call: the error is returned, and tables are gone.
 */
#ifndef TV_INGEST_DUCK_H
#define TV_INGEST_DUCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/err.h"

struct tv_duck;

struct tv_duck_options {
	unsigned threads;      /* of DuckDB's own; 0: 1. With more, rows still keep their order */
	uint64_t memory_limit; /* bytes that DuckDB may use; 0: 256 MiB */
};

/* What the library calls itself ("v1.4.4"). Bytes of Parquet files are the same for the same one. */
const char *tv_duck_version(void);

/* options may be NULL. -ENOMEM, or -EIO with DuckDB's words. */
int tv_duck_open(const struct tv_duck_options *options, struct tv_duck **out, struct tv_err *err);
void tv_duck_close(struct tv_duck *duck);
static inline void tv_duck_close_p(struct tv_duck **duck)
{
	tv_duck_close(*duck);
}

/* --- values and columns ------------------------------------------------------------------------ */

enum tv_duck_kind {
	TV_DUCK_OTHER, /* a type that is not read: only its name and its nulls are known */
	TV_DUCK_BOOL,
	TV_DUCK_INT64,	   /* all integers that fit */
	TV_DUCK_DOUBLE,	   /* and float */
	TV_DUCK_TEXT,	   /* UTF-8 */
	TV_DUCK_TIMESTAMP, /* and date; ticks since 1970-01-01 UTC (of a zoneless one: as if UTC) */
	TV_DUCK_FILE,	   /* as a value only: the path by which DuckDB reaches a descriptor */
};

/* NUL-terminated, but NUL bytes may be in it. */
struct tv_duck_string {
	const char *bytes;
	size_t n;
};

/* A value to be bound to ?, $1, ... TV_DUCK_OTHER binds NULL; timestamps count microseconds. */
struct tv_duck_value {
	enum tv_duck_kind kind;
	union {
		bool boolean;
		int64_t i64; /* also timestamps */
		double f64;
		const char *text;
		int fd;
	};
};

/* One column. As a result everything is owned by the result; as input it stays the caller's. */
struct tv_duck_column {
	const char *name;
	const char *
		type; /* results: what was stored, "int32", "timestamp[ns]"; input: not looked at */
	enum tv_duck_kind kind;
	int64_t per_second; /* timestamps: ticks a second (results: 1, 10^3, 10^6, 10^9; input: 10^6) */
	union {
		const bool *boolean;
		const int64_t *i64; /* also timestamps */
		const double *f64;
		const struct tv_duck_string *text;
		const void *values; /* NULL for TV_DUCK_OTHER */
	};
	const bool *null; /* NULL: no value is null. A null's place in the array holds anything */
};

struct tv_duck_result {
	size_t n_rows, n_columns;
	struct tv_duck_column *columns;
	struct tv_duck_memory *memory; /* private */
};

#define TV_DUCK_RESULT_INIT ((struct tv_duck_result){ 0, 0, NULL, NULL })

void tv_duck_result_free(struct tv_duck_result *result); /* empties it; NULL is fine */
#define tv_auto_duck_result __attribute__((cleanup(tv_duck_result_free)))

/* --- statements -------------------------------------------------------------------------------- */

/*
 * Runs one statement; its rows come whole. out may be NULL. The message of an error is `DuckDB: `
 * and the first line of its own. -ENOMEM (also: above the memory limit), -EIO when the system failed
 * to read or write, -ERANGE when an integer does not fit, else -EINVAL: the statement, or a file in it,
 * is wrong.
 */
int tv_duck_query(struct tv_duck *duck, const char *sql, const struct tv_duck_value *values,
		  size_t n_values, struct tv_duck_result *out, struct tv_err *err);

/* The same for many rows: `rows` gets some thousand at a time, in order, which live as long as the call.
 * Its non-zero return ends it all and is returned. */
typedef int (*tv_duck_rows)(void *arg, const struct tv_duck_result *rows, struct tv_err *err);
int tv_duck_stream(struct tv_duck *duck, const char *sql, const struct tv_duck_value *values,
		   size_t n_values, tv_duck_rows rows, void *arg, struct tv_err *err);

/*
 * All columns and rows of a Parquet file. `look` (may be NULL) sees the columns, without rows, before any
 * row is read; its non-zero return ends it all and is returned.
 */
typedef int (*tv_duck_look)(void *arg, const struct tv_duck_result *columns, struct tv_err *err);
int tv_duck_read_parquet(struct tv_duck *duck, int fd, tv_duck_look look, void *arg,
			 struct tv_duck_result *out, struct tv_err *err);

/* Makes (or replaces) a table of these columns, of n_rows rows. Errors as above. */
int tv_duck_table(struct tv_duck *duck, const char *table, const struct tv_duck_column *columns,
		  size_t n_columns, size_t n_rows, struct tv_err *err);

/*
 * Rows that are made while a statement reads them, so that they never have to be in memory together:
 * while a feed is set, `SELECT ... FROM tv_feed()` gives its columns.
 */
struct tv_duck_feed {
	/* Names and kinds, one at least; no two names that differ in case only. */
	const struct tv_duck_column *columns;
	size_t n_columns;
	/* The next rows, in arrays that live until the next call: sets each column's values (and null), of
	 * which name and kind are set already. 0 in *n_rows_out: there are no more. It may not use this
	 * tv_duck. A negative code ends the statement, which returns it, and the message. */
	int (*more)(void *arg, struct tv_duck_column *columns, size_t *n_rows_out,
		    struct tv_err *err);
	void *arg;
	size_t chunk; /* rows that DuckDB takes at a time (wide ones need memory); 0: 2,048 */
};

/* feed is the caller's and stays where it is until another one, or NULL, is set. Only one statement may
 * read it, once. */
int tv_duck_set_feed(struct tv_duck *duck, const struct tv_duck_feed *feed, struct tv_err *err);
#define TV_DUCK_FEED "SELECT * FROM tv_feed()"

/*
 * Writes the rows of `select` as Parquet into a descriptor that is open for writing and is a regular
 * file or a memfd; what was in it goes. The same rows in the same order give the same bytes: Snappy,
 * row groups of TV_DUCK_ROW_GROUP rows, format version 1, no dictionaries. Nothing is synced (tv_parquet_save does).
 */
#define TV_DUCK_ROW_GROUP 122880
int tv_duck_write_parquet(struct tv_duck *duck, const char *select, int fd, struct tv_err *err);

/* The same with another layout. */
struct tv_duck_layout {
	/* pandas takes this column (a timestamp with the zone UTC) as the index; NULL: none. */
	const char *index;
	/* Rows; 0: TV_DUCK_ROW_GROUP. A group ends where a chunk of rows does. */
	unsigned row_group;
};
int tv_duck_write_layout(struct tv_duck *duck, const char *select,
			 const struct tv_duck_layout *layout, int fd, struct tv_err *err);

/* "name" with its quotes doubled, for SQL; owned by the caller, NULL when out of memory. */
char *tv_duck_quote(const char *name);

#endif
