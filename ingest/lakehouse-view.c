/* The foundation behind a run's view, for reading only: the view tells of each file whether it is the
 * foundation's, and its digest (extended attributes user.tvfs.*). */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "ingest/lakehouse-priv.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"

struct lake {
	struct tv_lakehouse common;
	int dirfd;
};

static struct lake *lake_of(struct tv_lakehouse *l)
{
	return (struct lake *)l;
}

/* The text of an attribute; "" when there is none. */
static int attribute(int fd, const char *name, char *out, size_t n, struct tv_err *err)
{
	ssize_t got = fgetxattr(fd, name, out, n - 1);
	if (got < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return tv_err_sys(err, -errno, "cannot ask for '%s'", name);
	out[got < 0 ? 0 : got] = '\0';
	return 0;
}

/* *file gets everything but the blob's address, which a view does not tell. */
static int open_frozen(struct lake *k, const char *path, struct tv_lakehouse_file *file,
		       struct tv_err *err)
{
	char layer[16], sha[TV_SHA_HEX];
	struct stat st;
	tv_autoclose int fd =
		openat(k->dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return tv_err_set(err, -ENOENT, "'%s' is not there", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return tv_err_set(err, -EINVAL, "'%s' is not a file", path);
	int r = attribute(fd, "user.tvfs.layer", layer, sizeof(layer), err);
	if (r == 0)
		r = attribute(fd, "user.tvfs.sha256", sha, sizeof(sha), err);
	if (r < 0)
		return r;
	if (strcmp(layer, "foundation") != 0 || !tv_sha_from_hex(sha, &file->sha))
		return tv_err_set(err, -ENOENT,
				  "'%s' was written by this run, it is not the foundation's", path);
	file->size = (uint64_t)st.st_size;
	file->mtime_ns = tv_ns_from_timespec(st.st_mtim);
	return tv_steal_fd(&fd);
}

static int lake_open(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	struct tv_lakehouse_file file = { .size = 0 };
	return open_frozen(lake_of(l), path, &file, err);
}

static int lake_stat(struct tv_lakehouse *l, const char *path, struct tv_lakehouse_file *out,
		     struct tv_err *err)
{
	struct tv_lakehouse_file file = { .size = 0 };
	tv_autoclose int fd = open_frozen(lake_of(l), path, &file, err);
	if (fd < 0)
		return fd;
	*out = file;
	return 0;
}

static int lake_sha(struct tv_lakehouse *l, const char *path, struct tv_sha *out,
		    struct tv_err *err)
{
	struct tv_lakehouse_file file;
	int r = lake_stat(l, path, &file, err);
	if (r == 0)
		*out = file.sha;
	return r;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int lake_each(struct tv_lakehouse *l,
		     int (*visit)(void *arg, const char *name, struct tv_err *err), void *arg,
		     struct tv_err *err)
{
	struct dirent **names = NULL;
	int n = scandirat(lake_of(l)->dirfd, ".", &names, NULL, by_name), r = 0;
	if (n < 0)
		return tv_err_sys(err, -errno, "cannot list the lakehouse");
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		if (r == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			r = visit(arg, name, err);
		free(names[i]);
	}
	free(names);
	return r;
}

static void lake_free(struct tv_lakehouse *l)
{
	tv_close_p(&lake_of(l)->dirfd);
	free(lake_of(l));
}

static const struct tv_lakehouse_kind kind = {
	.open = lake_open,
	.open_table = lake_open,
	.sha = lake_sha,
	.stat = lake_stat,
	.each = lake_each,
	.free = lake_free,
};

static int check_view(const struct lake *k, const char *path, const struct tv_sha *foundation,
		      struct tv_err *err)
{
	char want[TV_SHA_HEX], got[TV_SHA_HEX];
	tv_sha_hex(foundation, want);
	int r = attribute(k->dirfd, "user.tvfs.foundation", got, sizeof(got), err);
	if (r < 0)
		return r;
	if (strcmp(got, want) != 0)
		return tv_err_set(err, -EINVAL, "'%s' does not show the foundation %.12s%s", path,
				  want,
				  *got ? ", but another one" : "; is this inside of the run?");
	return 0;
}

int tv_lakehouse_of_view(const char *path, const struct tv_sha *foundation,
			 struct tv_lakehouse **out, struct tv_err *err)
{
	struct lake *k = calloc(1, sizeof(*k));
	if (!k)
		return tv_err_nomem(err);
	k->common.kind = &kind;
	k->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = k->dirfd < 0 ? tv_err_sys(err, -errno, "cannot open '%s'", path)
			     : check_view(k, path, foundation, err);
	if (r < 0) {
		lake_free(&k->common);
		return r;
	}
	*out = &k->common;
	return 0;
}
