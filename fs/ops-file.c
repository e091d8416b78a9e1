/* Open files. With passthrough most reads and writes never come here. */
#include "fs/ops-common.h"

#include <stdlib.h>
#include <string.h>

/* What the kernel is told about a handle. */
static void describe(const struct tv_session *s, const struct tv_file *f, struct fuse_file_info *fi)
{
	fi->fh = (uintptr_t)f;
	fi->keep_cache = tv_file_keep_cache(s->view, f);
#if TV_HAVE_FUSE_PASSTHROUGH
	fi->backing_id = tv_file_backing(f);
#endif
}

/* A handle that the kernel may write by itself changes times and size behind the kernel's cache of
 * attributes, so that is dropped now and not filled again until the last such handle is closed. */
static void open_attributes(struct tv_session *s, fuse_ino_t ino, const struct tv_file *f,
			    int flags)
{
	if (tv_file_backing(f) && (flags & O_ACCMODE) != O_RDONLY)
		fuse_lowlevel_notify_inval_inode(s->fuse, ino, -1, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_OPEN);
	struct tv_caller who = tv_caller_of(req);
	struct tv_file *f;

	if (s->no_open && (fi->flags & O_ACCMODE) == O_RDONLY) {
		fuse_reply_err(req, ENOSYS); /* and the kernel asks no more */
		return;
	}
	int r = tv_file_open(s->view, tv_inode_of(s, ino), fi->flags, &who, &f);
	if (r < 0) {
		tv_reply_code(req, r);
		return;
	}
	open_attributes(s, ino, f, fi->flags);
	describe(s, f, fi);
	if (fuse_reply_open(req, fi) < 0)
		tv_file_close(s->view, f);
}

static void reply_created(fuse_req_t req, int code, const struct tv_found *found, struct tv_file *f,
			  struct fuse_file_info *fi)
{
	struct tv_session *s = tv_session_of(req);
	struct fuse_entry_param e;

	if (code < 0) {
		tv_reply_code(req, code);
		return;
	}
	tv_entry_param(s, found, &e);
	describe(s, f, fi);
	if (fuse_reply_create(req, &e, fi) < 0) {
		tv_file_close(s->view, f);
		tv_view_forget(s->view, found->inode, 1);
	}
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_CREATE);
	struct tv_caller who = tv_caller_of(req);
	struct tv_found found;
	struct tv_file *f = NULL;
	int r = tv_view_create(s->view, tv_inode_of(s, parent), name, mode, fi->flags, &who, &found,
			       &f);
	reply_created(req, r, &found, f, fi);
}

#if FUSE_USE_VERSION >= 317
static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_TMPFILE);
	struct tv_caller who = tv_caller_of(req);
	struct tv_found found;
	struct tv_file *f = NULL;
	int r = tv_view_tmpfile(s->view, tv_inode_of(s, parent), mode, fi->flags, &who, &found, &f);
	reply_created(req, r, &found, f, fi);
}
#endif

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_RELEASE);
	(void)ino;
	tv_file_close(s->view, tv_file_of(fi));
	fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at,
		    struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_READ);
	struct tv_file *f = tv_file_of(fi);
	char *buf = malloc(size);
	ssize_t n = -ENOMEM;

	if (buf)
		n = f ? tv_file_read(s->view, f, buf, size, at)
		      : tv_readers_read(&s->readers, s->view, tv_inode_of(s, ino), buf, size, at);
	tv_stats_bytes(&s->stats, TV_FIGURE_READ_BYTES, n < 0 ? 0 : (size_t)n);
	if (n == -EAGAIN)
		fuse_reply_err(req, EAGAIN); /* readahead; no error to count */
	else if (n < 0)
		tv_reply_code(req, (int)n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t at,
		     struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_WRITE);
	struct tv_caller who = tv_caller_of(req);
	struct tv_file *f = tv_file_of(fi);
	(void)ino;
	ssize_t n = f ? tv_file_write(s->view, f, buf, size, at, &who) : -EROFS;
	tv_stats_bytes(&s->stats, TV_FIGURE_WRITTEN_BYTES, n < 0 ? 0 : (size_t)n);
	if (n < 0)
		tv_reply_code(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_FSYNC);
	struct tv_file *f = tv_file_of(fi);
	(void)ino;
	tv_reply_code(req, f ? tv_file_fsync(s->view, f, data_only) : 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t at, off_t n,
			 struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_FALLOCATE);
	struct tv_caller who = tv_caller_of(req);
	struct tv_file *f = tv_file_of(fi);
	(void)ino;
	tv_reply_code(req, f ? tv_file_fallocate(s->view, f, mode, at, n, &who) : -EBADF);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t at, int whence,
		     struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_LSEEK);
	struct tv_caller who = tv_caller_of(req);
	struct tv_file *f = tv_file_of(fi), *own = NULL;
	off_t r = 0;

	if (!f) /* no-open */
		r = tv_file_open(s->view, tv_inode_of(s, ino), O_RDONLY, &who, &own);
	if (r == 0)
		r = tv_file_seek(s->view, f ? f : own, at, whence);
	tv_file_close(s->view, own);
	if (r < 0)
		tv_reply_code(req, (int)r);
	else
		fuse_reply_lseek(req, r);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			       struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_COPY);
	struct tv_caller who = tv_caller_of(req);
	struct tv_file *in = tv_file_of(fi_in), *out = tv_file_of(fi_out);
	(void)ino_in;
	(void)ino_out;
	(void)flags; /* copy_file_range has none */
	ssize_t n = in && out ? tv_file_copy(s->view, in, off_in, out, off_out, len, &who) : -EBADF;
	tv_stats_bytes(&s->stats, TV_FIGURE_RANGE_BYTES, n < 0 ? 0 : (size_t)n);
	if (n < 0)
		tv_reply_code(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}

void tv_ops_file(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
#if FUSE_USE_VERSION >= 317
	ops->tmpfile = op_tmpfile;
#endif
	ops->release = op_release;
	ops->read = op_read;
	ops->write = op_write;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
