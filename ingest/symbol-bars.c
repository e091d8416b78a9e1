#include "ingest/symbol-bars.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <string.h>

#include "store/base/cleanup.h"

#define DAYS_MAX 3000000 /* on either side of 1970: what a timestamp in nanoseconds is far from */

struct named {
	const char *name;
	size_t number;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int by_name_in_any_case(const void *a, const void *b)
{
	return strcasecmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Sorts, too. */
static int check_names(struct named *names, size_t n, int (*order)(const void *, const void *),
		       struct tv_err *err)
{
	qsort(names, n, sizeof(*names), order);
	for (size_t i = 1; i < n; i++)
		if (order(&names[i - 1], &names[i]) == 0)
			return tv_err_set(err, -EINVAL, "the symbols '%s' and '%s' are the same",
					  names[i - 1].name, names[i].name);
	return 0;
}

int tv_symbols_sort(const struct tv_symbol_source *source, bool columns, size_t **out,
		    struct tv_err *err)
{
	tv_autofree struct named *names = calloc(source->n + 1, sizeof(*names));
	tv_autofree size_t *order = calloc(source->n + 1, sizeof(*order));
	int r = 0;
	if (!names || !order)
		return tv_err_nomem(err);
	for (size_t i = 0; i < source->n; i++)
		names[i] = (struct named){ source->symbols[i].symbol, i };
	if (columns)
		r = check_names(names, source->n, by_name_in_any_case, err);
	if (r == 0)
		r = check_names(names, source->n, by_name, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < source->n; i++)
		order[i] = names[i].number;
	*out = tv_steal_ptr(&order);
	return 0;
}

static int check_times(const char *symbol, const struct tv_bars *bars, struct tv_err *err)
{
	for (size_t i = 0; i < bars->n; i++) {
		int64_t t = bars->timestamp[i];
		const char *what = NULL;
		if (i && t <= bars->timestamp[i - 1])
			what = "it is not later than the bar before";
		else if (t % TV_DAY_SECONDS)
			what = "it does not begin with a day";
		else if (t / TV_DAY_SECONDS > DAYS_MAX || t / TV_DAY_SECONDS < -DAYS_MAX)
			what = "its time is no day of this age";
		if (what)
			return tv_err_set(err, -TV_E_GATE, "%s, bar %zu (%lld): %s", symbol, i,
					  (long long)t, what);
	}
	return 0;
}

int tv_symbols_bars(const struct tv_symbol_source *source, size_t i, struct tv_bars *out,
		    struct tv_err *err)
{
	const char *symbol = source->symbols[i].symbol;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	int r = source->bars(source->arg, i, &bars, err);
	if (r < 0)
		return tv_err_wrap(err, r, "%s", symbol);
	r = check_times(symbol, &bars, err);
	if (r < 0)
		return r;
	*out = bars;
	bars = TV_BARS_INIT;
	return 0;
}
