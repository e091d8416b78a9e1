#include <stdlib.h>

#include "store/base/cleanup.h"
#include "store/base/map16.h"
#include "store/tree.h"

struct tv_node_batch {
	const struct tv_node_source *base;
	struct tv_node_source source;
	struct tv_map16 index;	/* address -> place in nodes */
	struct tv_node **nodes; /* owned references */
	size_t len, cap;
};

static struct tv_node *find(const struct tv_node_batch *b, const struct tv_addr *addr)
{
	const uint64_t *at = tv_map16_get(&b->index, addr->b);
	return at ? b->nodes[*at] : NULL;
}

static int batch_get(void *arg, const struct tv_addr *addr, struct tv_node **out,
		     struct tv_err *err)
{
	const struct tv_node_batch *b = arg;
	struct tv_node *node = find(b, addr);
	if (node) {
		*out = tv_node_ref(node);
		return 0;
	}
	if (b->base)
		return b->base->get(b->base->arg, addr, out, err);
	char hex[TV_ADDR_HEX];
	tv_addr_hex(addr, hex);
	return tv_err_set(err, -TV_E_DAMAGED, "tree node %s is missing", hex);
}

int tv_node_batch_new(const struct tv_node_source *base, struct tv_node_batch **out,
		      struct tv_err *err)
{
	struct tv_node_batch *b = calloc(1, sizeof(*b));
	if (!b)
		return tv_err_nomem(err);
	b->base = base;
	b->source = (struct tv_node_source){ .get = batch_get, .arg = b };
	*out = b;
	return 0;
}

void tv_node_batch_free(struct tv_node_batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->len; i++)
		tv_node_unref(b->nodes[i]);
	free(b->nodes);
	tv_map16_free(&b->index);
	free(b);
}

const struct tv_node_source *tv_node_batch_source(const struct tv_node_batch *b)
{
	return &b->source;
}

/* An address is no proof of equality: two nodes under one would silently change a tree. */
static int check_same(const struct tv_node *a, const struct tv_node *b, struct tv_err *err)
{
	const void *a_bytes, *b_bytes;
	size_t n = tv_node_bytes(a, &a_bytes);
	if (n == tv_node_bytes(b, &b_bytes) && memcmp(a_bytes, b_bytes, n) == 0)
		return 0;
	char hex[TV_ADDR_HEX];
	tv_addr_hex(tv_node_addr(a), hex);
	return tv_err_set(err, -EEXIST, "two different tree nodes have the address %s", hex);
}

int tv_node_batch_add(struct tv_node_batch *b, struct tv_node *node, struct tv_err *err)
{
	const struct tv_node *have = find(b, tv_node_addr(node));
	if (have)
		return check_same(have, node, err);
	if (b->len == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		struct tv_node **grown = reallocarray(b->nodes, cap, sizeof(struct tv_node *));
		if (!grown)
			return tv_err_nomem(err);
		b->nodes = grown;
		b->cap = cap;
	}
	if (tv_map16_put(&b->index, tv_node_addr(node)->b, b->len) < 0)
		return tv_err_nomem(err);
	b->nodes[b->len++] = tv_node_ref(node);
	return 0;
}

/* Nodes of the batch that are reachable: found, and the first `visited` of them visited. */
struct reach {
	const struct tv_node_batch *batch;
	struct tv_map16 *seen;
	struct tv_node **nodes; /* room for all of the batch; borrowed references */
	size_t len;
};

/* A node that is not in the batch is in the base, and so is all below it. */
static int reach_add(struct reach *r, const struct tv_addr *addr, struct tv_err *err)
{
	struct tv_node *node = find(r->batch, addr);
	if (!node)
		return 0;
	int fresh = tv_map16_put(r->seen, addr->b, 0);
	if (fresh < 0)
		return tv_err_nomem(err);
	if (fresh)
		r->nodes[r->len++] = node;
	return 0;
}

static int reach_below(struct reach *r, const struct tv_node *node, struct tv_err *err)
{
	for (uint32_t i = 0; i < tv_node_len(node); i++) {
		struct tv_addr addr = { { 0 } };
		if (tv_node_level(node) > 0) {
			struct tv_ref_entry ref;
			tv_node_child(node, i, &ref);
			addr = ref.addr;
		} else {
			struct tv_entry e;
			tv_node_entry(node, i, &e);
			if (e.kind != TV_DIR)
				continue;
			addr = e.addr;
		}
		int res = reach_add(r, &addr, err);
		if (res < 0)
			return res;
	}
	return 0;
}

int tv_node_batch_each(const struct tv_node_batch *b, const struct tv_addr *root,
		       int (*visit)(void *arg, struct tv_node *node), void *arg, struct tv_err *err)
{
	tv_automap16 struct tv_map16 seen = TV_MAP16_INIT;
	tv_autofree struct tv_node **nodes = calloc(b->len + 1, sizeof(struct tv_node *));
	if (!nodes)
		return tv_err_nomem(err);
	struct reach r = { .batch = b, .seen = &seen, .nodes = nodes };
	int res = reach_add(&r, root, err);
	for (size_t i = 0; res == 0 && i < r.len; i++) {
		res = visit(arg, r.nodes[i]);
		if (res == 0)
			res = reach_below(&r, r.nodes[i], err);
	}
	return res;
}
