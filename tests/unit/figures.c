/* The document of a mount's figures: written, read again, summed; old and odd ones. */
#include "fs/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tests/unit/support.h"

static struct tv_figures *sample(void)
{
	struct tv_figures *f = calloc(1, sizeof(*f));
	for (size_t i = 0; i < TV_FIGURE_COUNT; i++)
		f->numbers[i] = 1000 + i;
	for (uint64_t i = 1; i <= 100; i++) {
		f->ops[TV_OP_LOOKUP].begun++;
		tv_histogram_add(&f->ops[TV_OP_LOOKUP].latency, i * 1000);
	}
	f->ops[TV_OP_COPY].begun = 3; /* of which one is under way */
	f->ops[TV_OP_COPY].errors = 1;
	tv_histogram_add(&f->ops[TV_OP_COPY].latency, 5);
	tv_histogram_add(&f->ops[TV_OP_COPY].latency, (uint64_t)1 << 40);
	f->uptime = 12.5;
	snprintf(f->passthrough, sizeof(f->passthrough), "not \"today\"");
	snprintf(f->program, sizeof(f->program), "1.2.3");
	return f;
}

static cJSON *through_text(const struct tv_figures *f)
{
	tv_autojson cJSON *doc = tv_figures_json(f);
	cJSON *again = NULL;
	assert_non_null(doc);
	tv_autofree char *text = cJSON_PrintUnformatted(doc);
	assert_int_equal(tv_json_parse(text, strlen(text), &again, NULL), 0);
	return again;
}

static void test_round_trip(void **state)
{
	(void)state;
	tv_autofree struct tv_figures *f = sample(), *again = calloc(1, sizeof(*again));
	tv_autojson cJSON *doc = through_text(f);
	tv_figures_parse(doc, again);
	assert_memory_equal(f, again, sizeof(*f));
	assert_int_equal(cJSON_GetObjectItem(doc, "version")->valueint, TV_FIGURES_VERSION);
	assert_int_equal(cJSON_GetObjectItem(doc, "errors")->valueint, 1);
	const cJSON *counts = cJSON_GetObjectItem(doc, "operations");
	assert_int_equal(cJSON_GetArraySize(counts), TV_OP_COUNT); /* every kind, always */
	const cJSON *latencies = cJSON_GetObjectItem(doc, "latencies");
	assert_int_equal(cJSON_GetArraySize(latencies), 2);
	const cJSON *lookup = cJSON_GetObjectItem(latencies, "lookup");
	assert_int_equal(cJSON_GetObjectItem(lookup, "count")->valueint, 100);
	assert_int_equal(cJSON_GetObjectItem(lookup, "max_ns")->valueint, 100000);
	assert_int_equal(cJSON_GetObjectItem(lookup, "p50_ns")->valueint, 57344);
	assert_int_equal(cJSON_GetObjectItem(lookup, "p99_ns")->valueint, 100000);
}

static void test_short_form(void **state)
{
	(void)state;
	tv_autofree struct tv_figures *f = sample(), *again = calloc(1, sizeof(*again));
	tv_autojson cJSON *doc = through_text(f);
	tv_figures_shorten(doc);
	tv_autofree char *text = cJSON_PrintUnformatted(doc);
	assert_null(strstr(text, "buckets"));
	assert_non_null(strstr(text, "p99_ns"));
	tv_figures_parse(doc, again);
	assert_int_equal(again->ops[TV_OP_LOOKUP].begun, 100);
	tv_figures_shorten(NULL); /* a daemon that did not answer */
}

static void test_sums(void **state)
{
	(void)state;
	tv_autofree struct tv_figures *f = sample(), *sum = calloc(1, sizeof(*sum));
	tv_figures_add(sum, f);
	f->uptime = 3;
	tv_figures_add(sum, f);
	assert_int_equal(sum->ops[TV_OP_LOOKUP].begun, 200);
	assert_int_equal(tv_histogram_count(&sum->ops[TV_OP_LOOKUP].latency), 200);
	assert_int_equal(sum->ops[TV_OP_LOOKUP].latency.max, 100000);
	assert_int_equal(sum->ops[TV_OP_COPY].errors, 2);
	assert_int_equal(sum->numbers[TV_FIGURE_DESCRIPTORS],
			 2 * f->numbers[TV_FIGURE_DESCRIPTORS]);
	assert_true(sum->uptime > 12 && sum->uptime < 13);
}

static void parse(const char *text, struct tv_figures *out)
{
	tv_autojson cJSON *doc = NULL;
	assert_int_equal(tv_json_parse(text, strlen(text), &doc, NULL), 0);
	memset(out, 0xff, sizeof(*out));
	tv_figures_parse(doc, out);
}

/* What a daemon of version 1 says, of one that is newer than we are, and nonsense. */
static void test_other_documents(void **state)
{
	(void)state;
	tv_autofree struct tv_figures *f = calloc(1, sizeof(*f));
	parse("{\"operations\":{\"lookup\":7,\"teleport\":3},\"errors\":2,\"passthrough\":\"on\","
	      "\"inodes\":9,\"uptime_seconds\":1.5}",
	      f);
	assert_int_equal(f->ops[TV_OP_LOOKUP].begun, 7);
	assert_int_equal(tv_histogram_count(&f->ops[TV_OP_LOOKUP].latency), 0);
	assert_int_equal(f->numbers[TV_FIGURE_INODES], 9);
	assert_int_equal(f->numbers[TV_FIGURE_THREADS], 0);
	assert_string_equal(f->passthrough, "on");
	assert_string_equal(f->program, "");

	parse("{\"version\":99,\"operations\":{\"lookup\":-1,\"open\":\"x\",\"read\":1e300},"
	      "\"latencies\":{\"lookup\":{\"buckets\":[[1],[null,2],[32,\"x\"],7,[33,1e300],[-5,3]],"
	      "\"max_ns\":true}},\"inodes\":[],\"passthrough\":5}",
	      f);
	assert_int_equal(f->ops[TV_OP_LOOKUP].begun + f->ops[TV_OP_OPEN].begun, 0);
	assert_true(f->ops[TV_OP_READ].begun == UINT64_MAX);
	assert_int_equal(f->ops[TV_OP_LOOKUP].latency.buckets[TV_HISTOGRAM_BUCKETS - 1], 5);
	assert_true(f->ops[TV_OP_LOOKUP].latency.buckets[1] == UINT64_MAX);
	assert_int_equal(f->numbers[TV_FIGURE_INODES], 0);
	assert_string_equal(f->passthrough, "");

	parse("[]", f);
	assert_int_equal(f->ops[TV_OP_LOOKUP].begun, 0);
}

static void test_names_of_operations(void **state)
{
	(void)state;
	for (size_t i = 0; i < TV_OP_COUNT; i++) {
		const char *name = tv_op_name((enum tv_op)i);
		assert_non_null(name);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(name, tv_op_name((enum tv_op)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_short_form),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_other_documents),
		cmocka_unit_test(test_names_of_operations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
