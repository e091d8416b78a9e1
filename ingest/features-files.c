/* Features of many symbols as files: DuckDB pulls one symbol's rows after the other. */
#include "ingest/features.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/parquet.h"
#include "store/base/cleanup.h"

#define MICROSECONDS INT64_C(1000000)
#define COLUMNS (TV_FEATURES + 3) /* symbol, timestamp, sector; the technicals lack the last */

/* Where to: a descriptor, or dirfd and path. */
struct target {
	int fd, dirfd;
	const char *path;
};

struct making;

/* One of the files in the making, and who pulls its rows. */
struct side {
	struct making *making;
	bool sectors;
	size_t last; /* rows of a symbol; 0: all */
	const struct target *to;
	uint64_t memory_limit;
	bool live;   /* it will ask for more */
	bool asks;   /* it has done with the symbol under way */
	size_t seen; /* symbols */
	pthread_t thread;
	int r;
	struct tv_err err;
};

/*
 * The symbol that is under way, for one file or both: the last side that asks for the next one makes it, in
 * its own thread, while the other waits. Arrays have room for its rows and stay until all have asked.
 */
struct making {
	const struct tv_symbol_source *source;
	size_t *order, at;
	pthread_mutex_t lock; /* all below, and the source */
	pthread_cond_t made_one;
	struct side sides[2];
	size_t n_sides, made;
	bool ended;
	int r; /* why all ends */
	struct tv_err err;
	size_t cap;
	struct tv_features features;
	int64_t *times;
	struct tv_duck_string *symbols, *sector;
	bool *no_sector, *null[TV_FEATURES];
};

static void making_free(struct making *m)
{
	tv_features_free(&m->features);
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->made_one);
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

/* --- a symbol ---------------------------------------------------------------------------------- */

/* What both files have of it. What is not finite is not there. */
static void describe(struct making *m, const struct tv_symbol *symbol, const struct tv_bars *bars)
{
	const char *sector = symbol->sector ? symbol->sector : "";
	const struct tv_duck_string name = { symbol->symbol, strlen(symbol->symbol) };
	const struct tv_duck_string text = { sector, strlen(sector) };
	for (size_t i = 0; i < bars->n; i++) {
		m->times[i] = bars->timestamp[i] * MICROSECONDS;
		m->symbols[i] = name;
		m->sector[i] = text;
		m->no_sector[i] = !symbol->sector;
	}
	for (size_t f = 0; f < TV_FEATURES; f++) {
		const double *values = tv_features_values(&m->features, f);
		for (size_t i = 0; i < bars->n; i++)
			m->null[f][i] = !isfinite(values[i]);
	}
}

/* Makes the next symbol that has bars, or finds that there is none. */
static int make_next(struct making *m, struct tv_err *err)
{
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
	m->ended = !bars.n;
	if (m->ended)
		return 0;
	int r = reserve(m, bars.n, err);
	if (r == 0)
		r = tv_features_compute(&m->features, &bars, err);
	if (r < 0)
		return r;
	describe(m, symbol, &bars);
	m->made++;
	return 0;
}

/* --- its rows for a file ----------------------------------------------------------------------- */

/* Under the lock: nobody uses the symbol under way any more. */
static bool all_ask(const struct making *m)
{
	for (size_t i = 0; i < m->n_sides; i++)
		if (m->sides[i].live && !m->sides[i].asks)
			return false;
	return true;
}

static void advance(struct making *m)
{
	m->r = make_next(m, &m->err);
	for (size_t i = 0; i < m->n_sides; i++)
		m->sides[i].asks = false;
	pthread_cond_broadcast(&m->made_one);
}

/* A symbol that this side has not seen. */
static int wait_for_one(struct side *side, struct tv_err *err)
{
	struct making *m = side->making;
	pthread_mutex_lock(&m->lock);
	side->asks = true;
	while (side->seen == m->made && !m->ended && !m->r) {
		if (all_ask(m))
			advance(m);
		else
			pthread_cond_wait(&m->made_one, &m->lock);
	}
	side->asks = false;
	int r = m->r < 0 ? tv_err_set(err, m->r, "%s", m->err.text) : 0;
	bool none = side->seen == m->made;
	side->seen = m->made;
	pthread_mutex_unlock(&m->lock);
	return r < 0 ? r : !none;
}

static int more(void *arg, struct tv_duck_column *columns, size_t *n_out, struct tv_err *err)
{
	struct side *side = arg;
	const struct making *m = side->making;
	int r = wait_for_one(side, err);
	if (r <= 0) {
		*n_out = 0;
		return r;
	}
	size_t n = m->features.n, first = side->last && side->last < n ? n - side->last : 0;
	*n_out = n - first;
	columns++->text = m->symbols + first;
	columns++->i64 = m->times + first;
	if (side->sectors) {
		columns->text = m->sector + first;
		columns++->null = m->no_sector + first;
	}
	for (size_t f = 0; f < TV_FEATURES; f++) {
		columns[f].f64 = tv_features_values(&m->features, f) + first;
		columns[f].null = m->null[f] + first;
	}
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

/* --- files ------------------------------------------------------------------------------------- */

static int write_side(struct side *side, struct tv_err *err)
{
	const struct tv_duck_options own = { .threads = 1, .memory_limit = side->memory_limit };
	tv_auto(tv_duck_close_p) struct tv_duck *duck = NULL;
	struct tv_duck_column columns[COLUMNS];
	struct tv_duck_feed feed = { columns, name_columns(side->sectors, columns), more, side, 0 };
	int r = tv_duck_open(&own, &duck, err);
	if (r == 0)
		r = tv_duck_set_feed(duck, &feed, err);
	if (r < 0)
		return r;
	return side->to->path
		       ? tv_parquet_save(duck, TV_DUCK_FEED, side->to->dirfd, side->to->path, err)
		       : tv_duck_write_parquet(duck, TV_DUCK_FEED, side->to->fd, err);
}

/* The other side does not wait for one that has ended; one that failed ends all. */
static void *run_side(void *arg)
{
	struct side *side = arg;
	struct making *m = side->making;
	side->r = write_side(side, &side->err);
	pthread_mutex_lock(&m->lock);
	side->live = false;
	if (side->r < 0 && m->r == 0)
		m->r = tv_err_set(&m->err, side->r, "%s", side->err.text);
	pthread_cond_broadcast(&m->made_one);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* The second file in a thread of its own, which leaves signals to the others. */
static int run_all(struct making *m, struct tv_err *err)
{
	sigset_t all, before;
	int r = 0;
	sigfillset(&all);
	for (size_t i = 1; i < m->n_sides && r == 0; i++) {
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(&m->sides[i].thread, NULL, run_side, &m->sides[i]);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (r < 0)
			return tv_err_sys(err, r, "cannot start a thread that writes");
	}
	run_side(&m->sides[0]);
	for (size_t i = 1; i < m->n_sides; i++)
		pthread_join(m->sides[i].thread, NULL);
	for (size_t i = 0; i < m->n_sides && r == 0; i++)
		if (m->sides[i].r < 0)
			r = tv_err_set(err, m->sides[i].r, "%s", m->sides[i].err.text);
	return r;
}

/* The first symbol is made before any file is begun: nothing is written where there is none. */
static int make(struct making *m, const struct tv_symbol_source *source, struct tv_err *err)
{
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->made_one, NULL);
	m->source = source;
	m->err = TV_ERR_INIT;
	int r = tv_symbols_sort(source, false, &m->order, err);
	if (r == 0)
		r = make_next(m, err);
	if (r == 0 && m->ended)
		r = tv_err_set(err, -TV_E_MISSING, "there are no bars to make features of");
	return r < 0 ? r : run_all(m, err);
}

static void add_side(struct making *m, const struct tv_features_options *options, bool sectors,
		     const struct target *to)
{
	m->sides[m->n_sides++] = (struct side){
		.making = m,
		.sectors = sectors,
		.last = sectors && options ? options->last : 0,
		.memory_limit = options ? options->memory_limit : 0,
		.to = to,
		.live = true,
		.err = TV_ERR_INIT,
	};
}

static int make_one(const struct tv_symbol_source *source,
		    const struct tv_features_options *options, bool sectors,
		    const struct target *to, struct tv_err *err)
{
	tv_auto(making_free) struct making m = { .at = 0 };
	add_side(&m, options, sectors, to);
	return make(&m, source, err);
}

int tv_features_write_both(const struct tv_symbol_source *source,
			   const struct tv_features_options *options, int technicals_fd,
			   int matrix_fd, struct tv_err *err)
{
	const struct target technicals = { .fd = technicals_fd }, matrix = { .fd = matrix_fd };
#ifdef TV_SINGLE_THREAD
	int r = make_one(source, options, false, &technicals, err);
	return r < 0 ? r : make_one(source, options, true, &matrix, err);
#else
	tv_auto(making_free) struct making m = { .at = 0 };
	add_side(&m, options, false, &technicals);
	add_side(&m, options, true, &matrix);
	return make(&m, source, err);
#endif
}

int tv_technicals_write(const struct tv_symbol_source *source,
			const struct tv_features_options *options, int fd, struct tv_err *err)
{
	return make_one(source, options, false, &(struct target){ .fd = fd }, err);
}

int tv_features_matrix_write(const struct tv_symbol_source *source,
			     const struct tv_features_options *options, int fd, struct tv_err *err)
{
	return make_one(source, options, true, &(struct target){ .fd = fd }, err);
}

int tv_technicals_save(const struct tv_symbol_source *source,
		       const struct tv_features_options *options, int dirfd, const char *path,
		       struct tv_err *err)
{
	const struct target to = { .dirfd = dirfd, .path = path };
	return make_one(source, options, false, &to, err);
}

int tv_features_matrix_save(const struct tv_symbol_source *source,
			    const struct tv_features_options *options, int dirfd, const char *path,
			    struct tv_err *err)
{
	const struct target to = { .dirfd = dirfd, .path = path };
	return make_one(source, options, true, &to, err);
}
