/*
 * Copy-up. The bytes go into a nameless temp file with no lock held; then, under the namespace lock,
 * the file gets its name. So look-ups never wait for a large copy, and a crash leaves nothing.
 * Whoever else needs the same inode waits for the first.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fs/view-priv.h"
#include "store/base/io.h"

/* What a copy is made from, taken under the lock. */
struct source {
	struct tv_addr addr;
	uint64_t size, ino;
	int64_t mtime_ns;
	mode_t mode;
};

static int copy_loop(int from, int to, uint64_t n)
{
	tv_autofree char *buf = malloc(1 << 20);
	if (!buf)
		return -ENOMEM;
	for (uint64_t at = 0; at < n;) {
		size_t want = n - at < 1 << 20 ? (size_t)(n - at) : 1 << 20;
		int r = tv_io_pread_all(from, buf, want, (off_t)at);
		if (r == 0)
			r = tv_io_pwrite_all(to, buf, want, (off_t)at);
		if (r < 0)
			return r;
		at += want;
	}
	return 0;
}

static int copy_bytes(int from, int to, uint64_t n, bool whole)
{
	if (whole && ioctl(to, FICLONE, from) == 0)
		return 0;
	loff_t in = 0, out = 0;
	while ((uint64_t)out < n) {
		ssize_t done = copy_file_range(from, &in, to, &out, n - (uint64_t)out, 0);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && out == 0 && errno != ENOSPC && errno != EDQUOT && errno != EIO)
			return copy_loop(from, to, n); /* not between these filesystems */
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
	}
	return 0;
}

static int own_and_mark(const struct tv_view *v, int fd, const struct source *from)
{
	struct timespec mtime = tv_timespec_from_ns(from->mtime_ns);
	struct timespec times[2] = { mtime, mtime };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_uid != v->uid || st.st_gid != v->gid) && fchown(fd, v->uid, v->gid) < 0)
		return -errno;
	tv_upper_ino_set(fd, from->ino);
	if (fchmod(fd, from->mode) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

/* The finished copy as an open temp file. */
static int make_copy(struct tv_view *v, const struct source *from, uint64_t bytes, int where,
		     char temp[TV_UPPER_NAME], int *out)
{
	uint64_t n = bytes < from->size ? bytes : from->size;
	tv_autoclose int fd = tv_upper_temp(where, temp);
	if (fd < 0)
		return fd;
	int r = 0;
	if (n) {
		if (n > TV_LONG_COPY)
			tv_takes_long(v);
		tv_autoclose int blob = v->blobs.open(v->blobs.arg, &from->addr);
		r = blob < 0 ? blob : copy_bytes(blob, fd, n, n == from->size);
	}
	if (r == 0)
		r = own_and_mark(v, fd, from);
	if (r < 0) {
		if (*temp)
			unlinkat(where, temp, 0);
		return r;
	}
	v->copied_bytes += n;
	*out = tv_steal_fd(&fd);
	return 0;
}

/* Publishing a copy must not look like a change of the folder: its times are put back. That of its last
 * status change (ctime) cannot be: the kernel, which has cached it, is told, or else it would seem to
 * change while somebody only reads. */
struct kept_times {
	int fd;
	struct timespec times[2];
};

static int keep_times(int dirfd, struct kept_times *kept)
{
	struct stat st;
	if (fstat(dirfd, &st) < 0)
		return -errno;
	*kept = (struct kept_times){ dirfd, { st.st_atim, st.st_mtim } };
	return 0;
}

static void restore_times(struct tv_view *v, struct tv_inode *dir, const struct kept_times *kept)
{
	utimensat(kept->fd, ".", kept->times, 0); /* best effort: only a time would be off */
	tv_stale_later(v, dir);
}

/* Where the inode's copy is to stand: its parent's folder, brought up when need be. */
static int open_parent(struct tv_view *v, struct tv_inode *inode, struct tv_dirfd *dir)
{
	int r = tv_copy_up_dir(v, inode->link.parent);
	return r < 0 ? r : tv_inode_dir(v, inode->link.parent, dir);
}

static void now_upper(struct tv_view *v, struct tv_inode *inode, uint64_t upper_ino)
{
	struct tv_inode *parent = inode->link.parent;
	inode->state |= TV_INODE_UPPER;
	inode->state &= (uint16_t)~TV_INODE_FALLBACK;
	tv_inode_set_upper(&v->inodes, inode, upper_ino);
	if (inode->link.name && parent->names)
		tv_names_add(parent->names, inode->link.name, strlen(inode->link.name));
	v->copy_ups++;
	tv_stale_later(v, inode);
}

static int name_copy(struct tv_view *v, struct tv_inode *inode, int fd, int where, const char *temp)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	struct kept_times kept = { .fd = -1 };
	struct stat st;

	int r = open_parent(v, inode, &dir);
	if (r == 0)
		r = keep_times(dir.fd, &kept);
	if (r < 0 || fstat(fd, &st) < 0)
		return r < 0 ? r : -errno;
	if (*temp)
		r = renameat2(where, temp, dir.fd, inode->link.name, RENAME_NOREPLACE) < 0 ? -errno
											   : 0;
	else
		r = tv_upper_linkfd(fd, dir.fd, inode->link.name);
	if (r < 0)
		return r;
	restore_times(v, inode->link.parent, &kept);
	now_upper(v, inode, st.st_ino);
	return 0;
}

static int publish(struct tv_view *v, struct tv_inode *inode, int copy, int where, const char *temp)
{
	tv_autoclose int fd = copy;
	bool placed = false;
	int r = 0;

	tv_ns_write(v);
	if (!(inode->state & TV_INODE_UPPER) && inode->link.name) {
		r = name_copy(v, inode, fd, where, temp);
		placed = r == 0;
	} else if (!(inode->state & TV_INODE_UPPER)) { /* unlinked meanwhile: it gets no name */
		r = tv_orphan_keep(v, inode, tv_steal_fd(&fd));
		if (r == 0)
			now_upper(v, inode, 0);
	}
	tv_ns_done(v);
	if (*temp && !placed)
		unlinkat(where, temp, 0);
	return r;
}

static int copy_up_symlink(struct tv_view *v, struct tv_inode *inode)
{
	tv_autofree char *target = NULL;
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	struct kept_times kept = { .fd = -1 };
	struct stat st;

	int r = tv_view_readlink(v, inode, &target);
	if (r < 0)
		return r;
	tv_ns_write(v);
	if ((inode->state & TV_INODE_UPPER) || !inode->link.name)
		goto out;
	r = open_parent(v, inode, &dir);
	if (r == 0)
		r = keep_times(dir.fd, &kept);
	if (r < 0)
		goto out;
	const char *name = inode->link.name;
	struct timespec mtime = tv_timespec_from_ns(inode->mtime_ns), times[2] = { mtime, mtime };
	if (symlinkat(target, dir.fd, name) < 0 ||
	    fchownat(dir.fd, name, v->uid, v->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(dir.fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(dir.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		r = -errno;
		goto out;
	}
	restore_times(v, inode->link.parent, &kept);
	now_upper(v, inode, st.st_ino);
out:
	tv_ns_done(v);
	return r;
}

static int copy_up_file(struct tv_view *v, struct tv_inode *inode, uint64_t bytes)
{
	char temp[TV_UPPER_NAME] = "";
	int fd = -1;

	/* The frozen part of an inode never changes, so it needs no lock. */
	struct source from = { inode->addr, inode->size, inode->ino, inode->mtime_ns, inode->mode };
	int where = v->upper[TV_VOL_LAKEHOUSE].root;
	if (where < 0)
		where = v->upper[inode->volume].root;
	int r = make_copy(v, &from, bytes, where, temp, &fd);
	return r < 0 ? r : publish(v, inode, fd, where, temp);
}

/* 1 when the inode is ours to copy, 0 when it is in the overlay already. */
static int claim(struct tv_view *v, struct tv_inode *inode)
{
	for (;;) {
		tv_ns_read(v);
		bool upper = inode->state & TV_INODE_UPPER, frozen = inode->state & TV_INODE_FROZEN;
		pthread_mutex_lock(&v->copies);
		bool busy = inode->copying;
		if (!upper && frozen && !busy)
			inode->copying = true;
		tv_ns_done(v);
		if (!upper && busy) {
			tv_takes_long(v);
			pthread_cond_wait(&v->copied, &v->copies);
		}
		pthread_mutex_unlock(&v->copies);
		if (upper || !frozen)
			return upper ? 0 : -ESTALE;
		if (!busy)
			return 1;
	}
}

int tv_copy_up(struct tv_view *v, struct tv_inode *inode, uint64_t bytes)
{
	int r = claim(v, inode);
	if (r <= 0)
		return r;
	if (inode->kind == TV_DIR) {
		tv_ns_write(v);
		r = tv_copy_up_dir(v, inode);
		tv_ns_done(v);
	} else if (inode->kind == TV_SYMLINK) {
		r = copy_up_symlink(v, inode);
	} else {
		r = copy_up_file(v, inode, bytes);
	}
	pthread_mutex_lock(&v->copies);
	inode->copying = false;
	pthread_cond_broadcast(&v->copied);
	pthread_mutex_unlock(&v->copies);
	return r;
}

/* A folder is made under a temp name, so that it appears with its mode and times. */
static int make_dir(struct tv_view *v, struct tv_inode *dir, int parent)
{
	struct timespec mtime = tv_timespec_from_ns(dir->mtime_ns), times[2] = { mtime, mtime };
	char temp[TV_UPPER_NAME];
	struct stat st;

	tv_upper_temp_name(temp);
	if (mkdirat(parent, temp, 0700) < 0)
		return -errno;
	int r = 0;
	if (fstatat(parent, temp, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    ((st.st_uid != v->uid || st.st_gid != v->gid) &&
	     fchownat(parent, temp, v->uid, v->gid, AT_SYMLINK_NOFOLLOW) < 0))
		r = -errno;
	if (r == 0)
		r = tv_upper_chmod_dir(parent, temp, dir->mode);
	if (r == 0 && (utimensat(parent, temp, times, AT_SYMLINK_NOFOLLOW) < 0 ||
		       renameat2(parent, temp, parent, dir->link.name, RENAME_NOREPLACE) < 0))
		r = -errno;
	if (r < 0) {
		unlinkat(parent, temp, AT_REMOVEDIR);
		return r;
	}
	now_upper(v, dir, st.st_ino);
	return 0;
}

int tv_copy_up_dir(struct tv_view *v, struct tv_inode *dir)
{
	tv_autodirfd struct tv_dirfd parent = TV_DIRFD_INIT;
	struct kept_times kept = { .fd = -1 };

	if (dir->state & TV_INODE_UPPER)
		return tv_inode_nameless(dir) ? -ENOENT : 0;
	if (tv_inode_nameless(dir))
		return -ENOENT;
	if (dir->state & TV_INODE_ROOT)
		return -EROFS;
	int r = open_parent(v, dir, &parent);
	if (r == 0)
		r = keep_times(parent.fd, &kept);
	if (r == 0)
		r = make_dir(v, dir, parent.fd);
	if (r == 0)
		restore_times(v, dir->link.parent, &kept);
	return r;
}
