#include "store/base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"

int tv_io_write_all(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;
	while (n) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

int tv_io_pwrite_all(int fd, const void *bytes, size_t n, off_t at)
{
	const char *p = bytes;
	while (n) {
		ssize_t done = pwrite(fd, p, n, at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		p += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int tv_io_pread_all(int fd, void *bytes, size_t n, off_t at)
{
	char *p = bytes;
	while (n) {
		ssize_t done = pread(fd, p, n, at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		p += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int tv_io_read_to_end(int fd, size_t limit, struct tv_buf *out, struct tv_err *err)
{
	char chunk[16384];
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tv_err_sys(err, -errno, "read failed");
		if (n == 0)
			return out->failed ? tv_err_nomem(err) : 0;
		if (out->len + (size_t)n > limit)
			return tv_err_set(err, -EFBIG, "more than %zu bytes", limit);
		tv_buf_add(out, chunk, (size_t)n);
	}
}

int tv_io_read_file(int dirfd, const char *path, size_t limit, char **out, size_t *n,
		    struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	struct stat st;
	/* Not to wait for somebody who writes into a FIFO. */
	tv_autoclose int fd = openat(dirfd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return tv_err_set(err, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL,
				  "'%s' is not a regular file", path);
	int r = tv_io_read_to_end(fd, limit, &b, err);
	if (r < 0)
		return tv_err_wrap(err, r, "'%s'", path);
	size_t len = b.len;
	char *s = tv_buf_steal_str(&b);
	if (!s)
		return tv_err_nomem(err);
	*out = s;
	if (n)
		*n = len;
	return 0;
}

/* Splits path into its folder ("." when it has none) and its last name. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

int tv_io_sync_dir(int dirfd, const char *path, struct tv_err *err)
{
	tv_autoclose int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open folder '%s'", path);
	if (fsync(fd) < 0)
		return tv_err_sys(err, -errno, "cannot sync folder '%s'", path);
	return 0;
}

static int write_temp(int dirfd, const char *temp, const void *bytes, size_t n, mode_t mode)
{
	tv_autoclose int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int r = tv_io_write_all(fd, bytes, n);
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	return r;
}

int tv_io_replace_file(int dirfd, const char *path, const void *bytes, size_t n, mode_t mode,
		       struct tv_err *err)
{
	uint64_t nonce = 0;
	if (getrandom(&nonce, sizeof(nonce), 0) < 0)
		return tv_err_sys(err, -errno, "no random bytes");
	tv_autofree char *folder = parent_of(path);
	tv_autofree char *temp = NULL;
	if (!folder || asprintf(&temp, "%s.%016llx.tmp", path, (unsigned long long)nonce) < 0)
		return tv_err_nomem(err);

	int r = write_temp(dirfd, temp, bytes, n, mode);
	if (r == 0 && renameat(dirfd, temp, dirfd, path) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temp, 0);
		return tv_err_sys(err, r, "cannot write '%s'", path);
	}
	return tv_io_sync_dir(dirfd, folder, err);
}

int tv_io_mkdirs(int dirfd, const char *path, mode_t mode, struct tv_err *err)
{
	tv_autofree char *copy = strdup(path);
	if (!copy)
		return tv_err_nomem(err);
	for (char *p = copy + 1;; p++) {
		char kept = *p;
		if (kept != '/' && kept != '\0')
			continue;
		*p = '\0';
		if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
			return tv_err_sys(err, -errno, "cannot make folder '%s'", copy);
		*p = kept;
		if (!kept)
			break;
	}
	struct stat st;
	if (fstatat(dirfd, path, &st, 0) < 0)
		return tv_err_sys(err, -errno, "cannot stat '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return tv_err_set(err, -ENOTDIR, "'%s' is not a folder", path);
	return 0;
}

static int remove_in(int dirfd, const char *name, dev_t dev, struct tv_err *err);

static int empty_dir(int fd, dev_t dev, struct tv_err *err)
{
	int own = dup(fd);
	tv_autoclosedir DIR *d = own < 0 ? NULL : fdopendir(own);
	if (!d) {
		int code = -errno;
		if (own >= 0)
			close(own);
		return tv_err_sys(err, code, "cannot list a folder");
	}
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(d);
		if (!e)
			return errno ? tv_err_sys(err, -errno, "cannot list a folder") : 0;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		int r = remove_in(fd, e->d_name, dev, err);
		if (r < 0)
			return r;
	}
}

static int remove_in(int dirfd, const char *name, dev_t dev, struct tv_err *err)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return tv_err_sys(err, -errno, "cannot remove '%s'", name);
	tv_autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot open folder '%s'", name);
	struct statx x = { 0 }; /* a bind mount of the same filesystem has the same number */
	bool mount = statx(fd, "", AT_EMPTY_PATH, 0, &x) == 0 &&
		     (x.stx_attributes & x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
	if (mount || (dev && st.st_dev != dev))
		return tv_err_set(err, -EXDEV, "'%s' is a mount point; not removed", name);
	int r = empty_dir(fd, st.st_dev, err);
	if (r < 0)
		return tv_err_wrap(err, r, "%s", name);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return tv_err_sys(err, -errno, "cannot remove folder '%s'", name);
	return 0;
}

int tv_io_remove_tree(int dirfd, const char *path, struct tv_err *err)
{
	return remove_in(dirfd, path, 0, err);
}

int64_t tv_ns_from_timespec(struct timespec ts)
{
	/* Filesystems know times that 63 bits do not: ext4 until 2446. They are the last one here. */
	int64_t ns;
	if (__builtin_mul_overflow((int64_t)ts.tv_sec, INT64_C(1000000000), &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts.tv_nsec, &ns))
		return ts.tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

struct timespec tv_timespec_from_ns(int64_t ns)
{
	int64_t sec = ns / 1000000000, rest = ns % 1000000000;
	if (rest < 0) {
		sec--;
		rest += 1000000000;
	}
	return (struct timespec){ .tv_sec = sec, .tv_nsec = rest };
}
