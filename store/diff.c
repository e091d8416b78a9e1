/*
 * Two cursors advance in step over two directories. Each points at an entry or, above that, at a
 * whole node; equal nodes are skipped, unequal ones opened, the higher one first. Both sides end
 * nodes at the same names wherever both have the name, so after a difference they soon stand at the
 * starts of nodes of one level again.
 */
#include "store/diff.h"

#include "store/base/cleanup.h"
#include "store/tree-priv.h"

struct side {
	const struct tv_node_source *src;
	struct {
		struct tv_node *node;
		uint32_t at;
	} stack[TV_LEVEL_MAX + 1];
	int depth; /* index of the current item's node; -1 at the end */
};

static void side_close(struct side *s)
{
	for (; s->depth >= 0; s->depth--)
		tv_node_unref(s->stack[s->depth].node);
}

/* Goes up while a node is done. */
static void side_settle(struct side *s)
{
	while (s->depth >= 0 && s->stack[s->depth].at == tv_node_len(s->stack[s->depth].node)) {
		tv_node_unref(s->stack[s->depth].node);
		if (--s->depth >= 0)
			s->stack[s->depth].at++;
	}
}

/* dir NULL: a directory with nothing in it. */
static int side_open(struct side *s, const struct tv_node_source *src, const struct tv_entry *dir,
		     struct tv_err *err)
{
	s->src = src;
	s->depth = -1;
	if (!dir)
		return 0;
	int r = tv_tree_root(src, dir, &s->stack[0].node, err);
	if (r < 0)
		return r;
	s->stack[0].at = 0;
	s->depth = 0;
	side_settle(s);
	return 0;
}

/* How far above the entries the current item is; -1 at the end. */
static int side_level(const struct side *s)
{
	return s->depth < 0 ? -1 : (int)tv_node_level(s->stack[s->depth].node);
}

static void side_next(struct side *s)
{
	s->stack[s->depth].at++;
	side_settle(s);
}

static int side_enter(struct side *s, struct tv_err *err)
{
	struct tv_node *child;
	int r = tv_tree_child(s->src, s->stack[s->depth].node, s->stack[s->depth].at, &child, err);
	if (r < 0)
		return r;
	s->depth++;
	s->stack[s->depth].node = child;
	s->stack[s->depth].at = 0;
	return 0;
}

static const char *side_entry(const struct side *s, size_t *n, struct tv_entry *e)
{
	tv_node_entry(s->stack[s->depth].node, s->stack[s->depth].at, e);
	return tv_node_name(s->stack[s->depth].node, s->stack[s->depth].at, n);
}

struct diff {
	const struct tv_node_source *src;
	unsigned flags;
	int (*visit)(void *arg, const struct tv_diff_item *item, struct tv_err *err);
	void *arg;
	struct tv_buf path;
};

static bool same_nodes(const struct diff *d, const struct side *a, const struct side *b)
{
	struct tv_ref_entry x, y;
	tv_node_child(a->stack[a->depth].node, a->stack[a->depth].at, &x);
	tv_node_child(b->stack[b->depth].node, b->stack[b->depth].at, &y);
	return d->flags & TV_DIFF_TOUCHED ? tv_addr_eq(&x.addr, &y.addr)
					  : tv_sha_eq(&x.sha, &y.sha);
}

static bool same_entries(const struct diff *d, const struct tv_entry *a, const struct tv_entry *b)
{
	return d->flags & TV_DIFF_TOUCHED ? tv_entry_same(a, b) : tv_entry_same_content(a, b);
}

/* Whether a directory that only one side has is reported: 1, 0, -errno. */
static int reports_dir(const struct diff *d, const struct tv_entry *dir, struct tv_err *err)
{
	uint64_t count;
	if (d->flags & TV_DIFF_DIRS)
		return 1;
	int r = tv_dir_count(d->src, &dir->addr, &count, err);
	return r < 0 ? r : count == 0;
}

/* Reports one name, at which two entries (or one and NULL) differ. */
static int report(const struct diff *d, const struct tv_entry *a, const struct tv_entry *b,
		  struct tv_err *err)
{
	struct tv_diff_item item = { (const char *)d->path.data, TV_CHANGED, a, b };
	bool a_dir = a && a->kind == TV_DIR, b_dir = b && b->kind == TV_DIR;
	if (!a || !b) {
		item.change = a ? TV_REMOVED : TV_ADDED;
		int r = a_dir || b_dir ? reports_dir(d, a ? a : b, err) : 1;
		if (r <= 0)
			return r;
	} else if (a_dir && b_dir) {
		item.change = TV_TOUCHED;
		if ((~d->flags & (TV_DIFF_DIRS | TV_DIFF_TOUCHED)) ||
		    (a->mtime_ns == b->mtime_ns && a->mode == b->mode))
			return 0;
	} else if (tv_entry_same_content(a, b)) {
		item.change = TV_TOUCHED;
	}
	return d->visit(d->arg, &item, err);
}

static int diff_dirs(struct diff *d, const struct tv_entry *a, const struct tv_entry *b,
		     struct tv_err *err);

static int diff_entries(struct diff *d, const char *name, size_t n, const struct tv_entry *a,
			const struct tv_entry *b, struct tv_err *err)
{
	size_t mark;
	if (a && b && same_entries(d, a, b))
		return 0;
	int r = tv_tree_path_push(&d->path, name, n, &mark, err);
	if (r < 0)
		return r;
	const struct tv_entry *a_dir = a && a->kind == TV_DIR ? a : NULL;
	const struct tv_entry *b_dir = b && b->kind == TV_DIR ? b : NULL;
	r = report(d, a, b, err);
	if (r == 0 && (a_dir || b_dir))
		r = diff_dirs(d, a_dir, b_dir, err);
	d->path.len = mark;
	return r;
}

/* One step with both sides at entries, or one at an entry and the other at its end. */
static int step_entries(struct diff *d, struct side *a, struct side *b, struct tv_err *err)
{
	struct tv_entry ea = { 0 }, eb = { 0 };
	size_t an = 0, bn = 0;
	const char *a_name = a->depth < 0 ? NULL : side_entry(a, &an, &ea);
	const char *b_name = b->depth < 0 ? NULL : side_entry(b, &bn, &eb);
	int c = !a_name ? 1 : !b_name ? -1 : tv_name_cmp(a_name, an, b_name, bn);

	int r = diff_entries(d, c <= 0 ? a_name : b_name, c <= 0 ? an : bn, c <= 0 ? &ea : NULL,
			     c >= 0 ? &eb : NULL, err);
	if (r == 0 && c <= 0)
		side_next(a);
	if (r == 0 && c >= 0)
		side_next(b);
	return r;
}

static int step(struct diff *d, struct side *a, struct side *b, struct tv_err *err)
{
	int la = side_level(a), lb = side_level(b);
	if (la <= 0 && lb <= 0)
		return step_entries(d, a, b, err);
	if (la == lb && same_nodes(d, a, b)) {
		side_next(a);
		side_next(b);
		return 0;
	}
	int r = la >= lb ? side_enter(a, err) : 0;
	return r == 0 && lb >= la ? side_enter(b, err) : r;
}

/* Everything below two directories; NULL stands for one that is not there. */
static int diff_dirs(struct diff *d, const struct tv_entry *a, const struct tv_entry *b,
		     struct tv_err *err)
{
	tv_auto(side_close) struct side sa = { .depth = -1 };
	tv_auto(side_close) struct side sb = { .depth = -1 };
	if (a && b &&
	    (tv_addr_eq(&a->addr, &b->addr) ||
	     (!(d->flags & TV_DIFF_TOUCHED) && tv_sha_eq(&a->sha, &b->sha))))
		return 0;
	int r = side_open(&sa, d->src, a, err);
	if (r == 0)
		r = side_open(&sb, d->src, b, err);
	while (r == 0 && (sa.depth >= 0 || sb.depth >= 0))
		r = step(d, &sa, &sb, err);
	return r;
}

int tv_tree_diff(const struct tv_node_source *src, const struct tv_entry *a,
		 const struct tv_entry *b, unsigned flags,
		 int (*visit)(void *arg, const struct tv_diff_item *item, struct tv_err *err),
		 void *arg, struct tv_err *err)
{
	struct diff d = { .src = src, .flags = flags, .visit = visit, .arg = arg };
	if (a->kind != TV_DIR || b->kind != TV_DIR)
		return tv_err_set(err, -ENOTDIR, "not a directory");
	int r = diff_dirs(&d, a, b, err);
	tv_buf_free(&d.path);
	return r;
}
