/*
 * Small tables of known columns, whole in memory: symbols.parquet, exchanges.parquet. Rows ascend by
 * their key: a name (the first column) and maybe a time.
 *
 * Reading takes what people's programs write: columns in any order, a nullable one may be absent, integers
 * and floats of any width, times of any unit (to microseconds). A column that the shape does not know is
 * an error, or writing would lose it.
 *
 * Not thread-safe. Texts live as long as the rows that hold them.
 */
#ifndef TV_INGEST_ROWS_H
#define TV_INGEST_ROWS_H

#include "ingest/parquet.h"
#include "ingest/sides.h"

struct tv_rows_column {
	const char *name;
	enum tv_duck_kind kind; /* BOOL, INT64, DOUBLE, TEXT or TIMESTAMP (microseconds) */
	bool null;		/* a value may be missing */
};

struct tv_rows_shape {
	const struct tv_rows_column *columns; /* the first is the name: TEXT */
	size_t n_columns;
	size_t since;	/* the time of the key: a column's number; 0: there is none */
	size_t written; /* the column that tells when a row was written */
};

struct tv_cell {
	bool known; /* else there is no value */
	union {
		const char *text;
		int64_t i64; /* also times */
		double f64;
		bool boolean;
	};
};

struct tv_rows {
	const struct tv_rows_shape *shape;
	size_t n, cap;
	struct tv_cell *cells; /* n rows of n_columns; owned */
	struct tv_rows_text *texts;
	bool changed; /* since it was read or merged (then: is not theirs) */
};

#define TV_ROWS_INIT(shape) ((struct tv_rows){ (shape), 0, 0, NULL, NULL, false })

void tv_rows_free(struct tv_rows *rows); /* empties them, keeps the shape; NULL is fine */
#define tv_autorows __attribute__((cleanup(tv_rows_free)))

/* Row i < n: its cells by column. */
struct tv_cell *tv_rows_at(const struct tv_rows *rows, size_t i);

/* The rows of a name: [*first, *end); false when there is none. */
bool tv_rows_find(const struct tv_rows *rows, const char *name, size_t *first, size_t *end);

/* Adds a row at the end; texts are copied. Call tv_rows_sort when all are added. -ENOMEM. */
int tv_rows_add(struct tv_rows *rows, const struct tv_cell *cells, struct tv_err *err);
int tv_rows_sort(struct tv_rows *rows, struct tv_err *err);

/* Sets one cell; a text is copied. -ENOMEM. */
int tv_rows_set(struct tv_rows *rows, size_t i, size_t column, const struct tv_cell *value,
		struct tv_err *err);

bool tv_cell_equal(enum tv_duck_kind kind, const struct tv_cell *a, const struct tv_cell *b);

/* Reads a file. *out is empty and has its shape. -TV_E_GATE names file, column and row (from 0). */
int tv_rows_read(const struct tv_parquet *file, struct tv_rows *out, struct tv_err *err);

/* Into an open file, see tv_duck_write_parquet; the same rows and DuckDB, the same bytes. */
int tv_rows_write(struct tv_duck *duck, const struct tv_rows *rows, int fd, struct tv_err *err);

/* See ingest/sides.h: all rows of a name are one item. Where theirs and ours differ only in when they were
 * written they are the same, and theirs is taken. *out is empty and has its shape. */
int tv_rows_merge(const struct tv_rows *base, const struct tv_rows *theirs,
		  const struct tv_rows *ours, struct tv_rows *out, struct tv_name_list *conflicts,
		  struct tv_err *err);

#endif
