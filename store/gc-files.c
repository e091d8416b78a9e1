#include "store/gc-files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/blob.h"
#include "store/store-priv.h"

#define ORPHAN_BATCH 256

static int open_folder(int dirfd, const char *path, DIR **out, struct tv_err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (d) {
		*out = d;
		return 0;
	}
	int code = -errno;
	if (fd >= 0)
		close(fd);
	return tv_err_sys(err, code, "cannot list '%s' in the store", path);
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int tv_temps_each(struct tv_store *s, int (*visit)(void *arg, const char *name, struct tv_err *err),
		  void *arg, struct tv_err *err)
{
	tv_autoclosedir DIR *d = NULL;
	int res = open_folder(s->tmp_fd, ".", &d, err);
	for (const struct dirent *e; res == 0 && (e = readdir(d));)
		if (!is_dots(e->d_name) && tv_blob_temp_stale(e->d_name))
			res = visit(arg, e->d_name, err);
	return res;
}

struct temps {
	struct tv_store *s;
	bool delete_;
	uint64_t count;
};

static int temp_visit(void *arg, const char *name, struct tv_err *err)
{
	struct temps *t = arg;
	if (t->delete_) {
		int res = tv_io_remove_tree(t->s->tmp_fd, name, err);
		if (res < 0)
			return res;
	}
	t->count++;
	return 0;
}

int tv_gc_temps(struct tv_store *s, bool delete_, uint64_t *count, struct tv_err *err)
{
	struct temps t = { .s = s, .delete_ = delete_ };
	int res = tv_temps_each(s, temp_visit, &t, err);
	if (res == 0)
		*count = t.count;
	return res;
}

/* The address that a file name in blobs/ab/ stands for; false when it stands for none. */
static bool parse_name(const char *folder, const char *name, struct tv_addr *out)
{
	return strlen(name) == TV_ADDR_HEX - 1 && strncmp(folder, name, 2) == 0 &&
	       tv_addr_from_hex(name, out);
}

struct row_known {
	const struct tv_addr *addr;
};

static int known_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct row_known *k = arg;
	struct tv_blob_row row;
	return tv_blob_row_get(t, k->addr, &row, err);
}

/* 1 when the file has a row, 0 when not. */
static int has_row(struct tv_store *s, const char *folder, const char *name, struct tv_err *err)
{
	struct tv_addr addr;
	struct row_known k = { .addr = &addr };
	if (!parse_name(folder, name, &addr))
		return 0;
	return tv_kv_read(s->kv, known_body, &k, err);
}

static int orphans_in(struct tv_store *s, const char *folder,
		      int (*visit)(void *arg, const char *path, int64_t ctime_ns,
				   struct tv_err *err),
		      void *arg, struct tv_err *err)
{
	tv_autoclosedir DIR *d = NULL;
	int res = open_folder(s->blobs_fd, folder, &d, err);
	for (const struct dirent *e; res == 0 && (e = readdir(d));) {
		char path[300];
		struct stat st;
		if (is_dots(e->d_name))
			continue;
		res = has_row(s, folder, e->d_name, err);
		if (res != 0) {
			res = res < 0 ? res : 0;
			continue;
		}
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (fstatat(s->blobs_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			res = visit(arg, path, tv_ns_from_timespec(st.st_ctim), err);
	}
	return res;
}

int tv_orphans_each(struct tv_store *s,
		    int (*visit)(void *arg, const char *path, int64_t ctime_ns, struct tv_err *err),
		    void *arg, struct tv_err *err)
{
	tv_autoclosedir DIR *d = NULL;
	int res = open_folder(s->blobs_fd, ".", &d, err);
	for (const struct dirent *e; res == 0 && (e = readdir(d));)
		if (!is_dots(e->d_name) && e->d_type != DT_REG)
			res = orphans_in(s, e->d_name, visit, arg, err);
	return res;
}

struct orphans {
	struct tv_store *s;
	bool delete_;
	int64_t older_than;
	char paths[ORPHAN_BATCH][300];
	size_t len;
	uint64_t count, gone; /* gone: of this batch */
};

/* True when it is not the file that was seen: a commit on its way has placed its own over it. Such a one
 * is not taken, epoch or not: when this transaction fails, the disk being full, nothing tells that commit.
 * (One that waits for longer than an orphan's age looks again in any case.) */
static bool renewed(const struct orphans *o, const char *path)
{
	struct stat st;
	return fstatat(o->s->blobs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	       tv_ns_from_timespec(st.st_ctim) > o->older_than;
}

/* A row may have come since the file was seen. The epoch tells commits on their way to look whether
 * their files are still there. */
static int orphans_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct orphans *o = arg;
	int res = tv_gc_epoch_bump(t, err);
	o->gone = 0;
	for (size_t i = 0; res == 0 && i < o->len; i++) {
		struct tv_addr addr;
		struct tv_blob_row row;
		if (parse_name(o->paths[i], o->paths[i] + 3, &addr))
			res = tv_blob_row_get(t, &addr, &row, err);
		if (res != 0 || renewed(o, o->paths[i])) {
			res = res < 0 ? res : 0;
			continue;
		}
		res = tv_io_remove_tree(o->s->blobs_fd, o->paths[i], err);
		o->gone++;
	}
	return res;
}

static int orphans_flush(struct orphans *o, struct tv_err *err)
{
	if (!o->len)
		return 0;
	int res = tv_kv_write(o->s->kv, orphans_body, o, err);
	o->count += o->gone;
	o->len = 0;
	return res;
}

static int orphan_visit(void *arg, const char *path, int64_t ctime_ns, struct tv_err *err)
{
	struct orphans *o = arg;
	if (ctime_ns > o->older_than)
		return 0;
	if (!o->delete_) {
		o->count++;
		return 0;
	}
	snprintf(o->paths[o->len++], sizeof(o->paths[0]), "%s", path);
	return o->len == ORPHAN_BATCH ? orphans_flush(o, err) : 0;
}

int tv_gc_orphans(struct tv_store *s, bool delete_, uint64_t *count, struct tv_err *err)
{
	tv_autofree struct orphans *o = calloc(1, sizeof(*o));
	if (!o)
		return tv_err_nomem(err);
	o->s = s;
	o->delete_ = delete_;
	o->older_than = tv_now_ns() - TV_ORPHAN_AGE_NS;
	int res = tv_orphans_each(s, orphan_visit, o, err);
	if (res == 0)
		res = orphans_flush(o, err);
	if (res == 0)
		*count = o->count;
	return res;
}
