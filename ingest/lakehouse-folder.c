#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "ingest/lakehouse-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/merge.h"

#define TEMP ".tvfs-ingest."
#define LOCK_TRIES 300
#define LOCK_WAIT_NS 100000000
#define LEFTOVER_NS (INT64_C(86400) * 1000000000) /* temp files that are older are nobody's */

/* A file as it was last looked at: whether others have changed it since. */
struct seen {
	char *path;	/* owned */
	struct stat st; /* st_ino 0: it was not there */
	int table,
		before; /* copies of a table's bytes, now and before others published; -1: none */
};

struct lake {
	struct tv_lakehouse common;
	char *path;
	int dirfd;
	struct seen *seen;
	size_t n_seen, cap_seen;
};

static struct lake *lake_of(struct tv_lakehouse *l)
{
	return (struct lake *)l;
}

/* --- what was seen ----------------------------------------------------------------------------- */

static size_t place_of(const struct lake *k, const char *path, bool *found)
{
	size_t low = 0, high = k->n_seen;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(k->seen[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < k->n_seen && strcmp(k->seen[low].path, path) == 0;
	return low;
}

static struct seen *seen_of(const struct lake *k, const char *path)
{
	bool found;
	size_t at = place_of(k, path, &found);
	return found ? &k->seen[at] : NULL;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Notes how a path is at first sight. */
static int note(struct lake *k, const char *path, const struct stat *st, struct tv_err *err)
{
	bool found;
	size_t at = place_of(k, path, &found);
	if (found)
		return 0;
	if (!k->seen || k->n_seen == k->cap_seen) {
		size_t cap = k->cap_seen ? 2 * k->cap_seen : 64;
		struct seen *grown = reallocarray(k->seen, cap, sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		k->seen = grown;
		k->cap_seen = cap;
	}
	char *copy = strdup(path);
	if (!copy)
		return tv_err_nomem(err);
	if (at < k->n_seen)
		memmove(k->seen + at + 1, k->seen + at, (k->n_seen - at) * sizeof(*k->seen));
	k->seen[at] = (struct seen){ .path = copy, .st = *st, .table = -1, .before = -1 };
	k->n_seen++;
	return 0;
}

/* --- reading ----------------------------------------------------------------------------------- */

static int lake_open(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct stat st = { 0 };
	/* not to wait for somebody who writes into a FIFO */
	tv_autoclose int fd = openat(k->dirfd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int code = fd < 0 ? -errno : 0;
	if (code == -ENOENT || code == -ENOTDIR) {
		int r = note(k, path, &st, err);
		return r < 0 ? r : tv_err_set(err, -ENOENT, "'%s' is not there", path);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return tv_err_set(err, -EINVAL, "'%s' is not a file", path);
	int r = note(k, path, &st, err);
	return r < 0 ? r : tv_steal_fd(&fd);
}

/* An own descriptor of the same bytes, at their start. */
static int again(int fd, struct tv_err *err)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, O_RDONLY | O_CLOEXEC);
	return own < 0 ? tv_err_sys(err, -errno, "cannot open a copy") : own;
}

#define BLOCK ((size_t)256 << 10)

/* Copies a file's bytes, and takes their digest; to -1: only that. */
static int copy(int from, int to, struct tv_sha *sha, struct tv_err *err)
{
	tv_autofree char *block = malloc(BLOCK);
	struct tv_hasher *h = NULL;
	struct tv_addr addr;
	int r = block ? tv_hasher_new(&h, err) : tv_err_nomem(err);
	for (off_t at = 0; r == 0;) {
		ssize_t n = pread(from, block, BLOCK, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = tv_err_sys(err, -errno, "cannot read it");
		if (n <= 0)
			break;
		r = tv_hasher_update(h, block, (size_t)n, err);
		int put = r == 0 && to >= 0 ? tv_io_pwrite_all(to, block, (size_t)n, at) : 0;
		if (put < 0)
			r = tv_err_sys(err, put, "cannot write a copy");
		at += n;
	}
	if (r == 0)
		r = tv_hasher_final(h, &addr, sha, err);
	tv_hasher_free(h);
	return r;
}

static int copy_of(int fd, struct tv_err *err)
{
	struct tv_sha sha;
	tv_autoclose int own = memfd_create("tvfs-table", MFD_CLOEXEC);
	if (own < 0)
		return tv_err_sys(err, -errno, "cannot keep a copy");
	int r = copy(fd, own, &sha, err);
	return r < 0 ? r : tv_steal_fd(&own);
}

static int lake_open_table(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct seen *seen = seen_of(k, path);
	if (!seen || seen->table < 0) {
		tv_autoclose int fd = lake_open(l, path, err);
		if (fd < 0)
			return fd;
		seen = seen_of(k, path);
		seen->table = copy_of(fd, err);
	}
	return seen->table < 0 ? seen->table : again(seen->table, err);
}

static int lake_open_before(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	const struct seen *seen = seen_of(lake_of(l), path);
	int fd = !seen ? -1 : seen->before >= 0 ? seen->before : seen->table;
	return fd < 0 ? tv_err_set(err, -ENOENT, "'%s' was not there", path) : again(fd, err);
}

static int lake_stat(struct tv_lakehouse *l, const char *path, struct tv_lakehouse_file *out,
		     struct tv_err *err)
{
	struct stat st;
	if (fstatat(lake_of(l)->dirfd, path, &st, 0) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return tv_err_set(err, -ENOENT, "'%s' is not there", path);
		return tv_err_sys(err, -errno, "cannot stat '%s'", path);
	}
	if (!S_ISREG(st.st_mode))
		return tv_err_set(err, -EINVAL, "'%s' is not a file", path);
	*out = (struct tv_lakehouse_file){ .size = (uint64_t)st.st_size,
					   .mtime_ns = tv_ns_from_timespec(st.st_mtim) };
	return 0;
}

static int lake_sha(struct tv_lakehouse *l, const char *path, struct tv_sha *out,
		    struct tv_err *err)
{
	tv_autoclose int fd = lake_open(l, path, err);
	if (fd < 0)
		return fd;
	int r = copy(fd, -1, out, err);
	return r < 0 ? tv_err_wrap(err, r, "'%s'", path) : 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int lake_each(struct tv_lakehouse *l,
		     int (*visit)(void *arg, const char *name, struct tv_err *err), void *arg,
		     struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct dirent **names = NULL;
	int n = scandirat(k->dirfd, ".", &names, NULL, by_name), r = 0;
	if (n < 0)
		return tv_err_sys(err, -errno, "cannot list '%s'", k->path);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		if (r == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			r = visit(arg, name, err);
		free(names[i]);
	}
	free(names);
	return r;
}

/* --- staging ----------------------------------------------------------------------------------- */

/* An empty temp file in the folder. */
static int make_temp(struct lake *k, char **name, struct tv_err *err)
{
	char unique[2 * 8 + 1];
	int r = tv_random_hex(unique, 8, err);
	if (r < 0)
		return r;
	if (asprintf(name, TEMP "%s.tmp", unique) < 0) {
		*name = NULL;
		return tv_err_nomem(err);
	}
	int fd = openat(k->dirfd, *name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	return fd < 0 ? tv_err_sys(err, -errno, "cannot make '%s/%s'", k->path, *name) : fd;
}

static int lake_take(struct tv_lakehouse *l, int fd, bool ours, struct tv_staged *s,
		     struct tv_err *err)
{
	struct lake *k = lake_of(l);
	(void)ours; /* its mode would not be that of a new file */
	tv_autoclose int temp = make_temp(k, &s->temp, err);
	if (temp < 0)
		return temp;
	return copy(fd, temp, &s->sha, err);
}

static void lake_leave(struct tv_lakehouse *l, struct tv_staged *s)
{
	if (s->temp)
		unlinkat(lake_of(l)->dirfd, s->temp, 0);
}

/* --- publishing -------------------------------------------------------------------------------- */

static int lock(struct lake *k, struct tv_err *err)
{
	for (unsigned tries = 0; flock(k->dirfd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return tv_err_sys(err, -errno, "cannot lock '%s'", k->path);
		if (tries == LOCK_TRIES)
			return tv_err_set(err, -TV_E_LOCKED, "another publisher holds '%s'",
					  k->path);
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_WAIT_NS }, NULL);
	}
	return 0;
}

/* Collects what is staged and was changed by others, and takes it as it is now. */
static int find_changed(struct lake *k, struct tv_conflicts *out, struct tv_err *err)
{
	const struct tv_lakehouse *l = &k->common;
	out->paths = calloc(l->n_staged + 1, sizeof(*out->paths));
	if (!out->paths)
		return tv_err_nomem(err);
	for (size_t i = 0; i < l->n_staged; i++) {
		struct seen *seen = seen_of(k, l->staged[i].path);
		struct stat now = { 0 };
		if (fstatat(k->dirfd, seen->path, &now, 0) < 0 && errno != ENOENT &&
		    errno != ENOTDIR)
			return tv_err_sys(err, -errno, "cannot look at '%s'", seen->path);
		if (same_file(&now, &seen->st))
			continue;
		tv_close_p(&seen->before);
		seen->before = tv_steal_fd(&seen->table);
		seen->st = now;
		out->paths[out->len] = strdup(seen->path);
		if (!out->paths[out->len++])
			return tv_err_nomem(err);
	}
	return 0;
}

/* Until nobody has changed what is staged. *rebased: whether somebody had. */
static int rebase(struct lake *k, const struct tv_lakehouse_publish *how, bool *rebased,
		  struct tv_err *err)
{
	for (unsigned tries = 0;; tries++) {
		struct tv_conflicts changed = { NULL, 0 };
		int r = find_changed(k, &changed, err);
		size_t n = changed.len;
		if (r == 0 && n && !how->rebase)
			r = tv_err_set(err, -TV_E_CONFLICT, "'%s' was changed by somebody else",
				       changed.paths[0]);
		if (r == 0 && n && tries == TV_REBASES_MAX)
			r = tv_err_set(err, -TV_E_LOCKED,
				       "others keep changing '%s'; try again later",
				       changed.paths[0]);
		if (r == 0 && n)
			r = how->rebase(how->arg, &k->common, changed.paths, n, err);
		tv_conflicts_free(&changed);
		if (r < 0 || !n)
			return r;
		*rebased = true;
	}
}

static int write_table(struct lake *k, struct tv_staged *s, struct tv_err *err)
{
	tv_autoclose int fd = make_temp(k, &s->temp, err);
	if (fd < 0)
		return fd;
	int r = tv_io_write_all(fd, s->bytes.data, s->bytes.len);
	return r < 0 ? tv_err_sys(err, r, "cannot write '%s/%s'", k->path, s->temp) : 0;
}

static int replace(struct lake *k, struct tv_staged *s, struct tv_err *err)
{
	const struct seen *seen = seen_of(k, s->path);
	if (s->remove) {
		if (unlinkat(k->dirfd, s->path, 0) < 0 && errno != ENOENT)
			return tv_err_sys(err, -errno, "cannot remove '%s/%s'", k->path, s->path);
		return 0;
	}
	const char *slash = strrchr(s->path, '/');
	if (slash) {
		tv_autofree char *parent = strndup(s->path, (size_t)(slash - s->path));
		int r = parent ? tv_io_mkdirs(k->dirfd, parent, 0777, err) : tv_err_nomem(err);
		if (r < 0)
			return r;
	}
	if (seen->st.st_ino && fchmodat(k->dirfd, s->temp, seen->st.st_mode & 0777, 0) < 0)
		return tv_err_sys(err, -errno, "cannot give '%s' its mode", s->temp);
	if (renameat(k->dirfd, s->temp, k->dirfd, s->path) < 0)
		return tv_err_sys(err, -errno, "cannot replace '%s/%s'", k->path, s->path);
	tv_free_p(&s->temp);
	s->temp = NULL;
	return 0;
}

static int sync_all(struct lake *k, struct tv_err *err)
{
	return syncfs(k->dirfd) < 0 ? tv_err_sys(err, -errno, "cannot sync '%s'", k->path) : 0;
}

/* Files first, then tables: a table never tells of a file that is not there. */
static int replace_all(struct lake *k, struct tv_err *err)
{
	struct tv_lakehouse *l = &k->common;
	size_t done = 0;
	int r = 0;
	for (int tables = 0; tables < 2 && r == 0; tables++) {
		for (size_t i = 0; i < l->n_staged && r == 0; i++) {
			if (l->staged[i].table != tables)
				continue;
			r = replace(k, &l->staged[i], err);
			done += r == 0;
		}
		if (r == 0)
			r = sync_all(k, err);
	}
	return r < 0 ? tv_err_wrap(err, r, "%zu of %zu files were replaced; repeat the command",
				   done, l->n_staged)
		     : 0;
}

/* What killed publishers left. */
static void remove_leftovers(struct lake *k)
{
	struct dirent **names = NULL;
	int n = scandirat(k->dirfd, ".", &names, NULL, NULL);
	for (int i = 0; i < n; i++) {
		struct stat st;
		const char *name = names[i]->d_name;
		bool ours = strncmp(name, TEMP, strlen(TEMP)) == 0;
		if (ours && fstatat(k->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    tv_now_ns() - tv_ns_from_timespec(st.st_mtim) > LEFTOVER_NS)
			unlinkat(k->dirfd, name, 0);
		free(names[i]);
	}
	free(names);
}

static int lake_publish(struct tv_lakehouse *l, const struct tv_lakehouse_publish *how,
			struct tv_lakehouse_published *out, struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct tv_lakehouse_published done = { .unchanged = true };
	if (l->n_staged) {
		int r = lock(k, err);
		if (r == 0)
			r = rebase(k, how, &done.merged, err);
		remove_leftovers(k);
		for (size_t i = 0; i < l->n_staged && r == 0; i++)
			if (l->staged[i].table)
				r = write_table(k, &l->staged[i], err);
		if (r == 0)
			r = sync_all(k, err);
		if (r == 0)
			r = replace_all(k, err);
		flock(k->dirfd, LOCK_UN);
		if (r < 0)
			return r;
		done.unchanged = !l->n_staged;
	}
	*out = done;
	return 0;
}

/* --- from start to end ------------------------------------------------------------------------- */

static void lake_free(struct tv_lakehouse *l)
{
	struct lake *k = lake_of(l);
	for (size_t i = 0; i < k->n_seen; i++) {
		tv_close_p(&k->seen[i].table);
		tv_close_p(&k->seen[i].before);
		free(k->seen[i].path);
	}
	free(k->seen);
	tv_close_p(&k->dirfd);
	free(k->path);
	free(k);
}

static const struct tv_lakehouse_kind kind = {
	.open = lake_open,
	.open_table = lake_open_table,
	.open_before = lake_open_before,
	.sha = lake_sha,
	.stat = lake_stat,
	.each = lake_each,
	.take = lake_take,
	.leave = lake_leave,
	.publish = lake_publish,
	.free = lake_free,
};

int tv_lakehouse_of_folder(const char *path, struct tv_lakehouse **out, struct tv_err *err)
{
	struct lake *k = calloc(1, sizeof(*k));
	if (!k)
		return tv_err_nomem(err);
	k->common.kind = &kind;
	k->path = strdup(path);
	k->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->dirfd < 0 || !k->path) {
		int r = k->dirfd < 0 ? tv_err_sys(err, -errno, "cannot open '%s'", path)
				     : tv_err_nomem(err);
		lake_free(&k->common);
		return r;
	}
	*out = &k->common;
	return 0;
}
