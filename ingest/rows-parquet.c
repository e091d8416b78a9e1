/* Rows from Parquet and into it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/rows.h"
#include "store/base/cleanup.h"

#define EXACT_DOUBLE (INT64_C(1) << 53) /* integers up to here have a double of their own */

/* --- reading ----------------------------------------------------------------------------------- */

static int refused(const struct tv_parquet *file, const struct tv_duck_column *from, size_t row,
		   const char *what, struct tv_err *err)
{
	return tv_err_set(err, -TV_E_GATE, "'%s', column '%s' (%s), row %zu: %s", file->name,
			  from->name, from->type, row, what);
}

static const char *kind_name(enum tv_duck_kind kind)
{
	static const char *const names[] = {
		[TV_DUCK_BOOL] = "bool",	   [TV_DUCK_INT64] = "int64",
		[TV_DUCK_DOUBLE] = "double",	   [TV_DUCK_TEXT] = "text",
		[TV_DUCK_TIMESTAMP] = "timestamp",
	};
	return names[kind];
}

/* What is wrong with the value, or NULL. */
static const char *convert(const struct tv_duck_column *from, size_t row, enum tv_duck_kind wanted,
			   struct tv_cell *out)
{
	int64_t whole =
		from->kind == TV_DUCK_INT64 || from->kind == TV_DUCK_TIMESTAMP ? from->i64[row] : 0;
	out->known = true;
	if (wanted == TV_DUCK_TEXT) {
		out->text = from->text[row].bytes;
		return strlen(out->text) == from->text[row].n ? NULL : "there is a NUL in it";
	}
	if (wanted == TV_DUCK_BOOL) {
		out->boolean = from->boolean[row];
	} else if (wanted == TV_DUCK_TIMESTAMP) {
		int64_t per = from->per_second, ticks = per > 1000000 ? per / 1000000 : 1;
		int64_t times = per > 1000000 ? 1 : 1000000 / per;
		int64_t floored = whole / ticks - (whole % ticks < 0);
		if (__builtin_mul_overflow(floored, times, &out->i64))
			return "no time in microseconds holds it";
	} else if (wanted == TV_DUCK_INT64 && from->kind == TV_DUCK_DOUBLE) {
		double v = from->f64[row];
		if (!(fabs(v) <= (double)EXACT_DOUBLE) || v != floor(v))
			return "not a whole number";
		out->i64 = (int64_t)v;
	} else if (wanted == TV_DUCK_DOUBLE) {
		out->f64 = from->kind == TV_DUCK_DOUBLE ? from->f64[row] : (double)whole;
		out->known = !isnan(out->f64); /* how pandas says that there is none */
		return isinf(out->f64) ? "not a finite number" : NULL;
	} else {
		out->i64 = whole;
	}
	return NULL;
}

static bool can_be(const struct tv_duck_column *from, enum tv_duck_kind wanted)
{
	bool number = from->kind == TV_DUCK_INT64 || from->kind == TV_DUCK_DOUBLE;
	bool wants_number = wanted == TV_DUCK_INT64 || wanted == TV_DUCK_DOUBLE;
	return from->kind == wanted || (number && wants_number);
}

/* One column of the file into a column of the rows, which are all there and without values. */
static int take_column(const struct tv_parquet *file, const struct tv_duck_column *from,
		       struct tv_rows *rows, size_t column, struct tv_err *err)
{
	const struct tv_rows_column *to = &rows->shape->columns[column];
	int r = 0;
	for (size_t i = 0; i < rows->n && r == 0; i++) {
		struct tv_cell cell = { .known = false };
		bool none = from->null && from->null[i];
		if (!none && !can_be(from, to->kind))
			return tv_err_set(err, -TV_E_GATE,
					  "'%s', column '%s': its type is %s, wanted is %s",
					  file->name, from->name, from->type, kind_name(to->kind));
		const char *wrong = none ? NULL : convert(from, i, to->kind, &cell);
		if (!wrong && !cell.known && !to->null)
			wrong = "there is no value";
		r = wrong ? refused(file, from, i, wrong, err)
			  : tv_rows_set(rows, i, column, &cell, err);
	}
	return r;
}

static ptrdiff_t column_named(const struct tv_rows_shape *shape, const char *name)
{
	for (size_t c = 0; c < shape->n_columns; c++)
		if (strcmp(shape->columns[c].name, name) == 0)
			return (ptrdiff_t)c;
	return -1;
}

/* Each column of the file has a place, and each place that must be filled a column. */
static int check_columns(const struct tv_parquet *file, const struct tv_rows_shape *shape,
			 struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result found = TV_DUCK_RESULT_INIT;
	tv_autofree bool *here = calloc(shape->n_columns, sizeof(*here));
	int r = here ? tv_parquet_columns(file, &found, err) : tv_err_nomem(err);
	for (size_t i = 0; i < found.n_columns && r == 0; i++) {
		ptrdiff_t at = column_named(shape, found.columns[i].name);
		if (at < 0)
			r = tv_err_set(err, -TV_E_GATE,
				       "'%s', column '%s' (%s): the schema has no such column",
				       file->name, found.columns[i].name, found.columns[i].type);
		else
			here[at] = true;
	}
	for (size_t c = 0; c < shape->n_columns && r == 0; c++)
		if (!here[c] && !shape->columns[c].null)
			r = tv_err_set(err, -TV_E_GATE, "'%s': there is no column '%s'", file->name,
				       shape->columns[c].name);
	return r;
}

static int take_rows(const struct tv_parquet *file, const struct tv_duck_result *from,
		     struct tv_rows *rows, struct tv_err *err)
{
	rows->cells = calloc(from->n_rows + 1, rows->shape->n_columns * sizeof(*rows->cells));
	if (!rows->cells)
		return tv_err_nomem(err);
	rows->n = from->n_rows;
	rows->cap = from->n_rows + 1;
	int r = 0;
	for (size_t i = 0; i < from->n_columns && r == 0; i++) {
		ptrdiff_t at = column_named(rows->shape, from->columns[i].name);
		if (at >= 0)
			r = take_column(file, &from->columns[i], rows, (size_t)at, err);
	}
	return r < 0 ? r : tv_rows_sort(rows, err);
}

int tv_rows_read(const struct tv_parquet *file, struct tv_rows *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result found = TV_DUCK_RESULT_INIT;
	tv_autorows struct tv_rows rows = TV_ROWS_INIT(out->shape);
	int r = check_columns(file, out->shape, err);
	if (r == 0)
		r = tv_parquet_query(file,
				     "SELECT * EXCLUDE (file_row_number) FROM " TV_PARQUET_ROWS,
				     &found, err);
	if (r == 0)
		r = take_rows(file, &found, &rows, err);
	if (r < 0)
		return r;
	*out = rows;
	rows = TV_ROWS_INIT(out->shape);
	return 0;
}

/* --- writing ----------------------------------------------------------------------------------- */

/* A column as arrays, which column_free frees. */
static int make_column(const struct tv_rows *rows, size_t c, struct tv_duck_column *out,
		       struct tv_err *err)
{
	const struct tv_rows_column *column = &rows->shape->columns[c];
	bool *null = calloc(rows->n + 1, sizeof(*null));
	struct tv_duck_string *values = calloc(rows->n + 1, sizeof(*values)); /* the widest */
	out->name = column->name;
	out->kind = column->kind;
	out->null = null;
	out->values = values;
	if (!null || !values)
		return tv_err_nomem(err);
	for (size_t i = 0; i < rows->n; i++) {
		const struct tv_cell *cell = &tv_rows_at(rows, i)[c];
		null[i] = !cell->known;
		if (!cell->known)
			continue;
		if (column->kind == TV_DUCK_TEXT)
			values[i] = (struct tv_duck_string){ cell->text, strlen(cell->text) };
		else if (column->kind == TV_DUCK_BOOL)
			((bool *)values)[i] = cell->boolean;
		else
			((int64_t *)values)[i] = cell->i64; /* or the bits of a double */
	}
	return 0;
}

static void columns_free(struct tv_duck_column *columns, size_t n)
{
	for (size_t c = 0; columns && c < n; c++) {
		free((void *)(uintptr_t)columns[c].null);
		free((void *)(uintptr_t)columns[c].values);
	}
	free(columns);
}

int tv_rows_write(struct tv_duck *duck, const struct tv_rows *rows, int fd, struct tv_err *err)
{
	size_t n = rows->shape->n_columns;
	struct tv_duck_column *columns = calloc(n, sizeof(*columns));
	int r = columns ? 0 : tv_err_nomem(err);
	for (size_t c = 0; c < n && r == 0; c++)
		r = make_column(rows, c, &columns[c], err);
	if (r == 0)
		r = tv_duck_table(duck, "tv_rows", columns, n, rows->n, err);
	columns_free(columns, n);
	if (r == 0)
		r = tv_duck_write_parquet(duck, "SELECT * FROM tv_rows", fd, err);
	int dropped = tv_duck_query(duck, "DROP TABLE IF EXISTS tv_rows", NULL, 0, NULL,
				    r < 0 ? NULL : err);
	return r < 0 ? r : dropped;
}
