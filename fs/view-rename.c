/*
 * Rename. The overlay's own entries move with one renameat, which is the moment of change; all that
 * has to be true before (copies, redirects, whiteouts) is done first and does not show in the view.
 *
 * A folder with frozen contents is renamed in O(1): a redirect in its upper folder says which frozen
 * folder it is merged with, wherever it goes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/view-priv.h"
#include "store/base/path.h"

struct moving {
	struct tv_spot a, b;	  /* from, to */
	struct tv_inode *s, *t;	  /* what stands there; t may be NULL. References */
	struct tv_inode *copy_up; /* has to be brought up before; lent */
	struct tv_dirfd from, to;
	bool exchange;
};

/* The path in the frozen tree of what a folder shows. */
static int frozen_path(struct tv_view *v, struct tv_inode *dir, char **out)
{
	tv_autodirfd struct tv_dirfd fd = TV_DIRFD_INIT;
	tv_autofree char *parent = NULL;

	if (dir->state & TV_INODE_ROOT) {
		*out = strdup("");
		return *out ? 0 : -ENOMEM;
	}
	if (dir->state & TV_INODE_REDIRECT) {
		int r = tv_inode_dir(v, dir->link.parent, &fd);
		if (r == 0)
			r = tv_redirect_read(fd.fd, dir->link.name, out);
		return r > 0 ? 0 : r < 0 ? r : -EIO;
	}
	int r = frozen_path(v, dir->link.parent, &parent);
	if (r < 0)
		return r;
	*out = tv_path_join(parent, dir->link.name);
	return *out ? 0 : -ENOMEM;
}

/* Makes a folder independent of where it stands. */
static int unbind_dir(struct tv_view *v, struct tv_inode *dir)
{
	tv_autodirfd struct tv_dirfd fd = TV_DIRFD_INIT;
	tv_autofree char *path = NULL;

	if (!(dir->state & TV_INODE_FROZEN) || (dir->state & TV_INODE_REDIRECT))
		return 0;
	int r = frozen_path(v, dir, &path);
	if (r == 0)
		r = tv_copy_up_dir(v, dir);
	if (r == 0)
		r = tv_inode_dir(v, dir->link.parent, &fd);
	if (r == 0)
		r = tv_redirect_write(fd.fd, dir->link.name, path);
	if (r == 0)
		dir->state |= TV_INODE_REDIRECT;
	return r;
}

/* A dentry that the kernel caches for ever must not end up at a routed name: the look-up that
 * follows -ESTALE is answered so that it expires at once, and then the rename is asked again. */
static int expire_entry(struct tv_view *v, struct tv_inode *inode, const struct tv_spot *at,
			const struct tv_spot *goes_to)
{
	if (!goes_to->route || at->route)
		return 0;
	struct tv_link *link = tv_inode_link_of(&v->inodes, inode, at->dir, at->name, at->n);
	if (!link || __atomic_load_n(&link->short_given, __ATOMIC_ACQUIRE))
		return 0;
	link->short_wanted = true;
	return -ESTALE;
}

static int check_kinds(struct tv_view *v, const struct moving *m)
{
	bool s_dir = m->s->kind == TV_DIR, t_dir = m->t && m->t->kind == TV_DIR;

	if (((m->s->state | (m->t ? m->t->state : 0)) & (TV_INODE_PINNED | TV_INODE_ROOT)))
		return -EBUSY;
	if (m->a.dir->volume != m->b.dir->volume && (s_dir || t_dir || !(m->a.route || m->b.route)))
		return -EXDEV;
	if ((s_dir && m->b.route) || (t_dir && m->exchange && m->a.route))
		return -EXDEV; /* routed names are files */
	if (m->exchange || !m->t)
		return 0;
	if (s_dir != t_dir)
		return s_dir ? -ENOTDIR : -EISDIR;
	return t_dir ? tv_dir_empty(v, m->t) : 0;
}

/* Finds both ends and checks what can be checked without changing anything. */
static int find_ends(struct tv_view *v, struct moving *m, unsigned flags)
{
	int r = tv_spot_inode(v, &m->a, &m->s, NULL);
	if (r < 0)
		return r;
	r = tv_spot_inode(v, &m->b, &m->t, NULL);
	if (r < 0 && r != -ENOENT)
		return r;
	if (m->t && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (!m->t && m->exchange)
		return -ENOENT;
	if (tv_inode_nameless(m->b.dir))
		return -ENOENT;
	r = check_kinds(v, m);
	if (r == 0)
		r = expire_entry(v, m->s, &m->a, &m->b);
	if (r == 0 && m->exchange)
		r = expire_entry(v, m->t, &m->b, &m->a);
	return r;
}

/* Brings up what moves. 1: m->copy_up is a file whose bytes have to be copied without the lock. */
static int bring_up(struct tv_view *v, struct moving *m)
{
	struct tv_inode *moves[] = { m->s, m->exchange ? m->t : NULL };

	for (size_t i = 0; i < TV_ARRAY_LEN(moves); i++) {
		struct tv_inode *inode = moves[i];
		if (!inode)
			continue;
		if (inode->kind == TV_DIR) {
			int r = unbind_dir(v, inode);
			if (r < 0)
				return r;
		} else if (!(inode->state & TV_INODE_UPPER)) {
			m->copy_up = inode;
			return 1;
		}
	}
	/* An empty frozen folder that is to be replaced by a folder goes in the same step. */
	if (m->t && !m->exchange && m->t->kind == TV_DIR) {
		int r = tv_copy_up_dir(v, m->t);
		if (r < 0)
			return r;
	}
	return tv_copy_up_dir(v, m->b.dir);
}

static int hide_ends(struct tv_view *v, struct moving *m)
{
	int r = tv_spot_hide(v, &m->a);
	if (r == 0 && (m->exchange || m->s->kind == TV_DIR))
		r = tv_spot_hide(v,
				 &m->b); /* else a folder would be merged with what it replaces */
	if (r == 0)
		r = tv_inode_dir(v, m->a.dir, &m->from);
	if (r == 0)
		r = tv_inode_dir(v, m->b.dir, &m->to);
	if (r == 0 && m->t && !m->exchange && m->t->kind == TV_DIR &&
	    m->b.dir->volume == TV_VOL_LAKEHOUSE)
		r = tv_upper_clear_marks(m->to.fd, m->b.name);
	return r;
}

/* Tells the table of inodes what the disk did. */
static int move_links(struct tv_view *v, struct moving *m)
{
	struct tv_inodes *t = &v->inodes;
	uint8_t volume = m->s->volume;
	int r = 0;

	tv_names_change(m->a.dir);
	tv_names_change(m->b.dir);
	if (m->b.dir->names)
		tv_names_add(m->b.dir->names, m->b.name, m->b.n);
	if (m->t)
		tv_inode_unlink(t, m->t, m->b.dir, m->b.name, m->b.n);
	tv_inode_unlink(t, m->s, m->a.dir, m->a.name, m->a.n);
	r = tv_inode_link(t, m->s, m->b.dir, m->b.name, m->b.n);
	m->s->volume = m->b.dir->volume;
	if (m->exchange) {
		if (r == 0)
			r = tv_inode_link(t, m->t, m->a.dir, m->a.name, m->a.n);
		m->t->volume = volume;
	}
	return r;
}

static int move(struct tv_view *v, struct moving *m)
{
	tv_autoclose int held = -1;
	bool replaces_dir = m->t && !m->exchange && m->t->kind == TV_DIR;

	if (replaces_dir)
		held = openat(m->to.fd, m->b.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	else if (m->t && !m->exchange && (m->t->state & TV_INODE_UPPER))
		tv_name_going(v, m->t, m->to.fd, m->b.name);
	if (renameat2(m->from.fd, m->a.name, m->to.fd, m->b.name,
		      m->exchange ? RENAME_EXCHANGE : 0) < 0)
		return -errno;
	if (replaces_dir) {
		tv_dir_gone(m->t);
		if (held < 0 || tv_orphan_keep(v, m->t, tv_steal_fd(&held)) < 0)
			tv_inode_set_upper(&v->inodes, m->t, 0);
	}
	return move_links(v, m);
}

/* 1: m->copy_up is to be copied up, then all is asked again. Lock: writing. */
static int rename_once(struct tv_view *v, struct moving *m, struct tv_inode *from, const char *name,
		       struct tv_inode *to, const char *new_name, unsigned flags)
{
	int r = tv_spot_to_change(v, from, name, &m->a);
	if (r == 0)
		r = tv_spot_to_change(v, to, new_name, &m->b);
	if (r == 0)
		r = find_ends(v, m, flags);
	if (r == 0 && m->s == m->t)
		return 0; /* two names of one file: nothing to do, says POSIX */
	if (r == 0)
		r = bring_up(v, m);
	if (r == 0)
		r = hide_ends(v, m);
	return r == 0 ? move(v, m) : r;
}

int tv_view_rename(struct tv_view *v, struct tv_inode *from, const char *name, struct tv_inode *to,
		   const char *new_name, unsigned flags)
{
	int r;

	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	do {
		struct moving m = { .from = TV_DIRFD_INIT,
				    .to = TV_DIRFD_INIT,
				    .exchange = flags & RENAME_EXCHANGE };
		tv_ns_write(v);
		r = rename_once(v, &m, from, name, to, new_name, flags);
		tv_ns_done(v);
		if (r > 0) {
			int copied = tv_copy_up(v, m.copy_up, TV_ALL_BYTES);
			r = copied < 0 ? copied : r;
		}
		tv_dirfd_close(&m.from);
		tv_dirfd_close(&m.to);
		tv_inode_put(&v->inodes, m.s);
		tv_inode_put(&v->inodes, m.t);
	} while (r > 0);
	return r;
}
