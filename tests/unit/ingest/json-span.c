/* JSON as text: what is refused, what values read as, what stays as it was written. */
#include <math.h>

#include "ingest/json-span.h"
#include "tests/unit/support.h"

static struct tv_json_span open_text(const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_json_span span = { NULL, 0 };
	ok(tv_json_span_open(text, strlen(text), &span, &err));
	return span;
}

static void documents(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_json_span span = { NULL, 0 };
	static const char *const bad[] = { "",	     " ",     "{",	  "[1,]", "{\"a\":1,}",
					   "01",     "[1] 2", "\"\xff\"", "nan",  "{a: 1}",
					   "\"\t\"", "'a'",   "[\"\\x\"]" };
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		fails(-EINVAL, tv_json_span_open(bad[i], strlen(bad[i]), &span, &err));
	fails(-EINVAL, tv_json_span_open("{\n\n]", 4, &span, &err));
	is(strstr(err.text, "line 3") != NULL);
	fails(-EFBIG, tv_json_span_open("", TV_JSON_SPAN_BYTES + 1, &span, &err));
	is(!span.at);
	span = open_text("\xef\xbb\xbf \n[1, NaN, -Infinity]\n ");
	is(span.n == 19 && tv_json_span_kind(span) == TV_JSON_LIST);
}

static void depth(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_json_span span;
	char text[2 * TV_JSON_SPAN_DEPTH + 2];
	size_t n = TV_JSON_SPAN_DEPTH;
	memset(text, '[', n);
	memset(text + n, ']', n);
	ok(tv_json_span_open(text, 2 * n, &span, &err));
	n++;
	memset(text, '[', n);
	memset(text + n, ']', n);
	fails(-EINVAL, tv_json_span_open(text, 2 * n, &span, &err));
	/* brackets in a text are none */
	memset(text, '[', 2 * n);
	text[0] = text[2 * n - 1] = '"';
	ok(tv_json_span_open(text, 2 * n, &span, &err));
}

static void walking(void **state)
{
	(void)state;
	static const char *const text =
		" { \"a\" : [1,{\"x\":[]},\"]\"] ,\"b\":-1.5e3,\"c\":{},\"d\":null,\"a\":\"\\\"}\" } ";
	static const char *const wanted[][2] = { { "\"a\"", "[1,{\"x\":[]},\"]\"]" },
						 { "\"b\"", "-1.5e3" },
						 { "\"c\"", "{}" },
						 { "\"d\"", "null" },
						 { "\"a\"", "\"\\\"}\"" } };
	struct tv_json_span key, value, all = open_text(text);
	size_t i = 0;
	for (struct tv_json_walk w = tv_json_span_walk(all); tv_json_walk_next(&w, &key, &value);) {
		is(key.n == strlen(wanted[i][0]) && memcmp(key.at, wanted[i][0], key.n) == 0);
		is(value.n == strlen(wanted[i][1]) && memcmp(value.at, wanted[i][1], value.n) == 0);
		i++;
	}
	is(i == TV_ARRAY_LEN(wanted));
	is(tv_json_span_member(all, "a", &value) && tv_json_span_kind(value) == TV_JSON_TEXT);
	is(!tv_json_span_member(all, "e", &value) && !tv_json_span_member(value, "a", &value));
	struct tv_json_walk none = tv_json_span_walk(open_text("[ ]"));
	is(!tv_json_walk_next(&none, &key, &value));
	none = tv_json_span_walk(open_text("12"));
	is(!tv_json_walk_next(&none, &key, &value));
}

static void texts(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{ "\"\"", "" },
		{ "\"a\\/b\\\\c\\\"\\b\\f\\n\\r\\t\"", "a/b\\c\"\b\f\n\r\t" },
		{ "\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac" },
		{ "\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80" },
		{ "\"\\ud83d\"", "\xef\xbf\xbd" },
		{ "\"\\ud83dx\\u0000\"", "\xef\xbf\xbdx\xef\xbf\xbd" },
		{ "\"\\ude00\\ud83d\\u0041\"", "\xef\xbf\xbd\xef\xbf\xbd"
					       "A" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(pairs); i++) {
		struct tv_json_span span = open_text(pairs[i][0]);
		tv_autofree char *text = tv_json_span_text(span);
		assert_string_equal(text, pairs[i][1]);
		is(tv_json_span_is(span, pairs[i][1]) && !tv_json_span_is(span, "other"));
		/* and what is written reads back */
		tv_autobuf struct tv_buf out = TV_BUF_INIT;
		tv_json_quote(text, &out);
		tv_autofree char *quoted = tv_buf_steal_str(&out);
		tv_autofree char *again = tv_json_span_text(open_text(quoted));
		assert_string_equal(again, text);
	}
}

static void numbers(void **state)
{
	(void)state;
	uint64_t x = 88172645463325252;
	double back;
	for (int i = 0; i < 20000; i++) {
		double v;
		x ^= x << 13; /* xorshift64 (Marsaglia, 2003) */
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(&v, &x, sizeof(v));
		if (i % 2)
			v = (double)(x % 100000) / 1000;
		if (!isfinite(v))
			continue;
		tv_autobuf struct tv_buf out = TV_BUF_INIT;
		tv_json_add_exact(v, &out);
		tv_autofree char *text = tv_buf_steal_str(&out);
		is(tv_json_span_number(open_text(text), &back) && back == v &&
		   signbit(back) == signbit(v));
		is(i % 2 == 0 || strlen(text) <= 6);
	}
	is(tv_json_span_number(open_text("1e999"), &back) && isinf(back));
	is(tv_json_span_number(open_text("NaN"), &back) && isnan(back));
}

static void compact(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{ " { } ", "{}" },
		{ "{\"a\":1,\n\t\"b c\" : [ 1 ,2,\"x , y:z\\\" \" ] }",
		  "{\"a\": 1, \"b c\": [1, 2, \"x , y:z\\\" \"]}" },
		{ "[[],{},12345678901234567890,1.10]", "[[], {}, 12345678901234567890, 1.10]" },
		{ "\"a\"", "\"a\"" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(pairs); i++) {
		tv_autobuf struct tv_buf out = TV_BUF_INIT, again = TV_BUF_INIT;
		tv_json_span_compact(open_text(pairs[i][0]), &out);
		tv_autofree char *text = tv_buf_steal_str(&out);
		assert_string_equal(text, pairs[i][1]);
		tv_json_span_compact(open_text(text), &again);
		tv_autofree char *same = tv_buf_steal_str(&again);
		assert_string_equal(same, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents), cmocka_unit_test(depth),	cmocka_unit_test(walking),
		cmocka_unit_test(texts),     cmocka_unit_test(numbers), cmocka_unit_test(compact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
