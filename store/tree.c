#include "store/tree.h"

#include "store/base/cleanup.h"
#include "store/tree-priv.h"

int tv_tree_path_cmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	/* The end of a path comes first, then the end of a name, then bytes. */
	int ca = !*a ? 0 : *a == '/' ? 1 : (unsigned char)*a + 2;
	int cb = !*b ? 0 : *b == '/' ? 1 : (unsigned char)*b + 2;
	return ca - cb;
}

static int damaged(const struct tv_addr *addr, const char *fault, struct tv_err *err)
{
	char hex[TV_ADDR_HEX];
	tv_addr_hex(addr, hex);
	return tv_err_set(err, -TV_E_DAMAGED, "tree node %s: %s", hex, fault);
}

static int get(const struct tv_node_source *src, const struct tv_addr *addr, struct tv_node **out,
	       struct tv_err *err)
{
	return src->get(src->arg, addr, out, err);
}

/* True when the last name of the child is that of the reference. */
static bool last_name_ok(const struct tv_node *child, const struct tv_node *parent, uint32_t i)
{
	size_t n, have_n;
	if (!tv_node_len(child))
		return false;
	const char *name = tv_node_name(parent, i, &n);
	const char *have = tv_node_name(child, tv_node_len(child) - 1, &have_n);
	return tv_name_cmp(name, n, have, have_n) == 0;
}

int tv_tree_child(const struct tv_node_source *src, const struct tv_node *node, uint32_t i,
		  struct tv_node **out, struct tv_err *err)
{
	struct tv_ref_entry ref;
	tv_node_child(node, i, &ref);
	tv_autonode struct tv_node *child = NULL;
	int r = get(src, &ref.addr, &child, err);
	if (r < 0)
		return r;
	const struct tv_ref_entry *self = tv_node_self(child);
	if (tv_node_level(child) + 1 != tv_node_level(node) || !tv_sha_eq(&self->sha, &ref.sha) ||
	    self->count != ref.count || self->size != ref.size || self->files != ref.files ||
	    !last_name_ok(child, node, i))
		return damaged(&ref.addr, "is not what its parent says", err);
	*out = tv_steal_ptr(&child);
	return 0;
}

int tv_tree_root(const struct tv_node_source *src, const struct tv_entry *dir, struct tv_node **out,
		 struct tv_err *err)
{
	if (dir->kind != TV_DIR)
		return tv_err_set(err, -ENOTDIR, "not a directory");
	tv_autonode struct tv_node *node = NULL;
	int r = get(src, &dir->addr, &node, err);
	if (r < 0)
		return r;
	if (!tv_sha_eq(tv_node_sha(node), &dir->sha))
		return damaged(&dir->addr, "its hash is not the directory's", err);
	*out = tv_steal_ptr(&node);
	return 0;
}

int tv_tree_empty(struct tv_node_batch *b, struct tv_entry *root, struct tv_err *err)
{
	tv_auto(tv_dir_build_free) struct tv_dir_build build;
	tv_autonode struct tv_node *node = NULL;
	tv_dir_build_init(&build, b);
	int r = tv_dir_build_finish(&build, &node, err);
	if (r < 0)
		return r;
	*root = (struct tv_entry){
		.kind = TV_DIR, .mode = 0755, .addr = *tv_node_addr(node), .sha = *tv_node_sha(node)
	};
	return 0;
}

static int not_found(const char *name, size_t n, struct tv_err *err)
{
	return tv_err_set(err, -ENOENT, "'%.*s' does not exist", (int)n, name);
}

/* Finds a name in the directory whose root is `root`; takes over that reference. */
static int lookup_in(const struct tv_node_source *src, struct tv_node *root, const char *name,
		     size_t n, struct tv_entry *e, struct tv_node **node, struct tv_err *err)
{
	tv_autonode struct tv_node *at = root;
	for (;;) {
		uint32_t i = tv_node_search(at, name, n);
		if (i == tv_node_len(at))
			return not_found(name, n, err);
		if (tv_node_level(at) == 0) {
			size_t have_n;
			const char *have = tv_node_name(at, i, &have_n);
			if (tv_name_cmp(have, have_n, name, n) != 0)
				return not_found(name, n, err);
			tv_node_entry(at, i, e);
			break;
		}
		struct tv_node *child = NULL;
		int r = tv_tree_child(src, at, i, &child, err);
		if (r < 0)
			return r;
		tv_node_unref(at);
		at = child;
	}
	if (node)
		*node = tv_steal_ptr(&at);
	else
		e->target = NULL;
	return 0;
}

int tv_dir_lookup(const struct tv_node_source *src, const struct tv_addr *dir, const char *name,
		  size_t n, struct tv_entry *e, struct tv_node **node, struct tv_err *err)
{
	struct tv_node *root;
	int r = get(src, dir, &root, err);
	return r < 0 ? r : lookup_in(src, root, name, n, e, node, err);
}

int tv_tree_lookup(const struct tv_node_source *src, const struct tv_entry *root, const char *path,
		   struct tv_entry *e, struct tv_node **node, struct tv_err *err)
{
	tv_autonode struct tv_node *held = NULL;
	struct tv_entry at = *root;
	const char *rest = path, *name;
	size_t n;
	while (tv_path_next(&rest, &name, &n)) {
		struct tv_node *dir = NULL, *found = NULL;
		int r = tv_tree_root(src, &at, &dir, err);
		if (r == 0)
			r = lookup_in(src, dir, name, n, &at, &found, err);
		if (r < 0)
			return tv_err_wrap(err, r, "%s", path);
		tv_node_unref(held);
		held = found;
	}
	if (!node)
		at.target = NULL;
	else
		*node = tv_steal_ptr(&held);
	*e = at;
	return 0;
}

int tv_dir_count(const struct tv_node_source *src, const struct tv_addr *dir, uint64_t *count,
		 struct tv_err *err)
{
	tv_autonode struct tv_node *root = NULL;
	int r = get(src, dir, &root, err);
	if (r == 0)
		*count = tv_node_self(root)->count;
	return r;
}

int tv_tree_path_push(struct tv_buf *path, const char *name, size_t n, size_t *mark,
		      struct tv_err *err)
{
	size_t old = path->len;
	if (old + 1 + n >= TV_PATH_MAX)
		return tv_err_set(err, -ENAMETOOLONG, "a path is over %d bytes", TV_PATH_MAX - 1);
	if (old)
		tv_buf_add_u8(path, '/');
	tv_buf_add(path, name, n);
	tv_buf_add_u8(path, '\0');
	if (path->failed)
		return tv_err_nomem(err);
	path->len--;
	*mark = old;
	return 0;
}

struct walk {
	const struct tv_node_source *src;
	int (*visit)(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err);
	void *arg;
	struct tv_buf path;
};

static int walk_dir(struct walk *w, const struct tv_entry *dir, struct tv_err *err);

static int walk_entry(struct walk *w, const char *name, size_t n, const struct tv_entry *e,
		      struct tv_err *err)
{
	size_t mark = 0;
	int r = tv_tree_path_push(&w->path, name, n, &mark, err);
	if (r < 0)
		return r;
	r = w->visit(w->arg, (const char *)w->path.data, e, err);
	if (r == TV_WALK_SKIP)
		r = 0;
	else if (r == 0 && e->kind == TV_DIR)
		r = walk_dir(w, e, err);
	w->path.len = mark;
	return r;
}

static int walk_dir(struct walk *w, const struct tv_entry *dir, struct tv_err *err)
{
	tv_auto(tv_dir_cursor_close) struct tv_dir_cursor c = { .depth = -1 };
	const char *name;
	size_t n;
	struct tv_entry e;
	struct tv_node *root = NULL;
	int r = tv_tree_root(w->src, dir, &root, err);
	if (r == 0)
		r = tv_dir_cursor_start(&c, w->src, root, err);
	while (r == 0 && tv_dir_cursor_get(&c, &name, &n, &e)) {
		r = walk_entry(w, name, n, &e, err);
		if (r == 0)
			r = tv_dir_cursor_next(&c, err);
	}
	return r;
}

int tv_tree_walk(const struct tv_node_source *src, const struct tv_entry *root,
		 int (*visit)(void *arg, const char *path, const struct tv_entry *e,
			      struct tv_err *err),
		 void *arg, struct tv_err *err)
{
	struct walk w = { .src = src, .visit = visit, .arg = arg, .path = TV_BUF_INIT };
	if (root->kind != TV_DIR)
		return tv_err_set(err, -ENOTDIR, "not a directory");
	int r = walk_dir(&w, root, err);
	tv_buf_free(&w.path);
	return r;
}
