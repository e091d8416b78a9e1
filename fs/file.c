#include "fs/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/view-priv.h"

struct tv_file {
	struct tv_inode *inode; /* a reference */
	int fd;			/* -1 when the kernel needs nothing of us: a passed frozen file */
	int flags;
	int backing_id;		    /* 0: plain */
	_Atomic bool frozen;	    /* fd is a blob's */
	struct tv_file *next, **at; /* list of all */
};

static bool changes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* --- who has what open --------------------------------------------------------------------- */

struct tv_open *tv_open_get(struct tv_inode *inode)
{
	if (!inode->open) {
		inode->open = calloc(1, sizeof(*inode->open));
		if (inode->open)
			inode->open->orphan_fd = -1;
	}
	return inode->open;
}

struct tv_inode *tv_open_settle(struct tv_inode *inode)
{
	struct tv_open *o = inode->open;
	if (!o || o->plain || o->passed || o->idle)
		return NULL;
	struct tv_inode *successor = tv_steal_ptr(&o->successor);
	if (o->orphan_fd < 0) {
		free(o);
		inode->open = NULL;
	}
	return successor;
}

void tv_open_gone(struct tv_view *v, struct tv_inode *inode)
{
	pthread_mutex_lock(&v->opens);
	tv_idle_forget(v, inode);
	pthread_mutex_unlock(&v->opens);
	struct tv_open *o = inode->open;
	if (!o)
		return;
	if (o->backing_id)
		v->backing.close(v->backing.arg, o->backing_id);
	if (o->orphan_fd >= 0)
		close(o->orphan_fd);
	tv_inode_put(&v->inodes, o->successor);
	free(o);
}

bool tv_frozen_readers(struct tv_view *v, struct tv_inode *inode)
{
	pthread_mutex_lock(&v->opens);
	const struct tv_open *o = tv_inode_open(inode);
	bool is = o && o->passed && o->backing_frozen;
	pthread_mutex_unlock(&v->opens);
	return is;
}

bool tv_kernel_writers(struct tv_view *v, struct tv_inode *inode)
{
	if (!v->passthrough || inode->kind != TV_FILE)
		return false;
	pthread_mutex_lock(&v->opens);
	const struct tv_open *o = tv_inode_open(inode);
	bool is = o && o->writers;
	pthread_mutex_unlock(&v->opens);
	return is;
}

int tv_orphan_keep(struct tv_view *v, struct tv_inode *inode, int fd)
{
	pthread_mutex_lock(&v->opens);
	struct tv_open *o = tv_open_get(inode);
	if (o && o->orphan_fd < 0) {
		o->orphan_fd = fd;
		fd = -1;
	}
	pthread_mutex_unlock(&v->opens);
	if (fd >= 0)
		close(fd);
	return o ? 0 : -ENOMEM;
}

int tv_detach(struct tv_view *v, struct tv_inode *inode)
{
	struct tv_inode proto = { .ino = inode->ino,
				  .kind = inode->kind,
				  .volume = inode->volume,
				  .state = TV_INODE_UPPER,
				  .sxid = inode->sxid };
	struct tv_inode *next;
	int fd = -1;

	if (!tv_frozen_readers(v, inode))
		return 0;
	int r = tv_inode_new(&v->inodes, &proto, &next);
	if (r < 0)
		return r;
	r = tv_inode_hand_over(&v->inodes, inode, next);
	if (r < 0) {
		tv_inode_put(&v->inodes, next);
		return r;
	}
	inode->state = TV_INODE_FROZEN | TV_INODE_DETACHED;
	pthread_mutex_lock(&v->opens);
	if (inode->open) {
		fd = inode->open->orphan_fd;
		inode->open->orphan_fd = -1;
		inode->open->successor = next;
		next = NULL;
	}
	struct tv_inode *named = inode->open ? inode->open->successor : NULL;
	pthread_mutex_unlock(&v->opens);
	if (fd >= 0 && named)
		r = tv_orphan_keep(v, named, fd);
	tv_inode_put(&v->inodes,
		     next); /* all readers closed just now: the name is looked up anew */
	return r;
}

/* --- opening ------------------------------------------------------------------------------- */

/* SQLite takes the bytes of a database and of the log beside it together. A reader that kept the frozen
 * database while a writer changes both would mix two states of it and not notice. The beginnings are from
 * "Database File Format" in SQLite's documentation. */
static bool is_sqlite(int fd)
{
	static const char *const beginnings[] = { "SQLite format 3", "\x37\x7f\x06\x82",
						  "\x37\x7f\x06\x83" };
	char head[16] = "";

	if (pread(fd, head, sizeof(head) - 1, 0) < 0)
		return false;
	for (size_t i = 0; i < TV_ARRAY_LEN(beginnings); i++)
		if (strncmp(head, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

/* Whether the kernel may serve a new handle by itself. Lock: opens. */
static bool may_pass(const struct tv_view *v, const struct tv_open *o, const struct tv_file *f,
		     const struct tv_caller *who)
{
	const struct tv_inode *inode = f->inode;

	if (!v->passthrough || o->plain)
		return false;
	if (changes(f->flags) && inode->sxid && who->uid != 0)
		return false;
	return !f->frozen || (inode->size && !(tv_inode_writable(v, inode) && is_sqlite(f->fd)));
}

/* Counts a handle in and decides how it is served. fd (taken over when a handle is made) may be -1
 * when the inode's frozen backing is there already. Lock: namespace. 0, or -EAGAIN when readers of
 * the blob turned up before a handle that writes. */
static int count_in(struct tv_view *v, struct tv_file *f, const struct tv_caller *who)
{
	struct tv_inode *inode = f->inode;
	bool writes = changes(f->flags);
	int r = 0;

	pthread_mutex_lock(&v->opens);
	struct tv_open *o = tv_open_get(inode);
	if (!f->frozen)
		tv_idle_forget(v, inode); /* it was copied up since */
	if (!o) {
		r = -ENOMEM;
	} else if (o->backing_id ? o->backing_frozen && writes : f->fd < 0) {
		r = -EAGAIN; /* readers of the blob came; or the last one went, and the backing with it */
	} else if (o->backing_id) {
		f->backing_id = o->backing_id;
		tv_idle_take(v, inode);
	} else if (writes && f->frozen) {
		r = -EIO; /* the kernel would write into the store */
	} else if (may_pass(v, o, f, who)) {
		int id = v->backing.open(v->backing.arg, f->fd);
		if (id > 0) {
			o->backing_id = f->backing_id = id;
			o->backing_frozen = f->frozen;
			v->backing_ids++;
		} else {
			v->fallbacks++;
		}
	}
	if (r == 0) {
		o->passed += f->backing_id != 0;
		o->plain += f->backing_id == 0;
		o->writers += f->backing_id && writes;
		f->next = v->files;
		f->at = &v->files;
		if (f->next)
			f->next->at = &f->next;
		v->files = f;
		v->open_files++;
	} else if (o && !o->successor) {
		tv_open_settle(inode);
	}
	pthread_mutex_unlock(&v->opens);
	if (r == 0)
		f->backing_id ? v->passed_opens++ : v->plain_opens++;
	return r;
}

static int make_handle(struct tv_view *v, struct tv_inode *inode, int fd, int flags, bool frozen,
		       const struct tv_caller *who, struct tv_file **out)
{
	struct tv_file *f = calloc(1, sizeof(*f));
	int r = -ENOMEM;
	if (f) {
		*f = (struct tv_file){ .inode = inode, .fd = fd, .flags = flags, .frozen = frozen };
		r = count_in(v, f, who);
	}
	if (r < 0) {
		free(f);
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (frozen && f->backing_id && f->fd >= 0) {
		close(f->fd); /* the kernel has its own */
		f->fd = -1;
	}
	tv_inode_ref(&v->inodes, inode);
	*out = f;
	return 0;
}

int tv_file_adopt(struct tv_view *v, struct tv_inode *inode, int fd, int flags,
		  const struct tv_caller *who, struct tv_file **out)
{
	return make_handle(v, inode, fd, flags, false, who, out);
}

static bool has_blob_backing(struct tv_view *v, struct tv_inode *inode)
{
	pthread_mutex_lock(&v->opens);
	const struct tv_open *o = tv_inode_open(inode);
	bool has = o && o->backing_id && o->backing_frozen;
	pthread_mutex_unlock(&v->opens);
	return has;
}

static int open_frozen(struct tv_view *v, struct tv_inode *inode, int flags,
		       const struct tv_caller *who, struct tv_file **out)
{
	if (changes(flags))
		return -ESTALE; /* never a blob for a handle that writes */
	/* Most often it is open already, or was just now, and then there is no file to open. */
	bool shared = has_blob_backing(v, inode);
	int fd = shared ? -1 : v->blobs.open(v->blobs.arg, &inode->addr);
	if (fd < 0 && !shared)
		return fd;
	tv_ns_read(v);
	int r = -EAGAIN;
	if (!(inode->state & TV_INODE_UPPER))
		r = make_handle(v, inode, fd, flags, true, who, out);
	else if (fd >= 0)
		close(fd);
	tv_ns_done(v);
	return r;
}

int tv_own_flags(int flags)
{
	/* O_APPEND: the kernel says where each write goes, and writes of mapped pages come through any
	 * handle. O_DIRECT is between the kernel and the user; O_NOATIME is for owners only. */
	return (flags & (O_ACCMODE | O_SYNC | O_DSYNC)) | O_CLOEXEC;
}

/* Opens the overlay's file. Lock: namespace. */
static int open_upper_fd(struct tv_view *v, struct tv_inode *inode, int flags)
{
	tv_autodirfd struct tv_dirfd dir = TV_DIRFD_INIT;
	char proc[TV_PROC_FD];
	const char *name;

	int r = tv_inode_at(v, inode, &dir, &name);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	flags = tv_own_flags(flags) | O_NONBLOCK;
	int fd;
	if (*name) {
		fd = openat(dir.fd, name, flags | O_NOFOLLOW);
	} else {
		tv_proc_fd(dir.fd, proc);
		fd = open(proc, flags);
	}
	return fd < 0 ? -errno : fd;
}

static void drop_set_id(const struct tv_inode *inode, int fd, const struct tv_caller *who)
{
	struct stat st;
	if (!__atomic_load_n(&inode->sxid, __ATOMIC_RELAXED) || fstat(fd, &st) < 0)
		return;
	mode_t gone = tv_set_id_gone(&st, who);
	if (gone)
		fchmod(fd, st.st_mode & 07777 & ~gone);
}

static int open_upper(struct tv_view *v, struct tv_inode *inode, int flags,
		      const struct tv_caller *who, struct tv_file **out)
{
	/* Truncating needs a writable descriptor, whatever the handle may do. */
	int how = (flags & O_TRUNC) && (flags & O_ACCMODE) == O_RDONLY ? flags | O_RDWR : flags;
	struct tv_file *f;

	tv_ns_read(v);
	int fd = (inode->state & TV_INODE_UPPER) ? open_upper_fd(v, inode, how) : -EAGAIN;
	int r = fd < 0 ? fd : make_handle(v, inode, fd, flags, false, who, &f);
	tv_ns_done(v);
	if (r < 0)
		return r;
	r = flags & O_TRUNC ? tv_file_truncate(f, 0, who) : 0;
	if (r < 0)
		tv_file_close(v, f);
	else
		*out = f;
	return r;
}

static int settle(struct tv_view *v, struct tv_inode *inode, uint64_t bytes)
{
	unsigned state = tv_inode_state(v, inode);

	if (!tv_inode_writable(v, inode))
		return -EROFS;
	if (state & TV_INODE_DETACHED)
		return -ESTALE;
	if (!(state & TV_INODE_UPPER)) {
		int r = tv_copy_up(v, inode, bytes);
		if (r < 0)
			return r;
	}
	if (!tv_frozen_readers(v, inode))
		return 0;
	tv_ns_write(v);
	int r = tv_detach(v, inode);
	bool detached = inode->state & TV_INODE_DETACHED;
	tv_ns_done(v);
	if (detached) /* from now on they change under another node id */
		tv_attributes_stale(v, inode);
	return r < 0 ? r : detached ? -ESTALE : 0;
}

int tv_file_settle(struct tv_view *v, struct tv_inode *inode)
{
	return settle(v, inode, TV_ALL_BYTES);
}

int tv_file_open(struct tv_view *v, struct tv_inode *inode, int flags, const struct tv_caller *who,
		 struct tv_file **out)
{
	int r;
	do { /* -EAGAIN: the inode was copied up, or readers came or went, in between */
		if (changes(flags)) {
			r = settle(v, inode, flags & O_TRUNC ? 0 : TV_ALL_BYTES);
			if (r < 0)
				return r;
		}
		r = tv_inode_state(v, inode) & TV_INODE_UPPER
			    ? open_upper(v, inode, flags, who, out)
			    : open_frozen(v, inode, flags, who, out);
	} while (r == -EAGAIN);
	return r;
}

void tv_file_close(struct tv_view *v, struct tv_file *f)
{
	if (!f)
		return;
	struct tv_inode *inode = f->inode;
	pthread_mutex_lock(&v->opens);
	struct tv_open *o = inode->open;
	o->passed -= f->backing_id != 0;
	o->plain -= f->backing_id == 0;
	o->writers -= f->backing_id && changes(f->flags);
	*f->at = f->next;
	if (f->next)
		f->next->at = f->at;
	v->open_files--;
	if (!o->passed && o->backing_id && !tv_idle_keep(v, inode)) {
		v->backing.close(v->backing.arg, o->backing_id);
		v->backing_ids--;
		o->backing_id = 0;
		o->backing_frozen = false;
	}
	struct tv_inode *successor = tv_open_settle(inode);
	pthread_mutex_unlock(&v->opens);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
	tv_inode_put(&v->inodes, successor);
	tv_inode_put(&v->inodes, inode);
}

void tv_files_fini(struct tv_view *v)
{
	while (v->files)
		tv_file_close(v, v->files);
}

int tv_file_backing(const struct tv_file *f)
{
	return f->backing_id;
}

bool tv_file_keep_cache(const struct tv_view *v, const struct tv_file *f)
{
	/* Where passthrough may have written a file behind the page cache only frozen bytes are sure. */
	return !f->backing_id && (!v->passthrough || f->frozen);
}

int tv_file_fd(const struct tv_file *f)
{
	return f->frozen ? -1 : f->fd;
}

bool tv_file_writable(const struct tv_file *f)
{
	return (f->flags & O_ACCMODE) != O_RDONLY;
}

/* --- serving ------------------------------------------------------------------------------- */

/* A plain handle that was opened on the blob goes on with the overlay's file once there is one. The
 * descriptor keeps its number, so reads that are under way on other threads see one or the other. */
static void follow_copy_up(struct tv_view *v, struct tv_file *f)
{
	tv_ns_read(v);
	if (f->frozen && (f->inode->state & TV_INODE_UPPER)) {
		tv_autoclose int fd = open_upper_fd(v, f->inode, O_RDONLY);
		if (fd >= 0 && dup3(fd, f->fd, O_CLOEXEC) >= 0)
			f->frozen = false;
	}
	tv_ns_done(v);
}

/* The descriptor to work with; *own is set when it was opened for this call. */
static int serving_fd(struct tv_view *v, struct tv_file *f, int *own)
{
	if (f->fd < 0)
		return *own = v->blobs.open(v->blobs.arg, &f->inode->addr);
	if (f->frozen && !f->backing_id)
		follow_copy_up(v, f);
	return f->fd;
}

/* Of what it reads below by itself the kernel asks for no bytes, but for readahead that a client wants
 * (posix_fadvise, readahead). It would keep them in a cache that nobody reads; they are wanted below, in the
 * blob's. An error is no harm: readahead may fail. A single page is answered: who needs one truly (a probe in
 * a program) asks for so much. */
ssize_t tv_file_read(struct tv_view *v, struct tv_file *f, void *buf, size_t n, off_t at)
{
	tv_autoclose int own = -1;
	int fd = serving_fd(v, f, &own);
	if (fd < 0)
		return fd;
	if (f->backing_id && n > (size_t)getpagesize()) {
		posix_fadvise(fd, at, (off_t)n, POSIX_FADV_WILLNEED);
		return -EAGAIN;
	}
	size_t done = 0;
	while (done < n) {
		ssize_t got = pread(fd, (char *)buf + done, n - done, at + (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return done ? (ssize_t)done : -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

ssize_t tv_file_write(struct tv_view *v, struct tv_file *f, const void *buf, size_t n, off_t at,
		      const struct tv_caller *who)
{
	size_t done = 0;

	(void)v;
	if (f->fd < 0 || f->frozen)
		return -EBADF;
	while (done < n) {
		ssize_t put = pwrite(f->fd, (const char *)buf + done, n - done, at + (off_t)done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return done ? (ssize_t)done : put < 0 ? -errno : -EIO;
		done += (size_t)put;
	}
	drop_set_id(f->inode, f->fd, who);
	return (ssize_t)done;
}

int tv_file_truncate(struct tv_file *f, off_t size, const struct tv_caller *who)
{
	if (ftruncate(f->fd, size) < 0)
		return -errno;
	drop_set_id(f->inode, f->fd, who);
	return 0;
}

int tv_file_fallocate(struct tv_view *v, struct tv_file *f, int mode, off_t at, off_t n,
		      const struct tv_caller *who)
{
	(void)v;
	if (f->fd < 0 || f->frozen)
		return -EBADF;
	if (fallocate(f->fd, mode, at, n) < 0)
		return -errno;
	drop_set_id(f->inode, f->fd, who);
	return 0;
}

int tv_file_fsync(struct tv_view *v, struct tv_file *f, bool data_only)
{
	if (f->fd < 0 || f->frozen)
		return 0;
	tv_takes_long(v);
	return (data_only ? fdatasync(f->fd) : fsync(f->fd)) < 0 ? -errno : 0;
}

off_t tv_file_seek(struct tv_view *v, struct tv_file *f, off_t at, int whence)
{
	tv_autoclose int own = -1;
	int fd = serving_fd(v, f, &own);
	if (fd < 0)
		return fd;
	off_t r = lseek(fd, at, whence);
	return r < 0 ? -errno : r;
}

ssize_t tv_file_copy(struct tv_view *v, struct tv_file *from, off_t from_at, struct tv_file *to,
		     off_t to_at, size_t n, const struct tv_caller *who)
{
	tv_autoclose int own = -1;
	int in = serving_fd(v, from, &own);
	if (in < 0)
		return in;
	if (to->fd < 0 || to->frozen)
		return -EBADF;
	loff_t in_at = from_at, out_at = to_at;
	if (n > TV_LONG_COPY)
		tv_takes_long(v);
	ssize_t r = copy_file_range(in, &in_at, to->fd, &out_at, n, 0);
	if (r < 0)
		return -errno;
	drop_set_id(to->inode, to->fd, who);
	return r;
}
