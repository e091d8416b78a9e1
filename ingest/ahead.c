#include "ingest/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "ingest/bars-parquet.h"
#include "store/base/cleanup.h"

#define THREADS 2
#define WINDOW 32		    /* files that are read and not taken yet */
#define MEMORY ((uint64_t)96 << 20) /* of each thread's DuckDB; a file of bars needs little */

struct place {
	bool there;
	int r;
	struct tv_bars bars;
	struct tv_err err;
};

struct worker {
	struct tv_ahead *all;
	struct tv_duck *duck;
	pthread_t thread;
};

struct tv_ahead {
	struct tv_ahead_files files;
	pthread_mutex_t opening;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t read, taken;
	size_t next, given; /* the file that is read next, the one that is taken next */
	bool ends;
	struct place places[WINDOW];
	struct worker workers[THREADS];
	size_t n_workers;
	struct tv_duck *duck; /* for who takes the files, where no thread could be started */
};

/* --- threads ----------------------------------------------------------------------------------- */

static int read_file(struct tv_ahead *a, struct tv_duck *duck, size_t i, struct tv_bars *out,
		     struct tv_err *err)
{
	const struct tv_ahead_files *files = &a->files;
	pthread_mutex_lock(&a->opening);
	tv_autoclose int fd = files->open(files->arg, i, err);
	pthread_mutex_unlock(&a->opening);
	if (fd < 0)
		return fd;
	const struct tv_parquet file = { duck, files->name(files->arg, i), fd };
	return tv_bars_read(&file, out, err);
}

/* Under the lock: the next file to read, or n when there is none. */
static size_t wait_for_work(struct tv_ahead *a)
{
	while (!a->ends && a->next < a->files.n && a->next >= a->given + WINDOW)
		pthread_cond_wait(&a->taken, &a->lock);
	return a->ends || a->next >= a->files.n ? a->files.n : a->next++;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct tv_ahead *a = w->all;
	pthread_mutex_lock(&a->lock);
	for (size_t i; (i = wait_for_work(a)) < a->files.n;) {
		struct place got = { .there = true, .bars = TV_BARS_INIT, .err = TV_ERR_INIT };
		pthread_mutex_unlock(&a->lock);
		got.r = read_file(a, w->duck, i, &got.bars, &got.err);
		pthread_mutex_lock(&a->lock);
		a->places[i % WINDOW] = got;
		pthread_cond_signal(&a->read);
	}
	pthread_mutex_unlock(&a->lock);
	/* Who reads nothing more needs no memory: writing what was read takes much. */
	tv_duck_close(w->duck);
	w->duck = NULL;
	return NULL;
}

static int open_duck(struct tv_duck **out, struct tv_err *err)
{
	const struct tv_duck_options own = { .threads = 1, .memory_limit = MEMORY };
	return tv_duck_open(&own, out, err);
}

/* Signals are the caller's. One thread fewer is no reason to fail. */
static int start(struct tv_ahead *a, bool *started, struct tv_err *err)
{
	struct worker *w = &a->workers[a->n_workers];
	sigset_t all, before;
	int r = open_duck(&w->duck, err);
	if (r < 0)
		return r;
	w->all = a;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	*started = pthread_create(&w->thread, NULL, work, w) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (*started)
		a->n_workers++;
	else
		tv_duck_close(tv_steal_ptr(&w->duck));
	return 0;
}

static int start_all(struct tv_ahead *a, struct tv_err *err)
{
	bool started = true;
	int r = 0;
#ifdef TV_SINGLE_THREAD
	started = false;
#endif
	while (started && r == 0 && a->n_workers < THREADS && a->n_workers < a->files.n)
		r = start(a, &started, err);
	return r == 0 && !a->n_workers ? open_duck(&a->duck, err) : r;
}

/* --- from start to end ------------------------------------------------------------------------- */

int tv_ahead_new(const struct tv_ahead_files *files, size_t first, struct tv_ahead **out,
		 struct tv_err *err)
{
	tv_auto(tv_ahead_free_p) struct tv_ahead *a = calloc(1, sizeof(*a));
	int r;
	if (!a)
		return tv_err_nomem(err);
	a->files = *files;
	a->next = a->given = first;
	pthread_mutex_init(&a->opening, NULL);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->read, NULL);
	pthread_cond_init(&a->taken, NULL);
	r = start_all(a, err);
	if (r < 0)
		return r;
	*out = tv_steal_ptr(&a);
	return 0;
}

void tv_ahead_free(struct tv_ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->ends = true;
	pthread_cond_broadcast(&a->taken);
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < a->n_workers; i++)
		pthread_join(a->workers[i].thread, NULL);
	tv_duck_close(a->duck);
	for (size_t i = 0; i < WINDOW; i++)
		tv_bars_free(&a->places[i].bars);
	pthread_cond_destroy(&a->read);
	pthread_cond_destroy(&a->taken);
	pthread_mutex_destroy(&a->lock);
	pthread_mutex_destroy(&a->opening);
	free(a);
}

int tv_ahead_next(struct tv_ahead *a, struct tv_bars *out, struct tv_err *err)
{
	struct place *place = &a->places[a->given % WINDOW], got;
	if (a->given >= a->files.n)
		return tv_err_set(err, -EINVAL, "there are no more files");
	if (!a->n_workers)
		return read_file(a, a->duck, a->given++, out, err);
	pthread_mutex_lock(&a->lock);
	while (!place->there)
		pthread_cond_wait(&a->read, &a->lock);
	got = *place;
	*place = (struct place){ .bars = TV_BARS_INIT };
	a->given++;
	pthread_cond_broadcast(&a->taken);
	pthread_mutex_unlock(&a->lock);
	if (got.r < 0)
		return tv_err_set(err, got.r, "%s", got.err.text);
	*out = got.bars;
	return 0;
}
