/* The short way through a document of numbers: the same doubles as strtod's, or none at all. */
#include <math.h>

#include "ingest/source-arrays.h"
#include "tests/unit/support.h"

/* xorshift64* (Vigna, 2016). */
static uint64_t next(uint64_t *x)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * UINT64_C(2685821657736338717);
}

/* A number as some program might write it. */
static void write_number(char *out, size_t room, uint64_t *x)
{
	static const int digits[] = { 1, 6, 10, 15, 16, 17 };
	uint64_t bits = next(x);
	double v = (double)(int64_t)next(x) / pow(10, (double)(bits % 24));
	if (bits & 256)
		snprintf(out, room, "%.*f", (int)(bits >> 9 & 7), v);
	else
		snprintf(out, room, "%.*g", digits[(bits >> 9) % TV_ARRAY_LEN(digits)], v);
}

static void the_same_doubles(void **state)
{
	uint64_t x = 7;
	(void)state;
	for (int document = 0; document < 300; document++) {
		tv_autobuf struct tv_buf text = TV_BUF_INIT;
		double wanted[200];
		size_t n = 1 + next(&x) % 200;
		tv_buf_add_str(&text, "{\"a\": [null , 1],\"b\" :[");
		for (size_t i = 0; i < n; i++) {
			char number[400];
			write_number(number, sizeof(number), &x);
			tv_buf_addf(&text, "%s%s", i ? ",\n " : "", number);
			wanted[i] = strtod(number, NULL);
		}
		tv_buf_add_str(&text, "]}");
		tv_autonumberarrays struct tv_number_arrays a = { .arrays = NULL };
		tv_autojson cJSON *doc =
			tv_number_arrays_take((const char *)text.data, text.len, &a);
		assert_non_null(doc);
		const struct tv_number_array *b =
			tv_number_array_of(&a, cJSON_GetObjectItemCaseSensitive(doc, "b"));
		assert_non_null(b);
		assert_int_equal(b->n, n);
		assert_memory_equal(&a.numbers[b->first], wanted, n * sizeof(*wanted));
		assert_true(isnan(a.numbers[a.arrays[0].first]));
	}
}

/* Each of them is left to the parser that says what is wrong. */
static void unusual(void **state)
{
	static const char *const documents[] = {
		"",
		"[1,2",
		"[[1,2],[3,4",
		"[[1,2],[3,4]]x",
		"[[1,2],[01]]",
		"[[1,2],[1.]]",
		"[[1,2],[.5]]",
		"[[1,2],[+5]]",
		"[[1,2],[1e999]]",
		"[[1,2],[0x10]]",
		"[[1,2],[1,\"a\"]]",
		"[[1,2],[1,]]",
		"[[1,2],[-]]",
		"[[1,2],[nul]]",
		"[1,2]",
		"{\"a\":[1],\"b\":2",
		"{\"a\":[1],\"b\":\"[2]\"}",
	};
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(documents); i++) {
		tv_autonumberarrays struct tv_number_arrays a = { .arrays = NULL };
		/* without the NUL, so that a sanitizer sees whoever reads behind the end */
		size_t n = strlen(documents[i]);
		tv_autofree char *exact = malloc(n + 1);
		is(exact != NULL);
		memcpy(exact, documents[i], n);
		cJSON *doc = tv_number_arrays_take(exact, n, &a);
		if (doc)
			fail_msg("'%s' went the short way", documents[i]);
	}
}

/* Brackets in texts are no arrays; what is left is what it was. */
static void what_is_left(void **state)
{
	static const char text[] =
		"{\"s\":\"[1,2]\\\"[3]\",\"a\":[5,6],\"o\":{\"e\":[],\"b\":[ 7 ]},"
		"\"x\":[\"y\"]}\n";
	tv_autonumberarrays struct tv_number_arrays a = { .arrays = NULL };
	tv_autojson cJSON *doc = tv_number_arrays_take(text, sizeof(text) - 1, &a);
	(void)state;
	assert_non_null(doc);
	tv_autofree char *left = cJSON_PrintUnformatted(doc);
	assert_string_equal(left, "{\"s\":\"[1,2]\\\"[3]\",\"a\":[0],\"o\":{\"e\":[],\"b\":[1]},"
				  "\"x\":[\"y\"]}");
	assert_null(tv_number_array_of(&a, cJSON_GetObjectItemCaseSensitive(doc, "x")));
	assert_null(tv_number_array_of(&a, cJSON_GetObjectItemCaseSensitive(doc, "none")));
	assert_int_equal(tv_number_array_of(&a, cJSON_GetObjectItemCaseSensitive(doc, "a"))->n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_doubles),
		cmocka_unit_test(unusual),
		cmocka_unit_test(what_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
