/* Entries of catalog.json and foundation_health.json: ours, and those of older scripts. */
#include <math.h>

#include "ingest/catalog.h"
#include "tests/unit/support.h"

static struct tv_symbol_map *parsed(const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_symbol_map *map = NULL;
	ok(tv_symbol_map_parse("F", text, strlen(text), &map, &err));
	return map;
}

static void prints(const struct tv_symbol_map *map, const char *wanted)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autobuf struct tv_buf out = TV_BUF_INIT;
	ok(tv_symbol_map_print(map, &out, &err));
	tv_autofree char *text = tv_buf_steal_str(&out);
	assert_string_equal(text, wanted);
}

#define WHOLE                                                                                      \
	"{\n  \"N:A\": {\"freshness\": \"2026-01-19T12:00:00Z\", \"start_date\": \"2020-01-02\", " \
	"\"end_date\": \"2026-01-16\", \"data_quality_score\": 0.95, \"rows\": 1520, "             \
	"\"source\": \"yahoo\", \"sha256\": \"ab\"}\n}\n"

static const struct tv_catalog_entry whole = {
	.freshness = 1768824000,
	.start_date = "2020-01-02",
	.end_date = "2026-01-16",
	.data_quality_score = 0.95,
	.rows = 1520,
	.source = "yahoo",
	.sha256 = "ab",
};

static void an_entry(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = parsed("");
	struct tv_catalog_entry got, less = whole;
	is(!tv_catalog_get(map, "N:A", &got));
	ok(tv_catalog_set(map, "N:A", &whole, &err));
	prints(map, WHOLE);
	is(tv_catalog_get(map, "N:A", &got) && got.freshness == whole.freshness &&
	   got.rows == 1520 && got.data_quality_score == 0.95);
	assert_string_equal(got.start_date, "2020-01-02");
	assert_string_equal(got.end_date, "2026-01-16");
	assert_string_equal(got.source, "yahoo");
	assert_string_equal(got.sha256, "ab");
	less.rows = TV_CATALOG_UNKNOWN;
	less.source[0] = less.sha256[0] = '\0';
	ok(tv_catalog_set(map, "N:A", &less, &err));
	prints(map, "{\n  \"N:A\": {\"freshness\": \"2026-01-19T12:00:00Z\", "
		    "\"start_date\": \"2020-01-02\", \"end_date\": \"2026-01-16\", "
		    "\"data_quality_score\": 0.95}\n}\n");
	struct tv_catalog_entry bad[] = { whole, whole, whole, whole };
	bad[0].freshness = TV_CATALOG_UNKNOWN;
	bad[1].start_date[0] = '\0';
	bad[2].data_quality_score = NAN;
	bad[3].data_quality_score = 1.1;
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		fails(-EINVAL, tv_catalog_set(map, "N:A", &bad[i], &err));
}

static void older_entries(void **state)
{
	(void)state;
	static const struct {
		const char *entry;
		int64_t freshness, rows;
		bool score;
		const char *start;
	} rows[] = {
		{ "{}", TV_CATALOG_UNKNOWN, TV_CATALOG_UNKNOWN, false, "" },
		{ "7", TV_CATALOG_UNKNOWN, TV_CATALOG_UNKNOWN, false, "" },
		{ "{\"freshness\": 1768824000, \"rows\": 1.5}", TV_CATALOG_UNKNOWN,
		  TV_CATALOG_UNKNOWN, false, "" },
		{ "{\"freshness\": \"2026-01-19T12:00:00.250000\", \"rows\": 15e2}", 1768824000,
		  1500, false, "" },
		{ "{\"freshness\": \"2026-01-19 13:00:00+01:00\", \"rows\": -1, "
		  "\"start_date\": \"2020-01-02T00:00:00\"}",
		  1768824000, TV_CATALOG_UNKNOWN, false, "2020-01-02" },
		{ "{\"freshness\": \"today\", \"data_quality_score\": NaN, \"start_date\": 20200102}",
		  TV_CATALOG_UNKNOWN, TV_CATALOG_UNKNOWN, false, "" },
		{ "{\"data_quality_score\": 1, \"start_date\": null, \"rows\": 1e30}",
		  TV_CATALOG_UNKNOWN, TV_CATALOG_UNKNOWN, true, "" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(rows); i++) {
		struct tv_catalog_entry got;
		char text[256];
		snprintf(text, sizeof(text), "{\"N_A\": %s}", rows[i].entry);
		tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = parsed(text);
		is(tv_catalog_get(map, "N:A", &got));
		is(got.freshness == rows[i].freshness && got.rows == rows[i].rows);
		is(isnan(got.data_quality_score) != rows[i].score);
		assert_string_equal(got.start_date, rows[i].start);
	}
}

static void days(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	char day[11];
	ok(tv_catalog_day(1768824000, day, &err));
	assert_string_equal(day, "2026-01-19");
	ok(tv_catalog_day(-1, day, &err));
	assert_string_equal(day, "1969-12-31");
	ok(tv_catalog_day(INT64_C(253402300799), day, &err));
	assert_string_equal(day, "9999-12-31");
	fails(-ERANGE, tv_catalog_day(INT64_C(253402300800), day, &err));
	fails(-ERANGE, tv_catalog_day(INT64_MAX, day, &err));
}

static void health(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_symbol_map_free_p) struct tv_symbol_map *map = parsed(
		"{\"N:A\": {\"status\": \"Quarantined\", \"last_audit\": \"2026-01-19\", \"reason\": \"r\","
		" \"n\": 1}, \"N:B\": {\"status\": \"HEALTHY\"}, \"N:C\": {\"status\": 1}}");
	struct tv_health_entry got = { TV_HEALTH_OK, 0, NULL };
	is(tv_health_get(map, "N:D", &got, &err) == 0);
	for (int i = 0; i < 3; i++) {
		const char *const symbols[] = { "N:A", "N:B", "N:C" };
		tv_autohealth struct tv_health_entry e = { TV_HEALTH_OK, 0, NULL };
		is(tv_health_get(map, symbols[i], &e, &err) == 1);
		is(e.status == (i ? TV_HEALTH_OTHER : TV_HEALTH_QUARANTINED));
		is(e.last_audit == (i ? TV_CATALOG_UNKNOWN : 1768780800));
		is((e.reason != NULL) == (i == 0));
	}
	struct tv_health_entry now = { TV_HEALTH_OK, 1768824000, NULL };
	ok(tv_health_set(map, "N:A", &now, &err));
	now.status = TV_HEALTH_OTHER;
	ok(tv_health_set(map, "N:B", &now, &err));
	fails(-EINVAL, tv_health_set(map, "N:D", &now, &err));
	char reason[] = "spike of 157000 %";
	now = (struct tv_health_entry){ TV_HEALTH_QUARANTINED, 1768824000, reason };
	ok(tv_health_set(map, "N:D", &now, &err));
	prints(map,
	       "{\n  \"N:A\": {\"status\": \"ok\", \"last_audit\": \"2026-01-19T12:00:00Z\", \"n\": 1},\n"
	       "  \"N:B\": {\"status\": \"HEALTHY\", \"last_audit\": \"2026-01-19T12:00:00Z\"},\n"
	       "  \"N:C\": {\"status\": 1},\n"
	       "  \"N:D\": {\"status\": \"quarantined\", \"last_audit\": \"2026-01-19T12:00:00Z\", "
	       "\"reason\": \"spike of 157000 %\"}\n}\n");
	for (int s = 0; s < TV_HEALTH_OTHER; s++) {
		now.status = (enum tv_health)s;
		ok(tv_health_set(map, "N:D", &now, &err));
		tv_autohealth struct tv_health_entry e = { TV_HEALTH_OK, 0, NULL };
		is(tv_health_get(map, "N:D", &e, &err) == 1 && e.status == now.status);
	}
	now.last_audit = TV_CATALOG_UNKNOWN;
	fails(-EINVAL, tv_health_set(map, "N:D", &now, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry),
		cmocka_unit_test(older_entries),
		cmocka_unit_test(days),
		cmocka_unit_test(health),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
