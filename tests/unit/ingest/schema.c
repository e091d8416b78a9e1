/* The schema itself, and files against it: each rule with a file that breaks it and one that does not. */
#include <sys/mman.h>

#include "ingest/bars-parquet.h"
#include "ingest/schema.h"
#include "tests/unit/support.h"

struct world {
	struct tv_duck *duck;
	struct tv_schema *schema;
};

static int world_setup(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct world *w = calloc(1, sizeof(*w));
	support_parent = getpid();
	*state = w;
	if (w && tv_duck_open(NULL, &w->duck, &err) == 0 &&
	    tv_schema_parse(tv_schema_text(), &w->schema, &err) == 0)
		return 0;
	print_error("%s\n", err.text);
	return -1;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	tv_duck_close(w->duck);
	tv_schema_free(w->schema);
	free(w);
	return 0;
}

static void paths(void **state)
{
	struct world *w = *state;
	static const char *const table[][2] = {
		{ "NASDAQ_AAPL_1d.parquet", "bars" },
		{ "features/tv_technicals_1d.parquet", "technicals" },
		{ "features/tv_technicals_1d/date=2026-01-19/part-0.parquet", "technicals by day" },
		{ "symbols.parquet", "symbols" },
		{ "portfolio_candidates_raw.json", "candidates" },
		{ "portfolio_optimized_v2.json", "optimized portfolio" },
		{ "portfolio_meta.json", "portfolio documents" },
		{ "/some/where/features/tv_technicals_1d.parquet", "technicals" },
		{ "/some/where/NYSE_KO_1d.parquet", "bars" },
		{ "/symbols.parquet/notes.txt", NULL },
		{ "notes.txt", NULL },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(table); i++) {
		const struct tv_schema_file *file = tv_schema_find(w->schema, table[i][0]);
		is(!file == !table[i][1]);
		is(!file || strcmp(file->name, table[i][1]) == 0);
	}
	is(!tv_schema_named(w->schema, "nothing"));
	const struct tv_schema_file *bars = tv_schema_named(w->schema, "bars");
	is(bars && bars->ordered && bars->n_key == 1 && bars->n_columns == 6 && !bars->others);
}

static void not_a_schema(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_schema *schema = NULL;
	static const char *const bad[] = {
		"",
		"[]",
		"{\"version\": 2, \"files\": []}",
		"{\"version\": 1, \"files\": [{}]}",
		"{\"version\": 1, \"files\": [{\"name\": \"a\", \"path\": \"a\", \"format\": \"xml\"}]}",
		"{\"version\": 1, \"files\": [{\"name\": \"a\", \"path\": \"a\", \"format\": \"json\"}]}",
		"{\"version\": 1, \"files\": [{\"name\": \"a\", \"path\": \"a\", \"format\": \"json\", "
		"\"columns\": []}]}",
		"{\"version\": 1, \"files\": [{\"name\": \"a\", \"path\": \"a\", \"format\": \"json\", "
		"\"rows\": \"members\", \"columns\": [{\"name\": \"x\", \"type\": \"int\"}]}]}",
		"{\"version\": 1, \"files\": [{\"name\": \"a\", \"path\": \"a\", \"format\": \"json\", "
		"\"rows\": \"members\", \"columns\": [], \"key\": [\"x\"]}]}",
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++) {
		fails(-EINVAL, tv_schema_parse(bad[i], &schema, &err));
		is(strstr(err.text, "schema: ") == err.text && !schema);
	}
}

struct told {
	unsigned n;
	char all[2048];
};

static int note(void *arg, const struct tv_schema_finding *f, struct tv_err *err)
{
	struct told *told = arg;
	size_t used = strlen(told->all);
	(void)err;
	snprintf(told->all + used, sizeof(told->all) - used, "%s:%d: %s\n",
		 f->column ? f->column : "-", (int)f->row, f->what);
	told->n++;
	return 0;
}

#define BARS(from)                                                                                 \
	"SELECT range AS timestamp, 1.0::DOUBLE AS open, 1.0::DOUBLE AS high, "                    \
	"1.0::DOUBLE AS low, 1.0::DOUBLE AS close, 0.0::DOUBLE AS volume FROM " from

/* A file's name in the schema, its rows, and everything that is found. */
static const struct {
	const char *name, *select, *findings;
} files[] = {
	{ "bars", BARS("range(10)"), "" },
	{ "bars", BARS("range(0)"), "" },
	{ "bars", "SELECT * EXCLUDE (close, open), close FROM (" BARS("range(10)") ")",
	  "open:-1: there is no such column, wanted is double\n" },
	{ "bars", "SELECT *, 1::TINYINT AS adjusted FROM (" BARS("range(10)") ")",
	  "adjusted:-1: the schema has no such column (its type is int8)\n" },
	{ "bars",
	  "SELECT * REPLACE (1::FLOAT AS high, timestamp::INTEGER AS timestamp) FROM (" BARS(
		  "range(10)") ")",
	  "timestamp:-1: its type is int32, wanted is int64\n"
	  "high:-1: its type is float, wanted is double\n" },
	{ "bars",
	  "SELECT * REPLACE (if(timestamp >= 7, NULL, low) AS low) FROM (" BARS("range(10)") ")",
	  "low:7: there is no value (3 such rows)\n" },
	{ "bars",
	  "SELECT * REPLACE (if(timestamp = 4, 'nan', if(timestamp = 6, '-inf', '1'))::DOUBLE AS close) "
	  "FROM (" BARS("range(10)") ")",
	  "close:4: not a finite number (2 such rows)\n" },
	{ "bars", BARS("(VALUES (1), (2), (2), (3)) t(range)"),
	  "timestamp:-1: its type is int32, wanted is int64\n"
	  "timestamp:2: an earlier row has the same key\n" },
	{ "bars", BARS("(SELECT 10 - range AS range FROM range(4))"),
	  "timestamp:1: the row before has a greater key\n" },
	{ "exchanges",
	  "SELECT 'X' AS exchange, 'UTC' AS timezone, true AS is_crypto, NULL::INTEGER AS country, "
	  "'x' AS description, TIMESTAMP '2020-01-01' AS updated_at",
	  "" },
	{ "exchanges",
	  "SELECT 'X' AS exchange, 'UTC' AS timezone, 1 AS is_crypto, 7 AS country, "
	  "'x' AS description, DATE '2020-01-01' AS updated_at",
	  "is_crypto:-1: its type is int32, wanted is bool\n"
	  "country:-1: its type is int32, wanted is text\n"
	  "updated_at:-1: its type is date, wanted is timestamp\n" },
	{ "returns matrix",
	  "SELECT TIMESTAMPTZ '2020-01-01 00:00:00+00' AS timestamp, 0.5::DOUBLE AS \"A:B\", "
	  "NULL::DOUBLE AS \"it's \"\"C\"\"\"",
	  "" },
	{ "returns matrix",
	  "SELECT TIMESTAMPTZ '2020-01-01 00:00:00+00' AS timestamp, 'inf'::DOUBLE AS \"it's \"\"C\"\"\"",
	  "it's \"C\":0: not a finite number (1 such rows)\n" },
	{ "technicals",
	  "SELECT s AS symbol, TIMESTAMP '2020-01-01' AS timestamp, 1.0::DOUBLE AS rsi "
	  "FROM (VALUES ('A'), ('B')) t(s)",
	  "" },
	{ "technicals",
	  "SELECT s AS symbol, TIMESTAMP '2020-01-01' AS timestamp, 1.0::DOUBLE AS rsi "
	  "FROM (VALUES ('A'), ('B'), ('A')) t(s)",
	  "timestamp:2: an earlier row has the same key\n" },
};

static void rules(void **state)
{
	struct world *w = *state;
	for (size_t i = 0; i < TV_ARRAY_LEN(files); i++) {
		struct tv_err err = TV_ERR_INIT;
		struct told told = { 0, "" };
		const struct tv_schema_findings findings = { note, &told };
		const struct tv_schema_file *schema = tv_schema_named(w->schema, files[i].name);
		tv_autoclose int fd = memfd_create("f", MFD_CLOEXEC);
		const struct tv_parquet file = { w->duck, "f", fd };
		ok(tv_duck_write_parquet(w->duck, files[i].select, fd, &err));
		int r = tv_schema_check(schema, &file, &findings, &err);
		assert_string_equal(told.all, files[i].findings);
		is(r == (told.n ? -TV_E_GATE : 0) && err.code == r);
		is(r == 0 || strstr(err.text, "'f', column '") == err.text);
		is(tv_schema_check(schema, &file, NULL, NULL) == r);
	}
}

/* The same of JSON. */
static const struct {
	const char *name, *text, *findings;
} documents[] = {
	{ "health", "{}", "" },
	{ "health",
	  "{\"A:B\": {\"status\": \"ok\", \"last_audit\": \"2026-01-19T12:00:00.5\", \"x\": [1]}}",
	  "" },
	{ "health",
	  "{\"A:B\": {\"status\": \"ok\"}, \"A:C\": {\"last_audit\": \"x\", \"status\": 1},"
	  " \"A:D\": {\"last_audit\": null, \"status\": \"ok\", \"reason\": null}}",
	  "status:1: in 'A:C' it is a number, wanted is text\n"
	  "last_audit:0: in 'A:B' there is no value (2 such rows)\n"
	  "last_audit:1: in 'A:C' not a time of ISO 8601\n" },
	{ "health", "{\"A:B\": 1, \"A:C\": []}",
	  "-:0: in 'A:B' the row is not an object (2 such rows)\n" },
	{ "health", "[]", "-:-1: it is a list, wanted is an object\n" },
	{ "health", "{\"A\":}",
	  "-:-1: is not valid JSON: line 1: a value is missing or unknown\n" },
	{ "health",
	  "{\"A:B\": {\"status\": \"ok\", \"last_audit\": \"2026-01-19\"}, \"A:\\u0042\": "
	  "{\"status\": \"ok\", \"last_audit\": \"2026-01-19\"}}",
	  "A:B:-1: it occurs twice\n" },
	{ "catalog",
	  "{\"A:B\": {\"freshness\": \"2026-01-19 12:00:00+00:00\", \"start_date\": \"2020-01-01\", "
	  "\"end_date\": \"2020-01-01\", \"data_quality_score\": NaN, \"rows\": 1.5}}",
	  "data_quality_score:0: in 'A:B' not a finite number\n"
	  "rows:0: in 'A:B' not a whole number\n" },
	{ "candidates",
	  "[{\"symbol\": \"A:B\", \"atom_id\": \"x\", \"value_traded\": 1}, {\"symbol\": 5}]",
	  "symbol:1: it is a number, wanted is text\natom_id:1: there is no value\n" },
	{ "candidates", "{}", "-:-1: it is an object, wanted is a list\n" },
	{ "optimized portfolio", "{\"metadata\": 1}", "profiles:-1: there is no value\n" },
	{ "portfolio documents", "{\"anything\": [null]}", "" },
};

static void json_rules(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	for (size_t i = 0; i < TV_ARRAY_LEN(documents); i++) {
		struct told told = { 0, "" };
		const struct tv_schema_findings findings = { note, &told };
		const struct tv_schema_file *schema = tv_schema_named(w->schema, documents[i].name);
		const char *text = documents[i].text;
		tv_err_clear(&err);
		int r = tv_schema_check_json(schema, "f", text, strlen(text), &findings, &err);
		assert_string_equal(told.all, documents[i].findings);
		is(r == (told.n ? -TV_E_GATE : 0) && err.code == r);
		is(r == 0 || strstr(err.text, "'f'") == err.text);
		is(tv_schema_check_json(schema, "f", text, strlen(text), NULL, NULL) == r);
	}
	fails(-EINVAL,
	      tv_schema_check_json(tv_schema_named(w->schema, "bars"), "f", "{}", 2, NULL, &err));
	fails(-EFBIG, tv_schema_check_json(tv_schema_named(w->schema, "catalog"), "f", "",
					   (size_t)65 << 20, NULL, &err));
}

/* Columns of a type that no file of ours has in JSON, and no others. */
static void json_of_another_schema(void **state)
{
	(void)state;
	static const char text[] =
		"{\"version\": 1, \"files\": ["
		"{\"name\": \"a\", \"path\": \"a\", \"format\": \"json\", \"rows\": \"document\", "
		"\"columns\": [{\"name\": \"b\", \"type\": \"bool\"}]}, "
		"{\"name\": \"c\", \"path\": \"c\", \"format\": \"json\", \"rows\": \"elements\", "
		"\"columns\": [], \"others\": {\"type\": \"double\", \"null\": true}}]}";
	static const struct {
		const char *name, *text, *findings;
	} rows[] = {
		{ "a", "{\"b\": true}", "" },
		{ "a", "{\"b\": 1, \"c\": 2}",
		  "b:-1: it is a number, wanted is bool\nc:-1: the schema has no such column\n" },
		{ "c", "[{\"x\": 1, \"y\": null}, {\"z\": \"1\"}, {\"w\": []}]",
		  "z:1: it is a text, wanted is double (2 such rows)\n" },
	};
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_schema_free_p) struct tv_schema *schema = NULL;
	ok(tv_schema_parse(text, &schema, &err));
	for (size_t i = 0; i < TV_ARRAY_LEN(rows); i++) {
		struct told told = { 0, "" };
		const struct tv_schema_findings findings = { note, &told };
		tv_schema_check_json(tv_schema_named(schema, rows[i].name), "f", rows[i].text,
				     strlen(rows[i].text), &findings, NULL);
		assert_string_equal(told.all, rows[i].findings);
	}
}

static void not_parquet(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int fd = memfd_create("f", MFD_CLOEXEC);
	const struct tv_parquet file = { w->duck, "f", fd };
	is(tv_io_write_all(fd, "PAR1....PAR1", 12) == 0);
	fails(-TV_E_GATE, tv_schema_check(tv_schema_named(w->schema, "bars"), &file, NULL, &err));
	fails(-EINVAL, tv_schema_check(tv_schema_named(w->schema, "catalog"), &file, NULL, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(not_a_schema),
		cmocka_unit_test(rules),
		cmocka_unit_test(json_rules),
		cmocka_unit_test(json_of_another_schema),
		cmocka_unit_test(not_parquet),
	};
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
