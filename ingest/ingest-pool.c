/* Symbols are judged in threads, while the caller's fetches and stages: each has a DuckDB of its own. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ingest/bars-parquet.h"
#include "ingest/ingest-priv.h"
#include "store/base/cleanup.h"

#define THREADS 2
#define MEMORY ((uint64_t)96 << 20) /* of each thread's DuckDB */

/* --- one symbol -------------------------------------------------------------------------------- */

struct tv_ingest_work *tv_ingest_work_new(struct tv_err *err)
{
	struct tv_ingest_work *work = calloc(1, sizeof(*work));
	if (!work) {
		tv_err_nomem(err);
		return NULL;
	}
	work->rows = work->published = TV_BARS_INIT;
	work->permanent = TV_GAPS_INIT;
	work->err = TV_ERR_INIT;
	work->verdict = TV_VERDICT_INIT;
	work->published_fd = work->file = -1;
	return work;
}

void tv_ingest_work_free(struct tv_ingest_work *work)
{
	if (!work)
		return;
	tv_close_p(&work->published_fd);
	tv_close_p(&work->file);
	tv_gaps_free(&work->permanent);
	tv_bars_free(&work->rows);
	tv_bars_free(&work->published);
	tv_verdict_free(&work->verdict);
	free(work);
}

static int read_published(struct tv_ingest_work *work, struct tv_duck *duck)
{
	const struct tv_parquet file = { duck, work->item->file, work->published_fd };
	return work->published_fd < 0 ? 0 : tv_bars_read(&file, &work->published, &work->err);
}

static int write_bars(struct tv_ingest_work *work, struct tv_duck *duck)
{
	const struct tv_verdict *v = &work->verdict;
	if (v->refused || !v->changed || !v->bars.n)
		return 0;
	work->file = memfd_create("bars", MFD_CLOEXEC);
	if (work->file < 0)
		return tv_err_sys(&work->err, -errno, "no memory file for '%s'", work->item->file);
	return tv_bars_write(duck, &v->bars, work->file, &work->err);
}

void tv_ingest_work_do(struct tv_ingest_work *work, struct tv_duck *duck)
{
	int r = read_published(work, duck);
	const struct tv_verdict_ask ask = {
		.rules = &work->rules,
		.published = &work->published,
		.fetched = &work->rows,
		.from = work->published.n ? work->from : TV_RESTATE_ALL,
		.fetched_s = work->fetched_s,
		.accepted = work->accepted,
	};
	if (r == 0)
		r = tv_verdict_make(&ask, &work->verdict, &work->err);
	work->r = r < 0 ? r : write_bars(work, duck);
}

/* --- threads ----------------------------------------------------------------------------------- */

struct worker {
	struct tv_ingest_pool *pool;
	struct tv_duck *duck;
	pthread_t thread;
	bool runs;
};

struct tv_ingest_pool {
	pthread_mutex_t lock; /* all below, but for the workers */
	pthread_cond_t pushed, did_one;
	struct tv_ingest_work *todo, **todo_end; /* first come, first served */
	struct tv_ingest_work *done;
	size_t under_way; /* pushed, and not popped */
	bool ends;
	struct worker workers[THREADS];
};

static void *serve(void *arg)
{
	struct worker *w = arg;
	struct tv_ingest_pool *pool = w->pool;
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!pool->todo && !pool->ends)
			pthread_cond_wait(&pool->pushed, &pool->lock);
		struct tv_ingest_work *work = pool->todo;
		if (pool->ends || !work)
			break;
		pool->todo = work->next;
		if (!pool->todo)
			pool->todo_end = &pool->todo;
		pthread_mutex_unlock(&pool->lock);
		tv_ingest_work_do(work, w->duck);
		pthread_mutex_lock(&pool->lock);
		work->next = pool->done;
		pool->done = work;
		pthread_cond_signal(&pool->did_one);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Signals are the caller's. */
static int start(struct worker *w, struct tv_err *err)
{
	const struct tv_duck_options own = { .threads = 1, .memory_limit = MEMORY };
	sigset_t all, before;
	int r = tv_duck_open(&own, &w->duck, err);
	if (r < 0)
		return r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&w->thread, NULL, serve, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->runs = r == 0;
	return r < 0 ? tv_err_sys(err, r, "cannot start a thread that judges") : 0;
}

int tv_ingest_pool_new(struct tv_ingest_pool **out, struct tv_err *err)
{
	struct tv_ingest_pool *pool = calloc(1, sizeof(*pool));
	int r = 0;
	if (!pool)
		return tv_err_nomem(err);
	pool->todo_end = &pool->todo;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->pushed, NULL);
	pthread_cond_init(&pool->did_one, NULL);
	for (size_t i = 0; i < THREADS && r == 0; i++) {
		pool->workers[i].pool = pool;
		r = start(&pool->workers[i], err);
	}
	if (r < 0) {
		tv_ingest_pool_free(pool);
		return r;
	}
	*out = pool;
	return 0;
}

static void free_list(struct tv_ingest_work *work)
{
	while (work) {
		struct tv_ingest_work *next = work->next;
		tv_ingest_work_free(work);
		work = next;
	}
}

void tv_ingest_pool_free(struct tv_ingest_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->ends = true;
	pthread_cond_broadcast(&pool->pushed);
	pthread_mutex_unlock(&pool->lock);
	for (size_t i = 0; i < THREADS; i++) {
		if (pool->workers[i].runs)
			pthread_join(pool->workers[i].thread, NULL);
		tv_duck_close(pool->workers[i].duck);
	}
	free_list(pool->todo);
	free_list(pool->done);
	pthread_cond_destroy(&pool->pushed);
	pthread_cond_destroy(&pool->did_one);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void tv_ingest_pool_push(struct tv_ingest_pool *pool, struct tv_ingest_work *work)
{
	work->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->todo_end = work;
	pool->todo_end = &work->next;
	pool->under_way++;
	pthread_cond_signal(&pool->pushed);
	pthread_mutex_unlock(&pool->lock);
}

struct tv_ingest_work *tv_ingest_pool_pop(struct tv_ingest_pool *pool, size_t left)
{
	pthread_mutex_lock(&pool->lock);
	while (!pool->done && pool->under_way > left)
		pthread_cond_wait(&pool->did_one, &pool->lock);
	struct tv_ingest_work *work = pool->done;
	if (work) {
		pool->done = work->next;
		pool->under_way--;
	}
	pthread_mutex_unlock(&pool->lock);
	return work;
}
