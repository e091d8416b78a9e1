/*
 * Technical indicators: pure functions over arrays, one value a row. Formulas, and where each begins,
 * are in docs/features.md; where TA-Lib (ta-lib.org) has a function of the name, its values are the
 * same to 1e-9.
 *
 * Row i of an output depends on rows 0 to i of the inputs and on no later one. Before the first row
 * that has a value stands NaN. An input that begins with NaN counts from its first number on, so the
 * functions can be chained; other values have to be finite. No function fails, allocates or keeps
 * anything. A period is at least 1; `out` and `scratch` (n values) overlap with nothing else.
 */
#ifndef TV_INGEST_INDICATORS_H
#define TV_INGEST_INDICATORS_H

#include <stddef.h>

struct tv_prices {
	size_t n;
	const double *high, *low, *close, *volume;
};

/* --- averages and ranges ----------------------------------------------------------------------- */

/* Simple, exponential (seeded with the simple one of the first window) and linearly weighted. */
void tv_indicator_sma(const double *x, size_t n, size_t period, double *out);
void tv_indicator_ema(const double *x, size_t n, size_t period, double *out);
void tv_indicator_wma(const double *x, size_t n, size_t period, double *out);

/* Hull: wma(2 wma(x, period / 2) - wma(x, period), sqrt(period)), both rounded down. */
void tv_indicator_hma(const double *x, size_t n, size_t period, double *scratch, double *out);

/* Closes weighted by volume; NaN where nothing was traded in the window. */
void tv_indicator_vwma(const struct tv_prices *p, size_t period, double *out);

/* The largest and smallest of a window. */
void tv_indicator_highest(const double *x, size_t n, size_t period, double *out);
void tv_indicator_lowest(const double *x, size_t n, size_t period, double *out);

/* Half way between highest high and lowest low: the lines of Ichimoku's cloud. */
void tv_indicator_middle(const struct tv_prices *p, size_t period, double *scratch, double *out);

/* --- oscillators ------------------------------------------------------------------------------- */

/* x less what it was `period` rows before. */
void tv_indicator_momentum(const double *x, size_t n, size_t period, double *out);

void tv_indicator_rsi(const double *x, size_t n, size_t period, double *out);

/* Where close is between lowest low (0) and highest high (100); 0 when they are equal. */
void tv_indicator_fast_k(const struct tv_prices *p, size_t period, double *scratch, double *out);

/* Slow stochastic: k = sma(fast k, slow), d = sma(k, slow); both from the first row of d on. */
void tv_indicator_stochastic(const struct tv_prices *p, size_t period, size_t slow, double *scratch,
			     double *k, double *d);

/* The same of rsi(x, period) within its own range of `range` rows: k = sma(fast k, slow), d = sma(k, slow). */
void tv_indicator_stoch_rsi(const double *x, size_t n, size_t period, size_t range, size_t slow,
			    double *scratch, double *k, double *d);

/* -100 to 0; 0 where highest high and lowest low are equal. */
void tv_indicator_williams(const struct tv_prices *p, size_t period, double *scratch, double *out);

void tv_indicator_cci(const struct tv_prices *p, size_t period, double *scratch, double *out);

/* sma(middle of high and low, fast) - sma(the same, slow); scratch has 2 n values. */
void tv_indicator_awesome(const struct tv_prices *p, size_t fast, size_t slow, double *scratch,
			  double *out);

/* The fast average begins with the slow one. Both outputs begin where the signal does. */
void tv_indicator_macd(const double *x, size_t n, size_t fast, size_t slow, size_t signal,
		       double *scratch, double *macd, double *signal_out);

/* Periods ascend; scratch has 2 n values. */
void tv_indicator_ultimate(const struct tv_prices *p, const size_t periods[3], double *scratch,
			   double *out);

/* high, or low, less ema(close, period). */
void tv_indicator_power(const struct tv_prices *p, size_t period, double *bull, double *bear);

/* --- trend and range --------------------------------------------------------------------------- */

/* Wilder's average true range. */
void tv_indicator_atr(const struct tv_prices *p, size_t period, double *out);

/* Wilder's +DI, -DI and ADX. */
void tv_indicator_adx(const struct tv_prices *p, size_t period, double *plus, double *minus,
		      double *adx);

/* --- for those who write more ------------------------------------------------------------------ */

/* How many NaN x begins with. */
size_t tv_indicator_start(const double *x, size_t n);

/* NaN in the first `end` values, of n in all. */
void tv_indicator_blank(double *out, size_t n, size_t end);

/* The true range of row i >= 1. */
double tv_indicator_true_range(const struct tv_prices *p, size_t i);

#endif
