/* Buckets and quantiles of known values; adding while others look. */
#include "fs/histogram.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support.h"

static void test_buckets_join(void **state)
{
	(void)state;
	uint64_t below = 0;
	for (size_t i = 0; i < TV_HISTOGRAM_BUCKETS - 1; i++) {
		uint64_t bound = tv_histogram_bound(i);
		assert_true(bound > below);
		assert_int_equal(tv_histogram_bucket(below + 1), i);
		assert_int_equal(tv_histogram_bucket(bound), i);
		if (below >= 128)
			assert_true((bound - below) * 4 <= below); /* 25 % */
		else
			assert_int_equal(bound - below, 32);
		below = bound;
	}
	assert_true(below == (uint64_t)1 << 36);
	for (unsigned power = 7; power <= 36;
	     power++) { /* each is a bound: Prometheus' are these */
		uint64_t v = (uint64_t)1 << power;
		assert_true(tv_histogram_bound(tv_histogram_bucket(v)) == v);
	}
}

static void test_extremes(void **state)
{
	(void)state;
	struct tv_histogram h = { { 0 }, 0, 0 };
	assert_int_equal(tv_histogram_count(&h), 0);
	assert_int_equal(tv_histogram_quantile(&h, 0.5), 0);
	assert_int_equal(tv_histogram_bucket(0), 0);
	assert_int_equal(tv_histogram_bucket(UINT64_MAX), TV_HISTOGRAM_BUCKETS - 1);
	assert_int_equal(tv_histogram_bucket(((uint64_t)1 << 36) + 1), TV_HISTOGRAM_BUCKETS - 1);
	assert_true(tv_histogram_bound(TV_HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
	assert_true(tv_histogram_bound(SIZE_MAX) == UINT64_MAX);
	tv_histogram_add(&h, 0);
	assert_int_equal(tv_histogram_quantile(&h, 1), 0); /* not above the maximum */
	tv_histogram_add(&h, UINT64_MAX / 2);
	assert_int_equal(tv_histogram_count(&h), 2);
	assert_true(h.total == UINT64_MAX / 2 && h.max == UINT64_MAX / 2);
	assert_int_equal(tv_histogram_quantile(&h, 0.5), 32);
	assert_true(tv_histogram_quantile(&h, 1) == UINT64_MAX / 2);
	assert_int_equal(tv_histogram_quantile(&h, 0), 32);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Of sorted values: what is at most the share q from the start. */
static uint64_t exact(const uint64_t *values, size_t n, double q)
{
	size_t rank = (size_t)(q * (double)n);
	rank += (double)rank < q * (double)n;
	return values[rank ? rank - 1 : 0];
}

static void test_quantiles_of_known_values(void **state)
{
	(void)state;
	enum { N = 20000 };
	static const double shares[] = { 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
	static uint64_t values[N];
	struct tv_histogram h = { { 0 }, 0, 0 };
	uint64_t x = 88172645463325252u, total = 0; /* xorshift64, G. Marsaglia 2003 */

	for (size_t i = 0; i < N; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		values[i] = (x >> 20) >> (x % 40); /* of all sizes */
		total += values[i];
		tv_histogram_add(&h, values[i]);
	}
	qsort(values, N, sizeof(values[0]), by_value);
	assert_int_equal(tv_histogram_count(&h), N);
	assert_true(h.total == total && h.max == values[N - 1]);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		uint64_t is = tv_histogram_quantile(&h, shares[i]), true_one;
		true_one = exact(values, N, shares[i]);
		assert_true(is >= true_one); /* never flatters */
		if (true_one < (uint64_t)1 << 36)
			assert_true(is <= true_one + (true_one < 128 ? 32 : true_one / 4));
	}
}

static void test_merging_is_adding(void **state)
{
	(void)state;
	struct tv_histogram parts[3], whole, sum;
	memset(parts, 0, sizeof(parts));
	memset(&whole, 0, sizeof(whole));
	memset(&sum, 0, sizeof(sum));
	for (uint64_t i = 0; i < 3000; i++) {
		tv_histogram_add(&parts[i % 3], i * i);
		tv_histogram_add(&whole, i * i);
	}
	for (size_t i = 0; i < 3; i++)
		tv_histogram_merge(&sum, &parts[i]);
	assert_memory_equal(&sum, &whole, sizeof(sum));
}

enum { WRITERS = 4, EACH = 50000 };

static void *add_many(void *arg)
{
	for (uint64_t i = 0; i < EACH; i++)
		tv_histogram_add(arg, i);
	return NULL;
}

/* Each thread writes its own; the reader sees sums that only grow. Run under tsan, too. */
static void test_read_while_written(void **state)
{
	(void)state;
	struct tv_histogram *own = calloc(WRITERS, sizeof(*own)), sum;
	pthread_t threads[WRITERS];
	uint64_t before = 0;

	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &own[i]), 0);
	for (int look = 0; look < 200; look++) {
		memset(&sum, 0, sizeof(sum));
		for (size_t i = 0; i < WRITERS; i++)
			tv_histogram_merge(&sum, &own[i]);
		assert_true(tv_histogram_count(&sum) >= before);
		before = tv_histogram_count(&sum);
	}
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	memset(&sum, 0, sizeof(sum));
	for (size_t i = 0; i < WRITERS; i++)
		tv_histogram_merge(&sum, &own[i]);
	assert_int_equal(tv_histogram_count(&sum), WRITERS * EACH);
	assert_int_equal(sum.max, EACH - 1);
	assert_int_equal(sum.total, (uint64_t)WRITERS * EACH * (EACH - 1) / 2);
	free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_join),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_quantiles_of_known_values),
		cmocka_unit_test(test_merging_is_adding),
		cmocka_unit_test(test_read_while_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
