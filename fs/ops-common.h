/* What the FUSE handlers share. Only fs/session.c and fs/ops-*.c include this.
 *
 * A handler translates one request into calls of the view and replies exactly once, after all locks
 * have been given back. Node ids are the addresses of inodes; the root's is FUSE_ROOT_ID. */
#ifndef TV_FS_OPS_COMMON_H
#define TV_FS_OPS_COMMON_H

#if TV_HAVE_FUSE_PASSTHROUGH
#define FUSE_USE_VERSION 317
#else
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>

#include "fs/file.h"
#include "fs/folder.h"
#include "fs/loop.h"
#include "fs/readers.h"
#include "fs/stats.h"

/* For as long as the kernel likes: it sees every change, since all go through it. */
#define TV_FOR_EVER 1e9

struct tv_session {
	const struct tv_mount *mount;
	struct tv_view *view;
	struct fuse_session *fuse;
	struct tv_stats stats;
	struct tv_loop loop;
	struct tv_readers readers;
	struct tv_backing backing;
	bool mounted;			  /* by us, not by libfuse or the caller */
	bool inited;			  /* INIT was answered */
	bool can_pass;			  /* the connection was set up for passthrough */
	bool may_no_open, may_no_opendir; /* the kernel understands ENOSYS */
	bool no_open;			  /* set before the first request but INIT is handled */
};

static inline struct tv_session *tv_session_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct tv_inode *tv_inode_of(struct tv_session *s, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? tv_view_root(s->view) : (struct tv_inode *)(uintptr_t)ino;
}

static inline struct tv_file *tv_file_of(const struct fuse_file_info *fi)
{
	return fi ? (struct tv_file *)(uintptr_t)fi->fh : NULL;
}

struct tv_caller tv_caller_of(fuse_req_t req);

/* Counts a request, starts its clock and gives its session. */
struct tv_session *tv_op_begin(fuse_req_t req, enum tv_op op);
/* Replies with 0 or an error (given negative). */
void tv_reply_code(fuse_req_t req, int code);
/* Replies with what was found, or with the error `code` when it is negative. */
void tv_reply_entry(fuse_req_t req, int code, const struct tv_found *found);
void tv_entry_param(const struct tv_session *s, const struct tv_found *found,
		    struct fuse_entry_param *e);
void tv_reply_attr(fuse_req_t req, int code, const struct tv_found *found);

/* Every reply stops the request's clock first. Not after it: the reply wakes the caller, who may get
 * this processor at once, and his time would be taken for ours (it was ten times as much). */
static inline void tv_op_end(fuse_req_t req)
{
	tv_stats_end(&tv_session_of(req)->stats);
}
#define fuse_reply_attr(req, ...) (tv_op_end(req), fuse_reply_attr(req, __VA_ARGS__))
#define fuse_reply_buf(req, ...) (tv_op_end(req), fuse_reply_buf(req, __VA_ARGS__))
#define fuse_reply_create(req, ...) (tv_op_end(req), fuse_reply_create(req, __VA_ARGS__))
#define fuse_reply_entry(req, ...) (tv_op_end(req), fuse_reply_entry(req, __VA_ARGS__))
#define fuse_reply_err(req, ...) (tv_op_end(req), fuse_reply_err(req, __VA_ARGS__))
#define fuse_reply_lseek(req, ...) (tv_op_end(req), fuse_reply_lseek(req, __VA_ARGS__))
#define fuse_reply_none(req) (tv_op_end(req), fuse_reply_none(req))
#define fuse_reply_open(req, ...) (tv_op_end(req), fuse_reply_open(req, __VA_ARGS__))
#define fuse_reply_readlink(req, ...) (tv_op_end(req), fuse_reply_readlink(req, __VA_ARGS__))
#define fuse_reply_statfs(req, ...) (tv_op_end(req), fuse_reply_statfs(req, __VA_ARGS__))
#define fuse_reply_write(req, ...) (tv_op_end(req), fuse_reply_write(req, __VA_ARGS__))
#define fuse_reply_xattr(req, ...) (tv_op_end(req), fuse_reply_xattr(req, __VA_ARGS__))

/* Each part puts its handlers into the table. */
void tv_ops_dir(struct fuse_lowlevel_ops *ops);
void tv_ops_file(struct fuse_lowlevel_ops *ops);
void tv_ops_attr(struct fuse_lowlevel_ops *ops);

#endif
