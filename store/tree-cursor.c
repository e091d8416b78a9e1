#include "store/tree-priv.h"

void tv_dir_cursor_close(struct tv_dir_cursor *c)
{
	for (int i = 0; i <= TV_LEVEL_MAX; i++) {
		tv_node_unref(c->stack[i].node);
		c->stack[i].node = NULL;
	}
	c->depth = -1;
}

/* Puts the child that stack[d] points at on stack[d + 1], unless it is there already. */
static int enter(struct tv_dir_cursor *c, int d, struct tv_err *err)
{
	struct tv_ref_entry ref;
	tv_node_child(c->stack[d].node, c->stack[d].at, &ref);
	struct tv_node *have = c->stack[d + 1].node;
	if (have && tv_addr_eq(tv_node_addr(have), &ref.addr))
		return 0;
	struct tv_node *child;
	int r = tv_tree_child(c->src, c->stack[d].node, c->stack[d].at, &child, err);
	if (r < 0) {
		tv_dir_cursor_close(c);
		return r;
	}
	tv_node_unref(have);
	c->stack[d + 1].node = child;
	return 0;
}

/* From stack[d] down to the entry that is `skip` entries behind the first. */
static int descend(struct tv_dir_cursor *c, int d, uint64_t skip, struct tv_err *err)
{
	for (; d < c->depth; d++) {
		const struct tv_node *node = c->stack[d].node;
		struct tv_ref_entry ref;
		uint32_t i = 0;
		tv_node_child(node, i, &ref);
		while (skip >= ref.count && i + 1 < tv_node_len(node)) {
			skip -= ref.count;
			tv_node_child(node, ++i, &ref);
		}
		c->stack[d].at = i;
		int r = enter(c, d, err);
		if (r < 0)
			return r;
	}
	uint32_t len = tv_node_len(c->stack[d].node);
	c->stack[d].at = skip < len ? (uint32_t)skip : len;
	return 0;
}

int tv_dir_cursor_start(struct tv_dir_cursor *c, const struct tv_node_source *src,
			struct tv_node *root, struct tv_err *err)
{
	*c = (struct tv_dir_cursor){ .src = src, .depth = (int)tv_node_level(root) };
	c->stack[0].node = root;
	return descend(c, 0, 0, err);
}

int tv_dir_cursor_open(struct tv_dir_cursor *c, const struct tv_node_source *src,
		       const struct tv_addr *dir, struct tv_err *err)
{
	struct tv_node *root;
	*c = (struct tv_dir_cursor){ .src = src, .depth = -1 };
	int r = src->get(src->arg, dir, &root, err);
	return r < 0 ? r : tv_dir_cursor_start(c, src, root, err);
}

int tv_dir_cursor_seek(struct tv_dir_cursor *c, uint64_t position, struct tv_err *err)
{
	if (c->depth < 0)
		return tv_err_set(err, -EBADF, "the cursor is closed");
	uint64_t count = tv_node_self(c->stack[0].node)->count;
	c->position = position < count ? position : count;
	return descend(c, 0, c->position, err);
}

int tv_dir_cursor_get(const struct tv_dir_cursor *c, const char **name, size_t *n,
		      struct tv_entry *e)
{
	if (c->depth < 0 || c->stack[c->depth].at >= tv_node_len(c->stack[c->depth].node))
		return 0;
	*name = tv_node_name(c->stack[c->depth].node, c->stack[c->depth].at, n);
	tv_node_entry(c->stack[c->depth].node, c->stack[c->depth].at, e);
	return 1;
}

int tv_dir_cursor_next(struct tv_dir_cursor *c, struct tv_err *err)
{
	if (c->depth < 0)
		return tv_err_set(err, -EBADF, "the cursor is closed");
	int d = c->depth;
	if (c->stack[d].at >= tv_node_len(c->stack[d].node))
		return 0;
	c->position++;
	c->stack[d].at++;
	if (c->stack[d].at < tv_node_len(c->stack[d].node))
		return 0;
	while (d > 0 && c->stack[d - 1].at + 1 >= tv_node_len(c->stack[d - 1].node))
		d--;
	if (d == 0)
		return 0; /* the end: the level-0 node stays, one past its last entry */
	c->stack[d - 1].at++;
	int r = enter(c, d - 1, err);
	return r < 0 ? r : descend(c, d, 0, err);
}
