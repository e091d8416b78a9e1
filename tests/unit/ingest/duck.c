/* DuckDB's wrapper: values in and out, errors, what it may reach, files by descriptor. */
#include <math.h>
#include <sys/mman.h>

#include "ingest/duck.h"
#include "tests/unit/support.h"

struct world {
	struct tv_duck *duck;
	int fd; /* a memfd */
};

static int world_setup(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct world *w = calloc(1, sizeof(*w));
	support_parent = getpid();
	if (!w || tv_duck_open(NULL, &w->duck, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	w->fd = memfd_create("duck", MFD_CLOEXEC);
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

static void values(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	const struct tv_duck_value in[] = {
		{ .kind = TV_DUCK_BOOL, .boolean = true },
		{ .kind = TV_DUCK_INT64, .i64 = INT64_MIN },
		{ .kind = TV_DUCK_DOUBLE, .f64 = -0.0 },
		{ .kind = TV_DUCK_TEXT, .text = "it's \"ä\"" },
		{ .kind = TV_DUCK_TIMESTAMP, .i64 = -1 },
		{ .kind = TV_DUCK_OTHER },
	};
	ok(tv_duck_query(w->duck, "SELECT $1, $2, $3, $4, $5, $6::VARCHAR AS none", in, 6, &rows,
			 &err));
	is(rows.n_rows == 1 && rows.n_columns == 6);
	const struct tv_duck_column *c = rows.columns;
	is(c[0].kind == TV_DUCK_BOOL && c[0].boolean[0] && !c[0].null);
	is(c[1].kind == TV_DUCK_INT64 && c[1].i64[0] == INT64_MIN);
	is(c[2].kind == TV_DUCK_DOUBLE && c[2].f64[0] == 0 && signbit(c[2].f64[0]));
	is(c[3].kind == TV_DUCK_TEXT && strcmp(c[3].text[0].bytes, "it's \"ä\"") == 0);
	is(c[3].text[0].n == strlen("it's \"ä\""));
	is(c[4].kind == TV_DUCK_TIMESTAMP && c[4].i64[0] == -1 && c[4].per_second == 1000000);
	is(c[5].kind == TV_DUCK_TEXT && c[5].null && c[5].null[0]);
	is(strcmp(c[5].name, "none") == 0 && strcmp(c[5].type, "text") == 0);
}

static void types(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	static const struct {
		const char *sql, *type;
		enum tv_duck_kind kind;
		int64_t per_second, i64;
	} table[] = {
		{ "(-7)::TINYINT", "int8", TV_DUCK_INT64, 0, -7 },
		{ "(-300)::SMALLINT", "int16", TV_DUCK_INT64, 0, -300 },
		{ "(-70000)::INTEGER", "int32", TV_DUCK_INT64, 0, -70000 },
		{ "200::UTINYINT", "uint8", TV_DUCK_INT64, 0, 200 },
		{ "60000::USMALLINT", "uint16", TV_DUCK_INT64, 0, 60000 },
		{ "4000000000::UINTEGER", "uint32", TV_DUCK_INT64, 0, 4000000000 },
		{ "9223372036854775807::UBIGINT", "uint64", TV_DUCK_INT64, 0, INT64_MAX },
		{ "DATE '1969-12-31'", "date", TV_DUCK_TIMESTAMP, 1, -86400 },
		{ "TIMESTAMP_S '1970-01-01 00:00:07'", "timestamp[s]", TV_DUCK_TIMESTAMP, 1, 7 },
		{ "TIMESTAMP_MS '1970-01-01 00:00:07'", "timestamp[ms]", TV_DUCK_TIMESTAMP, 1000,
		  7000 },
		{ "TIMESTAMP_NS '1970-01-01 00:00:07'", "timestamp[ns]", TV_DUCK_TIMESTAMP,
		  1000000000, 7000000000 },
		{ "1.5::DECIMAL(4,2)", "decimal", TV_DUCK_OTHER, 0, 0 },
		{ "[1, 2]", "list", TV_DUCK_OTHER, 0, 0 },
		{ "'a'::BLOB", "bytes", TV_DUCK_OTHER, 0, 0 },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(table); i++) {
		char sql[128];
		snprintf(sql, sizeof(sql), "SELECT %s", table[i].sql);
		ok(tv_duck_query(w->duck, sql, NULL, 0, &rows, &err));
		const struct tv_duck_column *c = &rows.columns[0];
		is(strcmp(c->type, table[i].type) == 0 && c->kind == table[i].kind);
		is(c->per_second == table[i].per_second);
		is(c->kind == TV_DUCK_OTHER ? !c->values : c->i64[0] == table[i].i64);
		tv_duck_result_free(&rows);
	}
	ok(tv_duck_query(w->duck, "SELECT 1.5::FLOAT", NULL, 0, &rows, &err));
	is(rows.columns[0].kind == TV_DUCK_DOUBLE && rows.columns[0].f64[0] == 1.5);
	tv_duck_result_free(&rows);
	fails(-ERANGE, tv_duck_query(w->duck, "SELECT 9223372036854775808::UBIGINT AS big", NULL, 0,
				     &rows, &err));
	is(strstr(err.text, "'big'") && strstr(err.text, "row 0"));
	is(!rows.columns && !rows.memory);
}

static void errors(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	const struct tv_duck_value one = { .kind = TV_DUCK_INT64, .i64 = 1 };
	fails(-EINVAL, tv_duck_query(w->duck, "SELEKT 1", NULL, 0, NULL, &err));
	is(strstr(err.text, "DuckDB: ") == err.text && !strchr(err.text, '\n'));
	fails(-EINVAL, tv_duck_query(w->duck, "SELECT * FROM nothing", NULL, 0, NULL, &err));
	is(strstr(err.text, "nothing"));
	fails(-EINVAL, tv_duck_query(w->duck, "SELECT $1, $2", &one, 1, NULL, &err));
	fails(-EINVAL, tv_duck_query(w->duck, "SELECT 'x'::INT", NULL, 0, NULL, &err));
	fails(-ENOMEM,
	      tv_duck_query(w->duck,
			    "CREATE TABLE big AS SELECT random() AS r FROM range(100000000)", NULL,
			    0, NULL, &err));
	ok(tv_duck_query(w->duck, "SELECT 1", NULL, 0, NULL, &err));
}

/* Nothing but descriptors can be reached, and that cannot be changed. */
static void confined(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	static const char *const refused[] = {
		"SELECT * FROM read_text('/etc/passwd')",
		"SELECT * FROM read_text('/proc/self/fd/../environ')",
		"COPY (SELECT 1) TO '/tmp/tv-duck-must-not-be' (FORMAT csv)",
		"ATTACH '/tmp/tv-duck-must-not-be'",
		"INSTALL httpfs",
		"LOAD '/tmp/tv-duck-must-not-be'",
		"SET enable_external_access = true",
		"SET allowed_directories = ['/']",
		"SET threads = 4",
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(refused); i++)
		fails(-EINVAL, tv_duck_query(w->duck, refused[i], NULL, 0, NULL, &err));
	is(access("/tmp/tv-duck-must-not-be", F_OK) < 0);
}

#define ROWS 5000 /* more than two of DuckDB's vectors */

static bool same_bits(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static void tables(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	static int64_t i64[ROWS];
	static double f64[ROWS];
	static bool boolean[ROWS], null[ROWS];
	static struct tv_duck_string text[ROWS];
	static char words[ROWS][24];
	for (int i = 0; i < ROWS; i++) {
		i64[i] = i * INT64_C(1000000007);
		f64[i] = i % 3 ? 1.0 / i : NAN;
		boolean[i] = i % 2;
		null[i] = i % 7 == 3;
		snprintf(words[i], sizeof(words[i]), "%.*s%d", i % 20, "abcdefghijklmnopqrst", i);
		text[i] = (struct tv_duck_string){ words[i], strlen(words[i]) };
	}
	const struct tv_duck_column in[] = {
		{ .name = "i", .kind = TV_DUCK_INT64, .i64 = i64 },
		{ .name = "a \"b\"", .kind = TV_DUCK_DOUBLE, .f64 = f64 },
		{ .name = "select", .kind = TV_DUCK_BOOL, .boolean = boolean, .null = null },
		{ .name = "t", .kind = TV_DUCK_TEXT, .text = text, .null = null },
		{ .name = "u", .kind = TV_DUCK_TIMESTAMP, .i64 = i64, .null = null },
	};
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	ok(tv_duck_table(w->duck, "one \"table\"", in, 5, ROWS, &err));
	ok(tv_duck_query(w->duck, "SELECT * FROM \"one \"\"table\"\"\"", NULL, 0, &rows, &err));
	is(rows.n_rows == ROWS && rows.n_columns == 5);
	for (size_t c = 0; c < 5; c++)
		is(strcmp(rows.columns[c].name, in[c].name) == 0 &&
		   rows.columns[c].kind == in[c].kind && !rows.columns[c].null == !in[c].null);
	is(memcmp(rows.columns[0].values, i64, sizeof(i64)) == 0);
	is(same_bits(rows.columns[1].values, f64, sizeof(f64)));
	for (int i = 0; i < ROWS; i++) {
		is(rows.columns[3].null[i] == null[i]);
		is(null[i] || rows.columns[2].boolean[i] == boolean[i]);
		is(null[i] || strcmp(rows.columns[3].text[i].bytes, words[i]) == 0);
		is(null[i] || rows.columns[4].i64[i] == i64[i]);
	}
	tv_duck_result_free(&rows);

	ok(tv_duck_table(w->duck, "one \"table\"", in, 1, 0, &err)); /* replaces it */
	ok(tv_duck_query(w->duck, "SELECT * FROM \"one \"\"table\"\"\"", NULL, 0, &rows, &err));
	is(rows.n_rows == 0 && rows.n_columns == 1);
	const struct tv_duck_column bad = { .name = "x", .kind = TV_DUCK_OTHER };
	fails(-EINVAL, tv_duck_table(w->duck, "t", &bad, 1, 0, &err));
}

static int add_up(void *arg, const struct tv_duck_result *rows, struct tv_err *err)
{
	int64_t *sums = arg;
	(void)err;
	for (size_t i = 0; i < rows->n_rows; i++)
		if (rows->columns[0].i64[i] != sums[0]++)
			return 7;
	sums[1]++;
	return sums[0] > 2000000 ? -ECANCELED : 0;
}

static void streams(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	int64_t sums[2] = { 0, 0 };
	const struct tv_duck_value n = { .kind = TV_DUCK_INT64, .i64 = 100000 };
	ok(tv_duck_stream(w->duck, "SELECT range FROM range($1)", &n, 1, add_up, sums, &err));
	is(sums[0] == 100000 && sums[1] > 10);
	sums[0] = 1;
	is(tv_duck_stream(w->duck, "SELECT range FROM range(9)", NULL, 0, add_up, sums, &err) == 7);
	sums[0] = 0;
	is(tv_duck_stream(w->duck, "SELECT range FROM range(100000000)", NULL, 0, add_up, sums,
			  &err) == -ECANCELED);
	sums[0] = 0;
	fails(-EINVAL, tv_duck_stream(w->duck,
				      "SELECT if(range = 900000, error('too far'), range) "
				      "FROM range(1000000)",
				      NULL, 0, add_up, sums, &err));
	is(sums[0] > 0 && strstr(err.text, "too far"));
	ok(tv_duck_query(w->duck, "SELECT 1", NULL, 0, NULL, &err));
}

static void parquet(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	const struct tv_duck_value file = { .kind = TV_DUCK_FILE, .fd = w->fd };
	ok(tv_duck_write_parquet(w->duck, "SELECT range AS r, random() AS x FROM range(200000)",
				 w->fd, &err));
	ok(tv_duck_write_parquet(w->duck, "SELECT range AS r FROM range(10)", w->fd, &err));
	ok(tv_duck_query(w->duck, "SELECT * FROM read_parquet($1)", &file, 1, &rows, &err));
	is(rows.n_rows == 10 && rows.columns[0].i64[9] == 9);
}

/* One descriptor's number stands for many files; two of them may have the same size and time. */
static void same_number_other_file(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	const struct timespec when[2] = { { 1700000000, 0 }, { 1700000000, 0 } };
	for (int64_t i = 0; i < 4; i++) {
		char sql[64];
		tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
		const struct tv_duck_value file = { .kind = TV_DUCK_FILE, .fd = w->fd };
		snprintf(sql, sizeof(sql), "SELECT %d AS v FROM range(100)", (int)i);
		ok(tv_duck_write_parquet(w->duck, sql, w->fd, &err));
		is(futimens(w->fd, when) == 0);
		ok(tv_duck_query(w->duck, "SELECT v FROM read_parquet($1)", &file, 1, &rows, &err));
		is(rows.n_rows == 100 && rows.columns[0].i64[50] == i);
	}
}

/* With more threads than one, and more row groups than one. */
static void threads_keep_order(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	const struct tv_duck_options options = { .threads = 4, .memory_limit = 512 << 20 };
	tv_auto(tv_duck_close_p) struct tv_duck *many = NULL;
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	const struct tv_duck_value file = { .kind = TV_DUCK_FILE, .fd = w->fd };
	ok(tv_duck_open(&options, &many, &err));
	ok(tv_duck_query(many,
			 "CREATE TABLE t AS SELECT range AS i, (range * 7919) % 1009 AS x "
			 "FROM range(500000)",
			 NULL, 0, NULL, &err));
	ok(tv_duck_write_parquet(many, "SELECT * FROM t", w->fd, &err));
	ok(tv_duck_query(many, "SELECT i FROM read_parquet($1)", &file, 1, &rows, &err));
	is(rows.n_rows == 500000);
	for (size_t i = 0; i < rows.n_rows; i++)
		if (rows.columns[0].i64[i] != (int64_t)i)
			fail_msg("row %zu", i);
}

/* Rows in portions of uneven sizes. */
struct portions {
	int64_t i64[3000], given, total;
	struct tv_duck_string text[3000];
	bool null[3000];
	int fails;
};

static int portion(void *arg, struct tv_duck_column *columns, size_t *n_out, struct tv_err *err)
{
	struct portions *p = arg;
	static const size_t sizes[] = { 1, 2048, 2999, 7, 500 };
	size_t n = sizes[p->given % 5];
	if (p->given == p->total)
		n = 0;
	else if ((int64_t)n > p->total - p->given)
		n = (size_t)(p->total - p->given);
	if (p->fails && p->given > 5000)
		return tv_err_set(err, p->fails, "the rows are gone");
	for (size_t i = 0; i < n; i++) {
		int64_t row = p->given++;
		p->i64[i] = row;
		p->null[i] = row % 7 == 3;
		p->text[i] = row % 2 ? (struct tv_duck_string){ "odd", 3 }
				     : (struct tv_duck_string){ "a longer text: even", 19 };
	}
	columns[0].i64 = p->i64;
	columns[1].text = p->text;
	columns[1].null = p->null;
	*n_out = n;
	return 0;
}

static const struct tv_duck_column portion_columns[] = {
	{ .name = "a \"b\"", .kind = TV_DUCK_TIMESTAMP },
	{ .name = "t", .kind = TV_DUCK_TEXT },
};

static void feeds(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autofree struct portions *p = calloc(1, sizeof(*p));
	const struct tv_duck_feed feed = { portion_columns, 2, portion, p, 0 };
	const struct tv_duck_value file = { .kind = TV_DUCK_FILE, .fd = w->fd };
	tv_auto_duck_result struct tv_duck_result rows = TV_DUCK_RESULT_INIT;
	p->total = 300000;
	ok(tv_duck_set_feed(w->duck, &feed, &err));
	ok(tv_duck_write_parquet(w->duck, TV_DUCK_FEED, w->fd, &err));
	ok(tv_duck_set_feed(w->duck, NULL, &err));
	ok(tv_duck_query(w->duck, "SELECT * FROM read_parquet($1)", &file, 1, &rows, &err));
	is(rows.n_rows == 300000 && strcmp(rows.columns[0].name, "a \"b\"") == 0);
	for (size_t i = 0; i < rows.n_rows; i++) {
		bool null = rows.columns[1].null[i];
		const char *text = i % 2 ? "odd" : "a longer text: even";
		is(rows.columns[0].i64[i] == (int64_t)i && null == (i % 7 == 3));
		is(null || strcmp(rows.columns[1].text[i].bytes, text) == 0);
	}
	tv_duck_result_free(&rows);
	fails(-EINVAL, tv_duck_query(w->duck, TV_DUCK_FEED, NULL, 0, NULL, &err));
	fails(-EINVAL, tv_duck_write_layout(w->duck, "SELECT 1 AS a",
					    &(struct tv_duck_layout){ "a'", 0 }, w->fd, &err));
}

/* What a feed says is what the statement says; afterwards all is well. */
static void feeds_that_fail(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autofree struct portions *p = calloc(1, sizeof(*p));
	const struct tv_duck_feed feed = { portion_columns, 2, portion, p, 0 };
	const struct tv_duck_column other[] = { { .name = "x", .kind = TV_DUCK_OTHER } };
	const struct tv_duck_feed bad = { other, 1, portion, p, 0 };
	p->total = 100000;
	p->fails = -TV_E_DIGEST;
	fails(-EINVAL, tv_duck_set_feed(w->duck, &bad, &err));
	ok(tv_duck_set_feed(w->duck, &feed, &err));
	fails(-TV_E_DIGEST, tv_duck_write_parquet(w->duck, TV_DUCK_FEED, w->fd, &err));
	assert_string_equal(err.text, "the rows are gone");
	ok(tv_duck_set_feed(w->duck, NULL, &err));
	fails(-EINVAL, tv_duck_query(w->duck, "SELEKT", NULL, 0, NULL, &err));
	p->given = p->fails = 0;
	p->total = 10;
	ok(tv_duck_set_feed(w->duck, &feed, &err));
	ok(tv_duck_write_parquet(w->duck, TV_DUCK_FEED, w->fd, &err));
	ok(tv_duck_set_feed(w->duck, NULL, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(types),
		cmocka_unit_test(errors),
		cmocka_unit_test(confined),
		cmocka_unit_test(tables),
		cmocka_unit_test(streams),
		cmocka_unit_test(parquet),
		cmocka_unit_test(same_number_other_file),
		cmocka_unit_test(threads_keep_order),
		cmocka_unit_test(feeds),
		cmocka_unit_test(feeds_that_fail),
	};
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
