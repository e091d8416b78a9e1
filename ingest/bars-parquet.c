#include "ingest/bars-parquet.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"

#define EXACT_DOUBLE (INT64_C(1) << 53) /* integers up to here have a double of their own */

/* --- reading ----------------------------------------------------------------------------------- */

static int refused(const char *file, const struct tv_duck_column *column, size_t row,
		   const char *what, struct tv_err *err)
{
	return tv_err_set(err, -TV_E_GATE, "'%s', column '%s' (%s), row %zu: %s", file,
			  column->name, column->type, row, what);
}

static int wrong_type(const char *file, const struct tv_duck_column *column, const char *wanted,
		      struct tv_err *err)
{
	return tv_err_set(err, -TV_E_GATE, "'%s', column '%s': its type is %s, wanted is %s", file,
			  column->name, column->type, wanted);
}

static int no_nulls(const char *file, const struct tv_duck_column *column, size_t n,
		    struct tv_err *err)
{
	for (size_t i = 0; column->null && i < n; i++)
		if (column->null[i])
			return refused(file, column, i, "there is no value", err);
	return 0;
}

static int take_times(const char *file, const struct tv_duck_column *column, size_t n, int64_t *out,
		      struct tv_err *err)
{
	if (column->kind == TV_DUCK_DOUBLE) {
		for (size_t i = 0; i < n; i++) {
			double v = column->f64[i];
			bool fits = v >= (double)-EXACT_DOUBLE && v <= (double)EXACT_DOUBLE;
			if (!fits || v != (double)(int64_t)v)
				return refused(file, column, i, "not a whole number of seconds",
					       err);
			out[i] = (int64_t)v;
		}
		return 0;
	}
	if (column->kind != TV_DUCK_INT64 && column->kind != TV_DUCK_TIMESTAMP)
		return wrong_type(file, column, "int64 (Unix seconds)", err);
	int64_t ticks = column->kind == TV_DUCK_TIMESTAMP ? column->per_second : 1;
	for (size_t i = 0; i < n; i++) {
		if (column->i64[i] % ticks)
			return refused(file, column, i, "not a whole number of seconds", err);
		out[i] = column->i64[i] / ticks;
	}
	return 0;
}

static int take_values(const char *file, const struct tv_duck_column *column, size_t n, double *out,
		       struct tv_err *err)
{
	if (column->kind == TV_DUCK_DOUBLE) {
		memcpy(out, column->f64, n * sizeof(*out));
		return 0;
	}
	if (column->kind != TV_DUCK_INT64)
		return wrong_type(file, column, "double", err);
	for (size_t i = 0; i < n; i++) {
		int64_t v = column->i64[i];
		if (v < -EXACT_DOUBLE || v > EXACT_DOUBLE)
			return refused(file, column, i, "no double is exactly this integer", err);
		out[i] = (double)v;
	}
	return 0;
}

/* The number of a bars column by its name: 0 is the timestamp, then the values; -1: none of them. */
static int number_of(const char *name)
{
	if (strcmp(name, "timestamp") == 0)
		return 0;
	for (size_t c = 0; c < TV_BARS_VALUES; c++)
		if (strcmp(name, tv_bars_value_name(c)) == 0)
			return (int)c + 1;
	return -1;
}

static int find_columns(const char *file, const struct tv_duck_result *rows,
			const struct tv_duck_column *found[TV_BARS_VALUES + 1], struct tv_err *err)
{
	for (size_t i = 0; i < rows->n_columns; i++) {
		const struct tv_duck_column *column = &rows->columns[i];
		int number = number_of(column->name);
		if (number < 0 &&
		    strncmp(column->name, TV_PANDAS_INDEX, strlen(TV_PANDAS_INDEX)) == 0)
			continue;
		if (number < 0)
			return tv_err_set(err, -TV_E_GATE,
					  "'%s', column '%s' (%s): bars have no such column", file,
					  column->name, column->type);
		found[number] = column;
	}
	for (size_t c = 0; c <= TV_BARS_VALUES; c++)
		if (!found[c])
			return tv_err_set(err, -TV_E_GATE, "'%s': there is no column '%s'", file,
					  c ? tv_bars_value_name(c - 1) : "timestamp");
	return 0;
}

static int take(const char *file, const struct tv_duck_result *rows, struct tv_bars *out,
		struct tv_err *err)
{
	const struct tv_duck_column *found[TV_BARS_VALUES + 1] = { NULL };
	size_t n = rows->n_rows;
	int r = find_columns(file, rows, found, err);
	if (r == 0)
		r = tv_bars_reserve(out, n, err);
	for (size_t c = 0; c <= TV_BARS_VALUES && r == 0; c++)
		r = no_nulls(file, found[c], n, err);
	if (r == 0 && n)
		r = take_times(file, found[0], n, out->timestamp, err);
	for (size_t c = 0; c < TV_BARS_VALUES && r == 0 && n; c++)
		r = take_values(file, found[c + 1], n, tv_bars_values(out, c), err);
	out->n = n;
	return r;
}

int tv_bars_take(const char *name, const struct tv_duck_result *rows, struct tv_bars *out,
		 struct tv_err *err)
{
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	int r = take(name, rows, &bars, err);
	if (r < 0)
		return r;
	*out = bars;
	bars = TV_BARS_INIT;
	return 0;
}

/* Others than the six may be large, or such that their values cannot be read: no row is, then. */
static int look(void *arg, const struct tv_duck_result *columns, struct tv_err *err)
{
	const struct tv_duck_column *found[TV_BARS_VALUES + 1] = { NULL };
	const struct tv_parquet *file = arg;
	return find_columns(file->name, columns, found, err);
}

int tv_bars_read(const struct tv_parquet *file, struct tv_bars *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	struct tv_parquet own = *file;
	int r = tv_parquet_read(file, look, &own, &rows, err);
	return r < 0 ? r : tv_bars_take(file->name, &rows, out, err);
}

int tv_bars_read_with(const struct tv_parquet *file, struct tv_duck_result *columns,
		      struct tv_bars *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	/* First the columns alone: others may be large, or such that their values cannot be read. */
	int r = tv_parquet_columns(file, columns, err);
	if (r == 0)
		r = take(file->name, columns, &bars, err);
	if (r == 0)
		r = tv_parquet_query(
			file,
			"SELECT timestamp, open, high, low, close, volume FROM " TV_PARQUET_ROWS,
			&rows, err);
	if (r == 0)
		r = take(file->name, &rows, &bars, err);
	if (r < 0)
		return r;
	*out = bars;
	bars = TV_BARS_INIT;
	return 0;
}

/* "SELECT "Date" AS timestamp, ...". NULL: out of memory. */
static char *select_named(const char *const names[TV_BARS_VALUES + 1])
{
	tv_autobuf struct tv_buf sql = TV_BUF_INIT;
	for (size_t c = 0; c <= TV_BARS_VALUES; c++) {
		tv_autofree char *quoted = names[c] ? tv_duck_quote(names[c]) : strdup("0");
		if (!quoted)
			return NULL;
		tv_buf_addf(&sql, "%s %s AS %s", c ? "," : "SELECT", quoted,
			    c ? tv_bars_value_name(c - 1) : "timestamp");
	}
	tv_buf_add_str(&sql, " FROM " TV_PARQUET_ROWS);
	return tv_buf_steal_str(&sql);
}

int tv_bars_read_named(const struct tv_parquet *file, const char *const names[TV_BARS_VALUES + 1],
		       struct tv_bars *out, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	tv_autofree char *sql = select_named(names);
	int r = sql ? tv_parquet_query(file, sql, &rows, err) : tv_err_nomem(err);
	if (r == 0)
		r = take(file->name, &rows, &bars, err);
	if (r < 0)
		return r;
	*out = bars;
	bars = TV_BARS_INIT;
	return 0;
}

int tv_bars_load(struct tv_duck *duck, int dirfd, const char *path, struct tv_bars *out,
		 struct tv_err *err)
{
	tv_autoclose int fd = tv_parquet_open(dirfd, path, err);
	struct tv_parquet file = { duck, path, fd };
	return fd < 0 ? fd : tv_bars_read(&file, out, err);
}

/* --- writing ----------------------------------------------------------------------------------- */

/* A descriptor to write to, or the folder of a path. */
struct target {
	int fd;
	const char *path;
};

/* All rows at once, the first time. */
struct feed {
	const struct tv_bars *bars;
	bool given;
	struct tv_duck_column columns[TV_BARS_VALUES + 1];
};

static int give(void *arg, struct tv_duck_column *columns, size_t *n_out, struct tv_err *err)
{
	struct feed *f = arg;
	(void)err;
	*n_out = f->given ? 0 : f->bars->n;
	f->given = true;
	columns[0].i64 = f->bars->timestamp;
	for (size_t c = 0; c < TV_BARS_VALUES; c++)
		columns[c + 1].f64 = tv_bars_values(f->bars, c);
	return 0;
}

typedef int write_feed(struct tv_duck *duck, const struct target *to, struct tv_err *err);

/* Feeds the rows to a statement that writes them: a table of them would cost more than the file. */
static int with_feed(struct tv_duck *duck, const struct tv_bars *bars, write_feed *write,
		     const struct target *to, struct tv_err *err)
{
	struct feed f = { .bars = bars };
	f.columns[0] = (struct tv_duck_column){ .name = "timestamp", .kind = TV_DUCK_INT64 };
	for (size_t c = 0; c < TV_BARS_VALUES; c++)
		f.columns[c + 1] = (struct tv_duck_column){ .name = tv_bars_value_name(c),
							    .kind = TV_DUCK_DOUBLE };
	const struct tv_duck_feed feed = { f.columns, TV_ARRAY_LEN(f.columns), give, &f, 0 };
	if (!bars->n)
		return tv_err_set(err, -EINVAL, "there are no bars to write");
	int r = tv_duck_set_feed(duck, &feed, err);
	if (r == 0)
		r = write(duck, to, err);
	tv_duck_set_feed(duck, NULL, NULL);
	return r;
}

static int write_open(struct tv_duck *duck, const struct target *to, struct tv_err *err)
{
	return tv_duck_write_parquet(duck, TV_DUCK_FEED, to->fd, err);
}

static int write_path(struct tv_duck *duck, const struct target *to, struct tv_err *err)
{
	return tv_parquet_save(duck, TV_DUCK_FEED, to->fd, to->path, err);
}

int tv_bars_write(struct tv_duck *duck, const struct tv_bars *bars, int fd, struct tv_err *err)
{
	return with_feed(duck, bars, write_open, &(struct target){ fd, NULL }, err);
}

int tv_bars_save(struct tv_duck *duck, const struct tv_bars *bars, int dirfd, const char *path,
		 struct tv_err *err)
{
	if (!bars->n)
		return tv_err_set(err, -EINVAL, "cannot write '%s': there are no bars to write",
				  path);
	return with_feed(duck, bars, write_path, &(struct target){ dirfd, path }, err);
}
