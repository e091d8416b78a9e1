/* Attributes of all kinds. */
#include "fs/ops-common.h"

#include <stdlib.h>
#include <string.h>

void tv_reply_attr(fuse_req_t req, int code, const struct tv_found *found)
{
	if (code < 0)
		tv_reply_code(req, code);
	else
		fuse_reply_attr(req, &found->st, found->short_attr ? 0 : TV_FOR_EVER);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_GETATTR);
	struct tv_inode *inode = tv_inode_of(s, ino);
	struct tv_found found;
	struct tv_file *f = inode->kind == TV_FILE ? tv_file_of(fi) : NULL;
	int r = tv_view_getattr(s->view, inode, f, &found);
	tv_reply_attr(req, r, &found);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	static const struct {
		int fuse;
		unsigned ours;
	} which[] = {
		{ FUSE_SET_ATTR_MODE, TV_SET_MODE },   { FUSE_SET_ATTR_UID, TV_SET_UID },
		{ FUSE_SET_ATTR_GID, TV_SET_GID },     { FUSE_SET_ATTR_SIZE, TV_SET_SIZE },
		{ FUSE_SET_ATTR_ATIME, TV_SET_ATIME }, { FUSE_SET_ATTR_MTIME, TV_SET_MTIME },
	};
	struct tv_session *s = tv_op_begin(req, TV_OP_SETATTR);
	struct tv_inode *inode = tv_inode_of(s, ino);
	struct tv_caller who = tv_caller_of(req);
	struct tv_setattr set = { .mode = attr->st_mode,
				  .uid = attr->st_uid,
				  .gid = attr->st_gid,
				  .size = attr->st_size,
				  .atime = attr->st_atim,
				  .mtime = attr->st_mtim };
	struct tv_found found;

	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++)
		if (to_set & which[i].fuse)
			set.which |= which[i].ours;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		set.atime.tv_nsec = UTIME_NOW;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		set.mtime.tv_nsec = UTIME_NOW;
	struct tv_file *f = inode->kind == TV_FILE ? tv_file_of(fi) : NULL;
	int r = tv_view_setattr(s->view, inode, f, &set, &who, &found);
	tv_reply_attr(req, r, &found);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_READLINK);
	char *target;
	int r = tv_view_readlink(s->view, tv_inode_of(s, ino), &target);
	if (r < 0) {
		tv_reply_code(req, r);
		return;
	}
	fuse_reply_readlink(req, target);
	free(target);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_STATFS);
	struct statvfs figures;
	int r = tv_view_statfs(s->view, tv_inode_of(s, ino ? ino : FUSE_ROOT_ID), &figures);
	if (r < 0)
		tv_reply_code(req, r);
	else
		fuse_reply_statfs(req, &figures);
}

/* Replies with the length (size 0) or with the bytes. */
static void reply_xattr(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
	if (n < 0)
		fuse_reply_err(req, (int)-n); /* "has no such attribute" is no error to count */
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_GETXATTR);
	char *buf = size ? malloc(size) : NULL;
	ssize_t n = size && !buf ? -ENOMEM
				 : tv_view_getxattr(s->view, tv_inode_of(s, ino), name, buf, size);
	reply_xattr(req, n, buf, size);
	free(buf);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_LISTXATTR);
	struct tv_caller who = tv_caller_of(req);
	char *buf = size ? malloc(size) : NULL;
	ssize_t n = size && !buf ? -ENOMEM
				 : tv_view_listxattr(s->view, tv_inode_of(s, ino), &who, buf, size);
	reply_xattr(req, n, buf, size);
	free(buf);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_SETXATTR);
	tv_reply_code(req,
		      tv_view_setxattr(s->view, tv_inode_of(s, ino), name, value, size, flags));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_REMOVEXATTR);
	tv_reply_code(req, tv_view_removexattr(s->view, tv_inode_of(s, ino), name));
}

void tv_ops_attr(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->statfs = op_statfs;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
