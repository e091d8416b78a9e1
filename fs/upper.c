#include "fs/upper.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "fs/overlay.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "store/hash.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static int openat2_dir(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;
	do /* EAGAIN: something on the way was renamed meanwhile */
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

int tv_upper_init(struct tv_upper *u, int root, bool force_by_component)
{
	struct stat st;

	if (fstat(root, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	int fd = openat2_dir(root, ".");
	bool missing =
		fd == -ENOSYS || fd == -EPERM; /* EPERM: seccomp filters that do not know it */
	if (fd >= 0)
		close(fd);
	*u = (struct tv_upper){ root, st.st_dev, force_by_component || missing };
	return fd < 0 && !missing ? fd : 0;
}

static int open_by_component(int root, const char *path)
{
	tv_autoclose int fd = -1;
	const char *rest = path, *name;
	size_t n;

	while (tv_path_next(&rest, &name, &n)) {
		char part[TV_NAME_MAX + 1];
		if (n > TV_NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(part, name, n);
		part[n] = '\0';
		int next = openat(fd < 0 ? root : fd, part,
				  O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		if (fd >= 0)
			close(fd);
		fd = next;
	}
	return tv_steal_fd(&fd);
}

int tv_upper_dir(const struct tv_upper *u, const char *path, struct tv_dirfd *out)
{
	if (!*path) {
		tv_dirfd_close(out);
		*out = (struct tv_dirfd){ u->root, false };
		return 0;
	}
	int fd = u->by_component ? open_by_component(u->root, path) : openat2_dir(u->root, path);
	if (fd < 0)
		return fd;
	tv_dirfd_close(out);
	*out = (struct tv_dirfd){ fd, true };
	return 0;
}

enum tv_mark tv_mark_of(const char *disk_name, const char **hidden)
{
	*hidden = disk_name;
	if (!tv_name_reserved(disk_name, strlen(disk_name)))
		return TV_MARK_NONE;
	if (!strcmp(disk_name, TV_OVERLAY_OPAQUE))
		return TV_MARK_OPAQUE;
	if (!strcmp(disk_name, TV_OVERLAY_REDIRECT))
		return TV_MARK_REDIRECT;
	if (!strncmp(disk_name, TV_WH_LONG, strlen(TV_WH_LONG)))
		return TV_MARK_LONG;
	*hidden = disk_name + strlen(TV_WH_PREFIX);
	/* No name of the view begins with the prefix, so neither does what a whiteout hides. */
	if (!**hidden || tv_name_reserved(*hidden, strlen(*hidden)))
		return TV_MARK_LEFTOVER;
	return TV_MARK_WHITEOUT;
}

void tv_whiteout_name(const char *name, size_t n, char out[TV_UPPER_NAME])
{
	if (n + strlen(TV_WH_PREFIX) < TV_UPPER_NAME) {
		snprintf(out, TV_UPPER_NAME, TV_WH_PREFIX "%.*s", (int)n, name);
		return;
	}
	char hex[TV_ADDR_HEX];
	struct tv_addr hash = tv_addr_of(name, n);
	tv_addr_hex(&hash, hex);
	snprintf(out, TV_UPPER_NAME, TV_WH_LONG "%s", hex);
}

static int there(int dirfd, const char *name)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}

int tv_whiteout_there(int dirfd, const char *name, size_t n)
{
	char disk_name[TV_UPPER_NAME];
	tv_whiteout_name(name, n, disk_name);
	return there(dirfd, disk_name);
}

/* A file with contents that appears whole or not at all. */
static int write_whole(int dirfd, const char *disk_name, const void *bytes, size_t n)
{
	char temp[TV_UPPER_NAME];
	tv_upper_temp_name(temp);
	tv_autoclose int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = tv_io_write_all(fd, bytes, n);
	if (r == 0 && renameat(dirfd, temp, dirfd, disk_name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, temp, 0);
	return r;
}

int tv_whiteout_make(int dirfd, const char *name, size_t n)
{
	char disk_name[TV_UPPER_NAME];
	tv_whiteout_name(name, n, disk_name);
	if (n + strlen(TV_WH_PREFIX) >= TV_UPPER_NAME)
		return write_whole(dirfd, disk_name, name, n);
	int fd = openat(dirfd, disk_name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int tv_whiteout_long(int dirfd, const char *disk_name, char out[TV_UPPER_NAME])
{
	char expect[TV_UPPER_NAME], name[TV_UPPER_NAME];
	tv_autoclose int fd =
		openat(dirfd, disk_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name));
	if (n < 0)
		return -errno;
	if (n == sizeof(name) || !tv_name_ok(name, (size_t)n))
		return -EINVAL;
	tv_whiteout_name(name, (size_t)n, expect);
	if (strcmp(expect, disk_name) != 0)
		return -EINVAL;
	memcpy(out, name, (size_t)n);
	out[n] = '\0';
	return 0;
}

/* "NAME/mark", or just the mark for the folder itself. */
static int mark_path(const char *name, const char *mark, char *out, size_t size)
{
	int n = snprintf(out, size, "%s%s%s", name, *name ? "/" : "", mark);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int tv_opaque_there(int dirfd, const char *name)
{
	char path[2 * TV_UPPER_NAME];
	int r = mark_path(name, TV_OVERLAY_OPAQUE, path, sizeof(path));
	return r < 0 ? r : there(dirfd, path);
}

int tv_redirect_read(int dirfd, const char *name, char **path)
{
	char mark[2 * TV_UPPER_NAME];
	int r = mark_path(name, TV_OVERLAY_REDIRECT, mark, sizeof(mark));
	if (r < 0)
		return r;
	tv_autoclose int fd = openat(dirfd, mark, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	r = tv_io_read_to_end(fd, TV_PATH_MAX, &b, NULL);
	if (r < 0)
		return r;
	tv_autofree char *text = tv_buf_steal_str(&b);
	return !text ? -ENOMEM : (r = tv_path_normalise(text, path, NULL)) < 0 ? r : 1;
}

int tv_redirect_write(int dirfd, const char *name, const char *path)
{
	tv_autoclose int fd =
		openat(dirfd, *name ? name : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	int r = write_whole(fd, TV_OVERLAY_REDIRECT, path, strlen(path));
	struct timespec times[2] = { st.st_atim, st.st_mtim };
	utimensat(fd, ".", times, 0); /* best effort: only a time would be off */
	return r;
}

int tv_upper_list(int dirfd, const char *name,
		  int (*visit)(void *arg, const struct tv_upper_name *e), void *arg)
{
	tv_autoclose int fd =
		openat(dirfd, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	tv_autoclosedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -errno;
	int own = tv_steal_fd(&fd);
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(d);
		if (!e)
			return -errno;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		char hidden[TV_UPPER_NAME];
		struct tv_upper_name entry = { .disk_name = e->d_name,
					       .ino = e->d_ino,
					       .type = e->d_type };
		entry.mark = tv_mark_of(e->d_name, &entry.name);
		if (entry.mark == TV_MARK_LONG) {
			bool ok = tv_whiteout_long(own, e->d_name, hidden) == 0;
			entry.mark = ok ? TV_MARK_WHITEOUT : TV_MARK_LEFTOVER;
			entry.name = hidden;
		}
		int r = visit(arg, &entry);
		if (r)
			return r;
	}
}

static int clear_mark(void *arg, const struct tv_upper_name *e)
{
	if (e->mark == TV_MARK_NONE)
		return -ENOTEMPTY;
	if (unlinkat(*(int *)arg, e->disk_name, 0) < 0 && errno != ENOENT)
		return errno != EISDIR && errno != EPERM
			       ? -errno
			       : tv_io_remove_tree(*(int *)arg, e->disk_name, NULL);
	return 0;
}

int tv_upper_clear_marks(int dirfd, const char *name)
{
	tv_autoclose int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return tv_upper_list(fd, "", clear_mark, &fd);
}

void tv_proc_fd(int fd, char out[TV_PROC_FD])
{
	snprintf(out, TV_PROC_FD, "/proc/self/fd/%d", fd);
}

int tv_upper_chmod(int dirfd, const char *name, mode_t mode)
{
	long r = syscall(SYS_fchmodat2, dirfd, name, mode,
			 *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH);
	if (r == 0)
		return 0;
	if (errno != ENOSYS)
		return -errno;
	/* Before Linux 6.6: through /proc, which changes what the descriptor stands for. */
	char path[TV_PROC_FD];
	tv_autoclose int fd = -1;
	if (*name) {
		fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	tv_proc_fd(*name ? fd : dirfd, path);
	return chmod(path, mode) < 0 ? -errno : 0;
}

/* The path of a name in dirfd, or of dirfd itself, for calls on attributes. */
static void attr_path(int dirfd, const char *name, char out[TV_PROC_FD + TV_UPPER_NAME])
{
	char fd_path[TV_PROC_FD];
	tv_proc_fd(dirfd, fd_path);
	snprintf(out, TV_PROC_FD + TV_UPPER_NAME, "%s%s%s", fd_path, *name ? "/" : "", name);
}

int tv_upper_chmod_dir(int dirfd, const char *name, mode_t mode)
{
	char path[TV_PROC_FD + TV_UPPER_NAME];
	uint8_t bits = mode >> 6 & 7;

	attr_path(dirfd, name, path);
	if (bits != 7 && geteuid() != 0 && setxattr(path, TV_XATTR_OWNER_BITS, &bits, 1, 0) == 0)
		return tv_upper_chmod(dirfd, name, mode | 0700);
	int r = tv_upper_chmod(dirfd, name, mode);
	if (r == 0)
		removexattr(path, TV_XATTR_OWNER_BITS); /* most often there is none */
	return r;
}

void tv_upper_true_mode(int dirfd, const char *name, struct stat *st)
{
	char path[TV_PROC_FD + TV_UPPER_NAME];
	uint8_t bits;

	/* It can only take away: what stands in an overlay may have been put there by others. */
	if (!S_ISDIR(st->st_mode) || (st->st_mode & 0700) != 0700)
		return;
	attr_path(dirfd, name, path);
	if (getxattr(path, TV_XATTR_OWNER_BITS, &bits, 1) == 1 && bits < 7)
		st->st_mode = (st->st_mode & ~(mode_t)0700) | (mode_t)bits << 6;
}

int tv_upper_linkfd(int fd, int dirfd, const char *name)
{
	char path[TV_PROC_FD];
	tv_proc_fd(fd, path);
	if (linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	int code = -errno;
	if (code != -ENOENT && code != -EXDEV) /* no /proc here; the other way needs privileges */
		return code;
	return linkat(fd, "", dirfd, name, AT_EMPTY_PATH) < 0 ? code : 0;
}

void tv_upper_temp_name(char out[TV_UPPER_NAME])
{
	char digits[2 * 12 + 1];
	if (tv_random_hex(digits, 12, NULL) < 0)
		snprintf(digits, sizeof(digits), "%llx", (unsigned long long)tv_now_ns());
	snprintf(out, TV_UPPER_NAME, TV_WH_TMP "%s", digits);
}

int tv_upper_temp(int dirfd, char name[TV_UPPER_NAME])
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0) {
		name[0] = '\0';
		return fd;
	}
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	tv_upper_temp_name(name);
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

uint64_t tv_upper_ino_get(int dirfd, const char *name)
{
	char path[TV_PROC_FD + TV_UPPER_NAME];
	uint8_t bytes[8];

	attr_path(dirfd, name, path);
	ssize_t n = *name ? lgetxattr(path, TV_XATTR_INO, bytes, sizeof(bytes))
			  : getxattr(path, TV_XATTR_INO, bytes, sizeof(bytes));
	uint64_t ino = n == sizeof(bytes) ? tv_le64(bytes) : 0;
	/* Overlays can be written by others: what cannot be a frozen number is not believed. */
	return ino >> 63 ? 0 : ino;
}

void tv_upper_ino_set(int fd, uint64_t ino)
{
	uint8_t bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(ino >> (8 * i));
	(void)!fsetxattr(fd, TV_XATTR_INO, bytes, sizeof(bytes), 0);
}
