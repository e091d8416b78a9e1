/* symbols.parquet and exchanges.parquet: rows that change slowly, their files, merging any changes. */
#include <sys/mman.h>

#include "ingest/exchanges.h"
#include "ingest/symbols.h"
#include "tests/unit/support.h"

#define NOW INT64_C(1768824000000000)
#define VALID_FROM 17
#define VALID_UNTIL 18
#define UPDATED_AT 19

static int duck_setup(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	support_parent = getpid();
	return tv_duck_open(NULL, (struct tv_duck **)state, &err);
}

static int duck_teardown(void **state)
{
	tv_duck_close(*state);
	return 0;
}

static void tell(struct tv_symbol_news *news, const char *fact, const char *text)
{
	news->facts.cells[tv_fact_named(fact)] =
		(struct tv_cell){ .known = text != NULL, .text = text };
}

static struct tv_symbol_news sector_news(const char *symbol, const char *sector)
{
	struct tv_symbol_news news = { .symbol = symbol, .active = true };
	tell(&news, "sector", sector);
	return news;
}

static void apply_one(struct tv_rows *rows, const struct tv_symbol_news *news, int64_t now)
{
	struct tv_err err = TV_ERR_INIT;
	ok(tv_symbols_apply(rows, news, 1, now, &err));
}

/* "from-until:sector ..." of a symbol's rows, in microseconds from NOW. */
static void history(const struct tv_rows *rows, const char *symbol, char *out, size_t room)
{
	size_t first = 0, end = 0, used = 0;
	out[0] = '\0';
	tv_rows_find(rows, symbol, &first, &end);
	for (; first < end; first++) {
		const struct tv_cell *row = tv_rows_at(rows, first);
		const struct tv_cell *sector = &row[2 + tv_fact_named("sector")];
		char until[32] = "";
		if (row[VALID_UNTIL].known)
			snprintf(until, sizeof(until), "%d", (int)(row[VALID_UNTIL].i64 - NOW));
		used += (size_t)snprintf(out + used, room - used, "%s%d-%s:%s", used ? " " : "",
					 (int)(row[VALID_FROM].i64 - NOW), until,
					 sector->known ? sector->text : "");
	}
}

static void is_history(const struct tv_rows *rows, const char *symbol, const char *wanted)
{
	char text[256];
	history(rows, symbol, text, sizeof(text));
	assert_string_equal(text, wanted);
}

static void slow_changes(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autorows struct tv_rows rows = TV_ROWS_INIT(tv_symbols_shape());
	struct tv_symbol_news news = sector_news("NASDAQ:A", "Tech");
	apply_one(&rows, &news, NOW);
	is(rows.changed);
	is_history(&rows, "NASDAQ:A", "0-:Tech");
	const struct tv_cell *zone = &tv_rows_at(&rows, 0)[2 + tv_fact_named("timezone")];
	assert_string_equal(zone->text, "America/New_York");
	/* Nothing new, less than before, more than before. */
	rows.changed = false;
	apply_one(&rows, &news, NOW + 1);
	struct tv_symbol_news silent = sector_news("NASDAQ:A", NULL);
	apply_one(&rows, &silent, NOW + 2);
	is(!rows.changed);
	is_history(&rows, "NASDAQ:A", "0-:Tech");
	tell(&news, "sector", "Media");
	apply_one(&rows, &news, NOW + 3);
	is(rows.changed && tv_rows_at(&rows, 0)[UPDATED_AT].i64 == NOW + 3);
	is_history(&rows, "NASDAQ:A", "0-3:Tech 3-:Media");
	tell(&news, "industry", "Film");
	apply_one(&rows, &news, NOW + 5);
	is_history(&rows, "NASDAQ:A", "0-3:Tech 3-5:Media 5-:Media");
	/* The clock went back, or stands still: no row ends before it begins. */
	tell(&news, "sector", "Music");
	apply_one(&rows, &news, NOW + 5);
	is_history(&rows, "NASDAQ:A", "0-3:Tech 3-5:Media 5-:Music");
	assert_string_equal(tv_symbols_sector(&rows, "NASDAQ:A"), "Music");
	is(!tv_symbols_sector(&rows, "NASDAQ:B"));
	/* Others come in any order; what is not traded is not active. */
	const struct tv_symbol_news more[] = { sector_news("X:Z", NULL), sector_news("A:Z", "S") };
	ok(tv_symbols_apply(&rows, more, 2, NOW + 6, &err));
	news.active = false;
	apply_one(&rows, &news, NOW + 7);
	is_history(&rows, "NASDAQ:A", "0-3:Tech 3-5:Media 5-7:Music 7-:Music");
	tv_autonamelist struct tv_name_list active = TV_NAME_LIST_INIT;
	ok(tv_symbols_active(&rows, &active, &err));
	is(active.n == 2 && !strcmp(active.items[0], "A:Z") && !strcmp(active.items[1], "X:Z"));
	is(tv_symbols_is_retired(&rows, "NASDAQ:A") && !tv_symbols_is_retired(&rows, "A:Z"));
	is(!tv_symbols_is_retired(&rows, "NASDAQ:NONE")); /* nothing is said of it */
	const struct tv_symbol_news twice[] = { more[0], more[1], more[0] };
	fails(-EINVAL, tv_symbols_apply(&rows, twice, 3, NOW + 8, &err));
	const struct tv_symbol_news bad = sector_news("AAPL", NULL);
	fails(-EINVAL, tv_symbols_apply(&rows, &bad, 1, NOW + 8, &err));
}

static int file_of(struct tv_duck *duck, const struct tv_rows *rows)
{
	struct tv_err err = TV_ERR_INIT;
	int fd = memfd_create("f", MFD_CLOEXEC);
	is(fd >= 0);
	ok(tv_rows_write(duck, rows, fd, &err));
	return fd;
}

static char *bytes_of(int fd, off_t *n)
{
	*n = lseek(fd, 0, SEEK_END);
	char *bytes = malloc((size_t)*n);
	is(bytes && tv_io_pread_all(fd, bytes, (size_t)*n, 0) == 0);
	return bytes;
}

static void files(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_duck *duck = *state;
	tv_autorows struct tv_rows rows = TV_ROWS_INIT(tv_symbols_shape());
	tv_autorows struct tv_rows got = TV_ROWS_INIT(tv_symbols_shape());
	off_t n, m;
	struct tv_symbol_news news[] = { sector_news("B:B", ""), sector_news("B:A", "\xc3\xa9") };
	news[0].facts.cells[tv_fact_named("tick_size")] =
		(struct tv_cell){ .known = true, .f64 = -0.0 };
	news[0].facts.cells[tv_fact_named("pricescale")] =
		(struct tv_cell){ .known = true, .i64 = INT64_MIN };
	tv_autoclose int none = file_of(duck, &rows);
	const struct tv_parquet empty = { duck, "none", none };
	ok(tv_rows_read(&empty, &got, &err));
	is(got.n == 0);
	tv_rows_free(&got);
	ok(tv_symbols_apply(&rows, news, 2, NOW, &err));
	tell(&news[1], "sector", "x");
	ok(tv_symbols_apply(&rows, news, 2, NOW + 1, &err));
	tv_autoclose int fd = file_of(duck, &rows);
	const struct tv_parquet file = { duck, "f", fd };
	ok(tv_rows_read(&file, &got, &err));
	is(got.n == 3 && !got.changed);
	for (size_t i = 0; i < got.n; i++)
		for (size_t c = 0; c < got.shape->n_columns; c++)
			is(tv_cell_equal(got.shape->columns[c].kind, &tv_rows_at(&got, i)[c],
					 &tv_rows_at(&rows, i)[c]));
	tv_autoclose int again = file_of(duck, &got);
	tv_autofree char *a = bytes_of(fd, &n), *b = bytes_of(again, &m);
	is(n == m && memcmp(a, b, (size_t)n) == 0);
}

static const struct {
	const char *select, *message; /* NULL: it can be read */
} strange[] = {
	{ "SELECT 'X' AS exchange, 'UTC' AS timezone, true AS is_crypto, TIMESTAMP '2020-01-01' AS updated_at",
	  NULL },
	{ "SELECT TIMESTAMP_NS '1969-12-31 23:59:59.999999999' AS updated_at, 'UTC' AS timezone, "
	  "false AS is_crypto, 'X' AS exchange, NULL::INTEGER AS country",
	  NULL },
	{ "SELECT 'X' AS exchange, 'UTC' AS timezone, 1 AS is_crypto, TIMESTAMP '2020-01-01' AS updated_at",
	  "'f', column 'is_crypto': its type is int32, wanted is bool" },
	{ "SELECT 'X' AS exchange, 'UTC' AS timezone, NULL::BOOLEAN AS is_crypto, "
	  "TIMESTAMP '2020-01-01' AS updated_at",
	  "'f', column 'is_crypto' (bool), row 0: there is no value" },
	{ "SELECT 'X' AS exchange, 'UTC' AS timezone, true AS is_crypto",
	  "'f': there is no column 'updated_at'" },
	{ "SELECT 'X' AS exchange, 'UTC' AS timezone, true AS is_crypto, TIMESTAMP '2020-01-01' AS updated_at, "
	  "1 AS fee",
	  "'f', column 'fee' (int32): the schema has no such column" },
	{ "SELECT 'X' || chr(0) AS exchange, 'UTC' AS timezone, true AS is_crypto, "
	  "TIMESTAMP '2020-01-01' AS updated_at",
	  "'f', column 'exchange' (text), row 0: there is a NUL in it" },
};

static void others_files(void **state)
{
	struct tv_duck *duck = *state;
	for (size_t i = 0; i < TV_ARRAY_LEN(strange); i++) {
		struct tv_err err = TV_ERR_INIT;
		tv_autorows struct tv_rows rows = TV_ROWS_INIT(tv_exchanges_shape());
		tv_autoclose int fd = memfd_create("f", MFD_CLOEXEC);
		const struct tv_parquet file = { duck, "f", fd };
		ok(tv_duck_write_parquet(duck, strange[i].select, fd, &err));
		if (!strange[i].message) {
			ok(tv_rows_read(&file, &rows, &err));
			is(rows.n == 1);
			continue;
		}
		fails(-TV_E_GATE, tv_rows_read(&file, &rows, &err));
		assert_string_equal(err.text, strange[i].message);
		is(rows.n == 0);
	}
}

/* --- exchanges --------------------------------------------------------------------------------- */

static void exchanges(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autorows struct tv_rows rows = TV_ROWS_INIT(tv_exchanges_shape());
	ok(tv_exchanges_see(&rows, "NYSE", NULL, NOW, &err));
	ok(tv_exchanges_see(&rows, "BINANCE", NULL, NOW, &err));
	is(rows.n == 2 && rows.changed);
	rows.changed = false;
	ok(tv_exchanges_see(&rows, "NYSE", NULL, NOW + 1, &err));
	fails(-ENOENT, tv_exchanges_see(&rows, "ACME", NULL, NOW + 1, &err));
	struct tv_exchange said = { "ACME", "Europe/Oslo", NULL, NULL, -1 };
	fails(-ENOENT, tv_exchanges_see(&rows, "ACME", &said, NOW + 1, &err));
	is(!rows.changed && rows.n == 2);
	said.is_crypto = 0;
	ok(tv_exchanges_see(&rows, "ACME", &said, NOW + 1, &err));
	is(rows.changed && rows.n == 3);
	assert_string_equal(tv_exchanges_timezone(&rows, "ACME"), "Europe/Oslo");
	/* What the settings say goes before what is there, and that before what is built in. */
	said.timezone = NULL;
	said.is_crypto = 1;
	ok(tv_exchanges_see(&rows, "NYSE", &said, NOW + 2, &err));
	ok(tv_exchanges_see(&rows, "NYSE", NULL, NOW + 3, &err));
	is(tv_exchanges_is_crypto(&rows, "NYSE") == 1);
	size_t at, end;
	is(tv_rows_find(&rows, "NYSE", &at, &end) && tv_rows_at(&rows, at)[5].i64 == NOW + 2);
	is(tv_exchanges_is_crypto(NULL, "NYSE") == 0 && tv_exchanges_is_crypto(NULL, "OKX") == 1);
	is(tv_exchanges_is_crypto(&rows, "OKX") == 1 && tv_exchanges_is_crypto(&rows, "?") == -1);
	is(!tv_exchanges_timezone(&rows, "?"));
}

/* Two ingestions that met the same new exchange do not clash. */
static void exchanges_merge(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	const struct tv_rows_shape *shape = tv_exchanges_shape();
	const struct tv_exchange said = { "KRAKEN", "Europe/Oslo", NULL, NULL, 1 };
	tv_autorows struct tv_rows base = TV_ROWS_INIT(shape), a = TV_ROWS_INIT(shape);
	tv_autorows struct tv_rows b = TV_ROWS_INIT(shape), c = TV_ROWS_INIT(shape);
	tv_autorows struct tv_rows ab = TV_ROWS_INIT(shape), ac = TV_ROWS_INIT(shape);
	tv_autonamelist struct tv_name_list conflicts = TV_NAME_LIST_INIT;
	ok(tv_exchanges_see(&a, "KRAKEN", NULL, NOW, &err));
	ok(tv_exchanges_see(&b, "KRAKEN", NULL, NOW + 1, &err));
	ok(tv_exchanges_see(&b, "NYSE", NULL, NOW + 1, &err));
	ok(tv_exchanges_see(&c, "KRAKEN", &said, NOW + 1, &err));
	ok(tv_rows_merge(&base, &a, &b, &ab, &conflicts, &err));
	is(conflicts.n == 0 && ab.n == 2 && tv_rows_at(&ab, 0)[5].i64 == NOW);
	ok(tv_rows_merge(&base, &a, &c, &ac, &conflicts, &err));
	is(conflicts.n == 1 && ac.n == 1 && !ac.changed);
	assert_string_equal(conflicts.items[0], "KRAKEN");
}

static void built_in(void **state)
{
	(void)state;
	size_t n;
	const struct tv_exchange *known = tv_exchanges_known(&n);
	is(n > 50);
	for (size_t i = 0; i < n; i++) {
		char path[128];
		is(i == 0 || strcmp(known[i - 1].name, known[i].name) < 0);
		is(tv_exchange_known(known[i].name) == &known[i]);
		is(known[i].description && (known[i].is_crypto == 0 || known[i].is_crypto == 1));
		snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", known[i].timezone);
		is(access("/usr/share/zoneinfo/Etc/UTC", F_OK) < 0 || access(path, F_OK) == 0);
	}
	is(!tv_exchange_known("") && !tv_exchange_known("nyse"));
}

/* --- merging ----------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13; /* xorshift64 (Marsaglia, 2003) */
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

#define SYMBOLS 12

/* base, with news of some symbols of a class (number % 3); of any with class 3. */
static struct tv_rows changed(const struct tv_rows *base, unsigned class, int64_t now, uint64_t *x)
{
	static const char *const sectors[] = { "a", "b", "c" };
	struct tv_err err = TV_ERR_INIT;
	struct tv_rows rows = TV_ROWS_INIT(tv_symbols_shape());
	for (size_t i = 0; i < base->n; i++)
		ok(tv_rows_add(&rows, tv_rows_at(base, i), &err));
	for (unsigned i = 0; i < SYMBOLS; i++) {
		char symbol[16];
		snprintf(symbol, sizeof(symbol), "E:%u", i);
		struct tv_symbol_news news = sector_news(symbol, sectors[next(x) % 3]);
		if ((class == 3 || i % 3 == class) && next(x) % 2)
			apply_one(&rows, &news, now);
	}
	return rows;
}

static bool same_rows(const struct tv_rows *a, const struct tv_rows *b)
{
	bool same = a->n == b->n;
	for (size_t i = 0; i < a->n * a->shape->n_columns && same; i++)
		same = tv_cell_equal(a->shape->columns[i % a->shape->n_columns].kind, &a->cells[i],
				     &b->cells[i]);
	return same;
}

static struct tv_rows merged(const struct tv_rows *base, const struct tv_rows *theirs,
			     const struct tv_rows *ours, size_t *n_conflicts)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autonamelist struct tv_name_list conflicts = TV_NAME_LIST_INIT;
	struct tv_rows out = TV_ROWS_INIT(tv_symbols_shape());
	ok(tv_rows_merge(base, theirs, ours, &out, &conflicts, &err));
	is(out.changed == !same_rows(&out, theirs));
	*n_conflicts = conflicts.n;
	return out;
}

static void merging(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252;
	size_t n, clashes = 0;
	for (int round = 0; round < 200; round++) {
		tv_autorows struct tv_rows none = TV_ROWS_INIT(tv_symbols_shape());
		tv_autorows struct tv_rows base = changed(&none, 3, NOW, &x);
		tv_autorows struct tv_rows a = changed(&base, 0, NOW + 1, &x);
		tv_autorows struct tv_rows b = changed(&base, 1, NOW + 2, &x);
		tv_autorows struct tv_rows ab = merged(&base, &a, &b, &n);
		is(n == 0);
		tv_autorows struct tv_rows ba = merged(&base, &b, &a, &n);
		is(n == 0 && same_rows(&ab, &ba));
		tv_autorows struct tv_rows alone = merged(&base, &a, &base, &n);
		is(n == 0 && same_rows(&alone, &a) && !alone.changed);
		tv_autorows struct tv_rows twice = merged(&base, &a, &a, &n);
		is(n == 0 && same_rows(&twice, &a));
		for (unsigned i = 0; i < SYMBOLS; i++) {
			char symbol[16], got[256], wanted[256];
			snprintf(symbol, sizeof(symbol), "E:%u", i);
			history(&ab, symbol, got, sizeof(got));
			history(i % 3 == 1 ? &b : &a, symbol, wanted, sizeof(wanted));
			assert_string_equal(got, wanted);
		}
		tv_autorows struct tv_rows any = changed(&base, 3, NOW + 3, &x);
		tv_autorows struct tv_rows clash = merged(&base, &a, &any, &n);
		clashes += n;
	}
	is(clashes > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_changes),	   cmocka_unit_test(files),
		cmocka_unit_test(others_files),	   cmocka_unit_test(exchanges),
		cmocka_unit_test(exchanges_merge), cmocka_unit_test(built_in),
		cmocka_unit_test(merging),
	};
	return cmocka_run_group_tests(tests, duck_setup, duck_teardown);
}
