#include "store/checkout.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "store/beneath.h"
#include "store/blob.h"

#define COPY_BYTES (1 << 20)
#define TEMP ".tvfs-checkout."
#define LEFT_AFTER_NS (60 * INT64_C(1000000000)) /* so old an unlocked temp folder is nobody's */

/* Reads a blob to its end, from where the descriptor stands, for its address; with `to` >= 0 writes it
 * there, too. */
static int read_blob(int blob, int to, struct tv_addr *addr, struct tv_err *err)
{
	tv_autofree char *bytes = malloc(COPY_BYTES);
	tv_autoaddrsum struct tv_addr_sum *sum = tv_addr_sum_new();
	if (!bytes || !sum)
		return tv_err_nomem(err);
	for (;;) {
		ssize_t n = read(blob, bytes, COPY_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tv_err_sys(err, -errno, "cannot read a blob");
		if (n == 0)
			break;
		tv_addr_sum_update(sum, bytes, (size_t)n);
		int res = to < 0 ? 0 : tv_io_write_all(to, bytes, (size_t)n);
		if (res < 0)
			return tv_err_sys(err, res, "cannot write");
	}
	*addr = tv_addr_sum_final(sum);
	return 0;
}

/* copy_file_range would keep the bytes out of this process, but then nobody would have checked them. */
int tv_checkout_file(struct tv_store *s, const struct tv_entry *file, int fd, struct tv_err *err)
{
	struct stat st;
	struct tv_addr addr;
	char hex[TV_ADDR_HEX];
	tv_autoclose int blob = tv_blob_open(s, &file->addr, err);
	if (blob < 0)
		return blob;
	if (fstat(blob, &st) < 0)
		return tv_err_sys(err, -errno, "cannot stat a blob");
	tv_addr_hex(&file->addr, hex);
	if ((uint64_t)st.st_size != file->size)
		return tv_err_set(err, -TV_E_DAMAGED,
				  "blob %s has %lld bytes instead of %llu: run fsck", hex,
				  (long long)st.st_size, (unsigned long long)file->size);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return tv_err_sys(err, -errno, "cannot write");
	bool cloned = file->size && ioctl(fd, FICLONE, blob) == 0;
	int res = read_blob(blob, cloned ? -1 : fd, &addr, err);
	if (res == 0 && !tv_addr_eq(&addr, &file->addr))
		res = tv_err_set(err, -TV_E_DIGEST, "blob %s does not match its digest: run fsck",
				 hex);
	return res;
}

struct checkout {
	struct tv_store *s;
	int root; /* the temp folder */
	const struct tv_progress *progress;
	uint64_t done, total;
};

static int set_times(int fd, const struct tv_entry *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, tv_timespec_from_ns(e->mtime_ns) };
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int put_file(struct checkout *c, int dirfd, const char *name, const struct tv_entry *e,
		    struct tv_err *err)
{
	tv_autoclose int fd =
		openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot make the file");
	int res = tv_checkout_file(c->s, e, fd, err);
	if (res < 0)
		return res;
	if (fchmod(fd, e->mode) < 0 || set_times(fd, e) < 0)
		return tv_err_sys(err, -errno, "cannot set mode and time");
	return 0;
}

static int put_link(int dirfd, const char *name, const struct tv_entry *e, struct tv_err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, tv_timespec_from_ns(e->mtime_ns) };
	if (symlinkat(e->target, dirfd, name) < 0 ||
	    utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return tv_err_sys(err, -errno, "cannot make the symbolic link");
	return 0;
}

static int put_visit(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	struct checkout *c = arg;
	const char *name;
	int res = 0;
	tv_autoclose int dirfd = tv_beneath_open_parent(c->root, path, &name);
	if (dirfd < 0)
		return tv_err_sys(err, dirfd, "cannot open the folder of '%s'", path);
	if (e->kind == TV_DIR) { /* mode and times follow when nothing more is written below */
		if (mkdirat(dirfd, name, 0700) < 0)
			res = tv_err_sys(err, -errno, "cannot make the folder");
	} else if (e->kind == TV_SYMLINK) {
		res = put_link(dirfd, name, e, err);
	} else {
		res = put_file(c, dirfd, name, e, err);
	}
	if (res < 0)
		return tv_err_wrap(err, res, "'%s'", path);
	if (e->kind != TV_DIR && ++c->done % 32 == 0 &&
	    tv_progress_step(c->progress, "writing", c->done, c->total, "files"))
		return tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
	return 0;
}

/* A folder's mode may forbid entering it, so each is set only when those below it are: the walk
 * collects them, and they are set backwards. */
struct dir {
	char *path;
	struct tv_entry e;
};

struct dirs {
	struct dir *list;
	size_t len, cap;
};

static int dirs_visit(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	struct dirs *d = arg;
	if (e->kind != TV_DIR)
		return 0;
	if (d->len == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 64;
		void *grown = reallocarray(d->list, cap, sizeof(*d->list));
		if (!grown)
			return tv_err_nomem(err);
		d->list = grown;
		d->cap = cap;
	}
	char *copy = strdup(path);
	if (!copy)
		return tv_err_nomem(err);
	d->list[d->len++] = (struct dir){ .path = copy, .e = *e };
	return 0;
}

static int set_dir(int root, const struct dir *d, struct tv_err *err)
{
	tv_autoclose int fd = tv_beneath_open_dir(root, d->path);
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open '%s'", d->path);
	if (fchmod(fd, d->e.mode) < 0 || set_times(fd, &d->e) < 0)
		return tv_err_sys(err, -errno, "cannot set mode and time of '%s'", d->path);
	return 0;
}

static int set_dirs(struct checkout *c, const struct tv_entry *root, struct tv_err *err)
{
	struct dirs d = { .list = NULL };
	int res = tv_tree_walk(tv_store_nodes(c->s), root, dirs_visit, &d, err);
	for (size_t i = d.len; res == 0 && i-- > 0;)
		res = set_dir(c->root, &d.list[i], err);
	const struct dir top = { .path = (char[]){ "" }, .e = *root };
	if (res == 0)
		res = set_dir(c->root, &top, err);
	for (size_t i = 0; i < d.len; i++)
		free(d.list[i].path);
	free(d.list);
	return res;
}

static int write_tree(struct tv_store *s, const struct tv_entry *root, int fd,
		      const struct tv_progress *progress, struct tv_err *err)
{
	struct checkout c = { .s = s, .root = fd, .progress = progress, .total = root->files };
	int res = tv_tree_walk(tv_store_nodes(s), root, put_visit, &c, err);
	if (res == 0)
		res = set_dirs(&c, root, err);
	if (res < 0)
		return res;
	if (syncfs(fd) < 0)
		return tv_err_sys(err, -errno, "cannot sync what was written");
	return 0;
}

/* dest must be absent or an empty folder; then it may be given way to. */
static int check_dest(int parent, const char *name, const char *dest, struct tv_err *err)
{
	tv_autoclosedir DIR *d = NULL;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno != ENOTDIR && errno != ELOOP)
		return tv_err_sys(err, -errno, "cannot look at '%s'", dest);
	if (fd >= 0 && !(d = fdopendir(fd)))
		close(fd);
	if (!d)
		return tv_err_set(err, -EEXIST, "'%s' exists and is no empty folder", dest);
	for (const struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return tv_err_set(err, -ENOTEMPTY, "'%s' is not empty: give a new folder",
					  dest);
	return 0;
}

/* Opens the folder that is to hold dest. *name is owned by the caller. */
static int open_parent(const char *dest, char **name, struct tv_err *err)
{
	tv_autofree char *copy = strdup(dest);
	if (!copy)
		return tv_err_nomem(err);
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/';)
		copy[--n] = 0;
	char *slash = strrchr(copy, '/');
	const char *base = slash ? slash + 1 : copy;
	if (!tv_name_ok(base, strlen(base)))
		return tv_err_set(err, -EINVAL, "'%s' does not name a new folder", dest);
	char *last = strdup(base);
	if (!last)
		return tv_err_nomem(err);
	if (slash)
		slash[slash == copy] = 0; /* "/x": the root stays */
	int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		free(last);
		return tv_err_sys(err, -errno, "cannot open the folder that is to hold '%s'", dest);
	}
	*name = last;
	return fd;
}

/* --- what a killed checkout left --------------------------------------------------------------- */

/* Whoever builds has the folder locked (flock), but for a moment after making it. */
static void remove_left(int parent, const char *temp)
{
	struct stat st;
	tv_autoclose int fd = openat(parent, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
	    tv_now_ns() - tv_ns_from_timespec(st.st_mtim) > LEFT_AFTER_NS &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		tv_io_remove_tree(parent, temp, NULL);
}

static void remove_all_left(int parent)
{
	int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tv_autoclosedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	if (!d)
		tv_close_p(&fd);
	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, TEMP, sizeof(TEMP) - 1) == 0)
			remove_left(parent, e->d_name);
}

/* ----------------------------------------------------------------------------------------------- */

static int build_and_rename(struct tv_store *s, const struct tv_entry *root, int parent,
			    const char *temp, const char *name, const char *dest,
			    const struct tv_progress *progress, struct tv_err *err)
{
	if (mkdirat(parent, temp, 0700) < 0)
		return tv_err_sys(err, -errno, "cannot make a folder beside '%s'", dest);
	tv_autoclose int fd = openat(parent, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return tv_err_sys(err, -errno, "cannot open the folder beside '%s'", dest);
	int res = write_tree(s, root, fd, progress, err);
	if (res < 0)
		return res;
	/* Replaces an empty folder; one that has been filled meanwhile is left alone. */
	if (renameat(parent, temp, parent, name) < 0)
		return tv_err_sys(err, -errno, "cannot put the finished folder at '%s'", dest);
	return tv_io_sync_dir(parent, ".", err);
}

int tv_checkout(struct tv_store *s, const struct tv_entry *root, const char *dest,
		const struct tv_progress *progress, struct tv_err *err)
{
	char random[17], temp[64];
	tv_autofree char *name = NULL;
	tv_autoclose int parent = open_parent(dest, &name, err);
	if (parent < 0)
		return parent;
	int res = check_dest(parent, name, dest, err);
	if (res == 0)
		res = tv_random_hex(random, 8, err);
	if (res < 0)
		return res;
	remove_all_left(parent);
	snprintf(temp, sizeof(temp), TEMP "%s", random);
	res = build_and_rename(s, root, parent, temp, name, dest, progress, err);
	if (res < 0)
		tv_io_remove_tree(parent, temp, NULL);
	return res;
}
