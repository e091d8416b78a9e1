/* Features and returns of many symbols as files: rows, alignment, order, errors, the same bytes each time. */
#include <math.h>
#include <sys/mman.h>

#include "ingest/features.h"
#include "ingest/matrix.h"
#include "ingest/parquet.h"
#include "store/base/buf.h"
#include "tests/unit/support.h"

#define DAY TV_DAY_SECONDS

/* Bars by their days and closes; the last one has the day -1. */
struct series {
	const char *symbol, *sector;
	struct {
		int64_t day;
		double close;
	} rows[8];
};

struct world {
	struct tv_duck *duck;
	int fd;
	const struct series *series;
	struct tv_symbol symbols[8];
	struct tv_symbol_source source;
	int fails; /* what the bars of the last symbol answer */
};

static int give(void *arg, size_t i, struct tv_bars *out, struct tv_err *err)
{
	const struct world *w = arg;
	if (w->fails && i + 1 == w->source.n)
		return tv_err_set(err, w->fails, "a reason");
	for (size_t k = 0; w->series[i].rows[k].day >= 0; k++) {
		double close = w->series[i].rows[k].close;
		struct tv_bar bar = {
			w->series[i].rows[k].day * DAY, close, close, close, close, 1
		};
		int r = tv_bars_add(out, &bar, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void use(struct world *w, const struct series *series, size_t n)
{
	w->series = series;
	w->fails = 0;
	for (size_t i = 0; i < n; i++)
		w->symbols[i] = (struct tv_symbol){ series[i].symbol, series[i].sector };
	w->source = (struct tv_symbol_source){ w->symbols, n, give, w };
}

static int world_setup(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct world *w = calloc(1, sizeof(*w));
	support_parent = getpid();
	if (!w || tv_duck_open(NULL, &w->duck, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	w->fd = memfd_create("matrix", MFD_CLOEXEC);
	*state = w;
	return w->fd < 0 ? -1 : 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	tv_duck_close(w->duck);
	close(w->fd);
	free(w);
	return 0;
}

#define END                                                                                        \
	{                                                                                          \
		-1, 0                                                                              \
	}

static const struct series three[] = {
	{ "X:B", "Energy", { { 10, 1 }, { 11, 2 }, { 12, 3 }, { 14, 6 }, END } },
	{ "X:A", NULL, { { 9, 5 }, { 10, 10 }, { 12, 15 }, { 14, 30 }, { 15, 33 }, END } },
	{ "X:a2", "Health", { { 10, 0 }, { 11, 4 }, { 12, 2 }, { 14, 1 }, END } },
};

/* Rows as "day: a b c", '-' for nulls. */
static void reads(struct world *w, const char *const *columns, size_t n, const char *want)
{
	struct tv_err err = TV_ERR_INIT;
	const struct tv_parquet file = { w->duck, "it", w->fd };
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	ok(tv_parquet_columns(&file, &rows, &err));
	is(rows.n_columns == n + 1 && strcmp(rows.columns[0].name, "timestamp") == 0);
	tv_duck_result_free(&rows);
	ok(tv_parquet_query(&file, "SELECT * FROM " TV_PARQUET_ROWS, &rows, &err));
	for (size_t i = 0; i < rows.n_rows; i++) {
		tv_buf_addf(&text, "%s%d:", i ? "; " : "",
			    (int)(rows.columns[0].i64[i] / 1000000 / DAY));
		for (size_t c = 1; c <= n; c++) {
			is(strcmp(rows.columns[c].name, columns[c - 1]) == 0);
			if (rows.columns[c].null && rows.columns[c].null[i])
				tv_buf_add_str(&text, " -");
			else
				tv_buf_addf(&text, " %g", rows.columns[c].f64[i]);
		}
	}
	tv_autofree char *got = tv_buf_steal_str(&text);
	assert_string_equal(got, want);
}

static void returns(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	static const char *const names[] = { "X:A", "X:B", "X:a2" };
	static const struct {
		struct tv_matrix_options options;
		const char *rows;
	} table[] = {
		{ { TV_MATRIX_OUTER, 0, 0 },
		  "10: 1 - -; 11: - 1 -; 12: 0.5 0.5 -0.5; 14: 1 1 -0.5; 15: 0.1 - -" },
		{ { TV_MATRIX_INNER, 0, 0 }, "12: 0.5 2 -; 14: 1 1 -0.5" },
		{ { TV_MATRIX_OUTER, 4, 0 }, "12: 0.5 0.5 -0.5; 14: 1 1 -0.5; 15: 0.1 - -" },
		{ { TV_MATRIX_OUTER, 1, 0 }, "15: 0.1 - -" },
		{ { TV_MATRIX_INNER, 2, 0 }, "14: 1 1 -0.5" },
		{ { TV_MATRIX_INNER, 4000000000, 0 }, "12: 0.5 2 -; 14: 1 1 -0.5" },
	};
	use(w, three, 3);
	for (size_t t = 0; t < TV_ARRAY_LEN(table); t++) {
		ok(tv_matrix_write(&w->source, &table[t].options, w->fd, &err));
		reads(w, names, 3, table[t].rows);
	}
	ok(tv_matrix_write(&w->source, NULL, w->fd, &err));
	reads(w, names, 3, table[1].rows);
}

static void nothing_to_write(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	static const struct series apart[] = {
		{ "X:A", NULL, { { 1, 1 }, { 2, 1 }, { 3, 1 }, END } },
		{ "X:B", NULL, { { 3, 1 }, { 4, 1 }, END } },
		{ "X:C", NULL, { END } },
	};
	use(w, apart, 2);
	fails(-TV_E_MISSING, tv_matrix_write(&w->source, NULL, w->fd, &err));
	is(strstr(err.text, "2 of X:B"));
	use(w, apart + 2, 1);
	fails(-TV_E_MISSING, tv_matrix_write(&w->source, NULL, w->fd, &err));
	fails(-TV_E_MISSING, tv_technicals_write(&w->source, NULL, w->fd, &err));
	use(w, apart, 0);
	fails(-TV_E_MISSING, tv_matrix_write(&w->source, NULL, w->fd, &err));
	fails(-TV_E_MISSING, tv_features_matrix_write(&w->source, NULL, w->fd, &err));
}

static void refused(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	static const struct series twice[] = { { "X:A", NULL, { { 1, 1 }, END } },
					       { "X:A", NULL, { { 1, 1 }, END } } };
	static const struct series cases[] = { { "X:A", NULL, { { 1, 1 }, END } },
					       { "X:a", NULL, { { 1, 1 }, END } } };
	static const struct series back[] = { { "X:A", NULL, { { 2, 1 }, { 2, 1 }, END } } };
	static const struct series far[] = { { "X:A", NULL, { { 20000000, 1 }, END } } };
	use(w, twice, 2);
	fails(-EINVAL, tv_technicals_write(&w->source, NULL, w->fd, &err));
	fails(-EINVAL, tv_matrix_write(&w->source, NULL, w->fd, &err));
	use(w, cases, 2);
	ok(tv_technicals_write(&w->source, NULL, w->fd, &err));
	fails(-EINVAL, tv_matrix_write(&w->source, NULL, w->fd, &err));
	use(w, back, 1);
	fails(-TV_E_GATE, tv_technicals_write(&w->source, NULL, w->fd, &err));
	is(strstr(err.text, "X:A, bar 1"));
	fails(-TV_E_GATE, tv_matrix_write(&w->source, NULL, w->fd, &err));
	use(w, far, 1);
	fails(-TV_E_GATE, tv_matrix_write(&w->source, NULL, w->fd, &err));
	use(w, three, 3);
	w->fails = -TV_E_DIGEST;
	fails(-TV_E_DIGEST, tv_technicals_write(&w->source, NULL, w->fd, &err));
	assert_string_equal(err.text, "X:a2: a reason");
	fails(-TV_E_DIGEST, tv_matrix_write(&w->source, NULL, w->fd, &err));
}

static void features(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	const struct tv_parquet file = { w->duck, "it", w->fd };
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	use(w, three, 3);
	ok(tv_features_matrix_write(&w->source, &(struct tv_features_options){ .last = 2 }, w->fd,
				    &err));
	ok(tv_parquet_query(&file,
			    "SELECT string_agg(symbol || ' ' || CAST(epoch(timestamp) / 86400 AS "
			    "INTEGER) || ' ' || coalesce(sector, '-'), ', ' ORDER BY "
			    "file_row_number) FROM " TV_PARQUET_ROWS,
			    &rows, &err));
	assert_string_equal(rows.columns[0].text[0].bytes,
			    "X:A 14 -, X:A 15 -, X:B 12 Energy, X:B 14 Energy, "
			    "X:a2 12 Health, X:a2 14 Health");
	tv_duck_result_free(&rows);
	ok(tv_technicals_write(&w->source, &(struct tv_features_options){ .last = 2 }, w->fd,
			       &err));
	ok(tv_parquet_query(&file, "SELECT * FROM " TV_PARQUET_ROWS, &rows, &err));
	is(rows.n_rows == 13);
	is(strcmp(rows.columns[2].name, "recommend_ma") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returns),
		cmocka_unit_test(nothing_to_write),
		cmocka_unit_test(refused),
		cmocka_unit_test(features),
	};
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
