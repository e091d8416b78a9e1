#include "store/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/path.h"

/* Address space, not disk: the file grows as it is written. */
#define MAP_INITIAL ((size_t)1 << 30)
/* For the whole store: every process keeps a few slots while it has the store open. */
#define MAX_READERS 4096
/* Idle read transactions kept for reuse; each holds a reader slot but no snapshot. */
#define POOL_MAX 3
#define READERS_WAIT_NS (5 * INT64_C(1000000000))
#define FULL_BYTES (64 * 1024) /* less room than this is none */

#define DATA_FILE "data.mdb"
#define LOCK_FILE "lock.mdb"

/*
 * Lock order: writer, then map (shared), then pool_lock.
 *
 * LMDB may only re-map while this process has no transaction, so each one holds `map` shared and
 * whoever re-maps holds it alone. Writers of this process queue on `writer` before they take `map`:
 * those that wait for LMDB's own lock must not hold up a re-map.
 */
struct tv_kv {
	MDB_env *env;
	MDB_dbi dbi[TV_T_COUNT];
	bool absent[TV_T_COUNT]; /* tables that this store does not have */
	char *path;
	pthread_mutex_t writer;
	pthread_rwlock_t map;
	pthread_key_t current; /* this thread's transaction, for nested calls */
	pthread_mutex_t pool_lock;
	MDB_txn *pool[POOL_MAX]; /* reset read transactions; under pool_lock */
	unsigned pooled;
	bool unmapped;	   /* a re-map failed: there is no memory to read; under map */
	bool write_failed; /* a commit failed in the device; under writer */
	/* the registry below */
	struct tv_kv *next;
	dev_t dev;
	ino_t ino;
	pid_t pid;
	unsigned opens;
};

struct tv_kv_txn {
	struct tv_kv *kv;
	MDB_txn *txn;
	bool write;
	bool map_full;
};

struct tv_kv_cursor {
	MDB_cursor *cursor;
};

/*
 * The one mutable global of the program. LMDB's locks belong to the process: closing a second handle
 * of the same files would drop the first one's locks unseen, and other processes would take its
 * readers for dead. So there is at most one environment a folder and process.
 *
 * Only the process's own memory can tell it. A lock file cannot: a lock of an open file (OFD) says
 * that somebody has the folder open, not that it is this process, and a pid to go with it means
 * nothing across PID namespaces and forks. /proc/self tells of the files, but not which environment
 * to share. To leave it to callers would make two tv_store_open() in one process, which nothing
 * shows, a way to damage the store.
 */
static struct {
	pthread_mutex_t lock;
	struct tv_kv *first;
} open_envs = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *const table_names[TV_T_COUNT] = {
	[TV_T_META] = "meta",
	[TV_T_NODES] = "nodes",
	[TV_T_BLOBS] = "blobs",
	[TV_T_COMMITS] = "commits",
	[TV_T_FOUNDATIONS] = "foundations",
	[TV_T_SEQUENCE] = "sequence",
	[TV_T_REFS] = "refs",
	[TV_T_REFLOG] = "reflog",
	[TV_T_LEASES] = "leases",
	[TV_T_RUNS] = "runs",
	[TV_T_RUN_BY_FOUNDATION] = "run-by-foundation",
	[TV_T_WORKTREES] = "worktrees",
	[TV_T_IMPORT] = "import",
	[TV_T_PATHS] = "paths",
	[TV_T_VERDICTS] = "verdicts",
};

/* Tables that stores of format 1 need not have. */
static bool is_optional(int table)
{
	return table == TV_T_VERDICTS;
}

/* LMDB's own codes as errno, with what the user can do. Its positive codes are errno already. */
static int kv_error(struct tv_err *err, int rc, const char *what)
{
	static const struct {
		int rc, code;
		const char *advice;
	} table[] = {
		{ MDB_INVALID, -TV_E_DAMAGED, "not an index file; restore it or run tvfs fsck" },
		{ MDB_CORRUPTED, -TV_E_DAMAGED, "the index is damaged; run tvfs fsck" },
		{ MDB_PAGE_NOTFOUND, -TV_E_DAMAGED, "the index lacks a page; run tvfs fsck" },
		{ MDB_VERSION_MISMATCH, -TV_E_VERSION, "written by another version of LMDB" },
		{ MDB_PANIC, -EIO, "an earlier write failed; end the program and check the disk" },
		{ MDB_MAP_FULL, -ENOSPC, "the index is full" },
		{ MDB_MAP_RESIZED, -EAGAIN, "another process made the index larger; try again" },
		{ MDB_READERS_FULL, -TV_E_LOCKED,
		  "all reader slots of the index are in use; end some programs that use the store" },
		{ MDB_TXN_FULL, -EFBIG, "too many changes for one transaction" },
		{ MDB_BAD_RSLOT, -EINVAL,
		  "a read began inside a read of its thread, or after fork" },
		{ MDB_BAD_TXN, -EIO, "an earlier step of this transaction failed" },
		{ MDB_BAD_VALSIZE, -EINVAL, "a key is empty or over 511 bytes" },
	};

	if (rc > 0)
		return tv_err_sys(err, -rc, "%s", what);
	for (size_t i = 0; i < TV_ARRAY_LEN(table); i++)
		if (table[i].rc == rc)
			return tv_err_set(err, table[i].code, "%s: %s", what, table[i].advice);
	return tv_err_set(err, -EIO, "%s: %s", what, mdb_strerror(rc));
}

/* --- opening --------------------------------------------------------------------------------- */

static int env_new(MDB_env **out, struct tv_err *err)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);
	if (rc)
		return kv_error(err, rc, "cannot open the index");
	rc = mdb_env_set_maxdbs(env, TV_T_COUNT);
	if (!rc)
		rc = mdb_env_set_maxreaders(env, MAX_READERS);
	if (rc) {
		mdb_env_close(env);
		return kv_error(err, rc, "cannot open the index");
	}
	*out = env;
	return 0;
}

static int open_tables(MDB_env *env, unsigned flags, MDB_dbi dbi[TV_T_COUNT],
		       bool absent[TV_T_COUNT])
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, flags & MDB_CREATE ? 0 : MDB_RDONLY, &txn);
	if (rc)
		return rc;
	for (int i = 0; !rc && i < TV_T_COUNT; i++) {
		rc = mdb_dbi_open(txn, table_names[i], flags, &dbi[i]);
		absent[i] = rc == MDB_NOTFOUND && is_optional(i);
		if (absent[i])
			rc = 0;
	}
	if (rc) {
		mdb_txn_abort(txn);
		return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
	}
	return mdb_txn_commit(txn); /* which is what keeps the handles, also of a reader */
}

/* Makes what an older program's store lacks. It holds hints, so it may stay absent. */
static void make_absent(MDB_env *env, MDB_dbi dbi[TV_T_COUNT], bool absent[TV_T_COUNT])
{
	for (int i = 0; i < TV_T_COUNT; i++) {
		MDB_txn *txn;
		if (!absent[i] || mdb_txn_begin(env, NULL, 0, &txn))
			continue;
		int rc = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &dbi[i]);
		if (rc)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
		absent[i] = rc != 0;
	}
}

/* LMDB makes its files under the umask; a group's store needs them exactly so. */
static int set_mode(int dirfd, const char *name, mode_t mode, struct tv_err *err)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s'", name);
	if ((st.st_mode & 0777) == mode || (geteuid() != 0 && st.st_uid != geteuid()))
		return 0;
	if (fchmodat(dirfd, name, mode, 0) < 0)
		return tv_err_sys(err, -errno, "cannot set the mode of '%s'", name);
	return 0;
}

static int open_folder(const char *path, struct tv_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? tv_err_sys(err, -errno, "cannot open the index folder '%s'", path) : fd;
}

static int set_modes(const char *path, mode_t mode, struct tv_err *err)
{
	tv_autoclose int fd = open_folder(path, err);
	if (fd < 0)
		return fd;
	int r = set_mode(fd, DATA_FILE, mode, err);
	return r < 0 ? r : set_mode(fd, LOCK_FILE, mode, err);
}

int tv_kv_create_sized(const char *path, unsigned mode, size_t map_bytes, struct tv_err *err)
{
	mode_t folder_mode = mode & 070 ? 02770 : 0700;
	if (mkdir(path, folder_mode) < 0 && errno != EEXIST)
		return tv_err_sys(err, -errno, "cannot make '%s'", path);
	if (chmod(path, folder_mode) < 0)
		return tv_err_sys(err, -errno, "cannot set the mode of '%s'", path);

	MDB_env *env = NULL;
	MDB_dbi dbi[TV_T_COUNT];
	bool absent[TV_T_COUNT];
	int r = env_new(&env, err);
	if (r < 0)
		return r;
	int rc = mdb_env_set_mapsize(env, map_bytes);
	if (!rc)
		rc = mdb_env_open(env, path, MDB_NOTLS, mode);
	if (!rc)
		rc = open_tables(env, MDB_CREATE, dbi, absent);
	mdb_env_close(env);
	if (rc)
		return kv_error(err, rc, "cannot make the index");
	r = set_modes(path, mode, err);
	return r < 0 ? r : tv_io_sync_dir(AT_FDCWD, path, err);
}

int tv_kv_create(const char *path, unsigned mode, struct tv_err *err)
{
	return tv_kv_create_sized(path, mode, MAP_INITIAL, err);
}

/* What LMDB would not say, or would say too late: an empty data file it fills with a new, empty
 * environment, and a lock file it cannot write it does without. */
static int check_files(int dirfd, struct stat *data, struct tv_err *err)
{
	if (fstatat(dirfd, DATA_FILE, data, AT_SYMLINK_NOFOLLOW) < 0)
		return tv_err_sys(err, errno == ENOENT ? -TV_E_DAMAGED : -errno,
				  "the index has no data file");
	if (!S_ISREG(data->st_mode) || data->st_size < 2 * 4096)
		return tv_err_set(err, -TV_E_DAMAGED,
				  "the index's data file is cut short (%lld bytes)",
				  (long long)data->st_size);
	const char *name =
		faccessat(dirfd, DATA_FILE, R_OK | W_OK, AT_EACCESS) < 0 ? DATA_FILE : LOCK_FILE;
	if (faccessat(dirfd, name, R_OK | W_OK, AT_EACCESS) == 0 || errno == ENOENT)
		return 0;
	return tv_err_sys(err, -errno,
			  "cannot write '%s' of the index (readers need it too, for their locks)",
			  name);
}

/* A cut file would be SIGBUS later. A few pages at the end may never have been written, so only a
 * cut larger than that is told. Others may be writing: what they have counted in is in the file, so
 * the length is asked for last. */
static int check_length(MDB_env *env, int dirfd, struct tv_err *err)
{
	MDB_envinfo info;
	MDB_stat st;
	struct stat data;
	mdb_env_info(env, &info);
	mdb_env_stat(env, &st);
	if (fstatat(dirfd, DATA_FILE, &data, AT_SYMLINK_NOFOLLOW) < 0)
		return tv_err_sys(err, -errno, "cannot stat the index's data file");
	uint64_t pages = (uint64_t)data.st_size / st.ms_psize;
	uint64_t slack = 16 + info.me_last_pgno / 16;
	if (info.me_last_pgno + 1 > pages + slack)
		return tv_err_set(err, -TV_E_DAMAGED,
				  "the index's data file is cut short: %llu of %llu pages",
				  (unsigned long long)pages,
				  (unsigned long long)info.me_last_pgno + 1);
	return 0;
}

static int open_env(struct tv_kv *kv, unsigned mode, struct tv_err *err)
{
	tv_autoclose int dirfd = open_folder(kv->path, err);
	if (dirfd < 0)
		return dirfd;
	struct stat data;
	int r = check_files(dirfd, &data, err);
	if (r == 0)
		r = env_new(&kv->env, err);
	if (r < 0)
		return r;
	int rc = mdb_env_open(kv->env, kv->path, MDB_NOTLS, mode);
	if (rc)
		return kv_error(err, rc, "cannot open the index");
	r = check_length(kv->env, dirfd, err);
	if (r < 0)
		return r;
	rc = open_tables(kv->env, 0, kv->dbi, kv->absent);
	if (rc)
		return kv_error(err, rc, "cannot open the index");
	make_absent(kv->env, kv->dbi, kv->absent);
	mdb_reader_check(kv->env, NULL);
	r = set_mode(dirfd, LOCK_FILE, mode, err); /* it may just have been made */
	kv->dev = data.st_dev;
	kv->ino = data.st_ino;
	return r;
}

static void kv_free(struct tv_kv *kv)
{
	for (unsigned i = 0; i < kv->pooled; i++)
		mdb_txn_abort(kv->pool[i]);
	if (kv->env)
		mdb_env_close(kv->env);
	pthread_key_delete(kv->current);
	pthread_mutex_destroy(&kv->pool_lock);
	pthread_rwlock_destroy(&kv->map);
	pthread_mutex_destroy(&kv->writer);
	free(kv->path);
	free(kv);
}

/* NULL without memory. */
static struct tv_kv *kv_new(const char *path)
{
	struct tv_kv *kv = calloc(1, sizeof(*kv));
	char *copy = strdup(path);
	if (!kv || !copy || pthread_key_create(&kv->current, NULL) != 0) {
		free(copy);
		free(kv);
		return NULL;
	}
	kv->path = copy;
	kv->pid = getpid();
	kv->opens = 1;
	pthread_mutex_init(&kv->writer, NULL);
	pthread_mutex_init(&kv->pool_lock, NULL);
	/* Readers that keep coming must not starve a re-map. (Nested reads do not lock again.) */
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&kv->map, &attr);
	pthread_rwlockattr_destroy(&attr);
	return kv;
}

/* The environment that this process (not the one it was forked from) has open on the folder. */
static struct tv_kv *find_open(const char *path)
{
	tv_autofree char *file = tv_path_join(path, DATA_FILE);
	struct stat st;
	if (!file || stat(file, &st) < 0)
		return NULL;
	for (struct tv_kv *kv = open_envs.first; kv; kv = kv->next)
		if (kv->dev == st.st_dev && kv->ino == st.st_ino && kv->pid == getpid())
			return kv;
	return NULL;
}

static int open_first(const char *path, unsigned mode, struct tv_kv **out, struct tv_err *err)
{
	struct tv_kv *kv = kv_new(path);
	if (!kv)
		return tv_err_nomem(err);
	int r = open_env(kv, mode, err);
	if (r < 0) {
		kv_free(kv);
		return r;
	}
	kv->next = open_envs.first;
	open_envs.first = kv;
	*out = kv;
	return 0;
}

int tv_kv_open(const char *path, unsigned mode, struct tv_kv **out, struct tv_err *err)
{
	int r = 0;
	pthread_mutex_lock(&open_envs.lock);
	struct tv_kv *kv = find_open(path);
	if (kv)
		kv->opens++;
	else
		r = open_first(path, mode, &kv, err);
	pthread_mutex_unlock(&open_envs.lock);
	if (r == 0)
		*out = kv;
	return r;
}

void tv_kv_close(struct tv_kv *kv)
{
	if (!kv)
		return;
	pthread_mutex_lock(&open_envs.lock);
	if (--kv->opens == 0) {
		struct tv_kv **at = &open_envs.first;
		while (*at && *at != kv)
			at = &(*at)->next;
		if (*at)
			*at = kv->next;
		kv_free(kv);
	}
	pthread_mutex_unlock(&open_envs.lock);
}

/* --- transactions ---------------------------------------------------------------------------- */

/* Asks the kernel before LMDB gives its old map away. */
static int check_room(size_t bytes)
{
	void *probe =
		mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (probe == MAP_FAILED)
		return errno;
	munmap(probe, bytes);
	return 0;
}

/* Re-maps: to what another process grew the map to, or (grow) to twice the size. */
static int remap(struct tv_kv *kv, bool grow, struct tv_err *err)
{
	size_t bytes = 0;
	int rc = 0;

	pthread_rwlock_wrlock(&kv->map);
	if (grow) {
		MDB_envinfo info;
		mdb_env_info(kv->env, &info);
		bytes = info.me_mapsize * 2;
		rc = bytes > info.me_mapsize ? check_room(bytes) : ENOMEM;
	}
	if (!rc && !kv->unmapped) {
		rc = mdb_env_set_mapsize(kv->env, bytes);
		kv->unmapped = rc != 0;
	}
	pthread_rwlock_unlock(&kv->map);
	return rc ? kv_error(err, rc, "cannot make the index's map larger") : 0;
}

static int no_map(struct tv_err *err)
{
	return tv_err_set(err, -ENOMEM, "the index could not be mapped again; restart the program");
}

/* A pooled read transaction, renewed, or a new one. An LMDB code. */
static int take_reader(struct tv_kv *kv, MDB_txn **out)
{
	MDB_txn *txn = NULL;
	pthread_mutex_lock(&kv->pool_lock);
	if (kv->pooled)
		txn = kv->pool[--kv->pooled];
	pthread_mutex_unlock(&kv->pool_lock);

	int rc = txn ? mdb_txn_renew(txn) : mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);
	if (rc && txn)
		mdb_txn_abort(txn);
	else if (!rc)
		*out = txn;
	return rc;
}

static void put_reader(struct tv_kv *kv, MDB_txn *txn)
{
	mdb_txn_reset(txn);
	pthread_mutex_lock(&kv->pool_lock);
	if (kv->pooled < POOL_MAX) {
		kv->pool[kv->pooled++] = txn;
		txn = NULL;
	}
	pthread_mutex_unlock(&kv->pool_lock);
	if (txn)
		mdb_txn_abort(txn);
}

/* All slots taken: dead processes' are cleared, else somebody will soon be done. False after a few
 * seconds. */
static bool wait_for_slot(struct tv_kv *kv, int64_t *deadline)
{
	int cleared = 0;
	if (mdb_reader_check(kv->env, &cleared) == 0 && cleared)
		return true;
	int64_t now = tv_boottime_ns();
	if (!*deadline)
		*deadline = now + READERS_WAIT_NS;
	usleep(2000 + (useconds_t)(now / 1000 % 8000));
	return now < *deadline;
}

/* Leaves kv->map held shared when it succeeds. */
static int begin(struct tv_kv_txn *t, struct tv_err *err)
{
	struct tv_kv *kv = t->kv;
	int64_t deadline = 0;

	for (;;) {
		pthread_rwlock_rdlock(&kv->map);
		if (kv->unmapped) {
			pthread_rwlock_unlock(&kv->map);
			return no_map(err);
		}
		int rc = t->write ? mdb_txn_begin(kv->env, NULL, 0, &t->txn)
				  : take_reader(kv, &t->txn);
		if (!rc)
			return 0;
		pthread_rwlock_unlock(&kv->map);
		if (rc == MDB_MAP_RESIZED) {
			int r = remap(kv, false, err);
			if (r < 0)
				return r;
		} else if (rc != MDB_READERS_FULL || !wait_for_slot(kv, &deadline)) {
			return kv_error(err, rc, "cannot use the index");
		}
	}
}

static int run_body(struct tv_kv_txn *t,
		    int (*body)(struct tv_kv_txn *t, void *arg, struct tv_err *err), void *arg,
		    struct tv_err *err)
{
	if (pthread_setspecific(t->kv->current, t) != 0)
		return tv_err_nomem(err);
	int r = body(t, arg, err);
	pthread_setspecific(t->kv->current, NULL);
	return r;
}

int tv_kv_read(struct tv_kv *kv, int (*body)(struct tv_kv_txn *t, void *arg, struct tv_err *err),
	       void *arg, struct tv_err *err)
{
	struct tv_kv_txn *outer = pthread_getspecific(kv->current);
	if (outer)
		return body(outer, arg, err);

	struct tv_kv_txn t = { .kv = kv };
	int r = begin(&t, err);
	if (r < 0)
		return r;
	r = run_body(&t, body, arg, err);
	put_reader(kv, t.txn);
	pthread_rwlock_unlock(&kv->map);
	return r;
}

/* LMDB says EIO when a write came out short, which is how a disk gets full: before any sync, and
 * nothing refers to the pages. (Of its meta page it says so once and refuses all that follows.) */
static bool disk_full(const struct tv_kv *kv)
{
	struct statvfs st;
	return statvfs(kv->path, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < FULL_BYTES;
}

/* Commits. Sets map_full instead of failing when that is what it was. */
static int commit(struct tv_kv_txn *t, struct tv_err *err)
{
	int rc = mdb_txn_commit(t->txn);
	if (!rc)
		return 0;
	if (rc == EIO && disk_full(t->kv))
		return kv_error(err, ENOSPC, "cannot write the index");
	if (rc == MDB_MAP_FULL)
		t->map_full = true;
	else if (rc > 0 && rc != ENOSPC && rc != EDQUOT && rc != ENOMEM)
		/* After a failed sync the kernel calls lost pages clean: the next sync would lie. */
		t->kv->write_failed = true;
	return kv_error(err, rc, "cannot write the index");
}

static int write_once(struct tv_kv_txn *t,
		      int (*body)(struct tv_kv_txn *t, void *arg, struct tv_err *err), void *arg,
		      struct tv_err *err)
{
	int r = begin(t, err);
	if (r < 0)
		return r;
	r = run_body(t, body, arg, err);
	if (r == 0 && !t->map_full)
		r = commit(t, err);
	else
		mdb_txn_abort(t->txn);
	pthread_rwlock_unlock(&t->kv->map);
	return r;
}

int tv_kv_write(struct tv_kv *kv, int (*body)(struct tv_kv_txn *t, void *arg, struct tv_err *err),
		void *arg, struct tv_err *err)
{
	if (pthread_getspecific(kv->current))
		return tv_err_set(err, -EDEADLK, "a write began inside another transaction");

	pthread_mutex_lock(&kv->writer);
	int r = kv->write_failed
			? tv_err_set(err, -EIO,
				     "an earlier write to the index failed; check the disk, "
				     "then start again")
			: 0;
	while (r == 0) {
		struct tv_kv_txn t = { .kv = kv, .write = true };
		r = write_once(&t, body, arg, err);
		if (!t.map_full)
			break;
		tv_err_clear(err);
		r = remap(kv, true, err);
	}
	pthread_mutex_unlock(&kv->writer);
	return r;
}

/* --- rows ------------------------------------------------------------------------------------ */

static MDB_val to_val(struct tv_bytes b)
{
	/* LMDB does not change what it is given here; its type just has no const. */
	return (MDB_val){ .mv_size = b.len, .mv_data = (void *)b.data };
}

static int write_error(struct tv_kv_txn *t, struct tv_err *err, int rc)
{
	if (rc == MDB_MAP_FULL)
		t->map_full = true;
	return kv_error(err, rc, "cannot write the index");
}

int tv_kv_get(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key, struct tv_bytes *value,
	      struct tv_err *err)
{
	MDB_val k = to_val(key), v;
	if (t->kv->absent[table])
		return 0;
	int rc = mdb_get(t->txn, t->kv->dbi[table], &k, &v);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return kv_error(err, rc, "cannot read the index");
	if (value)
		*value = tv_bytes(v.mv_data, v.mv_size);
	return 1;
}

static int no_table(enum tv_table table, struct tv_err *err)
{
	return tv_err_set(err, -EOPNOTSUPP, "the index has no table '%s'", table_names[table]);
}

int tv_kv_put(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key, struct tv_bytes value,
	      struct tv_err *err)
{
	MDB_val k = to_val(key), v = to_val(value);
	if (t->kv->absent[table])
		return no_table(table, err);
	int rc = mdb_put(t->txn, t->kv->dbi[table], &k, &v, 0);
	return rc ? write_error(t, err, rc) : 0;
}

int tv_kv_put_new(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key,
		  struct tv_bytes value, struct tv_err *err)
{
	MDB_val k = to_val(key), v = to_val(value);
	if (t->kv->absent[table])
		return no_table(table, err);
	int rc = mdb_put(t->txn, t->kv->dbi[table], &k, &v, MDB_NOOVERWRITE);
	if (rc == MDB_KEYEXIST)
		return 0;
	return rc ? write_error(t, err, rc) : 1;
}

int tv_kv_del(struct tv_kv_txn *t, enum tv_table table, struct tv_bytes key, struct tv_err *err)
{
	MDB_val k = to_val(key);
	if (t->kv->absent[table])
		return 0;
	int rc = mdb_del(t->txn, t->kv->dbi[table], &k, NULL);
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc ? write_error(t, err, rc) : 1;
}

int tv_kv_cursor_open(struct tv_kv_txn *t, enum tv_table table, struct tv_kv_cursor **out,
		      struct tv_err *err)
{
	struct tv_kv_cursor *c = malloc(sizeof(*c));
	if (!c)
		return tv_err_nomem(err);
	c->cursor = NULL;
	int rc = t->kv->absent[table] ? 0 : mdb_cursor_open(t->txn, t->kv->dbi[table], &c->cursor);
	if (rc) {
		free(c);
		return kv_error(err, rc, "cannot read the index");
	}
	*out = c;
	return 0;
}

void tv_kv_cursor_close(struct tv_kv_cursor *c)
{
	if (!c)
		return;
	if (c->cursor)
		mdb_cursor_close(c->cursor);
	free(c);
}

static int cursor_move(struct tv_kv_cursor *c, MDB_cursor_op op, struct tv_bytes at,
		       struct tv_bytes *key, struct tv_bytes *value, struct tv_err *err)
{
	MDB_val k = to_val(at), v;
	if (!c->cursor)
		return 0;
	int rc = mdb_cursor_get(c->cursor, &k, &v, op);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return kv_error(err, rc, "cannot read the index");
	if (key)
		*key = tv_bytes(k.mv_data, k.mv_size);
	if (value)
		*value = tv_bytes(v.mv_data, v.mv_size);
	return 1;
}

int tv_kv_cursor_from(struct tv_kv_cursor *c, struct tv_bytes from, struct tv_bytes *key,
		      struct tv_bytes *value, struct tv_err *err)
{
	return cursor_move(c, from.len ? MDB_SET_RANGE : MDB_FIRST, from, key, value, err);
}

int tv_kv_cursor_next(struct tv_kv_cursor *c, struct tv_bytes *key, struct tv_bytes *value,
		      struct tv_err *err)
{
	return cursor_move(c, MDB_NEXT, tv_bytes(NULL, 0), key, value, err);
}

int tv_kv_cursor_before(struct tv_kv_cursor *c, struct tv_bytes before, struct tv_bytes *key,
			struct tv_bytes *value, struct tv_err *err)
{
	int r = before.len ? cursor_move(c, MDB_SET_RANGE, before, NULL, NULL, err) : 0;
	if (r < 0)
		return r;
	return cursor_move(c, r ? MDB_PREV : MDB_LAST, tv_bytes(NULL, 0), key, value, err);
}

int tv_kv_cursor_prev(struct tv_kv_cursor *c, struct tv_bytes *key, struct tv_bytes *value,
		      struct tv_err *err)
{
	return cursor_move(c, MDB_PREV, tv_bytes(NULL, 0), key, value, err);
}

static int stat_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct tv_kv_stat *out = arg;
	MDB_envinfo info;
	MDB_stat st;

	for (int i = 0; i < TV_T_COUNT; i++) {
		out->entries[i] = 0;
		if (t->kv->absent[i])
			continue;
		int rc = mdb_stat(t->txn, t->kv->dbi[i], &st);
		if (rc)
			return kv_error(err, rc, "cannot read the index");
		out->entries[i] = st.ms_entries;
	}
	mdb_env_info(t->kv->env, &info);
	out->map_bytes = info.me_mapsize;
	out->used_bytes = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
	out->readers = info.me_numreaders;
	out->max_readers = info.me_maxreaders;
	return 0;
}

int tv_kv_stat(struct tv_kv *kv, struct tv_kv_stat *out, struct tv_err *err)
{
	struct tv_kv_stat st;
	int r = tv_kv_read(kv, stat_body, &st, err);
	if (r == 0)
		*out = st;
	return r;
}

void tv_be64_put(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

uint64_t tv_be64_get(const uint8_t in[8])
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | in[i];
	return v;
}
