/* Indicators: values worked out by hand from docs/features.md, where each begins, and no look at later rows. */
#include <math.h>

#include "ingest/features.h"
#include "ingest/indicators.h"
#include "tests/unit/support.h"

static const double high[] = { 3, 5, 6, 9 }, low[] = { 1, 2, 4, 5 }, closes[] = { 2, 4, 5, 8 },
		    volume[] = { 1, 3, 0, 0 };
static const struct tv_prices bars = { 4, high, low, closes, volume };

#define NONE NAN

/* n values are these, to 1e-12; NONE: there is none. */
static void are(const double *got, size_t n, const double *want)
{
	for (size_t i = 0; i < n; i++)
		if (isnan(want[i]) ? !isnan(got[i]) : !(fabs(got[i] - want[i]) < 1e-12))
			fail_msg("row %zu: %.17g, wanted %.17g", i, got[i], want[i]);
}
#define ARE(got, ...) are(got, TV_ARRAY_LEN(((double[]){ __VA_ARGS__ })), (double[]){ __VA_ARGS__ })

static void averages(void **state)
{
	(void)state;
	static const double x[] = { 1, 2, 4, 8, 16, 32 };
	double out[6], scratch[6];
	tv_indicator_sma(x, 6, 3, out);
	ARE(out, NONE, NONE, 7.0 / 3, 14.0 / 3, 28.0 / 3, 56.0 / 3);
	tv_indicator_ema(x, 6, 3, out);
	ARE(out, NONE, NONE, 7.0 / 3, 31.0 / 6, 127.0 / 12, 511.0 / 24);
	tv_indicator_wma(x, 6, 3, out);
	ARE(out, NONE, NONE, 17.0 / 6, 34.0 / 6, 68.0 / 6, 136.0 / 6);
	tv_indicator_hma(x, 6, 4, scratch, out);
	ARE(out, NONE, NONE, NONE, NONE, 253.0 / 18, 506.0 / 18);
	tv_indicator_vwma(&bars, 2, out);
	ARE(out, NONE, 3.5, 4, NONE);
	tv_indicator_middle(&bars, 2, scratch, out);
	ARE(out, NONE, 3, 4, 6.5);
	tv_indicator_highest(x, 6, 2, out);
	ARE(out, NONE, 2, 4, 8, 16, 32);
	tv_indicator_lowest(x, 6, 2, out);
	ARE(out, NONE, 1, 2, 4, 8, 16);
}

static void oscillators(void **state)
{
	(void)state;
	static const double x[] = { 1, 2, 1, 3 };
	double out[4], other[4], scratch[8];
	tv_indicator_momentum(x, 4, 2, out);
	ARE(out, NONE, NONE, 0, 1);
	tv_indicator_rsi(x, 4, 2, out);
	ARE(out, NONE, NONE, 50, 250.0 / 3);
	tv_indicator_stoch_rsi(x, 4, 2, 2, 1, scratch, out, other);
	ARE(out, NONE, NONE, NONE, 100);
	ARE(other, NONE, NONE, NONE, 100);
	tv_indicator_stochastic(&bars, 2, 1, scratch, out, other);
	ARE(out, NONE, 75, 75, 80);
	ARE(other, NONE, 75, 75, 80);
	tv_indicator_stochastic(&bars, 2, 2, scratch, out, other);
	ARE(out, NONE, NONE, NONE, 77.5);
	ARE(other, NONE, NONE, NONE, 76.25);
	tv_indicator_williams(&bars, 2, scratch, out);
	ARE(out, NONE, -25, -25, -20);
	tv_indicator_cci(&bars, 2, scratch, out);
	ARE(out, NONE, 200.0 / 3, 200.0 / 3, 200.0 / 3);
	tv_indicator_awesome(&bars, 1, 2, scratch, out);
	ARE(out, NONE, 0.75, 0.75, 1);
	tv_indicator_macd(closes, 4, 1, 2, 1, scratch, out, other);
	ARE(out, NONE, 1, 2.0 / 3, 11.0 / 9);
	tv_indicator_macd(closes, 4, 1, 2, 2, scratch, out, other);
	ARE(out, NONE, NONE, 2.0 / 3, 11.0 / 9);
	ARE(other, NONE, NONE, 5.0 / 6, 59.0 / 54);
	tv_indicator_ultimate(&bars, (const size_t[]){ 1, 2, 3 }, scratch, out);
	ARE(out, NONE, NONE, NONE, 500.0 / 7);
	tv_indicator_power(&bars, 1, out, other);
	ARE(out, 1, 1, 1, 1);
	ARE(other, -1, -2, -1, -3);
}

static void trends(void **state)
{
	(void)state;
	double plus[4], minus[4], adx[4];
	tv_indicator_atr(&bars, 2, plus);
	ARE(plus, NONE, NONE, 2.5, 3.25);
	tv_indicator_adx(&bars, 2, plus, minus, adx);
	ARE(plus, NONE, NONE, 400.0 / 7, 1600.0 / 23);
	ARE(minus, NONE, NONE, 0, 0);
	ARE(adx, NONE, NONE, NONE, 100);
}

#define ROWS 400

/* A walk of prices; flat ones and days without trade are among them. */
static void walk(struct tv_bars *to, size_t n, unsigned seed)
{
	struct tv_err err = TV_ERR_INIT;
	uint64_t x = 88172645463325252 + seed;
	double price = 100;
	for (size_t i = 0; i < n; i++) {
		double part[4];
		for (size_t k = 0; k < 4; k++) {
			x ^= x << 13; /* xorshift64 (Marsaglia, 2003) */
			x ^= x >> 7;
			x ^= x << 17;
			part[k] = (double)(x >> 11) / (double)(1ULL << 53);
		}
		bool still = i % 97 > 90;
		price *= still ? 1 : 0.97 + 0.06 * part[0];
		struct tv_bar bar = { (int64_t)i * TV_DAY_SECONDS,
				      price,
				      still ? price : price * (1 + 0.02 * part[1]),
				      still ? price : price * (1 - 0.02 * part[2]),
				      price,
				      still ? 0 : 1000 * part[3] };
		ok(tv_bars_add(to, &bar, &err));
	}
}

static bool same_bits(const void *a, const void *b, size_t doubles)
{
	return memcmp(a, b, doubles * sizeof(double)) == 0;
}

/* Rows that come later change nothing, to the last bit; what a window holds is all that counts. */
static void no_later_rows(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars all = TV_BARS_INIT;
	tv_autofeatures struct tv_features whole = TV_FEATURES_INIT, part = TV_FEATURES_INIT;
	walk(&all, ROWS, 1);
	ok(tv_features_compute(&whole, &all, &err));
	for (size_t n = 0; n <= ROWS; n += n < 260 ? 1 : 35) {
		struct tv_bars some = all;
		some.n = n;
		ok(tv_features_compute(&part, &some, &err));
		is(part.n == n);
		for (size_t f = 0; f < TV_FEATURES && n; f++)
			if (!same_bits(tv_features_values(&part, f), tv_features_values(&whole, f),
				       n))
				fail_msg("%s of %zu rows", tv_feature_name(f), n);
	}
}

static const struct {
	const char *name;
	size_t first;
} begins[] = {
	{ "recommend_ma", 9 },
	{ "recommend_other", 11 },
	{ "recommend_all", 9 },
	{ "sma_10", 9 },
	{ "sma_200", 199 },
	{ "ema_10", 9 },
	{ "ema_200", 199 },
	{ "rsi", 14 },
	{ "stoch_k", 17 },
	{ "stoch_d", 17 },
	{ "cci", 19 },
	{ "adx", 27 },
	{ "plus_di", 14 },
	{ "minus_di", 14 },
	{ "ao", 33 },
	{ "mom", 10 },
	{ "macd", 33 },
	{ "macd_signal", 33 },
	{ "stoch_rsi_k", 29 },
	{ "stoch_rsi_d", 31 },
	{ "williams_r", 13 },
	{ "bull_power", 12 },
	{ "bear_power", 12 },
	{ "uo", 28 },
	{ "ichimoku_base", 25 },
	{ "vwma", 19 },
	{ "hull_ma", 10 },
	{ "atr", 14 },
};

static void first_rows(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars all = TV_BARS_INIT;
	tv_autofeatures struct tv_features whole = TV_FEATURES_INIT;
	walk(&all, ROWS, 2);
	ok(tv_features_compute(&whole, &all, &err));
	for (size_t f = 0; f < TV_FEATURES; f++) {
		const double *x = tv_features_values(&whole, f);
		for (size_t b = 0; b < TV_ARRAY_LEN(begins); b++)
			if (strcmp(begins[b].name, tv_feature_name(f)) == 0)
				assert_int_equal(tv_indicator_start(x, ROWS), begins[b].first);
		for (size_t i = 199; i < ROWS; i++)
			is(!isnan(x[i]));
	}
}

/* Prices that never move: quotients with nothing below, and averages that are the price exactly. */
static void flat(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars all = TV_BARS_INIT;
	tv_autofeatures struct tv_features f = TV_FEATURES_INIT;
	for (int64_t i = 0; i < 300; i++) {
		struct tv_bar bar = { i * TV_DAY_SECONDS, 0.1, 0.1, 0.1, 0.1, 7 };
		ok(tv_bars_add(&all, &bar, &err));
	}
	ok(tv_features_compute(&f, &all, &err));
	for (enum tv_feature a = TV_SMA_10; a <= TV_EMA_200; a++)
		is(tv_features_values(&f, a)[299] == 0.1);
	is(tv_features_values(&f, TV_VWMA)[299] == 0.1);
	is(tv_features_values(&f, TV_HULL_MA)[299] == 0.1);
	static const enum tv_feature zero[] = { TV_RSI,		TV_STOCH_K, TV_CCI,
						TV_ADX,		TV_UO,	    TV_WILLIAMS_R,
						TV_STOCH_RSI_D, TV_MACD,    TV_ATR };
	for (size_t z = 0; z < TV_ARRAY_LEN(zero); z++)
		is(tv_features_values(&f, zero[z])[299] == 0);
	is(tv_features_values(&f, TV_RECOMMEND_MA)[299] == 0);
}

/* Prices in another unit: what is a ratio stays the same, with powers of two to the last bit. */
static void units(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars all = TV_BARS_INIT;
	tv_autofeatures struct tv_features a = TV_FEATURES_INIT, b = TV_FEATURES_INIT;
	walk(&all, ROWS, 3);
	ok(tv_features_compute(&a, &all, &err));
	for (size_t c = 0; c < TV_BARS_VALUES - 1; c++)
		for (size_t i = 0; i < all.n; i++)
			tv_bars_values(&all, c)[i] *= 0x1p-60;
	ok(tv_features_compute(&b, &all, &err));
	static const enum tv_feature ratios[] = { TV_RECOMMEND_ALL, TV_RSI,	  TV_STOCH_D,
						  TV_CCI,	    TV_ADX,	  TV_UO,
						  TV_STOCH_RSI_D,   TV_WILLIAMS_R };
	for (size_t r = 0; r < TV_ARRAY_LEN(ratios); r++)
		is(same_bits(tv_features_values(&a, ratios[r]), tv_features_values(&b, ratios[r]),
			     ROWS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(averages),   cmocka_unit_test(oscillators),
		cmocka_unit_test(trends),     cmocka_unit_test(no_later_rows),
		cmocka_unit_test(first_rows), cmocka_unit_test(flat),
		cmocka_unit_test(units),
	};
	support_parent = getpid();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
