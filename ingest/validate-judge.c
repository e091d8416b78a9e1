/* The contents of all files: what is known of their blobs, the others read by many threads. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/file-bytes.h"
#include "ingest/validate-priv.h"
#include "store/base/cleanup.h"

#define THREADS_MAX 32
#define FEW 16 /* files for which a thread more is not worth its database */
#define MEMORY ((uint64_t)512 << 20)

/* Files that have to be read, and who is at them. */
struct pool {
	struct tv_validation *v;
	size_t *todo, n;
	atomic_size_t next, done;
	atomic_bool stop;
	pthread_mutex_t lock; /* of the lakehouse, and of what follows */
	int code;
	struct tv_err err;
};

/* --- what is known ----------------------------------------------------------------------------- */

static int take_known(void *arg, size_t i, struct tv_bytes verdict, struct tv_err *err)
{
	struct tv_subject *s = &((struct tv_validation *)arg)->subjects[i];
	(void)err;
	s->known = tv_contents_decode(verdict, &s->contents);
	return 0;
}

/* A known verdict is of no use when the bytes are gone. */
static int check_blobs(struct tv_validation *v, struct tv_err *err)
{
	for (size_t i = 0; i < v->n_subjects; i++) {
		const struct tv_subject *s = &v->subjects[i];
		struct stat st;
		if (!s->known)
			continue;
		tv_autoclose int fd = tv_lakehouse_open(v->lake, s->path, err);
		if (fd < 0)
			return tv_err_wrap(err, fd, "%s", s->path);
		if (fstat(fd, &st) < 0)
			return tv_err_sys(err, -errno, "%s", s->path);
		if ((uint64_t)st.st_size != s->file.size)
			return tv_err_set(err, -TV_E_DAMAGED,
					  "%s: its blob is cut short; run tvfs fsck", s->path);
	}
	return 0;
}

static struct tv_verdict_key key_of(const struct tv_subject *s)
{
	return (struct tv_verdict_key){ s->file.blob, s->digest };
}

static int look_up(struct tv_validation *v, struct tv_err *err)
{
	struct tv_store *cache = v->how->cache;
	if (!cache || !v->n_subjects || !v->subjects[0].file.stored)
		return 0;
	struct tv_verdict_key *keys = calloc(v->n_subjects, sizeof(*keys));
	if (!keys)
		return tv_err_nomem(err);
	for (size_t i = 0; i < v->n_subjects; i++)
		keys[i] = key_of(&v->subjects[i]);
	int r = tv_verdicts_read(cache, keys, v->n_subjects, take_known, v, err);
	free(keys);
	return r < 0 ? r : check_blobs(v, err);
}

/* What was judged just now, for the next time. A store that cannot keep it is no less judged. */
static int keep(struct pool *pool, struct tv_err *err)
{
	struct tv_validation *v = pool->v;
	struct tv_verdict_key *keys = calloc(pool->n + 1, sizeof(*keys));
	struct tv_bytes *verdicts = calloc(pool->n + 1, sizeof(*verdicts));
	size_t *ends = calloc(pool->n + 1, sizeof(*ends));
	tv_autobuf struct tv_buf all = TV_BUF_INIT;
	int r = keys && verdicts && ends ? 0 : tv_err_nomem(err);
	for (size_t i = 0; i < pool->n && r == 0; i++) {
		const struct tv_subject *s = &v->subjects[pool->todo[i]];
		keys[i] = key_of(s);
		r = tv_contents_encode(&s->contents, &all, err);
		ends[i] = all.len;
	}
	for (size_t i = 0; i < pool->n && r == 0; i++) {
		size_t start = i ? ends[i - 1] : 0;
		verdicts[i] = tv_bytes(all.data + start, ends[i] - start);
	}
	if (r == 0)
		tv_verdicts_write(v->how->cache, keys, verdicts, pool->n, NULL);
	free(keys);
	free(verdicts);
	free(ends);
	return r;
}

/* --- reading ----------------------------------------------------------------------------------- */

static int judge_one(struct pool *pool, struct tv_subject *s, struct tv_duck *duck,
		     struct tv_err *err)
{
	pthread_mutex_lock(&pool->lock);
	tv_autoclose int fd = tv_lakehouse_open(pool->v->lake, s->path, err);
	pthread_mutex_unlock(&pool->lock);
	if (fd < 0)
		return fd;
	int r = s->file.stored ? 0 : tv_bytes_sha(fd, &s->file.sha, err);
	return r < 0 ? r : tv_contents_judge(s, duck, fd, &s->contents, err);
}

static void give_up(struct pool *pool, int r, const struct tv_err *why)
{
	pthread_mutex_lock(&pool->lock);
	if (!pool->code) {
		pool->code = r;
		pool->err = *why;
	}
	pthread_mutex_unlock(&pool->lock);
	atomic_store(&pool->stop, true);
}

/* Until nothing is left. Only the caller's thread may tell how far it is. */
static void work(struct pool *pool, struct tv_duck *duck, const struct tv_progress *progress)
{
	struct tv_err err = TV_ERR_INIT;
	size_t at;
	while (!atomic_load(&pool->stop) && (at = atomic_fetch_add(&pool->next, 1)) < pool->n) {
		int r = judge_one(pool, &pool->v->subjects[pool->todo[at]], duck, &err);
		size_t done = atomic_fetch_add(&pool->done, 1) + 1;
		if (r == 0 && tv_progress_step(progress, "judging", done, pool->n, "files"))
			r = tv_err_set(&err, -TV_E_INTERRUPTED, "stopped");
		if (r < 0)
			give_up(pool, r, &err);
	}
}

static void *helper(void *arg)
{
	struct pool *pool = arg;
	const struct tv_duck_options options = { .threads = 1, .memory_limit = MEMORY };
	tv_auto(tv_duck_close_p) struct tv_duck *duck = NULL;
	struct tv_err err = TV_ERR_INIT;
	int r = tv_duck_open(&options, &duck, &err);
	if (r < 0)
		give_up(pool, r, &err);
	else
		work(pool, duck, NULL);
	return NULL;
}

static size_t threads_for(const struct tv_validation *v, size_t files)
{
#ifdef TV_SINGLE_THREAD
	long cpus = 1;
#else
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
#endif
	size_t n = v->how->threads ? v->how->threads : (size_t)(cpus > 0 ? cpus : 1);
	size_t most = files / FEW + 1;
	n = n > most ? most : n;
	return n > THREADS_MAX ? THREADS_MAX : n;
}

static int read_all(struct pool *pool, struct tv_err *err)
{
	pthread_t threads[THREADS_MAX];
	size_t wanted = threads_for(pool->v, pool->n), n = 0;
	/* One thread fewer is no reason to fail. */
	while (n + 1 < wanted && pthread_create(&threads[n], NULL, helper, pool) == 0)
		n++;
	work(pool, pool->v->how->duck, pool->v->how->progress);
	while (n)
		pthread_join(threads[--n], NULL);
	return pool->code ? tv_err_set(err, pool->code, "%s", pool->err.text) : 0;
}

/* Large ones first, so that none is left for the end. */
static void order_todo(struct pool *pool)
{
	const struct tv_subject *s = pool->v->subjects;
	size_t assets = pool->v->n_assets, n = 0;
	for (size_t i = assets; i < pool->v->n_subjects; i++)
		if (!s[i].known)
			pool->todo[n++] = i;
	for (size_t i = 0; i < assets; i++)
		if (!s[i].known)
			pool->todo[n++] = i;
	pool->n = n;
}

int tv_validate_judge(struct tv_validation *v, struct tv_err *err)
{
	struct pool pool = { .v = v, .lock = PTHREAD_MUTEX_INITIALIZER };
	int r = look_up(v, err);
	if (r < 0)
		return r;
	pool.todo = calloc(v->n_subjects + 1, sizeof(*pool.todo));
	if (!pool.todo)
		return tv_err_nomem(err);
	order_todo(&pool);
	v->out->judged = pool.n;
	v->out->known = v->n_subjects - pool.n;
	if (pool.n)
		r = read_all(&pool, err);
	if (r == 0 && pool.n && v->how->cache && v->subjects[0].file.stored)
		r = keep(&pool, err);
	free(pool.todo);
	return r;
}
