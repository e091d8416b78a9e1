/* Reading live files for an import: threads, retries, and the settle time (worktree-priv.h). */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/path.h"
#include "store/filecheck.h"
#include "store/worktree-priv.h"

#define THREADS_MAX 8
#define TRIES 3
#define RETRY_NS 20000000 /* between tries: what rewrites a file is given a moment to finish */
#define SETTLE_ROUNDS 5
#define HASH_BYTES (256 * 1024)
#define LONG_WRITE_BYTES (4 << 20) /* what a disk cache takes in within the clock's grain */

/* What the threads share. The items are each touched by one thread only. */
struct pool {
	const struct tv_reading *how;
	struct tv_scan *scan;
	const size_t *todo; /* indexes of items */
	size_t n;
	atomic_size_t next;
	atomic_uint_fast64_t done;
	atomic_bool stop;
	pthread_mutex_t lock; /* guards what follows, and how->refused */
	int res;
	struct tv_err *err; /* nullable */
};

/* The last folder a thread opened: neighbours in the list lie in the same one. */
struct place {
	char *dir;
	int fd;
};

int tv_reading_open(int dirfd, const char *name)
{
	/* O_NONBLOCK: a fifo that took the file's place must not hang us. */
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(dirfd, name, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* not the owner */
		fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

int tv_reading_hash(int fd, struct tv_blob *out, struct tv_err *err)
{
	struct tv_hasher *hasher = NULL;
	tv_autofree char *bytes = malloc(HASH_BYTES);
	struct tv_blob blob = { .size = 0 };
	if (!bytes)
		return tv_err_nomem(err);
	int res = tv_hasher_new(&hasher, err);
	while (res == 0) {
		ssize_t n = read(fd, bytes, HASH_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			res = tv_err_sys(err, -errno, "cannot read");
		if (n <= 0)
			break;
		blob.size += (uint64_t)n;
		res = tv_hasher_update(hasher, bytes, (size_t)n, err);
	}
	if (res == 0)
		res = tv_hasher_final(hasher, &blob.addr, &blob.sha, err);
	tv_hasher_free(hasher);
	if (res == 0)
		*out = blob;
	return res;
}

/* The open folder of a path, from the thread's last one when it is the same. -errno. */
static int open_place(const struct tv_reading *how, struct place *place, const char *path)
{
	const char *name = tv_path_base(path);
	size_t n = name > path ? (size_t)(name - path) - 1 : 0;
	if (place->dir && strlen(place->dir) == n && memcmp(place->dir, path, n) == 0)
		return place->fd;
	tv_free_p(&place->dir);
	tv_close_p(&place->fd);
	place->fd = tv_beneath_open_parent(how->dirfd, path, &name);
	if (place->fd < 0) {
		place->dir = NULL;
		return place->fd;
	}
	place->dir = strndup(path, n);
	return place->fd;
}

static int add_refused(struct pool *p, const char *path, const char *reason, struct tv_err *err)
{
	pthread_mutex_lock(&p->lock);
	int res = tv_refused_add(p->how->refused, path, reason, err);
	pthread_mutex_unlock(&p->lock);
	return res;
}

/* The checks read from the descriptor that the copy is made from, between the two stats: what is
 * judged is what is stored. 1: refused. */
static int judge(struct pool *p, const struct tv_scan_item *item, int fd, uint64_t size,
		 struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	const char *name = tv_path_base(item->path);
	if (!p->how->check || !tv_filecheck_wants(name))
		return 0;
	int res = tv_filecheck_fd(name, fd, size, &why);
	if (res == -TV_E_GATE)
		return 1;
	/* Read errors are reported; a file that got shorter is found out by the stat that follows. */
	return res == 0 || res == -EIO ? 0 : tv_err_set(err, res, "%s", why.text);
}

/* One attempt: 0 done, 1 it changed meanwhile, 2 refused, -ENOENT gone, -errno. */
static int read_once(struct pool *p, struct tv_scan_item *item, int dirfd, struct tv_err *err)
{
	struct tv_seen before, after;
	struct tv_blob blob;
	int64_t looked = tv_now_ns();
	tv_autoclose int fd = tv_reading_open(dirfd, tv_path_base(item->path));
	if (fd == -ENOENT)
		return -ENOENT;
	if (fd < 0)
		return fd == -ELOOP || fd == -ENXIO ? 1 : tv_err_sys(err, fd, "cannot open");
	int res = tv_beneath_fstat(fd, &before);
	if (res < 0)
		return tv_err_sys(err, res, "cannot stat");
	if (before.kind != TV_FILE)
		return 1;
	int refused = judge(p, item, fd, before.size, err);
	if (refused < 0)
		return refused;
	if (!refused)
		res = p->how->blobs ? tv_blobs_add_fd(p->how->blobs, fd, &blob, NULL, err)
				    : tv_reading_hash(fd, &blob, err);
	if (res == 0)
		res = tv_beneath_fstat(fd, &after);
	if (res != 0)
		return res;
	if (!tv_seen_same(&before, &after) || (!refused && blob.size != after.size))
		return 1;
	if (refused)
		return 2;
	item->seen = after;
	item->looked_ns = looked;
	item->read = true;
	item->entry = (struct tv_entry){ .kind = TV_FILE,
					 .mode = after.mode,
					 .mtime_ns = after.mtime_ns,
					 .size = blob.size,
					 .addr = blob.addr,
					 .sha = blob.sha };
	return 0;
}

/* The reason is asked for again, so that only refused files pay for its text. */
static int refuse(struct pool *p, const struct tv_scan_item *item, int dirfd, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_seen seen;
	tv_autoclose int fd = tv_reading_open(dirfd, tv_path_base(item->path));
	if (fd < 0 || tv_beneath_fstat(fd, &seen) < 0 ||
	    tv_filecheck_fd(tv_path_base(item->path), fd, seen.size, &why) != -TV_E_GATE)
		return 1; /* it is another file by now */
	return add_refused(p, item->path, why.text, err);
}

static int read_item(struct pool *p, struct tv_scan_item *item, struct place *place,
		     struct tv_err *err)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		if (tries)
			nanosleep(&(struct timespec){ .tv_nsec = RETRY_NS * tries }, NULL);
		int dirfd = open_place(p->how, place, item->path);
		int res = dirfd < 0 ? dirfd : read_once(p, item, dirfd, err);
		if (res == 2)
			res = refuse(p, item, dirfd, err);
		if (res == -ENOENT || res == -ENOTDIR) {
			item->what = TV_SCAN_REMOVE;
			return 0;
		}
		if (dirfd < 0)
			tv_err_sys(err, dirfd, "cannot open its folder");
		if (res < 0)
			return tv_err_wrap(err, res, "'%s'", item->path);
		if (res == 0)
			return 0;
	}
	return tv_err_set(err, -EBUSY,
			  "'%s' keeps changing while it is read: try again when its "
			  "writer is done",
			  item->path);
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	struct place place = { .fd = -1 };
	struct tv_err err = TV_ERR_INIT;
	int res = 0;
	while (res == 0 && !atomic_load(&p->stop)) {
		size_t i = atomic_fetch_add(&p->next, 1);
		if (i >= p->n)
			break;
		res = read_item(p, &p->scan->items[p->todo[i]], &place, &err);
		atomic_fetch_add(&p->done, 1);
	}
	if (res < 0) {
		pthread_mutex_lock(&p->lock);
		if (p->res == 0)
			p->res = tv_err_set(p->err, res, "%s", err.text);
		pthread_mutex_unlock(&p->lock);
		atomic_store(&p->stop, true);
	}
	tv_free_p(&place.dir);
	tv_close_p(&place.fd);
	return NULL;
}

static unsigned thread_count(size_t n)
{
#ifdef TV_SINGLE_THREAD
	(void)n;
	return 0;
#else
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned want = cpus < 1 ? 1 : cpus > THREADS_MAX ? THREADS_MAX : (unsigned)cpus;
	if (n < 2) /* the usual small commit starts no thread */
		return 0;
	return n < want ? (unsigned)n : want;
#endif
}

/* Tells how far the threads are, from the caller's own one, until they are done. */
static void watch(struct pool *p)
{
	while (p->how->progress && atomic_load(&p->done) < p->n && !atomic_load(&p->stop)) {
		if (tv_progress_step(p->how->progress, "reading", atomic_load(&p->done), p->n,
				     "files")) {
			pthread_mutex_lock(&p->lock);
			if (p->res == 0)
				p->res = tv_err_set(p->err, -TV_E_INTERRUPTED, "interrupted");
			pthread_mutex_unlock(&p->lock);
			atomic_store(&p->stop, true);
		}
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

static int run_pool(struct pool *p)
{
	pthread_t threads[THREADS_MAX];
	unsigned started = 0, want = thread_count(p->n);
	pthread_mutex_init(&p->lock, NULL);
	while (started < want && pthread_create(&threads[started], NULL, worker, p) == 0)
		started++;
	if (started)
		watch(p);
	else
		worker(p);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&p->lock);
	return p->res;
}

static int read_list(const struct tv_reading *r, struct tv_scan *scan, const size_t *todo, size_t n,
		     struct tv_err *err)
{
	struct pool p = { .how = r, .scan = scan, .todo = todo, .n = n, .err = err };
	return n ? run_pool(&p) : 0;
}

int tv_reading_run(const struct tv_reading *r, struct tv_scan *scan, struct tv_err *err)
{
	tv_autofree size_t *todo = calloc(scan->len + 1, sizeof(*todo));
	size_t n = 0;
	if (!todo)
		return tv_err_nomem(err);
	for (size_t i = 0; i < scan->len; i++)
		if (scan->items[i].what == TV_SCAN_READ)
			todo[n++] = i;
	return read_list(r, scan, todo, n, err);
}

static bool was_young(const struct tv_scan_item *item, int64_t settle_ns)
{
	return item->read && item->what == TV_SCAN_READ &&
	       tv_seen_written_ns(&item->seen, tv_now_ns()) > item->looked_ns - settle_ns;
}

/* Sleeps until the youngest of the files is settle_ns old (a time in the future: settle_ns). */
static void wait_settled(const struct tv_scan *scan, const size_t *young, size_t n,
			 int64_t settle_ns)
{
	int64_t now = tv_now_ns(), until = now;
	for (size_t i = 0; i < n; i++) {
		int64_t settled = tv_seen_written_ns(&scan->items[young[i]].seen, now) + settle_ns;
		until = settled > until ? settled : until;
	}
	if (until > now + settle_ns)
		until = now + settle_ns;
	struct timespec pause = { .tv_sec = (until - now) / 1000000000,
				  .tv_nsec = (until - now) % 1000000000 };
	while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
		;
}

/* A write call stamps the mtime when it begins. A read in the midst of it sees old and new bytes, and the
 * same times before and after: whatever was written this shortly before the read is read again. How
 * long one call may take grows with the file. A file whose times all lie in the future was not written
 * since the clock was set back: writing would have stamped it with the present. */
static bool maybe_torn(const struct tv_scan_item *item, int64_t settle_ns)
{
	int64_t grain = item->seen.size < LONG_WRITE_BYTES ? TV_CACHE_GRAIN_NS : settle_ns;
	int64_t now = tv_now_ns(), written = tv_seen_written_ns(&item->seen, now);
	return written > item->looked_ns - grain && written <= now;
}

/* Keeps those of the list whose file is no longer what was read, or may not have been whole. */
static size_t find_changed(const struct tv_reading *r, const struct tv_scan *scan, size_t *list,
			   size_t n, int64_t settle_ns)
{
	size_t changed = 0;
	for (size_t i = 0; i < n; i++) {
		const struct tv_scan_item *item = &scan->items[list[i]];
		struct tv_seen now;
		if (item->what != TV_SCAN_READ) /* it has gone, and is a removal now */
			continue;
		if (maybe_torn(item, settle_ns) ||
		    tv_beneath_stat_path(r->dirfd, item->path, 0, &now) < 0 ||
		    !tv_seen_same(&now, &item->seen))
			list[changed++] = list[i];
	}
	return changed;
}

int tv_reading_settle(const struct tv_reading *r, struct tv_scan *scan, int64_t settle_ns,
		      struct tv_err *err)
{
	tv_autofree size_t *list = calloc(scan->len + 1, sizeof(*list));
	size_t n = 0;
	if (!list)
		return tv_err_nomem(err);
	for (size_t i = 0; i < scan->len; i++)
		if (was_young(&scan->items[i], settle_ns))
			list[n++] = i;
	for (unsigned round = 0; n; round++) {
		if (round == SETTLE_ROUNDS)
			return tv_err_set(err, -EBUSY,
					  "'%s' keeps changing: try again when its "
					  "writer is done",
					  scan->items[list[0]].path);
		wait_settled(scan, list, n, settle_ns);
		n = find_changed(r, scan, list, n, settle_ns);
		int res = read_list(r, scan, list, n, err);
		if (res < 0)
			return res;
	}
	return 0;
}
