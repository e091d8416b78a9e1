/* What the files of the tree module share. */
#ifndef TV_STORE_TREE_PRIV_H
#define TV_STORE_TREE_PRIV_H

#include "store/base/path.h"
#include "store/tree.h"

static inline int tv_name_cmp(const char *a, size_t an, const char *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);
	return c ? c : (an > bn) - (an < bn);
}

static inline void tv_node_unref_p(struct tv_node **node)
{
	tv_node_unref(*node);
}

#define tv_autonode tv_auto(tv_node_unref_p)

/* Loads child i of a node and checks that it is what the reference says: a source may answer with
 * any valid node. -TV_E_DAMAGED. */
int tv_tree_child(const struct tv_node_source *src, const struct tv_node *node, uint32_t i,
		  struct tv_node **out, struct tv_err *err);

/* Loads a directory's root node, and checks its hash. -ENOTDIR, -TV_E_DAMAGED. */
int tv_tree_root(const struct tv_node_source *src, const struct tv_entry *dir, struct tv_node **out,
		 struct tv_err *err);

/* tv_dir_cursor_open on a root node that is at hand; takes over the reference. */
int tv_dir_cursor_start(struct tv_dir_cursor *c, const struct tv_node_source *src,
			struct tv_node *root, struct tv_err *err);

/* Adds a name to a path that grows and shrinks (start with TV_BUF_INIT). The text is NUL-terminated
 * behind a push; setting len back to the mark takes the name off. -ENAMETOOLONG: this also bounds
 * the depth of recursion. */
int tv_tree_path_push(struct tv_buf *path, const char *name, size_t n, size_t *mark,
		      struct tv_err *err);

/* Builds one directory from its entries in ascending order: a chain of node builders, one a level,
 * in which a name's rank decides how far up nodes end. */
struct tv_dir_build {
	struct tv_node_batch *batch;
	struct tv_node_builder *level[TV_LEVEL_MAX + 1]; /* made when first needed */
	unsigned top; /* the level above all nodes made so far; the root is found from there */
};

void tv_dir_build_init(struct tv_dir_build *d, struct tv_node_batch *batch);
void tv_dir_build_free(struct tv_dir_build *d);

int tv_dir_build_entry(struct tv_dir_build *d, const char *name, size_t n, const struct tv_entry *e,
		       struct tv_err *err);

/* True when a whole node of this level may be added: everything before it is in ended nodes. */
bool tv_dir_build_at_boundary(const struct tv_dir_build *d, unsigned level);

/* Adds a whole node, known to the batch's source: one whose last name ends it, or the last of all. */
int tv_dir_build_node(struct tv_dir_build *d, unsigned level, const char *last_name, size_t n,
		      const struct tv_ref_entry *ref, struct tv_err *err);

/* The root of what was added. */
int tv_dir_build_finish(struct tv_dir_build *d, struct tv_node **root, struct tv_err *err);

#endif
