#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ingest/fetch-retry.h"
#include "store/base/cleanup.h"

#define SECOND INT64_C(1000000000)

static uint64_t drawn_most(void *arg, uint64_t below)
{
	(void)arg;
	return below - 1;
}

static uint64_t drawn_least(void *arg, uint64_t below)
{
	(void)arg;
	(void)below;
	return 0;
}

static void backoff(void **state)
{
	(void)state;
	static const int64_t most[] = { 1, 2, 4, 8, 10, 10 };
	struct tv_fetch_limits limits = { .backoff_ns = SECOND, .backoff_max_ns = 10 * SECOND };
	struct tv_fetch_time time = { .random = drawn_most };
	for (unsigned i = 0; i < TV_ARRAY_LEN(most); i++)
		assert_int_equal(tv_fetch_backoff(&limits, i + 1, &time), most[i] * SECOND);
	assert_int_equal(tv_fetch_backoff(&limits, 4000000000u, &time), 10 * SECOND);
	time.random = drawn_least;
	assert_int_equal(tv_fetch_backoff(&limits, 3, &time), 0);
}

static void retry_after(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		int64_t seconds; /* -1: not understood */
	} cases[] = {
		{ "0", 0 },
		{ " 120 ", 120 },
		{ "99999999999999999999999", INT64_C(4000000000) },
		{ "Wed, 21 Oct 2015 07:28:30 GMT", 30 },
		{ "Wednesday, 21-Oct-15 07:29:00 GMT", 60 },
		{ "Wed Oct 21 07:28:01 2015", 1 },
		{ "Wed, 21 Oct 2015 07:27:00 GMT", 0 },
		{ "12 monkeys", -1 },
		{ "-5", -1 },
		{ "1.5", -1 },
		{ "soon", -1 },
		{ "", -1 },
	};
	int64_t wall = INT64_C(1445412480) * SECOND; /* 2015-10-21 07:28:00 */
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		int64_t got = tv_fetch_retry_after(cases[i].value, wall);
		int64_t want = cases[i].seconds;
		if (got != (want < 0 ? -1 : want * SECOND))
			fail_msg("'%s': %lld", cases[i].value, (long long)got);
	}
}

static void statuses(void **state)
{
	(void)state;
	assert_true(tv_fetch_status_passes(429, false));
	assert_true(tv_fetch_status_passes(503, false));
	assert_false(tv_fetch_status_passes(404, false));
	assert_false(tv_fetch_status_passes(418, false));
	assert_true(tv_fetch_status_passes(418, true));
	assert_int_equal(tv_fetch_status_code(200), 0);
	assert_int_equal(tv_fetch_status_code(404), -TV_E_MISSING);
	assert_int_equal(tv_fetch_status_code(501), -EREMOTEIO);
	assert_int_equal(tv_fetch_status_code(400), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff),
		cmocka_unit_test(retry_after),
		cmocka_unit_test(statuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
