#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"

static void assert_refused(const char *text, const char *message)
{
	struct tv_err err = TV_ERR_INIT;
	cJSON *doc = NULL;
	assert_int_equal(tv_json_parse(text, strlen(text), &doc, &err), -EINVAL);
	assert_null(doc);
	assert_string_equal(err.text, message);
}

static void parsing(void **state)
{
	(void)state;
	tv_autojson cJSON *doc = NULL;
	struct tv_err err = TV_ERR_INIT;
	const char *text = " {\"a\": [1, 2]}\n\n";
	assert_int_equal(tv_json_parse(text, strlen(text), &doc, &err), 0);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(doc, "a")), 2);

	assert_refused("", "line 1: not valid JSON: it ends too early");
	assert_refused("{\n\"a\": 1,\n\"b\": tru\n}", "line 3: not valid JSON near 'tru'");
	assert_refused("{\"a\": 1}\n\nxyz", "line 3: not valid JSON near 'xyz'");
	assert_refused("{\"a\": [1, 2", "line 1: not valid JSON near '2'");
	assert_int_equal(tv_json_parse("{}\0", 3, &doc, NULL), -EINVAL);
}

static unsigned line_of(const char *text, const char *path)
{
	return tv_json_line(text, strlen(text), path);
}

static void lines(void **state)
{
	(void)state;
	const char *text = "\xef\xbb\xbf{\n"
			   "  \"a\": 1,\n"
			   "  \"b\\u0062\": [true,\n"
			   "    {\"x\": \"}\\\"]\", \"y\": null}],\n"
			   "  \"c.json\": {\n"
			   "    \"d\": -1.5e3\n"
			   "  }\n"
			   "}\n";
	assert_int_equal(line_of(text, ""), 1);
	assert_int_equal(line_of(text, "a"), 2);
	assert_int_equal(line_of(text, "bb"), 3);
	assert_int_equal(line_of(text, "bb.1"), 4);
	assert_int_equal(line_of(text, "bb.1.y"), 4);
	assert_int_equal(line_of(text, "c.json"), 5);
	assert_int_equal(line_of(text, "c.json.d"), 6);
	assert_int_equal(line_of(text, "c"), 0);
	assert_int_equal(line_of(text, "bb.2"), 0);
	assert_int_equal(line_of(text, "a.b"), 0);
}

static unsigned twice(const char *text, char name[32])
{
	return tv_json_duplicate(text, strlen(text), name, 32);
}

static void duplicates(void **state)
{
	(void)state;
	char name[32] = "";
	assert_int_equal(twice("{\"a\": {\"b\": 1}, \"c\": [{\"b\": 2}, {\"b\": 3}]}", name), 0);
	assert_int_equal(twice("{\"a\": 1,\n\"b\": {\"a\": 1},\n\"a\": 2}", name), 3);
	assert_string_equal(name, "a");
	assert_int_equal(twice("[1, {\"x\": {}, \"y\": [],\n\"\\u0078\": 0}]", name), 2);
	assert_string_equal(name, "x");
	assert_int_equal(twice("{}", name), 0);
	assert_int_equal(twice("12", name), 0);
}

static void assert_printed(cJSON *object, const char *text)
{
	tv_autofree char *printed = cJSON_PrintUnformatted(object);
	assert_string_equal(printed, text);
}

static void odd_bytes(void **state)
{
	(void)state;
	tv_autojson cJSON *o = cJSON_CreateObject();
	assert_true(tv_json_add_bytes(o, "a", "gr\xc3\xbc\xc3\x9f", 6));
	assert_true(tv_json_add_bytes(o, "b", "x\xff\xc3", 3));
	assert_true(tv_json_add_bytes(o, "c", "", 0));
	assert_true(tv_json_add_bytes(o, "d", "\xe2\x82\xac\xe2\x82", 5));
	assert_printed(o,
		       "{\"a\":\"gr\xc3\xbc\xc3\x9f\",\"b\":\"x??\",\"b_b64\":\"eP/D\",\"c\":\"\","
		       "\"d\":\"\xe2\x82\xac??\",\"d_b64\":\"4oKs4oI=\"}");
}

static void large_numbers(void **state)
{
	(void)state;
	tv_autojson cJSON *o = cJSON_CreateObject();
	assert_true(tv_json_add_u64(o, "a", 0));
	assert_true(tv_json_add_u64(o, "b", 2147483648u));
	assert_true(tv_json_add_u64(o, "c", 1000000000000000u));
	assert_true(tv_json_add_u64(o, "d", UINT64_MAX));
	assert_printed(o, "{\"a\":0,\"b\":2147483648,\"c\":1000000000000000,"
			  "\"d\":18446744073709551615}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsing),	 cmocka_unit_test(lines),
		cmocka_unit_test(duplicates),	 cmocka_unit_test(odd_bytes),
		cmocka_unit_test(large_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
