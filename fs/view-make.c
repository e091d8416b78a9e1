/* Making names: folders, special files, links, files. */
#include <fcntl.h>
#include <string.h>

#include "fs/file.h"
#include "fs/view-priv.h"

/* One entry about to be made. */
struct making {
	struct tv_spot spot;
	struct tv_dirfd dir; /* the folder on disk */
};

/* Finds the folder to make a name in; brings it up when it is only frozen. -EEXIST when something
 * stands there. Lock: writing. */
static int make_begin(struct tv_view *v, struct tv_inode *dir, const char *name, struct making *m)
{
	struct tv_place place;
	char buf[PATH_MAX];

	int r = tv_spot_to_change(v, dir, name, &m->spot);
	if (r < 0)
		return r;
	if (tv_inode_nameless(m->spot.dir))
		return -ENOENT;
	tv_names_change(m->spot.dir);
	/* What could not be reached by its path could not be opened, nor removed, if it were a folder. */
	const char *path = tv_inode_path(m->spot.dir, buf, sizeof(buf));
	if (!path || strlen(path) + 1 + m->spot.n >= PATH_MAX)
		return -ENAMETOOLONG;
	r = tv_spot_look(v, &m->spot, &place);
	if (r == 0 && place.where != TV_ABSENT &&
	    !(m->spot.by_data_path && place.where == TV_IN_FROZEN))
		r = -EEXIST;
	if (r == 0)
		r = tv_copy_up_dir(v, m->spot.dir);
	return r < 0 ? r : tv_inode_dir(v, m->spot.dir, &m->dir);
}

/* New files belong to who asked, as far as we may give them away. `folder` is where they were made; the
 * file is a name in dirfd, or "" and dirfd itself. */
static int give_to(const struct tv_view *v, const struct tv_caller *who, int folder, int dirfd,
		   const char *name)
{
	struct stat st, parent;
	if (v->euid != 0)
		return 0;
	if (fstatat(dirfd, name, &st, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH) < 0 ||
	    fstat(folder, &parent) < 0)
		return -errno;
	/* In a set-gid folder the group is the folder's, which the disk has seen to. */
	gid_t gid = parent.st_mode & S_ISGID ? st.st_gid : who->gid;
	if (st.st_uid == who->uid && st.st_gid == gid)
		return 0;
	if (fchownat(dirfd, name, who->uid, gid, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH) < 0)
		return -errno;
	/* chown takes set-id bits away. */
	if (!S_ISLNK(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID)))
		return tv_upper_chmod(dirfd, name, st.st_mode & 07777);
	return 0;
}

/* What was just made becomes known. Lock: writing. */
static int make_end(struct tv_view *v, struct making *m, const struct tv_caller *who,
		    struct tv_found *found)
{
	const struct tv_spot *spot = &m->spot;
	struct tv_inode *inode;
	struct stat st;

	if (spot->dir->names)
		tv_names_add(spot->dir->names, spot->name, spot->n);
	int r = give_to(v, who, m->dir.fd, m->dir.fd, spot->name);
	if (r < 0)
		return r;
	/* A routed name may still be known as the frozen fallback. */
	inode = tv_inode_find(&v->inodes, spot->dir, spot->name, spot->n);
	if (inode) {
		tv_inode_unlink(&v->inodes, inode, spot->dir, spot->name, spot->n);
		tv_inode_put(&v->inodes, inode);
	}
	r = tv_spot_inode(v, spot, &inode, &st);
	if (r == 0)
		tv_found_fill(v, spot, inode, &st, found);
	return r;
}

/* Runs one making under the lock. `make` gets the folder and the name, and returns -errno. */
static int make_name(struct tv_view *v, struct tv_inode *dir, const char *name,
		     const struct tv_caller *who, struct tv_found *found,
		     int (*make)(const void *arg, int dirfd, const char *name), const void *arg)
{
	struct making m = { .dir = TV_DIRFD_INIT };

	tv_ns_write(v);
	int r = make_begin(v, dir, name, &m);
	if (r == 0)
		r = make(arg, m.dir.fd, m.spot.name);
	if (r == 0)
		r = make_end(v, &m, who, found);
	tv_ns_done(v);
	tv_dirfd_close(&m.dir);
	return r;
}

struct node_args {
	mode_t mode;
	dev_t device;
	bool guarded; /* tv_upper_chmod_dir is to be used */
};

static int do_mkdir(const void *arg, int dirfd, const char *name)
{
	const struct node_args *a = arg;
	mode_t mode = a->mode & 07777;
	if (!a->guarded || (mode & 0700) == 0700)
		return mkdirat(dirfd, name, mode) < 0 ? -errno : 0;
	struct stat st;
	if (mkdirat(dirfd, name, mode | 0700) < 0)
		return -errno;
	int r = fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	if (r == 0) /* set-gid comes from the folder that it is made in */
		r = tv_upper_chmod_dir(dirfd, name, mode | (st.st_mode & S_ISGID));
	if (r < 0)
		unlinkat(dirfd, name, AT_REMOVEDIR);
	return r;
}

int tv_view_mkdir(struct tv_view *v, struct tv_inode *dir, const char *name, mode_t mode,
		  const struct tv_caller *who, struct tv_found *found)
{
	struct node_args a = { mode, 0, dir->volume == TV_VOL_LAKEHOUSE };
	return make_name(v, dir, name, who, found, do_mkdir, &a);
}

static int do_mknod(const void *arg, int dirfd, const char *name)
{
	const struct node_args *a = arg;
	return mknodat(dirfd, name, a->mode, a->device) < 0 ? -errno : 0;
}

int tv_view_mknod(struct tv_view *v, struct tv_inode *dir, const char *name, mode_t mode,
		  dev_t device, const struct tv_caller *who, struct tv_found *found)
{
	struct node_args a = { mode, device, false };
	return make_name(v, dir, name, who, found, do_mknod, &a);
}

static int do_symlink(const void *arg, int dirfd, const char *name)
{
	return symlinkat(arg, dirfd, name) < 0 ? -errno : 0;
}

int tv_view_symlink(struct tv_view *v, struct tv_inode *dir, const char *name, const char *target,
		    const struct tv_caller *who, struct tv_found *found)
{
	return make_name(v, dir, name, who, found, do_symlink, target);
}

/* Links an inode that is in the overlay. Lock: writing. */
static int link_upper(struct tv_view *v, struct tv_inode *inode, struct tv_inode *dir,
		      const char *name, struct tv_found *found)
{
	struct making m = { .dir = TV_DIRFD_INIT };
	tv_autodirfd struct tv_dirfd from = TV_DIRFD_INIT;
	const char *old;
	struct stat st;

	int r = make_begin(v, dir, name, &m);
	if (r == 0)
		r = tv_inode_at(v, inode, &from, &old);
	if (r == 0 && *old)
		r = linkat(from.fd, old, m.dir.fd, m.spot.name, 0) < 0 ? -errno : 0;
	else if (r == 0)
		r = tv_upper_linkfd(from.fd, m.dir.fd, m.spot.name);
	if (r == 0 && m.spot.dir->names)
		tv_names_add(m.spot.dir->names, m.spot.name, m.spot.n);
	if (r == 0)
		r = tv_inode_link(&v->inodes, inode, m.spot.dir, m.spot.name, m.spot.n);
	if (r == 0)
		r = tv_inode_stat(v, inode, &st);
	if (r == 0)
		tv_found_fill(v, &m.spot, tv_inode_ref(&v->inodes, inode), &st, found);
	tv_dirfd_close(&m.dir);
	return r;
}

int tv_view_link(struct tv_view *v, struct tv_inode *inode, struct tv_inode *dir, const char *name,
		 const struct tv_caller *who, struct tv_found *found)
{
	struct tv_spot spot;

	(void)who; /* who may link what was checked by the kernel */
	tv_ns_read(v);
	int r = tv_spot_to_change(v, dir, name, &spot);
	tv_ns_done(v);
	if (r == 0 && !tv_inode_writable(v, inode))
		r = -EROFS; /* a hard link changes the inode, and a frozen one has to be copied up */
	/* An inode that may be separated from its name has one name: the kernel looks only that one up
	 * anew through which it met -ESTALE. */
	if (r == 0 && inode->kind == TV_FILE)
		r = tv_file_settle(v, inode);
	else if (r == 0)
		r = tv_copy_up(v, inode, TV_ALL_BYTES);
	if (r == 0) {
		tv_ns_write(v);
		r = link_upper(v, inode, dir, name, found);
		tv_ns_done(v);
	}
	return r;
}

struct create_args {
	mode_t mode;
	int flags;
	int *fd;
};

static int do_create(const void *arg, int dirfd, const char *name)
{
	const struct create_args *a = arg;
	*a->fd = openat(dirfd, name, tv_own_flags(a->flags) | O_CREAT | O_EXCL | O_NOFOLLOW,
			a->mode & 07777);
	return *a->fd < 0 ? -errno : 0;
}

/* Opens what somebody else made first. */
static int create_existing(struct tv_view *v, struct tv_inode *dir, const char *name, int flags,
			   const struct tv_caller *who, struct tv_found *found,
			   struct tv_file **file)
{
	int r = -ESTALE;
	for (int tries = 0; r == -ESTALE && tries < 2; tries++) {
		r = tv_view_lookup(v, dir, name, who, found);
		if (r < 0)
			return r;
		if (!found->inode)
			return -ENOENT;
		if (found->inode->kind != TV_FILE)
			r = found->inode->kind == TV_DIR ? -EISDIR : -EEXIST;
		else
			r = tv_file_open(v, found->inode, flags, who, file);
		if (r < 0)
			tv_view_forget(v, found->inode, 1);
	}
	return r;
}

int tv_view_create(struct tv_view *v, struct tv_inode *dir, const char *name, mode_t mode,
		   int flags, const struct tv_caller *who, struct tv_found *found,
		   struct tv_file **file)
{
	int fd = -1, r;
	struct create_args a = { mode, flags, &fd };

	do {
		r = make_name(v, dir, name, who, found, do_create, &a);
		if (r != -EEXIST || (flags & O_EXCL))
			break;
		r = create_existing(v, dir, name, flags & ~O_CREAT, who, found, file);
		if (r == 0)
			return 0;
	} while (r == -ENOENT); /* it went in between */
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	tv_ns_read(v);
	r = tv_file_adopt(v, found->inode, fd, flags & ~O_TRUNC, who, file);
	found->short_attr = found->short_attr || tv_kernel_writers(v, found->inode);
	tv_ns_done(v);
	if (r < 0)
		tv_view_forget(v, found->inode, 1);
	return r;
}

int tv_view_tmpfile(struct tv_view *v, struct tv_inode *dir, mode_t mode, int flags,
		    const struct tv_caller *who, struct tv_found *found, struct tv_file **file)
{
	tv_autodirfd struct tv_dirfd at = TV_DIRFD_INIT;
	struct tv_inode *inode;
	struct stat st;

	if (!tv_inode_writable(v, dir))
		return -EROFS;
	tv_ns_write(v);
	int r = tv_copy_up_dir(v, dir);
	if (r == 0)
		r = tv_inode_dir(v, dir, &at);
	tv_autoclose int fd = -1;
	if (r == 0)
		fd = openat(at.fd, ".", tv_own_flags(flags) | O_TMPFILE | (flags & O_EXCL),
			    mode & 07777);
	if (r == 0 && fd < 0)
		r = -errno;
	if (r == 0)
		r = give_to(v, who, at.fd, fd, "");
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	struct tv_inode proto = { .kind = TV_FILE, .volume = dir->volume, .state = TV_INODE_UPPER };
	if (r == 0) {
		proto.ino = TV_INO_BORN(st.st_ino);
		proto.upper_ino = st.st_ino; /* it may be given a name later */
		proto.sxid = st.st_mode & (S_ISUID | S_ISGID);
	}
	if (r == 0)
		r = tv_inode_new(&v->inodes, &proto, &inode);
	if (r == 0) {
		tv_inode_dress(inode, &st);
		tv_found_fill(v, NULL, inode, &st, found);
		int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		r = own < 0 ? -errno : tv_orphan_keep(v, inode, own);
		if (r == 0)
			r = tv_file_adopt(v, inode, tv_steal_fd(&fd), flags, who, file);
		if (r < 0)
			tv_view_forget(v, inode, 1);
	}
	tv_ns_done(v);
	return r;
}
