/* Names: look-ups, listings, making, removing, renaming. */
#include "fs/ops-common.h"

#include <stdlib.h>
#include <string.h>

struct tv_caller tv_caller_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	return (struct tv_caller){ ctx->uid, ctx->gid, ctx->pid };
}

struct tv_session *tv_op_begin(fuse_req_t req, enum tv_op op)
{
	struct tv_session *s = tv_session_of(req);
	tv_stats_begin(&s->stats, op);
	return s;
}

void tv_reply_code(fuse_req_t req, int code)
{
	if (code < 0)
		tv_stats_failed(&tv_session_of(req)->stats);
	fuse_reply_err(req, -code);
}

void tv_entry_param(const struct tv_session *s, const struct tv_found *found,
		    struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.attr = found->st,
		.attr_timeout = found->short_attr ? 0 : TV_FOR_EVER,
		.entry_timeout = found->short_entry ? 0 : TV_FOR_EVER,
	};
	if (found->inode)
		e->ino = found->inode == tv_view_root(s->view) ? FUSE_ROOT_ID
							       : (uintptr_t)found->inode;
}

void tv_reply_entry(fuse_req_t req, int code, const struct tv_found *found)
{
	struct tv_session *s = tv_session_of(req);
	struct fuse_entry_param e;

	if (code < 0) {
		tv_reply_code(req, code);
		return;
	}
	tv_entry_param(s, found, &e);
	/* A reply that nobody waits for any more does not count as a look-up. */
	if (fuse_reply_entry(req, &e) < 0 && found->inode)
		tv_view_forget(s->view, found->inode, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_LOOKUP);
	struct tv_caller who = tv_caller_of(req);
	struct tv_found found;

	int r = tv_view_lookup(s->view, tv_inode_of(s, parent), name, &who, &found);
	/* An entry without a node id is a negative one that is remembered. */
	if (r == 0 && !found.inode && found.short_entry)
		fuse_reply_err(req, ENOENT);
	else
		tv_reply_entry(req, r, &found);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_FORGET);
	if (ino != FUSE_ROOT_ID)
		tv_view_forget(s->view, tv_inode_of(s, ino), n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_FORGET);
	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			tv_view_forget(s->view, tv_inode_of(s, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_MKNOD);
	struct tv_caller who = tv_caller_of(req);
	struct tv_found found;
	int r = tv_view_mknod(s->view, tv_inode_of(s, parent), name, mode, rdev, &who, &found);
	tv_reply_entry(req, r, &found);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_MKDIR);
	struct tv_caller who = tv_caller_of(req);
	struct tv_found found;
	int r = tv_view_mkdir(s->view, tv_inode_of(s, parent), name, mode, &who, &found);
	tv_reply_entry(req, r, &found);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_SYMLINK);
	struct tv_caller who = tv_caller_of(req);
	struct tv_found found;
	int r = tv_view_symlink(s->view, tv_inode_of(s, parent), name, target, &who, &found);
	tv_reply_entry(req, r, &found);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_LINK);
	struct tv_caller who = tv_caller_of(req);
	struct tv_found found;
	int r = tv_view_link(s->view, tv_inode_of(s, ino), tv_inode_of(s, parent), name, &who,
			     &found);
	tv_reply_entry(req, r, &found);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_UNLINK);
	tv_reply_code(req, tv_view_unlink(s->view, tv_inode_of(s, parent), name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_RMDIR);
	tv_reply_code(req, tv_view_rmdir(s->view, tv_inode_of(s, parent), name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_RENAME);
	tv_reply_code(req, tv_view_rename(s->view, tv_inode_of(s, parent), name,
					  tv_inode_of(s, new_parent), new_name, flags));
}

/* --- listings ------------------------------------------------------------------------------ */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_OPENDIR);
	struct tv_inode *dir = tv_inode_of(s, ino);
	struct tv_folder *l;

	if (s->may_no_opendir && tv_view_read_only(s->view)) {
		fuse_reply_err(req, ENOSYS); /* and the kernel asks no more */
		return;
	}
	int r = tv_folder_open(s->view, dir, &l);
	if (r < 0) {
		tv_reply_code(req, r);
		return;
	}
	fi->fh = (uintptr_t)l;
	fi->cache_readdir = tv_folder_cacheable(s->view, dir);
	fi->keep_cache = fi->cache_readdir && tv_folder_unchanged(l);
	if (fuse_reply_open(req, fi) < 0)
		tv_folder_close(s->view, l);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_RELEASEDIR);
	(void)ino;
	tv_folder_close(s->view, (struct tv_folder *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

struct filling {
	const struct tv_session *s;
	fuse_req_t req;
	char *buf;
	size_t used, size;
	bool plus;
};

/* Adds one entry; 1 when there is no room. */
static int fill(void *arg, const struct tv_listed *e)
{
	struct filling *f = arg;
	size_t room = f->size - f->used, n;

	if (f->plus) {
		struct fuse_entry_param p = { .attr = e->st };
		if (e->found)
			tv_entry_param(f->s, e->found, &p);
		n = fuse_add_direntry_plus(f->req, f->buf + f->used, room, e->name, &p, e->next);
	} else {
		n = fuse_add_direntry(f->req, f->buf + f->used, room, e->name, &e->st, e->next);
	}
	if (n > room)
		return 1;
	f->used += n;
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, bool plus,
		 const struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_READDIR);
	struct filling f = { s, req, malloc(size), 0, size, plus };
	struct tv_folder *l = (struct tv_folder *)(uintptr_t)fi->fh;

	if (!f.buf) {
		tv_reply_code(req, -ENOMEM);
		return;
	}
	int r = l ? tv_folder_read(s->view, l, at, plus, fill, &f)
		  : tv_folder_read_once(s->view, tv_inode_of(s, ino), at, plus, fill, &f);
	if (r < 0 && f.used == 0)
		tv_reply_code(req, r);
	else
		fuse_reply_buf(req, f.buf, f.used);
	free(f.buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at,
		       struct fuse_file_info *fi)
{
	list(req, ino, size, at, false, fi);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at,
			   struct fuse_file_info *fi)
{
	list(req, ino, size, at, true, fi);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct tv_session *s = tv_op_begin(req, TV_OP_FSYNCDIR);
	(void)fi;
	tv_reply_code(req, tv_view_fsync_dir(s->view, tv_inode_of(s, ino), data_only));
}

void tv_ops_dir(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
	ops->opendir = op_opendir;
	ops->releasedir = op_releasedir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->fsyncdir = op_fsyncdir;
}
