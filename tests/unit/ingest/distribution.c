/* Robust statistics of returns: values that were worked out by hand, and the rule on both. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/distribution.h"
#include "store/base/cleanup.h"

static void is_near(double got, double want)
{
	if (!(fabs(got - want) <= 1e-12 * fmax(1, fabs(want))))
		fail_msg("%.17g is not %.17g", got, want);
}

static void medians(void **state)
{
	(void)state;
	double one[] = { 3 }, odd[] = { 9, 1, 4 }, even[] = { 8, 1, 4, 2 };
	is_near(tv_median(one, 1), 3);
	is_near(tv_median(odd, 3), 4);
	is_near(tv_median(even, 4), 3);
}

static void deviations(void **state)
{
	(void)state;
	/* median 2; distances 1 1 0 0 2 4 7: the middle one is 1 */
	double values[] = { 1, 1, 2, 2, 4, 6, 9 };
	is_near(tv_deviation(values, 7), 1);
	/* median 3.5; distances 2.5 1.5 0.5 0.5 1.5 96.5: one that is far off does not matter */
	double far[] = { 1, 2, 3, 4, 5, 100 };
	is_near(tv_deviation(far, 6), 1.5);
	double equal[] = { 7, 7, 7 };
	is_near(tv_deviation(equal, 3), 0);
}

static void distances(void **state)
{
	(void)state;
	double a[] = { 1, 2, 3, 4 }, same[] = { 4, 3, 2, 1 }, above[] = { 5, 6 };
	is_near(tv_ks_distance(a, 4, same, 4), 0);
	is_near(tv_ks_distance(a, 4, above, 2), 1);
	/* at 2: 2 of 4 against none of 3; at 3, which both have: 3/4 against 1/3 */
	double mixed[] = { 3, 3.5, 9 };
	is_near(tv_ks_distance(a, 4, mixed, 3), 0.5);
	/* ties: at 0 3/4 against 1/4, at 1 both are whole */
	double zeroes[] = { 0, 0, 0, 1 }, ones[] = { 1, 0, 1, 1 };
	is_near(tv_ks_distance(zeroes, 4, ones, 4), 0.5);
}

/* sqrt(-ln(chance / 2) / 2) is 1.3581 for 5 %, 1.6276 for 1 %, as in every table. */
static void critical(void **state)
{
	(void)state;
	assert_float_equal(tv_ks_critical(0.05, 2, 2), 1.3581, 1e-4);
	assert_float_equal(tv_ks_critical(0.01, 2, 2), 1.6276, 1e-4);
	is_near(tv_ks_critical(0.05, 60, 250), tv_ks_critical(0.05, 2, 2) * sqrt(310.0 / 15000));
}

/* --- the rule ---------------------------------------------------------------------------------- */

/* Bell-shaped enough, and the same each time: the sum of three numbers of a small generator. */
static double noise(uint64_t *state)
{
	double sum = -1.5;
	for (int i = 0; i < 3; i++) {
		*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		sum += (double)(*state >> 11) * 0x1p-53;
	}
	return sum;
}

/* n rows, of which the last 60 returns have another scale. */
static void fill(struct tv_bars *b, size_t n, double scale, double scale_now)
{
	uint64_t state = 1;
	double close = 100;
	for (size_t i = 0; i < n; i++) {
		close *= exp(noise(&state) * (i + TV_RETURNS_NOW >= n ? scale_now : scale));
		struct tv_bar bar = { (int64_t)i * TV_DAY_SECONDS, close, close, close, close, 1 };
		assert_int_equal(tv_bars_add(b, &bar, NULL), 0);
	}
}

static const struct {
	size_t n;
	double scale, scale_now;
	bool judged, shifted;
} cases[] = {
	{ 400, 0.01, 0.01, true, false },  { 400, 0.01, 0.05, true, false },
	{ 400, 0.01, 0.002, true, false }, { 400, 0.01, 0.12, true, true },
	{ 400, 0.01, 0.0008, true, true }, { 400, 0.01, 0, true, true },
	{ 400, 0, 0.01, false, false }, /* what does not move is no measure */
	{ 60, 0.01, 0.12, false, false },  { 180, 0.01, 0.12, false, false },
	{ 181, 0.01, 0.12, true, true },   { 0, 0.01, 0.12, false, false },
};

static void the_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < TV_ARRAY_LEN(cases); i++) {
		tv_autobars struct tv_bars b = TV_BARS_INIT;
		struct tv_returns_shift s;
		fill(&b, cases[i].n, cases[i].scale, cases[i].scale_now);
		tv_returns_compare(&b, &b, &s);
		if (s.judged != cases[i].judged || s.shifted != cases[i].shifted)
			fail_msg("case %zu: judged %d, shifted %d, ratio %g, distance %g", i,
				 s.judged, s.shifted, s.scale_now / s.scale_before, s.distance);
	}
}

/* What is compared with may be other rows: only those before the sample count. */
static void other_rows(void **state)
{
	(void)state;
	tv_autobars struct tv_bars now = TV_BARS_INIT, before = TV_BARS_INIT;
	struct tv_returns_shift s;
	fill(&now, 400, 0.12, 0.12);
	fill(&before, 400, 0.01, 5);
	tv_returns_compare(&now, &before, &s);
	assert_true(s.shifted);
	assert_int_equal(s.n_before, TV_RETURNS_BEFORE);
	/* rows without a price are left out, on both sides */
	now.close[399] = NAN;
	now.close[200] = 0;
	tv_returns_compare(&now, &before, &s);
	assert_true(s.shifted && isfinite(s.distance) && s.n_now == TV_RETURNS_NOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(medians),   cmocka_unit_test(deviations),
		cmocka_unit_test(distances), cmocka_unit_test(critical),
		cmocka_unit_test(the_rule),  cmocka_unit_test(other_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
