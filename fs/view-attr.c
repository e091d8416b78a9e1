/* Attributes: setattr, link targets, the filesystem's figures. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file.h"
#include "fs/view-priv.h"

/* --- setattr ------------------------------------------------------------------------------- */

static int set_size(struct tv_view *v, struct tv_inode *inode, struct tv_file *file,
		    const struct tv_setattr *set, const struct tv_caller *who)
{
	struct tv_file *own = NULL;
	int r = 0;

	if (file && tv_file_writable(file) && tv_file_fd(file) >= 0)
		return tv_file_truncate(file, set->size, who);
	if (tv_inode_writable(v, inode) && !(tv_inode_state(v, inode) & TV_INODE_DETACHED))
		r = tv_copy_up(v, inode, (uint64_t)set->size);
	/* Opening it for writing separates it from readers of its frozen bytes. */
	if (r == 0)
		r = tv_file_open(v, inode, O_WRONLY, who, &own);
	if (r == 0)
		r = tv_file_truncate(own, set->size, who);
	tv_file_close(v, own);
	return r;
}

/* A chown by us leaves set-gid where the group may not execute; the one who asked may not have kept it. */
static int drop_set_id(int dirfd, const char *name, int how, const struct tv_caller *who)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, how) < 0)
		return -errno;
	mode_t gone = S_ISREG(st.st_mode) ? tv_set_id_gone(&st, who) : 0;
	return gone ? tv_upper_chmod(dirfd, name, st.st_mode & 07777 & ~gone) : 0;
}

static int set_rest(const struct tv_inode *inode, const struct tv_setattr *set,
		    const struct tv_caller *who, int dirfd, const char *name)
{
	int how = *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;

	/* Nothing at all: chown(-1, -1), or what the kernel sends before it writes a set-id file by itself.
	 * Either takes the bits away. */
	if (!set->which || (set->which & (TV_SET_UID | TV_SET_GID))) {
		uid_t uid = set->which & TV_SET_UID ? set->uid : (uid_t)-1;
		gid_t gid = set->which & TV_SET_GID ? set->gid : (gid_t)-1;
		if (fchownat(dirfd, name, uid, gid, how) < 0)
			return -errno;
	}
	if (!set->which) {
		int r = drop_set_id(dirfd, name, how, who);
		if (r < 0)
			return r;
	}
	if (set->which & TV_SET_MODE) {
		bool guarded = inode->kind == TV_DIR && inode->volume == TV_VOL_LAKEHOUSE;
		int r = guarded ? tv_upper_chmod_dir(dirfd, name, set->mode & 07777)
				: tv_upper_chmod(dirfd, name, set->mode & 07777);
		if (r < 0)
			return r;
	}
	if (set->which & (TV_SET_ATIME | TV_SET_MTIME)) {
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
		if (set->which & TV_SET_ATIME)
			times[0] = set->atime;
		if (set->which & TV_SET_MTIME)
			times[1] = set->mtime;
		if (utimensat(dirfd, name, times, how) < 0)
			return -errno;
	}
	return 0;
}

static int change(struct tv_view *v, struct tv_inode *inode, struct tv_file *file,
		  const struct tv_setattr *set, const struct tv_caller *who)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	const char *name;

	if (!tv_inode_writable(v, inode))
		return -EROFS;
	int r = set->which & TV_SET_SIZE ? set_size(v, inode, file, set, who) : 0;
	if (r == 0)
		r = tv_copy_up(v, inode, TV_ALL_BYTES);
	if (r < 0 || set->which == TV_SET_SIZE)
		return r;
	tv_ns_read(v);
	r = tv_inode_at(v, inode, &dir, &name);
	if (r == 0)
		r = set_rest(inode, set, who, dir.fd, name);
	if (r == 0 && (set->which & TV_SET_MODE) && inode->kind == TV_FILE)
		__atomic_store_n(&inode->sxid, (set->mode & (S_ISUID | S_ISGID)) != 0,
				 __ATOMIC_RELAXED);
	tv_ns_done(v);
	return r;
}

int tv_view_setattr(struct tv_view *v, struct tv_inode *given, struct tv_file *file,
		    const struct tv_setattr *set, const struct tv_caller *who,
		    struct tv_found *found)
{
	struct tv_inode *inode = NULL;
	int r = 0;

	/* The size belongs to the bytes that were opened; everything else to the file by its name. */
	tv_ns_read(v);
	if (set->which & TV_SET_SIZE)
		inode = tv_inode_ref(&v->inodes, given);
	else
		r = tv_inode_live(v, given, &inode);
	tv_ns_done(v);
	if (r == 0)
		r = change(v, inode, file, set, who);
	if (r == 0 && inode != given)
		tv_attributes_stale(v, inode); /* the kernel asked for another node */
	tv_inode_put(&v->inodes, inode);
	return r < 0 ? r : tv_view_getattr(v, given, file, found);
}

/* --- links, figures ------------------------------------------------------------------------ */

static int frozen_target(struct tv_view *v, struct tv_inode *inode, char **target)
{
	struct tv_inode *parent = inode->link.parent;
	const char *name = inode->link.name;
	struct tv_node *node;
	struct tv_entry e;

	if (!name || !(parent->state & TV_INODE_FROZEN))
		return -ESTALE;
	int r = tv_dir_lookup(v->nodes, &parent->addr, name, strlen(name), &e, &node, NULL);
	if (r < 0)
		return r;
	*target = e.kind == TV_SYMLINK ? strdup(e.target) : NULL;
	tv_node_unref(node);
	return *target ? 0 : e.kind == TV_SYMLINK ? -ENOMEM : -EINVAL;
}

static int upper_target(struct tv_view *v, struct tv_inode *inode, char **target)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	const char *name;
	char buf[PATH_MAX];

	int r = tv_inode_at(v, inode, &dir, &name);
	if (r < 0)
		return r;
	ssize_t n = readlinkat(dir.fd, name, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	*target = strndup(buf, (size_t)n);
	return *target ? 0 : -ENOMEM;
}

int tv_view_readlink(struct tv_view *v, struct tv_inode *inode, char **target)
{
	tv_ns_read(v);
	int r = inode->kind != TV_SYMLINK	? -EINVAL
		: inode->state & TV_INODE_UPPER ? upper_target(v, inode, target)
						: frozen_target(v, inode, target);
	tv_ns_done(v);
	return r;
}

int tv_view_statfs(struct tv_view *v, struct tv_inode *inode, struct statvfs *out)
{
	int fd = inode->volume < TV_VOL_COUNT ? v->upper[inode->volume].root : -1;
	for (int i = 0; fd < 0 && i < TV_VOL_COUNT; i++)
		fd = v->upper[i].root;
	if (fd >= 0)
		return fstatvfs(fd, out) < 0 ? -errno : 0;
	*out = (struct statvfs){
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_blocks = (v->root.size + 4095) / 4096,
		.f_files = v->root.files,
		.f_namemax = 255,
	};
	return 0;
}

int tv_view_fsync_dir(struct tv_view *v, struct tv_inode *dir, bool data_only)
{
	tv_autodirfd struct tv_dirfd at = TV_DIRFD_INIT;

	tv_ns_read(v);
	int r = dir->state & TV_INODE_UPPER ? tv_inode_dir(v, dir, &at) : -ENOENT;
	tv_ns_done(v);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* frozen, or removed: nothing to make durable */
	tv_autoclose int fd = openat(at.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	tv_takes_long(v);
	return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}
