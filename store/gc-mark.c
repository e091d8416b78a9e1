#include "store/gc-mark.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/commit.h"

/* Things that wait to be marked. */
struct stack {
	uint8_t *items;
	size_t len, cap, item;
};

static int push(struct stack *s, const void *item, struct tv_err *err)
{
	if (s->len == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 256;
		void *grown = reallocarray(s->items, cap, s->item);
		if (!grown)
			return tv_err_nomem(err);
		s->items = grown;
		s->cap = cap;
	}
	memcpy(s->items + s->item * s->len++, item, s->item);
	return 0;
}

static bool pop(struct stack *s, void *item)
{
	if (s->len == 0)
		return false;
	memcpy(item, s->items + s->item * --s->len, s->item);
	return true;
}

struct marking {
	struct tv_store *s;
	struct tv_gc_marks *m;
	struct stack commits, nodes;
	struct stack roots, trees; /* found, and not yet marked */
};

void tv_gc_marks_free(struct tv_gc_marks *m)
{
	tv_map16_free(&m->commits);
	tv_map16_free(&m->nodes);
	tv_map16_free(&m->blobs);
	tv_map16_free(&m->runs);
}

bool tv_gc_marked_commit(const struct tv_gc_marks *m, const struct tv_sha *id)
{
	return tv_map16_get(&m->commits, id->b) != NULL;
}

static int push_node(struct marking *k, const struct tv_addr *addr, struct tv_err *err)
{
	return tv_map16_get(&k->m->nodes, addr->b) ? 0 : push(&k->nodes, addr, err);
}

static int mark_below(struct marking *k, const struct tv_node *node, struct tv_err *err)
{
	int res = 0;
	for (uint32_t i = 0; res >= 0 && i < tv_node_len(node); i++) {
		struct tv_ref_entry child;
		struct tv_entry e;
		if (tv_node_level(node) > 0) {
			tv_node_child(node, i, &child);
			res = push_node(k, &child.addr, err);
			continue;
		}
		tv_node_entry(node, i, &e);
		if (e.kind == TV_DIR)
			res = push_node(k, &e.addr, err);
		else if (e.kind == TV_FILE && tv_map16_put(&k->m->blobs, e.addr.b, 0) < 0)
			res = tv_err_nomem(err);
	}
	return res;
}

/* Marks a tree; a node that is marked has everything below it marked, or on the stack. */
static int mark_tree(struct marking *k, const struct tv_addr *root, struct tv_err *err)
{
	const struct tv_node_source *nodes = tv_store_nodes(k->s);
	struct tv_addr addr;
	int res = push_node(k, root, err);
	while (res == 0 && pop(&k->nodes, &addr)) {
		struct tv_node *node;
		int fresh = tv_map16_put(&k->m->nodes, addr.b, 0);
		if (fresh < 0)
			return tv_err_nomem(err);
		if (!fresh)
			continue;
		res = nodes->get(nodes->arg, &addr, &node, err);
		if (res < 0)
			break;
		res = mark_below(k, node, err);
		tv_node_unref(node);
		if (res == 0 && k->m->nodes.len % 256 == 0 &&
		    tv_progress_step(k->m->progress, "marking", k->m->nodes.len, 0, "nodes"))
			res = tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
	}
	return res;
}

static int shallow_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_commit_shallow_is_in(t, arg, err);
}

/* A commit that has no row: 0 when its history was cut there on purpose. */
static int missing_commit(struct marking *k, struct tv_sha *id, struct tv_err *err)
{
	char hex[TV_SHA_HEX];
	int res = tv_kv_read(tv_store_kv(k->s), shallow_body, id, err);
	if (res != 0)
		return res < 0 ? res : 0;
	tv_sha_hex(id, hex);
	return tv_err_set(err, -TV_E_DAMAGED,
			  "commit %s is needed and missing: gc deletes nothing; run tvfs fsck",
			  hex);
}

static int mark_commit(struct marking *k, struct tv_sha *id, struct tv_err *err)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_err why = TV_ERR_INIT;
	int res = tv_commit_get(k->s, id, &c, &why);
	if (res == -ENOENT)
		return missing_commit(k, id, err);
	if (res < 0)
		return tv_err_set(err, res, "%s", why.text);
	for (size_t i = 0; res == 0 && i < c.n_parents; i++)
		if (!tv_gc_marked_commit(k->m, &c.parents[i]))
			res = push(&k->commits, &c.parents[i], err);
	return res < 0 ? res : mark_tree(k, &c.root.addr, err);
}

static int mark_from(struct marking *k, const struct tv_sha *from, struct tv_err *err)
{
	struct tv_sha id;
	int res = tv_gc_marked_commit(k->m, from) ? 0 : push(&k->commits, from, err);
	while (res == 0 && pop(&k->commits, &id)) {
		int fresh = tv_map16_put(&k->m->commits, id.b, 0);
		if (fresh < 0)
			return tv_err_nomem(err);
		if (fresh)
			res = mark_commit(k, &id, err);
	}
	return res;
}

static bool run_known(void *arg, struct tv_bytes id)
{
	const struct marking *k = arg;
	struct tv_addr hash = tv_addr_of(id.data, id.len);
	return tv_map16_get(&k->m->runs, hash.b) != NULL;
}

/* Only notes the root: the visit may be inside a read transaction, which marking would make long. */
static int root_visit(void *arg, const struct tv_root *root, struct tv_err *err)
{
	struct marking *k = arg;
	int res = push(&k->roots, root->commit, err);
	if (res == 0 && root->tree)
		res = push(&k->trees, &root->tree->addr, err);
	if (res < 0 || root->kind != TV_ROOT_RUN)
		return res;
	struct tv_addr hash = tv_addr_of(root->name, strlen(root->name));
	return tv_map16_put(&k->m->runs, hash.b, 0) < 0 ? tv_err_nomem(err) : 0;
}

/* Notes the commits published since the last time. */
static int new_commits_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct marking *k = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes key, value;
	uint8_t from[8];
	tv_be64_put(from, k->m->sequence + 1);
	int res = tv_kv_cursor_open(t, TV_T_SEQUENCE, &c, err);
	if (res < 0)
		return res;
	res = k->m->begun ? tv_kv_cursor_from(c, tv_bytes(from, 8), &key, &value, err)
			  : tv_kv_cursor_before(c, tv_bytes(NULL, 0), &key, &value, err);
	while (res == 1 && key.len == 8 && value.len == 32) {
		k->m->sequence = tv_be64_get(key.data);
		if (k->m->begun)
			res = push(&k->roots, value.data, err);
		if (res >= 0)
			res = tv_kv_cursor_next(c, &key, &value, err);
	}
	tv_kv_cursor_close(c);
	return res < 0 ? res : 0;
}

static int mark_noted(struct marking *k, struct tv_err *err)
{
	struct tv_sha id;
	struct tv_addr tree;
	int res = 0;
	while (res == 0 && pop(&k->roots, &id))
		res = mark_from(k, &id, err);
	while (res == 0 && pop(&k->trees, &tree))
		res = mark_tree(k, &tree, err);
	return res;
}

int tv_gc_mark(struct tv_store *s, struct tv_gc_marks *m, struct tv_err *err)
{
	struct marking k = {
		.s = s,
		.m = m,
		.commits.item = sizeof(struct tv_sha),
		.nodes.item = sizeof(struct tv_addr),
		.roots.item = sizeof(struct tv_sha),
		.trees.item = sizeof(struct tv_addr),
	};
	/* The newest sequence is read before the roots: what comes later is new the next time. */
	int res = tv_kv_read(tv_store_kv(s), new_commits_body, &k, err);
	m->begun = true;
	if (res == 0)
		res = tv_roots_each(s, run_known, root_visit, &k, err);
	if (res == 0)
		res = mark_noted(&k, err);
	free(k.commits.items);
	free(k.nodes.items);
	free(k.roots.items);
	free(k.trees.items);
	return res;
}
