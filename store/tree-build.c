#include "store/base/cleanup.h"
#include "store/tree-priv.h"

void tv_dir_build_init(struct tv_dir_build *d, struct tv_node_batch *batch)
{
	*d = (struct tv_dir_build){ .batch = batch };
}

void tv_dir_build_free(struct tv_dir_build *d)
{
	for (unsigned i = 0; i <= TV_LEVEL_MAX; i++)
		tv_node_builder_free(d->level[i]);
}

static uint32_t pending(const struct tv_dir_build *d, unsigned level)
{
	return d->level[level] ? tv_node_builder_len(d->level[level]) : 0;
}

static int need_level(struct tv_dir_build *d, unsigned level, struct tv_err *err)
{
	if (level <= TV_LEVEL_MAX && d->level[level])
		return 0;
	struct tv_node_builder *b;
	int r = tv_node_builder_new(level, &b, err);
	if (r == 0)
		d->level[level] = b;
	return r;
}

/* Makes a node of what is pending at a level. */
static int make_node(struct tv_dir_build *d, unsigned level, struct tv_node **out,
		     struct tv_err *err)
{
	tv_autonode struct tv_node *node = NULL;
	int r = tv_node_builder_finish(d->level[level], &node, NULL, err);
	if (r == 0)
		r = tv_node_batch_add(d->batch, node, err);
	if (r == 0)
		*out = tv_steal_ptr(&node);
	return r;
}

/* Adds a reference to a node of `level` to the level above. */
static int add_ref(struct tv_dir_build *d, unsigned level, const char *last, size_t n,
		   const struct tv_ref_entry *ref, struct tv_err *err)
{
	int r = need_level(d, level + 1, err);
	if (r < 0)
		return r;
	if (d->top <= level)
		d->top = level + 1;
	return tv_node_builder_child(d->level[level + 1], last, n, ref, err);
}

static int push_up(struct tv_dir_build *d, unsigned level, struct tv_err *err)
{
	tv_autonode struct tv_node *node = NULL;
	int r = make_node(d, level, &node, err);
	if (r < 0)
		return r;
	size_t n;
	const char *last = tv_node_name(node, tv_node_len(node) - 1, &n);
	return add_ref(d, level, last, n, tv_node_self(node), err);
}

/* Ends nodes from `level` up, as far as the last name's rank says. */
static int settle(struct tv_dir_build *d, unsigned level, struct tv_err *err)
{
	int r = 0;
	for (; r == 0 && tv_node_builder_ends(d->level[level]); level++)
		r = push_up(d, level, err);
	return r;
}

int tv_dir_build_entry(struct tv_dir_build *d, const char *name, size_t n, const struct tv_entry *e,
		       struct tv_err *err)
{
	int r = need_level(d, 0, err);
	if (r == 0)
		r = tv_node_builder_entry(d->level[0], name, n, e, err);
	return r < 0 ? r : settle(d, 0, err);
}

bool tv_dir_build_at_boundary(const struct tv_dir_build *d, unsigned level)
{
	for (unsigned i = 0; i <= level; i++)
		if (pending(d, i))
			return false;
	return true;
}

int tv_dir_build_node(struct tv_dir_build *d, unsigned level, const char *last_name, size_t n,
		      const struct tv_ref_entry *ref, struct tv_err *err)
{
	int r = add_ref(d, level, last_name, n, ref, err);
	return r < 0 ? r : settle(d, level + 1, err);
}

/* The root is the lowest level with one node. Whole nodes were added without looking at how many
 * stand below them, so go down while there is one child. */
static int lowest_single(const struct tv_node_source *src, struct tv_node *from,
			 struct tv_node **root, struct tv_err *err)
{
	tv_autonode struct tv_node *node = tv_node_ref(from);
	while (tv_node_level(node) > 0 && tv_node_len(node) == 1) {
		struct tv_node *child;
		int r = tv_tree_child(src, node, 0, &child, err);
		if (r < 0)
			return r;
		tv_node_unref(node);
		node = child;
	}
	*root = tv_steal_ptr(&node);
	return 0;
}

int tv_dir_build_finish(struct tv_dir_build *d, struct tv_node **root, struct tv_err *err)
{
	int r = need_level(d, d->top, err);
	for (unsigned level = 0; r == 0 && level < d->top; level++)
		if (pending(d, level))
			r = push_up(d, level, err);
	tv_autonode struct tv_node *top = NULL;
	if (r == 0)
		r = make_node(d, d->top, &top, err);
	return r < 0 ? r : lowest_single(tv_node_batch_source(d->batch), top, root, err);
}
