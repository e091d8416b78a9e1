#include "store/beneath.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/path.h"

/* Goes down the first n bytes of path. With n 0 the root is opened anew, so that the caller can
 * close what it gets and has its own file position. */
static int descend(int root, const char *path, size_t n, int last_flags)
{
	const char *at = path, *name;
	size_t len;
	tv_autoclose int fd = -1;

	if (n == 0)
		goto whole;
	while (at < path + n && tv_path_next(&at, &name, &len)) {
		char part[TV_NAME_MAX + 1];
		if (len > TV_NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(part, name, len);
		part[len] = 0;
		bool last = at >= path + n;
		int next =
			openat(fd < 0 ? root : fd, part,
			       (last ? last_flags : O_PATH) | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return errno == ELOOP ? -ENOTDIR : -errno;
		if (fd >= 0)
			close(fd);
		fd = next;
	}
	return tv_steal_fd(&fd);
whole:
	fd = openat(root, ".", last_flags | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : tv_steal_fd(&fd);
}

int tv_beneath_open_dir(int root, const char *path)
{
	return descend(root, path, strlen(path), O_RDONLY);
}

int tv_beneath_open_parent(int root, const char *path, const char **name)
{
	const char *base = tv_path_base(path);
	size_t n = base > path ? (size_t)(base - path) - 1 : 0;
	int fd = descend(root, path, n, O_RDONLY);
	if (fd >= 0)
		*name = base;
	return fd;
}

static enum tv_kind kind_of(unsigned mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return TV_FILE;
	case S_IFDIR:
		return TV_DIR;
	case S_IFLNK:
		return TV_SYMLINK;
	}
	return 0;
}

static int64_t ns_of(struct statx_timestamp t)
{
	return tv_ns_from_timespec((struct timespec){ .tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec });
}

static void fill(const struct statx *x, struct tv_seen *out)
{
	*out = (struct tv_seen){
		.kind = kind_of(x->stx_mode),
		.mode = x->stx_mode & 0777,
		.size = x->stx_size,
		.ino = x->stx_ino,
		.dev = makedev(x->stx_dev_major, x->stx_dev_minor),
		.mtime_ns = ns_of(x->stx_mtime),
		.ctime_ns = ns_of(x->stx_ctime),
	};
}

#define WANTED (STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_INO | STATX_MTIME | STATX_CTIME)

int tv_beneath_stat(int dirfd, const char *name, uint64_t dev, struct tv_seen *out)
{
	struct statx x;
	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, WANTED, &x) < 0)
		return -errno;
	fill(&x, out);
	/* Device numbers miss bind mounts of the same filesystem, and overlayfs gives files other
	 * numbers than their folders; the attribute (Linux 5.8) has neither flaw. */
	if (x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
		out->mount_point = x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	else
		out->mount_point = out->kind == TV_DIR && out->dev != dev;
	return 0;
}

int tv_beneath_fstat(int fd, struct tv_seen *out)
{
	struct statx x;
	if (statx(fd, "", AT_EMPTY_PATH, WANTED, &x) < 0)
		return -errno;
	fill(&x, out);
	return 0;
}

int tv_beneath_stat_path(int root, const char *path, uint64_t dev, struct tv_seen *out)
{
	const char *name;
	tv_autoclose int fd = tv_beneath_open_parent(root, path, &name);
	if (fd < 0)
		return fd == -ENOTDIR ? -ENOENT : fd;
	return tv_beneath_stat(fd, name, dev, out);
}

bool tv_seen_same(const struct tv_seen *a, const struct tv_seen *b)
{
	return a->kind == b->kind && a->size == b->size && a->ino == b->ino &&
	       a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns && a->mode == b->mode;
}

int64_t tv_seen_written_ns(const struct tv_seen *seen, int64_t now_ns)
{
	return seen->mtime_ns <= now_ns ? seen->mtime_ns : seen->ctime_ns;
}
