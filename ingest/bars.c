#include "ingest/bars.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/path.h"

static double **member(struct tv_bars *bars, size_t column)
{
	double **const members[TV_BARS_VALUES] = { &bars->open, &bars->high, &bars->low,
						   &bars->close, &bars->volume };
	return members[column];
}

double *tv_bars_values(const struct tv_bars *bars, size_t column)
{
	double *const values[TV_BARS_VALUES] = { bars->open, bars->high, bars->low, bars->close,
						 bars->volume };
	return values[column];
}

const char *tv_bars_value_name(size_t column)
{
	static const char *const names[TV_BARS_VALUES] = { "open", "high", "low", "close",
							   "volume" };
	return names[column];
}

void tv_bars_free(struct tv_bars *bars)
{
	if (!bars)
		return;
	free(bars->timestamp);
	for (size_t c = 0; c < TV_BARS_VALUES; c++)
		free(*member(bars, c));
	*bars = TV_BARS_INIT;
}

int tv_bars_reserve(struct tv_bars *bars, size_t n, struct tv_err *err)
{
	if (n <= bars->cap)
		return 0;
	size_t cap = bars->cap + bars->cap / 2;
	if (cap < n)
		cap = n;
	if (cap > PTRDIFF_MAX / sizeof(double))
		return tv_err_nomem(err);
	int64_t *timestamp = reallocarray(bars->timestamp, cap, sizeof(*timestamp));
	if (!timestamp)
		return tv_err_nomem(err);
	bars->timestamp = timestamp;
	for (size_t c = 0; c < TV_BARS_VALUES; c++) {
		double **values = member(bars, c);
		double *larger = reallocarray(*values, cap, sizeof(*larger));
		if (!larger)
			return tv_err_nomem(err);
		*values = larger;
	}
	bars->cap = cap;
	return 0;
}

int tv_bars_add(struct tv_bars *bars, const struct tv_bar *bar, struct tv_err *err)
{
	int r = tv_bars_reserve(bars, bars->n + 1, err);
	if (r < 0)
		return r;
	size_t i = bars->n++;
	bars->timestamp[i] = bar->timestamp;
	bars->open[i] = bar->open;
	bars->high[i] = bar->high;
	bars->low[i] = bar->low;
	bars->close[i] = bar->close;
	bars->volume[i] = bar->volume;
	return 0;
}

int tv_bars_append(struct tv_bars *bars, const struct tv_bars *from, size_t first, size_t end,
		   struct tv_err *err)
{
	size_t n = end - first;
	int r = tv_bars_reserve(bars, bars->n + n, err);
	if (r < 0 || n == 0)
		return r;
	memcpy(bars->timestamp + bars->n, from->timestamp + first, n * sizeof(*bars->timestamp));
	for (size_t c = 0; c < TV_BARS_VALUES; c++)
		memcpy(tv_bars_values(bars, c) + bars->n, tv_bars_values(from, c) + first,
		       n * sizeof(double));
	bars->n += n;
	return 0;
}

int tv_bars_append_between(struct tv_bars *bars, const struct tv_bars *others, int64_t from,
			   int64_t last, struct tv_err *err)
{
	const int64_t *t = others->timestamp;
	int r = 0;
	for (size_t first = 0, end; first < others->n && r == 0; first = end + 1) {
		end = first;
		while (end < others->n && t[end] >= from && t[end] <= last)
			end++;
		r = tv_bars_append(bars, others, first, end, err);
	}
	return r;
}

void tv_bars_clip(struct tv_bars *bars, int64_t from, int64_t to)
{
	size_t kept = 0;
	for (size_t i = 0; i < bars->n; i++) {
		int64_t t = bars->timestamp[i];
		if (t < from || (t >= to && t - to < TV_DAY_SECONDS))
			continue;
		bars->timestamp[kept] = t;
		for (size_t c = 0; c < TV_BARS_VALUES; c++)
			tv_bars_values(bars, c)[kept] = tv_bars_values(bars, c)[i];
		kept++;
	}
	bars->n = kept;
}

struct tv_bar tv_bars_get(const struct tv_bars *bars, size_t i)
{
	return (struct tv_bar){ bars->timestamp[i], bars->open[i],  bars->high[i],
				bars->low[i],	    bars->close[i], bars->volume[i] };
}

size_t tv_bars_find(const struct tv_bars *bars, int64_t timestamp)
{
	size_t low = 0, high = bars->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (bars->timestamp[middle] < timestamp)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool tv_bars_equal(const struct tv_bars *a, const struct tv_bars *b)
{
	if (a->n != b->n)
		return false;
	if (a->n == 0)
		return true;
	bool same = memcmp(a->timestamp, b->timestamp, a->n * sizeof(*a->timestamp)) == 0;
	for (size_t c = 0; c < TV_BARS_VALUES && same; c++)
		same = memcmp(tv_bars_values(a, c), tv_bars_values(b, c), a->n * sizeof(double)) ==
		       0;
	return same;
}

int tv_bars_file_name(const char *symbol, char **out, struct tv_err *err)
{
	const char *colon = strchr(symbol, ':');
	char *name = NULL;
	if (!colon || colon == symbol || !colon[1])
		return tv_err_set(err, -EINVAL, "'%s' is not EXCHANGE:SYMBOL", symbol);
	if (asprintf(&name, "%.*s_%s_1d.parquet", (int)(colon - symbol), symbol, colon + 1) < 0)
		return tv_err_nomem(err);
	if (!tv_name_ok(name, strlen(name)) || tv_name_reserved(name, strlen(name)) ||
	    strchr(colon + 1, ':') || name[0] == '.') {
		free(name);
		return tv_err_set(err, -EINVAL, "'%s' does not make a file's name", symbol);
	}
	*out = name;
	return 0;
}
