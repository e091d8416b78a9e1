#include "store/worktree.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "store/base/cleanup.h"
#include "store/base/hex.h"
#include "store/worktree-priv.h"

/* A folder that is a tvfs view would be imported through the store it comes from; and what a run
 * wrote there is to be published as a whole. Other FUSE filesystems are fine. */
static int refuse_view(int fd, const char *path, struct tv_err *err)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return tv_err_sys(err, -errno, "cannot look at the filesystem of '%s'", path);
	if (fs.f_type != FUSE_SUPER_MAGIC || fgetxattr(fd, "user.tvfs.foundation", NULL, 0) < 0)
		return 0;
	return tv_err_set(err, -EOPNOTSUPP,
			  "'%s' is a tvfs view: publish what was written in it with "
			  "`tvfs run --publish REF`, or give the plain folder",
			  path);
}

struct load {
	struct tv_worktree *w;
	struct tv_worktree_row row;
};

static int load_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct load *l = arg;
	return tv_worktree_row_get(t, l->w->id, &l->row, NULL, err);
}

int tv_worktree_load(struct tv_store *s, struct tv_worktree *w, struct tv_err *err)
{
	struct load l = { .w = w };
	int res = tv_kv_read(tv_store_kv(s), load_body, &l, err);
	if (res < 0)
		return res;
	w->has_base = res == 1 && l.row.has_base;
	w->base = l.row.base;
	w->base_root = l.row.base_root;
	return 0;
}

int tv_worktree_open(struct tv_store *s, const char *path, struct tv_worktree *out,
		     struct tv_err *err)
{
	tv_autofree char *real = realpath(path, NULL);
	if (!real)
		return tv_err_sys(err, -errno, "cannot open the live folder '%s'", path);
	if (strlen(real) >= TV_PATH_MAX)
		return tv_err_set(err, -ENAMETOOLONG, "the path of '%s' is too long", path);
	tv_autoclose int fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot open the live folder '%s'", path);
	int res = refuse_view(fd, real, err);
	if (res < 0)
		return res;
	struct tv_worktree w = { .dirfd = fd };
	struct tv_addr id = tv_addr_of(real, strlen(real));
	memcpy(w.id, id.b, sizeof(w.id));
	res = tv_worktree_load(s, &w, err);
	if (res < 0)
		return res;
	w.path = tv_steal_ptr(&real);
	tv_steal_fd(&fd);
	*out = w;
	return 0;
}

void tv_worktree_close(struct tv_worktree *w)
{
	if (!w || !w->path)
		return;
	free(w->path);
	close(w->dirfd);
	memset(w, 0, sizeof(*w));
	w->dirfd = -1;
}

int tv_refused_add(struct tv_refused *r, const char *path, const char *reason, struct tv_err *err)
{
	struct tv_refused_file f = { .path = strdup(path), .reason = strdup(reason) };
	void *grown = reallocarray(r->files, r->len + 1, sizeof(*r->files));
	if (grown)
		r->files = grown;
	if (grown && f.path && f.reason) {
		r->files[r->len++] = f;
		return 0;
	}
	free(f.path);
	free(f.reason);
	return tv_err_nomem(err);
}

void tv_refused_free(struct tv_refused *r)
{
	for (size_t i = 0; i < r->len; i++) {
		free(r->files[i].path);
		free(r->files[i].reason);
	}
	free(r->files);
	*r = (struct tv_refused){ .files = NULL };
}
