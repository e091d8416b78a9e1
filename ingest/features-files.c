/* Features of many symbols as files: DuckDB pulls one symbol's rows after the other. */
#include "ingest/features.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/parquet.h"
#include "store/base/cleanup.h"

#define MICROSECONDS INT64_C(1000000)
#define COLUMNS (TV_FEATURES + 3) /* symbol, timestamp, sector; the technicals lack the last */

/* A file in the making. Arrays have room for the rows of the symbol that is under way. */
struct making {
	const struct tv_symbol_source *source;
	bool sectors;
	size_t last; /* rows of a symbol; 0: all */
	size_t *order, at;
	size_t cap;
	struct tv_features features;
	int64_t *times;
	struct tv_duck_string *symbols, *sector;
	bool *no_sector, *null[TV_FEATURES];
};

static void making_free(struct making *m)
{
	tv_features_free(&m->features);
	free(m->order);
	free(m->times);
	free(m->symbols);
	free(m->sector);
	free(m->no_sector);
	for (size_t f = 0; f < TV_FEATURES; f++)
		free(m->null[f]);
}

static bool grow(void *array, size_t n, size_t size)
{
	void **p = array;
	void *larger = reallocarray(*p, n, size);
	if (larger)
		*p = larger;
	return larger != NULL;
}

static int reserve(struct making *m, size_t n, struct tv_err *err)
{
	if (n <= m->cap)
		return 0;
	bool good = grow(&m->times, n, sizeof(*m->times)) &&
		    grow(&m->symbols, n, sizeof(*m->symbols)) &&
		    grow(&m->sector, n, sizeof(*m->sector)) &&
		    grow(&m->no_sector, n, sizeof(*m->no_sector));
	for (size_t f = 0; f < TV_FEATURES && good; f++)
		good = grow(&m->null[f], n, sizeof(bool));
	if (!good)
		return tv_err_nomem(err);
	m->cap = n;
	return 0;
}

static void give_keys(struct making *m, const struct tv_symbol *symbol, const struct tv_bars *bars,
		      size_t first, struct tv_duck_column *columns)
{
	const char *sector = symbol->sector ? symbol->sector : "";
	struct tv_duck_string name = { symbol->symbol, strlen(symbol->symbol) };
	for (size_t i = 0; i + first < bars->n; i++) {
		m->times[i] = bars->timestamp[first + i] * MICROSECONDS;
		m->symbols[i] = name;
		m->sector[i] = (struct tv_duck_string){ sector, strlen(sector) };
		m->no_sector[i] = !symbol->sector;
	}
	columns[0].text = m->symbols;
	columns[1].i64 = m->times;
	if (!m->sectors)
		return;
	columns[2].text = m->sector;
	columns[2].null = m->no_sector;
}

/* What is not finite is not there. */
static void give_values(struct making *m, size_t first, struct tv_duck_column *columns)
{
	for (size_t f = 0; f < TV_FEATURES; f++) {
		const double *values = tv_features_values(&m->features, f) + first;
		for (size_t i = 0; i + first < m->features.n; i++)
			m->null[f][i] = !isfinite(values[i]);
		columns[f].f64 = values;
		columns[f].null = m->null[f];
	}
}

static int more(void *arg, struct tv_duck_column *columns, size_t *n_out, struct tv_err *err)
{
	struct making *m = arg;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	const struct tv_symbol *symbol = NULL;
	while (m->at < m->source->n && bars.n == 0) {
		size_t number = m->order[m->at++];
		tv_bars_free(&bars);
		symbol = &m->source->symbols[number];
		int r = tv_symbols_bars(m->source, number, &bars, err);
		if (r < 0)
			return r;
	}
	size_t first = m->last && m->last < bars.n ? bars.n - m->last : 0;
	*n_out = bars.n - first;
	if (!bars.n)
		return 0;
	int r = reserve(m, bars.n, err);
	if (r == 0)
		r = tv_features_compute(&m->features, &bars, err);
	if (r < 0)
		return r;
	give_keys(m, symbol, &bars, first, columns);
	give_values(m, first, columns + (m->sectors ? 3 : 2));
	return 0;
}

static size_t name_columns(bool sectors, struct tv_duck_column columns[COLUMNS])
{
	size_t n = 0;
	columns[n++] = (struct tv_duck_column){ .name = "symbol", .kind = TV_DUCK_TEXT };
	columns[n++] = (struct tv_duck_column){ .name = "timestamp", .kind = TV_DUCK_TIMESTAMP };
	if (sectors)
		columns[n++] = (struct tv_duck_column){ .name = "sector", .kind = TV_DUCK_TEXT };
	for (size_t f = 0; f < TV_FEATURES; f++)
		columns[n++] = (struct tv_duck_column){ .name = tv_feature_name(f),
							.kind = TV_DUCK_DOUBLE };
	return n;
}

/* Where to: a descriptor, or dirfd and path. */
struct target {
	int fd, dirfd;
	const char *path;
};

static int write_rows(struct tv_duck *duck, struct making *m, const struct target *to,
		      struct tv_err *err)
{
	struct tv_duck_column columns[COLUMNS];
	struct tv_duck_feed feed = { columns, name_columns(m->sectors, columns), more, m, 0 };
	int r = tv_duck_set_feed(duck, &feed, err);
	if (r < 0)
		return r;
	r = to->path ? tv_parquet_save(duck, TV_DUCK_FEED, to->dirfd, to->path, err)
		     : tv_duck_write_parquet(duck, TV_DUCK_FEED, to->fd, err);
	tv_duck_set_feed(duck, NULL, NULL);
	return r;
}

/* A symbol that has bars is looked for first: nothing is written where there is none. */
static int has_bars(struct making *m, struct tv_err *err)
{
	for (m->at = 0; m->at < m->source->n; m->at++) {
		tv_autobars struct tv_bars bars = TV_BARS_INIT;
		int r = tv_symbols_bars(m->source, m->order[m->at], &bars, err);
		if (r < 0 || bars.n)
			return r;
	}
	return tv_err_set(err, -TV_E_MISSING, "there are no bars to make features of");
}

static int make(const struct tv_symbol_source *source, const struct tv_features_options *options,
		bool sectors, const struct target *to, struct tv_err *err)
{
	tv_auto(making_free) struct making m = { .source = source, .sectors = sectors };
	tv_auto(tv_duck_close_p) struct tv_duck *duck = NULL;
	struct tv_duck_options own = { .threads = 1 };
	if (options) {
		m.last = sectors ? options->last : 0;
		own.memory_limit = options->memory_limit;
	}
	int r = tv_symbols_sort(source, false, &m.order, err);
	if (r == 0)
		r = has_bars(&m, err);
	if (r == 0)
		r = tv_duck_open(&own, &duck, err);
	if (r == 0)
		r = write_rows(duck, &m, to, err);
	return r;
}

int tv_technicals_write(const struct tv_symbol_source *source,
			const struct tv_features_options *options, int fd, struct tv_err *err)
{
	return make(source, options, false, &(struct target){ .fd = fd }, err);
}

int tv_features_matrix_write(const struct tv_symbol_source *source,
			     const struct tv_features_options *options, int fd, struct tv_err *err)
{
	return make(source, options, true, &(struct target){ .fd = fd }, err);
}

int tv_technicals_save(const struct tv_symbol_source *source,
		       const struct tv_features_options *options, int dirfd, const char *path,
		       struct tv_err *err)
{
	return make(source, options, false, &(struct target){ .dirfd = dirfd, .path = path }, err);
}

int tv_features_matrix_save(const struct tv_symbol_source *source,
			    const struct tv_features_options *options, int dirfd, const char *path,
			    struct tv_err *err)
{
	return make(source, options, true, &(struct target){ .dirfd = dirfd, .path = path }, err);
}
