/* Oscillators, and Wilder's smoothed ranges (J. W. Wilder, New Concepts in Technical Trading Systems). */
#include "ingest/indicators.h"

#include <math.h>
#include <stdbool.h>

void tv_indicator_momentum(const double *x, size_t n, size_t period, double *out)
{
	size_t first = tv_indicator_start(x, n) + period;
	tv_indicator_blank(out, n, first);
	for (size_t i = first; i < n; i++)
		out[i] = x[i] - x[i - period];
}

/*
 * Means of the first `period` changes, then Wilder's smoothing. It multiplies by 1 / period, as TA-Lib's
 * packages are compiled to do: the stochastic of this magnifies last bits while prices hardly move.
 */
void tv_indicator_rsi(const double *x, size_t n, size_t period, double *out)
{
	size_t start = tv_indicator_start(x, n);
	double gain = 0, loss = 0, steps = (double)period, part = 1 / steps;
	tv_indicator_blank(out, n, start + period);
	for (size_t i = start + 1; i < n; i++) {
		double change = x[i] - x[i - 1];
		bool smooth = i > start + period;
		gain = (smooth ? gain * (steps - 1) : gain) + (change > 0 ? change : 0);
		loss = (smooth ? loss * (steps - 1) : loss) - (change < 0 ? change : 0);
		if (i < start + period)
			continue;
		gain *= part;
		loss *= part;
		out[i] = gain + loss > 0 ? 100 * (gain / (gain + loss)) : 0;
	}
}

/* Whether a range is nothing but rounding errors of its ends. The bound is that of TA-Lib 0.8. */
static bool no_range(double high, double low)
{
	return fabs(high - low) <= 1e-14 * (fabs(high) + fabs(low));
}

/* Per cent of the way from low to high; out may be any of them. */
static void place(const double *x, const double *low, const double *high, size_t n, double *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = no_range(high[i], low[i]) ? 0
						   : (x[i] - low[i]) / ((high[i] - low[i]) / 100);
}

void tv_indicator_fast_k(const struct tv_prices *p, size_t period, double *scratch, double *out)
{
	tv_indicator_highest(p->high, p->n, period, out);
	tv_indicator_lowest(p->low, p->n, period, scratch);
	place(p->close, scratch, out, p->n, out);
}

void tv_indicator_stochastic(const struct tv_prices *p, size_t period, size_t slow, double *scratch,
			     double *k, double *d)
{
	tv_indicator_fast_k(p, period, scratch, d);
	tv_indicator_sma(d, p->n, slow, k);
	tv_indicator_sma(k, p->n, slow, d);
	tv_indicator_blank(k, p->n, tv_indicator_start(d, p->n));
}

void tv_indicator_stoch_rsi(const double *x, size_t n, size_t period, size_t range, size_t slow,
			    double *scratch, double *k, double *d)
{
	tv_indicator_rsi(x, n, period, scratch);
	tv_indicator_highest(scratch, n, range, k);
	tv_indicator_lowest(scratch, n, range, d);
	place(scratch, d, k, n, scratch);
	tv_indicator_sma(scratch, n, slow, k);
	tv_indicator_sma(k, n, slow, d);
}

void tv_indicator_williams(const struct tv_prices *p, size_t period, double *scratch, double *out)
{
	tv_indicator_highest(p->high, p->n, period, out);
	tv_indicator_lowest(p->low, p->n, period, scratch);
	for (size_t i = 0; i < p->n; i++)
		out[i] = no_range(out[i], scratch[i])
				 ? 0
				 : (p->close[i] - out[i]) / ((out[i] - scratch[i]) / 100);
}

/* Distance of the typical price from its mean, in 0.015 of its mean deviations (D. Lambert). */
void tv_indicator_cci(const struct tv_prices *p, size_t period, double *scratch, double *out)
{
	for (size_t i = 0; i < p->n; i++)
		scratch[i] = (p->high[i] + p->low[i] + p->close[i]) / 3;
	tv_indicator_sma(scratch, p->n, period, out);
	for (size_t i = period - 1; i < p->n; i++) {
		double deviation = 0, away = scratch[i] - out[i];
		for (size_t back = 0; back < period; back++)
			deviation += fabs(scratch[i - back] - out[i]);
		deviation *= 0.015 / (double)period;
		out[i] = deviation > 0 ? away / deviation : 0;
	}
}

void tv_indicator_awesome(const struct tv_prices *p, size_t fast, size_t slow, double *scratch,
			  double *out)
{
	double *other = scratch + p->n;
	for (size_t i = 0; i < p->n; i++)
		scratch[i] = (p->high[i] + p->low[i]) / 2;
	tv_indicator_sma(scratch, p->n, fast, out);
	tv_indicator_sma(scratch, p->n, slow, other);
	for (size_t i = 0; i < p->n; i++)
		out[i] -= other[i];
}

void tv_indicator_macd(const double *x, size_t n, size_t fast, size_t slow, size_t signal,
		       double *scratch, double *macd, double *signal_out)
{
	size_t start = tv_indicator_start(x, n), late = start + slow - fast;
	tv_indicator_blank(scratch, n, late);
	if (late < n)
		tv_indicator_ema(x + late, n - late, fast, scratch + late);
	tv_indicator_ema(x, n, slow, macd);
	for (size_t i = 0; i < n; i++)
		macd[i] = scratch[i] - macd[i];
	tv_indicator_ema(macd, n, signal, signal_out);
	tv_indicator_blank(macd, n, tv_indicator_start(signal_out, n));
}

/* Buying pressure in three windows, the short one counting most (L. Williams). */
void tv_indicator_ultimate(const struct tv_prices *p, const size_t periods[3], double *scratch,
			   double *out)
{
	static const double weights[3] = { 4, 2, 1 };
	double *pressures = scratch, *ranges = scratch + p->n;
	for (size_t i = 1; i < p->n; i++) {
		double before = p->close[i - 1];
		pressures[i] = p->close[i] - (p->low[i] < before ? p->low[i] : before);
		ranges[i] = tv_indicator_true_range(p, i);
	}
	tv_indicator_blank(out, p->n, periods[2]);
	for (size_t i = periods[2]; i < p->n; i++) {
		double pressure = 0, range = 0, sum = 0;
		size_t back = 0;
		for (size_t w = 0; w < 3; w++) {
			for (; back < periods[w]; back++) {
				pressure += pressures[i - back];
				range += ranges[i - back];
			}
			sum += range > 0 ? weights[w] * (pressure / range) : 0;
		}
		out[i] = 100 * (sum / 7);
	}
}

void tv_indicator_power(const struct tv_prices *p, size_t period, double *bull, double *bear)
{
	tv_indicator_ema(p->close, p->n, period, bull);
	for (size_t i = 0; i < p->n; i++) {
		bear[i] = p->low[i] - bull[i];
		bull[i] = p->high[i] - bull[i];
	}
}

void tv_indicator_atr(const struct tv_prices *p, size_t period, double *out)
{
	double range = 0, steps = (double)period;
	tv_indicator_blank(out, p->n, period);
	for (size_t i = 1; i < p->n; i++) {
		range = (i > period ? range * (steps - 1) : range) + tv_indicator_true_range(p, i);
		if (i < period)
			continue;
		range /= steps;
		out[i] = range;
	}
}

/* Sums that Wilder smooths: movements up and down, and true ranges. */
struct movement {
	double up, down, range;
};

static void move(struct movement *m, const struct tv_prices *p, size_t i, size_t period)
{
	double up = p->high[i] - p->high[i - 1], down = p->low[i - 1] - p->low[i];
	double drop = i >= period ? 1 / (double)period : 0;
	m->up -= m->up * drop;
	m->down -= m->down * drop;
	m->range -= m->range * drop;
	if (down > 0 && down > up)
		m->down += down;
	else if (up > 0 && up > down)
		m->up += up;
	m->range += tv_indicator_true_range(p, i);
}

void tv_indicator_adx(const struct tv_prices *p, size_t period, double *plus, double *minus,
		      double *adx)
{
	struct movement m = { 0, 0, 0 };
	double mean = 0, steps = (double)period;
	tv_indicator_blank(plus, p->n, period);
	tv_indicator_blank(minus, p->n, period);
	tv_indicator_blank(adx, p->n, 2 * period - 1);
	for (size_t i = 1; i < p->n; i++) {
		move(&m, p, i, period);
		if (i < period)
			continue;
		plus[i] = m.range > 0 ? 100 * (m.up / m.range) : 0;
		minus[i] = m.range > 0 ? 100 * (m.down / m.range) : 0;
		double both = plus[i] + minus[i];
		double index = both > 0 ? 100 * (fabs(minus[i] - plus[i]) / both) : 0;
		if (i < 2 * period)
			mean += index / steps;
		else if (both > 0)
			mean = (mean * (steps - 1) + index) / steps;
		if (i >= 2 * period - 1)
			adx[i] = mean;
	}
}
