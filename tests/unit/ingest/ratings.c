/* Each rule of docs/features.md, one indicator at a time: the others are missing, so the rating is its vote. */
#include <math.h>

#include "ingest/ratings.h"
#include "tests/unit/support.h"

#define ROWS 3
#define SERIES 4

struct rule {
	const char *what;
	struct {
		size_t member; /* offset in tv_rating_input */
		double values[ROWS];
	} series[SERIES];
	double vote;
};

#define OF(name) offsetof(struct tv_rating_input, name)
#define AT(name, ...)                                                                              \
	{                                                                                          \
		OF(name),                                                                          \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define LAST(name, value) AT(name, NAN, NAN, value)

static const struct rule rules[] = {
	{ "rsi low, rises", { AT(rsi, NAN, 20, 25) }, 1 },
	{ "rsi low, falls", { AT(rsi, NAN, 25, 20) }, 0 },
	{ "rsi at the bound", { AT(rsi, NAN, 20, 30) }, 0 },
	{ "rsi high, falls", { AT(rsi, NAN, 80, 75) }, -1 },
	{ "rsi at its first row", { LAST(rsi, 25) }, NAN },
	{ "stochastic low, k above", { LAST(stoch_k, 15), LAST(stoch_d, 10) }, 1 },
	{ "stochastic low, k below", { LAST(stoch_k, 10), LAST(stoch_d, 15) }, 0 },
	{ "stochastic, d not low", { LAST(stoch_k, 19), LAST(stoch_d, 20) }, 0 },
	{ "stochastic high, k below", { LAST(stoch_k, 85), LAST(stoch_d, 90) }, -1 },
	{ "cci low, rises", { AT(cci, NAN, -200, -150) }, 1 },
	{ "cci high, falls", { AT(cci, NAN, 200, 150) }, -1 },
	{ "cci between", { AT(cci, NAN, -200, -100) }, 0 },
	{ "adx rises, up", { AT(adx, NAN, 21, 25), LAST(plus_di, 30), LAST(minus_di, 10) }, 1 },
	{ "adx rises, down", { AT(adx, NAN, 21, 25), LAST(plus_di, 9), LAST(minus_di, 10) }, -1 },
	{ "adx falls", { AT(adx, NAN, 26, 25), LAST(plus_di, 30), LAST(minus_di, 10) }, 0 },
	{ "adx weak", { AT(adx, NAN, 10, 20), LAST(plus_di, 30), LAST(minus_di, 10) }, 0 },
	{ "ao crosses up", { AT(awesome, 1, 0, 2) }, 1 },
	{ "ao saucer above", { AT(awesome, 3, 1, 2) }, 1 },
	{ "ao rises above", { AT(awesome, 1, 2, 3) }, 0 },
	{ "ao crosses down", { AT(awesome, 1, 0, -2) }, -1 },
	{ "ao saucer below", { AT(awesome, -3, -1, -2) }, -1 },
	{ "ao falls below", { AT(awesome, -1, -2, -3) }, 0 },
	{ "ao before its third row", { AT(awesome, NAN, -1, 2) }, NAN },
	{ "momentum rises", { AT(momentum, NAN, -3, -2) }, 1 },
	{ "momentum falls", { AT(momentum, NAN, 3, 2) }, -1 },
	{ "momentum stays", { AT(momentum, NAN, 3, 3) }, 0 },
	{ "macd above", { LAST(macd, -1), LAST(signal, -2) }, 1 },
	{ "macd below", { LAST(macd, -3), LAST(signal, -2) }, -1 },
	{ "stoch rsi low in a fall",
	  { LAST(close, 9), LAST(trend, 10), LAST(stoch_rsi_k, 15), LAST(stoch_rsi_d, 10) },
	  1 },
	{ "stoch rsi low in a rise",
	  { LAST(close, 11), LAST(trend, 10), LAST(stoch_rsi_k, 15), LAST(stoch_rsi_d, 10) },
	  0 },
	{ "stoch rsi high in a rise",
	  { LAST(close, 11), LAST(trend, 10), LAST(stoch_rsi_k, 85), LAST(stoch_rsi_d, 90) },
	  -1 },
	{ "stoch rsi without a trend", { LAST(stoch_rsi_k, 85), LAST(stoch_rsi_d, 90) }, NAN },
	{ "williams low, rises", { AT(williams, NAN, -95, -85) }, 1 },
	{ "williams high, falls", { AT(williams, NAN, -5, -15) }, -1 },
	{ "williams between", { AT(williams, NAN, -95, -80) }, 0 },
	{ "bears fade in a rise",
	  { LAST(close, 11), LAST(trend, 10), AT(bear, NAN, -2, -1), AT(bull, NAN, 1, 1) },
	  1 },
	{ "bears fade in a fall",
	  { LAST(close, 9), LAST(trend, 10), AT(bear, NAN, -2, -1), AT(bull, NAN, 1, 1) },
	  0 },
	{ "bulls fade in a fall",
	  { LAST(close, 9), LAST(trend, 10), AT(bear, NAN, -2, -2), AT(bull, NAN, 2, 1) },
	  -1 },
	{ "uo high", { LAST(ultimate, 71) }, 1 },
	{ "uo low", { LAST(ultimate, 29) }, -1 },
	{ "uo between", { LAST(ultimate, 70) }, 0 },
	{ "nothing", { LAST(ultimate, NAN) }, NAN },
};

static const double *none(void)
{
	static const double values[100] = { [0 ... 99] = NAN };
	return values;
}

static struct tv_rating_input blank(void)
{
	struct tv_rating_input in;
	const double *p = none();
	for (size_t at = 0; at < sizeof(in); at += sizeof(p))
		memcpy((char *)&in + at, &p, sizeof(p));
	return in;
}

static bool same(double a, double b)
{
	return isnan(a) ? isnan(b) : a == b;
}

static void oscillators(void **state)
{
	(void)state;
	for (size_t r = 0; r < TV_ARRAY_LEN(rules); r++) {
		struct tv_rating_input in = blank();
		for (size_t s = 0; s < SERIES; s++) {
			const double *values = rules[r].series[s].values;
			bool given = !same(values[0], 0) || !same(values[ROWS - 1], 0);
			if (given)
				memcpy((char *)&in + rules[r].series[s].member, &values,
				       sizeof(const double *));
		}
		double got = tv_rating_oscillators(&in, ROWS - 1);
		if (!same(got, rules[r].vote))
			fail_msg("%s: %g", rules[r].what, got);
	}
}

static void averages(void **state)
{
	(void)state;
	struct tv_rating_input in = blank();
	static const double close[] = { 10 }, below[] = { 9 }, above[] = { 11 };
	is(isnan(tv_rating_averages(&in, 0)));
	in.close = close;
	in.averages[0] = below;
	is(tv_rating_averages(&in, 0) == 1);
	in.averages[13] = above;
	is(tv_rating_averages(&in, 0) == 0);
	in.averages[5] = above;
	is(fabs(tv_rating_averages(&in, 0) + 1.0 / 3) < 1e-15);
	in.averages[0] = in.averages[5] = in.averages[13] = close;
	is(tv_rating_averages(&in, 0) == 0);
}

/* The cloud of 26 rows before. */
static void ichimoku(void **state)
{
	(void)state;
	static const struct {
		double close, conversion, base, conversion_then, base_then, b, vote;
	} table[] = {
		{ 14, 13, 12, 11, 10, 9, 1 },	 { 6, 7, 8, 9, 10, 11, -1 },
		{ 13, 13, 12, 11, 10, 9, 0 },	 { 14, 12, 12, 11, 10, 9, 0 },
		{ 14, 13, 10.5, 11, 10, 9, 0 },	 { 14, 13, 12, 11, 10, 10.5, 0 },
		{ 14, 13, 12, NAN, 10, 9, NAN }, { 14, 13, 12, 11, 10, NAN, NAN },
	};
	for (size_t t = 0; t < TV_ARRAY_LEN(table); t++) {
		struct tv_rating_input in = blank();
		double close[27] = { 0 }, conversion[27] = { 0 }, base[27] = { 0 }, b[27] = { 0 };
		close[26] = table[t].close;
		conversion[26] = table[t].conversion;
		base[26] = table[t].base;
		conversion[0] = table[t].conversion_then;
		base[0] = table[t].base_then;
		b[0] = table[t].b;
		in.close = close;
		in.conversion = conversion;
		in.base = base;
		in.span_b = b;
		is(same(tv_rating_averages(&in, 26), table[t].vote));
		is(isnan(tv_rating_averages(&in, 25)));
	}
}

static void both(void **state)
{
	(void)state;
	is(tv_rating_all(0.5, -1) == -0.25);
	is(tv_rating_all(0.5, NAN) == 0.5);
	is(tv_rating_all(NAN, -1) == -1);
	is(isnan(tv_rating_all(NAN, NAN)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oscillators),
		cmocka_unit_test(averages),
		cmocka_unit_test(ichimoku),
		cmocka_unit_test(both),
	};
	support_parent = getpid();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
