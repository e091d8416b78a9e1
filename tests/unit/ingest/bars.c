/* Bars as arrays. */
#include <math.h>

#include "ingest/bars.h"
#include "tests/unit/support.h"

static void rows(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars a = TV_BARS_INIT, b = TV_BARS_INIT;
	assert_true(tv_bars_equal(&a, &b));
	assert_int_equal(tv_bars_find(&a, 5), 0);
	for (int i = 0; i < 1000; i++) {
		struct tv_bar bar = { i * 10, i, i + 1, i - 1, i + .5, 1e6 + i };
		assert_int_equal(tv_bars_add(&a, &bar, &err), 0);
	}
	assert_int_equal(a.n, 1000);
	struct tv_bar got = tv_bars_get(&a, 999);
	assert_true(got.timestamp == 9990 && got.open == 999 && got.high == 1000 &&
		    got.low == 998 && got.close == 999.5 && got.volume == 1000999);
	assert_int_equal(tv_bars_find(&a, INT64_MIN), 0);
	assert_int_equal(tv_bars_find(&a, 10), 1);
	assert_int_equal(tv_bars_find(&a, 11), 2);
	assert_int_equal(tv_bars_find(&a, 9990), 999);
	assert_int_equal(tv_bars_find(&a, 9991), 1000);

	assert_int_equal(tv_bars_append(&b, &a, 0, 400, &err), 0);
	assert_false(tv_bars_equal(&a, &b));
	assert_int_equal(tv_bars_append(&b, &a, 400, 400, &err), 0);
	assert_int_equal(tv_bars_append(&b, &a, 400, 1000, &err), 0);
	assert_true(tv_bars_equal(&a, &b));
	for (size_t c = 0; c < TV_BARS_VALUES; c++) {
		double *v = &tv_bars_values(&b, c)[500], kept = *v;
		*v = nextafter(kept, INFINITY);
		assert_false(tv_bars_equal(&a, &b));
		*v = kept;
	}
	a.open[0] = 0.0;
	b.open[0] = -0.0;
	assert_false(tv_bars_equal(&a, &b));
	a.open[0] = b.open[0] = NAN;
	assert_true(tv_bars_equal(&a, &b));
}

static void no_memory(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars a = TV_BARS_INIT;
	assert_int_equal(tv_bars_reserve(&a, SIZE_MAX / 4, &err), -ENOMEM);
	assert_int_equal(a.n, 0);
	assert_int_equal(a.cap, 0);
}

static void names(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	static const char *const good[][2] = {
		{ "NASDAQ:AAPL", "NASDAQ_AAPL_1d.parquet" },
		{ "BINANCE:BTCUSDT.P", "BINANCE_BTCUSDT.P_1d.parquet" },
		{ "CME:ES1!", "CME_ES1!_1d.parquet" },
	};
	static const char *const bad[] = { "",	    "AAPL",	  ":AAPL",     "NASDAQ:",
					   "A:B:C", "NASDAQ:A/B", "../x:AAPL", ".wh.A:B" };
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++) {
		tv_autofree char *name = NULL;
		assert_int_equal(tv_bars_file_name(good[i][0], &name, &err), 0);
		assert_string_equal(name, good[i][1]);
	}
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++) {
		char *name = NULL;
		assert_int_equal(tv_bars_file_name(bad[i], &name, &err), -EINVAL);
		assert_null(name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
