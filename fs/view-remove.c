/* Removing names. What is frozen is hidden by a whiteout first; then the overlay's own entry goes. In
 * between, the view shows what it showed before. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/view-priv.h"

int tv_spot_hide(struct tv_view *v, const struct tv_spot *spot)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	struct tv_entry e;

	int r = tv_spot_lower(v, spot, &e);
	if (r <= 0)
		return r;
	if (!tv_inode_writable(v, spot->lower))
		return -EROFS;
	r = tv_copy_up_dir(v, spot->lower);
	if (r == 0)
		r = tv_inode_dir(v, spot->lower, &dir);
	if (r == 0)
		r = tv_whiteout_make(dir.fd, spot->lower_name, spot->lower_n);
	if (r == 0 && spot->lower->names)
		tv_names_add(spot->lower->names, spot->lower_name, spot->lower_n);
	return r;
}

void tv_name_going(struct tv_view *v, struct tv_inode *inode, int dirfd, const char *name)
{
	if (inode->link.more)
		return;
	/* Whoever holds the inode may still ask for its attributes, or open it through /proc. Without a
	 * free descriptor that fails, and the number, which the disk may use again, must be forgotten. */
	int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || tv_orphan_keep(v, inode, fd) < 0)
		tv_inode_set_upper(&v->inodes, inode, 0);
}

void tv_dir_gone(struct tv_inode *dir)
{
	tv_names_free(tv_steal_ptr(&dir->names));
	dir->state |= TV_INODE_REMOVED;
}

int tv_view_unlink(struct tv_view *v, struct tv_inode *dir, const char *name)
{
	tv_autodirfd struct tv_dirfd fd = TV_DIRFD_INIT;
	struct tv_inode *inode = NULL;
	struct tv_spot spot;

	tv_ns_write(v);
	int r = tv_spot_to_change(v, dir, name, &spot);
	if (r == 0)
		r = tv_spot_inode(v, &spot, &inode, NULL);
	if (r == 0 && inode->kind == TV_DIR)
		r = -EISDIR;
	if (r == 0)
		r = tv_spot_hide(v, &spot);
	if (r == 0 && (inode->state & TV_INODE_UPPER)) {
		r = tv_inode_dir(v, spot.dir, &fd);
		if (r == 0) {
			tv_name_going(v, inode, fd.fd, spot.name);
			r = unlinkat(fd.fd, spot.name, 0) < 0 ? -errno : 0;
		}
	}
	if (r == 0) {
		tv_names_change(spot.dir);
		tv_inode_unlink(&v->inodes, inode, spot.dir, spot.name, spot.n);
	}
	tv_ns_done(v);
	tv_inode_put(&v->inodes, inode);
	return r;
}

static int refuse_name(void *arg, const struct tv_upper_name *e)
{
	(void)arg;
	return e->mark == TV_MARK_NONE ? -ENOTEMPTY : 0;
}

/* -ENOTEMPTY when something frozen shows in the folder. */
static int frozen_hidden(struct tv_view *v, struct tv_inode *dir)
{
	struct tv_spot spot = { .dir = dir, .lower = dir };
	struct tv_dir_cursor c;
	struct tv_entry e;

	int r = tv_dir_cursor_open(&c, v->nodes, &dir->addr, NULL);
	if (r < 0)
		return r;
	while (r == 0 && tv_dir_cursor_get(&c, &spot.lower_name, &spot.lower_n, &e) > 0) {
		r = tv_upper_maybe(v, dir, spot.lower_name, spot.lower_n);
		if (r > 0)
			r = tv_spot_lower(v, &spot, &e);
		else if (r == 0)
			r = 1;
		if (r > 0)
			r = -ENOTEMPTY;
		if (r == 0)
			r = tv_dir_cursor_next(&c, NULL);
	}
	tv_dir_cursor_close(&c);
	return r < 0 ? r : 0;
}

int tv_dir_empty(struct tv_view *v, struct tv_inode *dir)
{
	tv_autodirfd struct tv_dirfd fd = TV_DIRFD_INIT;
	int r = 0;

	if (dir->state & TV_INODE_UPPER) {
		r = tv_inode_dir(v, dir, &fd);
		if (r == 0)
			r = tv_upper_list(fd.fd, "", refuse_name, NULL);
	}
	return r == 0 && (dir->state & TV_INODE_FROZEN) ? frozen_hidden(v, dir) : r;
}

static int remove_upper_dir(struct tv_view *v, struct tv_inode *inode, const struct tv_spot *spot)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;

	int r = tv_inode_dir(v, spot->dir, &dir);
	if (r < 0)
		return r;
	tv_autoclose int held = openat(dir.fd, spot->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (spot->dir->volume == TV_VOL_LAKEHOUSE)
		r = tv_upper_clear_marks(dir.fd, spot->name);
	if (r == 0 && unlinkat(dir.fd, spot->name, AT_REMOVEDIR) < 0)
		r = -errno;
	if (r < 0)
		return r;
	tv_dir_gone(inode);
	/* It may still be somebody's working directory. */
	if (held < 0 || tv_orphan_keep(v, inode, tv_steal_fd(&held)) < 0)
		tv_inode_set_upper(&v->inodes, inode, 0);
	return 0;
}

int tv_view_rmdir(struct tv_view *v, struct tv_inode *dir, const char *name)
{
	struct tv_inode *inode = NULL;
	struct tv_spot spot;

	tv_ns_write(v);
	int r = tv_spot_to_change(v, dir, name, &spot);
	if (r == 0)
		r = tv_spot_inode(v, &spot, &inode, NULL);
	if (r == 0 && inode->kind != TV_DIR)
		r = -ENOTDIR;
	if (r == 0 && (inode->state & (TV_INODE_ROOT | TV_INODE_PINNED)))
		r = -EBUSY;
	if (r == 0)
		r = tv_dir_empty(v, inode);
	if (r == 0)
		r = tv_spot_hide(v, &spot);
	if (r == 0 && (inode->state & TV_INODE_UPPER))
		r = remove_upper_dir(v, inode, &spot);
	else if (r == 0)
		tv_dir_gone(inode);
	if (r == 0) {
		tv_names_change(spot.dir);
		tv_inode_unlink(&v->inodes, inode, spot.dir, spot.name, spot.n);
	}
	tv_ns_done(v);
	tv_inode_put(&v->inodes, inode);
	return r;
}
