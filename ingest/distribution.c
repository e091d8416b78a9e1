#include "ingest/distribution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double tv_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return n % 2 ? values[n / 2] : values[n / 2 - 1] / 2 + values[n / 2] / 2;
}

double tv_deviation(double *values, size_t n)
{
	double median = tv_median(values, n);
	for (size_t i = 0; i < n; i++)
		values[i] = fabs(values[i] - median);
	return tv_median(values, n);
}

double tv_ks_distance(double *a, size_t n_a, double *b, size_t n_b)
{
	double most = 0;
	size_t i = 0, k = 0;
	qsort(a, n_a, sizeof(*a), by_value);
	qsort(b, n_b, sizeof(*b), by_value);
	while (i < n_a && k < n_b) {
		/* equal values are one step of both */
		double at = a[i] < b[k] ? a[i] : b[k];
		while (i < n_a && a[i] == at)
			i++;
		while (k < n_b && b[k] == at)
			k++;
		most = fmax(most, fabs((double)i / (double)n_a - (double)k / (double)n_b));
	}
	return most;
}

/* N. Smirnov, Table for estimating the goodness of fit of empirical distributions, 1948: the first term of
 * the series for large samples. */
double tv_ks_critical(double chance, size_t n_a, size_t n_b)
{
	double a = (double)n_a, b = (double)n_b;
	return sqrt(-log(chance / 2) / 2) * sqrt((a + b) / (a * b));
}

static bool is_price(double v)
{
	return v > 0 && isfinite(v);
}

/* The last returns of rows before `end`, at most `most`; *first is the row of the earliest of them. */
static size_t last_returns(const struct tv_bars *bars, size_t end, size_t most, double *out,
			   size_t *first)
{
	size_t n = 0;
	*first = end;
	for (size_t later = end, i = end; i-- > 0 && n < most;) {
		if (!is_price(bars->close[i]))
			continue;
		if (later < end) {
			out[n++] = log(bars->close[later] / bars->close[i]);
			*first = later;
		}
		later = i;
	}
	return n;
}

void tv_returns_compare(const struct tv_bars *now, const struct tv_bars *before,
			struct tv_returns_shift *out)
{
	double a[TV_RETURNS_NOW], b[TV_RETURNS_BEFORE];
	double sorted_a[TV_RETURNS_NOW], sorted_b[TV_RETURNS_BEFORE];
	size_t first, ignored;
	*out = (struct tv_returns_shift){ .judged = false };
	size_t n_a = last_returns(now, now->n, TV_RETURNS_NOW, a, &first);
	if (n_a < TV_RETURNS_NOW)
		return;
	size_t end = tv_bars_find(before, now->timestamp[first]);
	size_t n_b = last_returns(before, end, TV_RETURNS_BEFORE, b, &ignored);
	if (n_b < TV_RETURNS_BEFORE_MIN)
		return;
	memcpy(sorted_a, a, sizeof(a));
	memcpy(sorted_b, b, sizeof(b));
	double scale_a = tv_deviation(sorted_a, n_a), scale_b = tv_deviation(sorted_b, n_b);
	if (scale_b == 0)
		return;
	*out = (struct tv_returns_shift){
		.n_now = n_a,
		.n_before = n_b,
		.scale_now = scale_a,
		.scale_before = scale_b,
		.distance = tv_ks_distance(a, n_a, b, n_b),
		.critical = tv_ks_critical(TV_RETURNS_CHANCE, n_a, n_b),
		.judged = true,
	};
	bool scaled = scale_a > TV_RETURNS_RATIO * scale_b || scale_a * TV_RETURNS_RATIO < scale_b;
	out->shifted = scaled && out->distance > out->critical;
}
