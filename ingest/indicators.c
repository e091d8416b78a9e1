/* Averages and ranges; the oscillators are in indicators-oscillators.c. */
#include "ingest/indicators.h"

#include <math.h>

size_t tv_indicator_start(const double *x, size_t n)
{
	size_t i = 0;
	while (i < n && isnan(x[i]))
		i++;
	return i;
}

void tv_indicator_blank(double *out, size_t n, size_t end)
{
	for (size_t i = 0; i < n && i < end; i++)
		out[i] = NAN;
}

/* The first row with a full window; before it NaN is written. */
static size_t begin(const double *x, size_t n, size_t period, double *out)
{
	size_t first = tv_indicator_start(x, n) + period - 1;
	tv_indicator_blank(out, n, first);
	return first;
}

/*
 * Each window is summed anew, as differences to its last value: no error is carried from row to row,
 * and the average of equal values is exactly that value, on which "price = average" depends. The loop
 * over rows is the inner one, so that processors can do several at a time.
 */
void tv_indicator_sma(const double *restrict x, size_t n, size_t period, double *restrict out)
{
	size_t first = begin(x, n, period, out);
	for (size_t i = first; i < n; i++)
		out[i] = 0;
	for (size_t back = 1; back < period; back++)
		for (size_t i = first; i < n; i++)
			out[i] += x[i - back] - x[i];
	for (size_t i = first; i < n; i++)
		out[i] = x[i] + out[i] / (double)period;
}

void tv_indicator_ema(const double *x, size_t n, size_t period, double *out)
{
	size_t first = begin(x, n, period, out);
	double k = 2.0 / (double)(period + 1), sum = 0;
	if (first >= n)
		return;
	for (size_t back = 1; back < period; back++)
		sum += x[first - back] - x[first];
	out[first] = x[first] + sum / (double)period;
	for (size_t i = first + 1; i < n; i++)
		out[i] = (x[i] - out[i - 1]) * k + out[i - 1];
}

void tv_indicator_wma(const double *restrict x, size_t n, size_t period, double *restrict out)
{
	size_t first = begin(x, n, period, out);
	double weights = (double)period * (double)(period + 1) / 2;
	for (size_t i = first; i < n; i++)
		out[i] = 0;
	for (size_t back = 1; back < period; back++)
		for (size_t i = first; i < n; i++)
			out[i] += (double)(period - back) * (x[i - back] - x[i]);
	for (size_t i = first; i < n; i++)
		out[i] = x[i] + out[i] / weights;
}

static size_t root(size_t n)
{
	size_t r = 1;
	while ((r + 1) * (r + 1) <= n)
		r++;
	return r;
}

/* Alan Hull's definition; his are also the roundings. */
void tv_indicator_hma(const double *x, size_t n, size_t period, double *scratch, double *out)
{
	tv_indicator_wma(x, n, period > 1 ? period / 2 : 1, scratch);
	tv_indicator_wma(x, n, period, out);
	for (size_t i = 0; i < n; i++)
		scratch[i] = 2 * scratch[i] - out[i];
	tv_indicator_wma(scratch, n, root(period), out);
}

void tv_indicator_vwma(const struct tv_prices *p, size_t period, double *out)
{
	tv_indicator_blank(out, p->n, period - 1);
	for (size_t i = period - 1; i < p->n; i++) {
		double volume = 0, sum = 0;
		for (size_t back = 0; back < period; back++) {
			volume += p->volume[i - back];
			sum += (p->close[i - back] - p->close[i]) * p->volume[i - back];
		}
		out[i] = volume > 0 ? p->close[i] + sum / volume : NAN;
	}
}

void tv_indicator_highest(const double *restrict x, size_t n, size_t period, double *restrict out)
{
	size_t first = begin(x, n, period, out);
	for (size_t i = first; i < n; i++)
		out[i] = x[i];
	for (size_t back = 1; back < period; back++)
		for (size_t i = first; i < n; i++)
			out[i] = x[i - back] > out[i] ? x[i - back] : out[i];
}

void tv_indicator_lowest(const double *restrict x, size_t n, size_t period, double *restrict out)
{
	size_t first = begin(x, n, period, out);
	for (size_t i = first; i < n; i++)
		out[i] = x[i];
	for (size_t back = 1; back < period; back++)
		for (size_t i = first; i < n; i++)
			out[i] = x[i - back] < out[i] ? x[i - back] : out[i];
}

void tv_indicator_middle(const struct tv_prices *p, size_t period, double *scratch, double *out)
{
	tv_indicator_highest(p->high, p->n, period, out);
	tv_indicator_lowest(p->low, p->n, period, scratch);
	for (size_t i = 0; i < p->n; i++)
		out[i] = (out[i] + scratch[i]) / 2;
}

double tv_indicator_true_range(const struct tv_prices *p, size_t i)
{
	double before = p->close[i - 1], range = p->high[i] - p->low[i];
	double up = fabs(p->high[i] - before), down = fabs(p->low[i] - before);
	range = up > range ? up : range;
	return down > range ? down : range;
}
