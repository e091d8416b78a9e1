#include "support.h"

#include "store/filecheck.h"

static int check_text(const char *name, const char *bytes, size_t n, struct tv_err *err)
{
	char path[] = "/tmp/tv-check-XXXXXX";
	tv_autoclose int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(tv_io_write_all(fd, bytes, n), 0);
	return tv_filecheck_fd(name, fd, n, err);
}

static int check_json(const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	return check_text("x.json", text, strlen(text), &err);
}

static void good_json(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"0",
		"-0",
		"-1.5e+10",
		"1E5",
		"\"\"",
		"true",
		"false",
		"null",
		" [1, 2] \n",
		"NaN",
		"[NaN, Infinity, -Infinity]",
		"{\"a\":{\"b\":[1,{\"c\":\"\\u00e9\\n\"}]}}",
		"\xef\xbb\xbf{}",
		"[[[[]]]]",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"{\"a\":1,\"b\":2}",
		"12",
		"\"\xff not utf-8\"",
	};
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++)
		if (check_json(good[i]) != 0)
			fail_msg("refused: %s", good[i]);
}

static void bad_json(void **state)
{
	static const char *const bad[] = {
		" ",	    "{",	  "[",	     "]",	    "[1,]",	"{\"a\"}",
		"{\"a\":}", "{\"a\":1,}", "{a:1}",   "01",	    "1.",	".5",
		"-",	    "+1",	  "1e",	     "1e+",	    "tru",	"nul",
		"truex",    "\"",	  "\"\\x\"", "\"\\u12g4\"", "\"a\nb\"", "[1 2]",
		"{}{}",	    "[}",	  "{]",	     "1 2",	    "nan",	"-NaN",
		"--1",	    "{\"a\" 1}",  "Infinit", "{,}",	    "[,]",	"'a'",
		"1,",	    "\xef\xbb",
	};
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		if (check_json(bad[i]) != -TV_E_GATE)
			fail_msg("accepted: %s", bad[i]);
}

/* Cut anywhere, a document is no document: what a writer that was killed leaves. */
static void cut_json(void **state)
{
	const char *text = "{\"a\": [1.5e3, \"x\\u0041\", {\"b\": null}], \"c\": -Infinity}";
	struct tv_err err = TV_ERR_INIT;
	(void)state;
	assert_int_equal(check_json(text), 0);
	for (size_t n = 1; n < strlen(text); n++)
		assert_int_equal(check_text("x.json", text, n, &err), -TV_E_GATE);
}

static void deep_json(void **state)
{
	char text[3000];
	(void)state;
	memset(text, '[', 1024);
	memset(text + 1024, ']', 1024);
	text[2048] = 0;
	assert_int_equal(check_json(text), 0);
	memset(text, '[', 1025);
	memset(text + 1025, ']', 1025);
	text[2050] = 0;
	assert_int_equal(check_json(text), -TV_E_GATE);
}

/* The pieces in which a text comes make no difference. */
static void json_in_pieces(void **state)
{
	const char *text = "\xef\xbb\xbf{\"key\": [true, -12.5e-3, \"a\\u00e9b\", NaN]}\n";
	struct tv_err err = TV_ERR_INIT;
	(void)state;
	for (size_t step = 1; step < strlen(text); step++) {
		struct tv_jsoncheck c;
		tv_jsoncheck_init(&c);
		for (size_t at = 0; at < strlen(text); at += step) {
			size_t n = strlen(text) - at < step ? strlen(text) - at : step;
			assert_int_equal(tv_jsoncheck_feed(&c, text + at, n, &err), 0);
		}
		assert_int_equal(tv_jsoncheck_end(&c, &err), 0);
	}
}

static void names_the_line(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	const char *text = "{\n  \"a\": 1,\n  \"b\": oops\n}";
	(void)state;
	assert_int_equal(check_text("x.json", text, strlen(text), &err), -TV_E_GATE);
	assert_non_null(strstr(err.text, "line 3"));
}

static void parquet(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool good;
	} cases[] = {
		{ "PAR1____PAR1", 12, true },	 { "PARE____PARE", 12, true },
		{ "PAR1____PARE", 12, false },	 { "PAR1PAR1", 8, false },
		{ "PAR1________", 12, false },	 { "____ ___PAR1", 12, false },
		{ "PAR1_______PAR1", 15, true }, { "x", 1, false },
	};
	struct tv_err err = TV_ERR_INIT;
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++)
		assert_int_equal(check_text("d/x.PARQUET", cases[i].bytes, cases[i].n, &err),
				 cases[i].good ? 0 : -TV_E_GATE);
}

static void empty_and_others(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	(void)state;
	assert_int_equal(check_text("x.json", "", 0, &err), -TV_E_GATE);
	assert_int_equal(check_text("x.parquet", "", 0, &err), -TV_E_GATE);
	assert_int_equal(check_text("x.csv", "", 0, &err), 0);
	assert_int_equal(check_text("json", "{", 1, &err), 0);
	assert_true(tv_filecheck_wants("a.Json"));
	assert_false(tv_filecheck_wants("a.json.lock"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_json),	  cmocka_unit_test(bad_json),
		cmocka_unit_test(cut_json),	  cmocka_unit_test(deep_json),
		cmocka_unit_test(json_in_pieces), cmocka_unit_test(names_the_line),
		cmocka_unit_test(parquet),	  cmocka_unit_test(empty_and_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
