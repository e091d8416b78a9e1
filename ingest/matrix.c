#include "ingest/matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/parquet.h"
#include "store/base/cleanup.h"

#define DAY_MICROSECONDS (TV_DAY_SECONDS * INT64_C(1000000))
#define ROW_GROUP 256 /* DuckDB has it in memory several times; 10 MB with 5,000 columns */
#define BLOCK 128     /* rows that DuckDB gets at a time: with 5,000 columns 5 MB */

/* Closes of one symbol. */
struct closes {
	size_t n, at;	    /* `at`: the first row that is not in the matrix yet */
	size_t loaded;	    /* rows that there were */
	const int32_t *day; /* since 1970; a calendar's */
	double *close;
};

/* Days that one symbol has, or several. */
struct calendar {
	struct calendar *next;
	size_t n;
	int32_t day[];
};

struct matrix {
	const struct tv_symbol_source *source;
	size_t *order;
	struct closes *closes;	    /* in that order */
	struct calendar *calendars; /* owned; the latest one first */
	size_t n;
	int32_t first, last; /* days */
	uint32_t *counts;    /* of each day from first to last */
	int32_t *days;	     /* the rows */
	size_t n_days, at;   /* rows, and those that are written */
	int64_t times[BLOCK];
	double *values; /* BLOCK a column */
	bool *null;
};

static void calendars_free(struct calendar *c)
{
	while (c) {
		struct calendar *next = c->next;
		free(c);
		c = next;
	}
}

static void matrix_free(struct matrix *m)
{
	for (size_t i = 0; i < m->n && m->closes; i++)
		free(m->closes[i].close);
	calendars_free(m->calendars);
	free(m->order);
	free(m->closes);
	free(m->counts);
	free(m->days);
	free(m->values);
	free(m->null);
}

/* --- days -------------------------------------------------------------------------------------- */

static int32_t day_of(const struct tv_bars *bars, size_t k)
{
	return (int32_t)(bars->timestamp[k] / TV_DAY_SECONDS);
}

static struct calendar *add_calendar(struct matrix *m, size_t n)
{
	struct calendar *c = malloc(sizeof(*c) + n * sizeof(*c->day));
	if (!c)
		return NULL;
	c->n = n;
	c->next = m->calendars;
	m->calendars = c;
	return c;
}

/* The days of bars. Neighbours often have the same ones, as those of one exchange. */
static const int32_t *days_of(struct matrix *m, const struct tv_bars *bars)
{
	struct calendar *latest = m->calendars;
	bool same = latest && latest->n == bars->n;
	for (size_t k = 0; same && k < bars->n; k++)
		same = latest->day[k] == day_of(bars, k);
	if (same)
		return latest->day;
	struct calendar *c = add_calendar(m, bars->n);
	for (size_t k = 0; c && k < bars->n; k++)
		c->day[k] = day_of(bars, k);
	return c ? c->day : NULL;
}

static int load(struct matrix *m, size_t i, struct tv_err *err)
{
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	struct closes *c = &m->closes[i];
	int r = tv_symbols_bars(m->source, m->order[i], &bars, err);
	if (r < 0 || !bars.n)
		return r;
	c->day = days_of(m, &bars);
	c->close = malloc(bars.n * sizeof(*c->close));
	if (!c->day || !c->close)
		return tv_err_nomem(err);
	c->n = c->loaded = bars.n;
	memcpy(c->close, bars.close, bars.n * sizeof(*c->close));
	if (c->day[0] < m->first)
		m->first = c->day[0];
	if (c->day[c->n - 1] > m->last)
		m->last = c->day[c->n - 1];
	return 0;
}

static uint32_t *count_of(const struct matrix *m, int32_t day)
{
	return &m->counts[day - m->first];
}

static int load_all(struct matrix *m, struct tv_err *err)
{
	int r = tv_symbols_sort(m->source, true, &m->order, err);
	if (r < 0)
		return r;
	m->n = m->source->n;
	m->first = INT32_MAX;
	m->last = INT32_MIN;
	m->closes = calloc(m->n + 1, sizeof(*m->closes));
	if (!m->closes)
		return tv_err_nomem(err);
	for (size_t i = 0; i < m->n && r == 0; i++)
		r = load(m, i, err);
	if (r < 0)
		return r;
	if (m->first > m->last)
		return tv_err_set(err, -TV_E_MISSING, "there are no bars to make a matrix of");
	m->counts = calloc((size_t)(m->last - m->first) + 1, sizeof(*m->counts));
	return m->counts ? 0 : tv_err_nomem(err);
}

/* Drops the rows of days that not all symbols have: all have one calendar then. */
static int keep_common(struct matrix *m, struct tv_err *err)
{
	size_t n_common = 0;
	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 0; k < m->closes[i].n; k++)
			(*count_of(m, m->closes[i].day[k]))++;
	for (int32_t day = m->first; day <= m->last; day++)
		n_common += *count_of(m, day) == m->n;
	struct calendar *old = m->calendars, *common = add_calendar(m, n_common);
	if (!common)
		return tv_err_nomem(err);
	n_common = 0;
	for (int32_t day = m->first; day <= m->last; day++)
		if (*count_of(m, day) == m->n)
			common->day[n_common++] = day;
	for (size_t i = 0; i < m->n; i++) {
		struct closes *c = &m->closes[i];
		size_t kept = 0;
		for (size_t k = 0; k < c->n; k++)
			if (*count_of(m, c->day[k]) == m->n)
				c->close[kept++] = c->close[k];
		c->n = kept;
		c->day = common->day;
	}
	common->next = NULL;
	calendars_free(old);
	memset(m->counts, 0, ((size_t)(m->last - m->first) + 1) * sizeof(*m->counts));
	return 0;
}

/* The return that row k >= 1 of a symbol has; NaN when there can be none. */
static double return_of(const struct closes *c, size_t k)
{
	double value = c->close[k] / c->close[k - 1] - 1;
	return isfinite(value) ? value : NAN;
}

static int no_rows(const struct matrix *m, bool inner, struct tv_err *err)
{
	const char *fewest = NULL;
	size_t least = SIZE_MAX;
	for (size_t i = 0; i < m->n; i++) {
		if (m->closes[i].loaded >= least)
			continue;
		least = m->closes[i].loaded;
		fewest = m->source->symbols[m->order[i]].symbol;
	}
	return tv_err_set(err, -TV_E_MISSING,
			  "no day has a return of %s %zu symbols (fewest bars: %zu of %s)",
			  inner ? "all" : "any of", m->n, least, fewest);
}

/* The days on which some symbol has a return, within the lookback. */
static int choose_days(struct matrix *m, const struct tv_matrix_options *options,
		       struct tv_err *err)
{
	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 1; k < m->closes[i].n; k++)
			*count_of(m, m->closes[i].day[k]) += !isnan(return_of(&m->closes[i], k));
	int32_t last = m->last;
	while (last >= m->first && *count_of(m, last) == 0)
		last--;
	if (last < m->first)
		return no_rows(m, options->alignment == TV_MATRIX_INNER, err);
	int64_t from = options->lookback ? (int64_t)last - options->lookback + 1 : m->first;
	if (from < m->first)
		from = m->first;
	m->days = malloc(((size_t)(last - from) + 1) * sizeof(*m->days));
	if (!m->days)
		return tv_err_nomem(err);
	for (int32_t day = (int32_t)from; day <= last; day++)
		if (*count_of(m, day))
			m->days[m->n_days++] = day;
	return 0;
}

/* --- rows -------------------------------------------------------------------------------------- */

/* Rows [m->at, m->at + n) of column i. */
static void give_column(struct matrix *m, size_t i, size_t n, double *values, bool *null)
{
	struct closes *c = &m->closes[i];
	for (size_t row = 0; row < n; row++) {
		int32_t day = m->days[m->at + row];
		while (c->at < c->n && c->day[c->at] < day)
			c->at++;
		bool there = c->at > 0 && c->at < c->n && c->day[c->at] == day;
		values[row] = there ? return_of(c, c->at) : NAN;
		null[row] = isnan(values[row]);
	}
}

static int more(void *arg, struct tv_duck_column *columns, size_t *n_out, struct tv_err *err)
{
	struct matrix *m = arg;
	size_t n = m->n_days - m->at < BLOCK ? m->n_days - m->at : BLOCK;
	(void)err;
	for (size_t row = 0; row < n; row++)
		m->times[row] = m->days[m->at + row] * DAY_MICROSECONDS;
	columns[0].i64 = m->times;
	for (size_t i = 0; i < m->n; i++) {
		double *values = m->values + i * BLOCK;
		bool *null = m->null + i * BLOCK;
		give_column(m, i, n, values, null);
		columns[i + 1].f64 = values;
		columns[i + 1].null = null;
	}
	m->at += n;
	*n_out = n;
	return 0;
}

static int make(struct matrix *m, const struct tv_matrix_options *options, struct tv_err *err)
{
	int r = load_all(m, err);
	if (r < 0)
		return r;
	if (options->alignment == TV_MATRIX_INNER)
		r = keep_common(m, err);
	if (r == 0)
		r = choose_days(m, options, err);
	if (r < 0)
		return r;
	m->values = malloc(m->n * BLOCK * sizeof(*m->values));
	m->null = malloc(m->n * BLOCK * sizeof(*m->null));
	return m->values && m->null ? 0 : tv_err_nomem(err);
}

/* --- files ------------------------------------------------------------------------------------- */

/* Where to: a descriptor, or dirfd and path. */
struct target {
	int fd, dirfd;
	const char *path;
};

static int write_rows(struct matrix *m, uint64_t memory_limit, const struct target *to,
		      struct tv_err *err)
{
	static const struct tv_duck_layout layout = { "timestamp", ROW_GROUP };
	const struct tv_duck_options own = { .threads = 1, .memory_limit = memory_limit };
	tv_auto(tv_duck_close_p) struct tv_duck *duck = NULL;
	tv_autofree struct tv_duck_column *columns = calloc(m->n + 1, sizeof(*columns));
	if (!columns)
		return tv_err_nomem(err);
	columns[0] = (struct tv_duck_column){ .name = "timestamp", .kind = TV_DUCK_TIMESTAMP };
	for (size_t i = 0; i < m->n; i++)
		columns[i + 1] =
			(struct tv_duck_column){ .name = m->source->symbols[m->order[i]].symbol,
						 .kind = TV_DUCK_DOUBLE };
	const struct tv_duck_feed feed = { columns, m->n + 1, more, m, ROW_GROUP };
	int r = tv_duck_open(&own, &duck, err);
	if (r == 0)
		r = tv_duck_set_feed(duck, &feed, err);
	if (r < 0)
		return r;
	if (to->path)
		return tv_parquet_save_layout(duck, TV_DUCK_FEED, &layout, to->dirfd, to->path,
					      err);
	return tv_duck_write_layout(duck, TV_DUCK_FEED, &layout, to->fd, err);
}

static int make_file(const struct tv_symbol_source *source, const struct tv_matrix_options *options,
		     const struct target *to, struct tv_err *err)
{
	static const struct tv_matrix_options usual = { TV_MATRIX_INNER, 0, 0 };
	tv_auto(matrix_free) struct matrix m = { .source = source };
	if (!options)
		options = &usual;
	int r = make(&m, options, err);
	return r < 0 ? r : write_rows(&m, options->memory_limit, to, err);
}

int tv_matrix_write(const struct tv_symbol_source *source, const struct tv_matrix_options *options,
		    int fd, struct tv_err *err)
{
	return make_file(source, options, &(struct target){ .fd = fd }, err);
}

int tv_matrix_save(const struct tv_symbol_source *source, const struct tv_matrix_options *options,
		   int dirfd, const char *path, struct tv_err *err)
{
	return make_file(source, options, &(struct target){ .dirfd = dirfd, .path = path }, err);
}
