/*
 * Directories and whole trees made of nodes: look up, walk, edit.
 *
 * Reading goes through a node source (a store, or nodes that are not yet stored); editing makes new
 * nodes in memory, in a tv_node_batch, which a commit later writes in its transaction. A tree is
 * never changed in place. Thread-safe as far as the source is; a batch belongs to one thread.
 */
#ifndef TV_STORE_TREE_H
#define TV_STORE_TREE_H

#include "store/node.h"

/* Where nodes come from. get returns a referenced node: -TV_E_DAMAGED when it is missing. */
struct tv_node_source {
	int (*get)(void *arg, const struct tv_addr *addr, struct tv_node **out, struct tv_err *err);
	void *arg;
};

/* New nodes, unique by address, over a base source (borrowed; NULL: none). Use tv_node_batch_source
 * to read both. */
struct tv_node_batch;
int tv_node_batch_new(const struct tv_node_source *base, struct tv_node_batch **out,
		      struct tv_err *err);
void tv_node_batch_free(struct tv_node_batch *b);
const struct tv_node_source *tv_node_batch_source(const struct tv_node_batch *b);
/* Adds a node (takes its own reference). -EEXIST when another node has the same address. */
int tv_node_batch_add(struct tv_node_batch *b, struct tv_node *node, struct tv_err *err);
/* The nodes reachable from the new root that are in the batch, in no particular order; nodes that
 * an intermediate edit made and a later one replaced are left out. visit's non-zero return ends. */
int tv_node_batch_each(const struct tv_node_batch *b, const struct tv_addr *root,
		       int (*visit)(void *arg, struct tv_node *node), void *arg,
		       struct tv_err *err);

/* The root entry of an empty directory (kind TV_DIR, mode 0755, mtime 0); its node is put in the
 * batch. */
int tv_tree_empty(struct tv_node_batch *b, struct tv_entry *root, struct tv_err *err);

/* Compares two normalised paths in the order of tv_tree_walk: by names, not by bytes, so that what
 * is below a directory stands right behind it ("a", "a/b", "a.b"). <0, 0, >0. */
int tv_tree_path_cmp(const char *a, const char *b);

/* Looks a name up in one directory. -ENOENT. A symlink's e->target is only valid while *node is
 * held: pass node when it is needed (unref afterwards), NULL otherwise (target is NULL then). */
int tv_dir_lookup(const struct tv_node_source *src, const struct tv_addr *dir, const char *name,
		  size_t n, struct tv_entry *e, struct tv_node **node, struct tv_err *err);

/* Looks a normalised path up below a root entry; "" gives the root. -ENOENT, -ENOTDIR. */
int tv_tree_lookup(const struct tv_node_source *src, const struct tv_entry *root, const char *path,
		   struct tv_entry *e, struct tv_node **node, struct tv_err *err);

/* A cursor over one directory in name order. Holds references to at most TV_LEVEL_MAX nodes. */
struct tv_dir_cursor {
	const struct tv_node_source *src;
	struct {
		struct tv_node *node;
		uint32_t at;
	} stack[TV_LEVEL_MAX + 1];
	int depth; /* index of the level-0 node in stack; -1 when closed, also by a failure */
	uint64_t position; /* ordinal number of the current entry */
};

/* Positions on the first entry. */
int tv_dir_cursor_open(struct tv_dir_cursor *c, const struct tv_node_source *src,
		       const struct tv_addr *dir, struct tv_err *err);
void tv_dir_cursor_close(struct tv_dir_cursor *c);
/* On the entry with this ordinal number (0 = first), in O(log n); past the end is fine. */
int tv_dir_cursor_seek(struct tv_dir_cursor *c, uint64_t position, struct tv_err *err);
/* The current entry: 1, or 0 at the end. Name and target live until the cursor moves. */
int tv_dir_cursor_get(const struct tv_dir_cursor *c, const char **name, size_t *n,
		      struct tv_entry *e);
int tv_dir_cursor_next(struct tv_dir_cursor *c, struct tv_err *err);

/* Number of entries of one directory (not of its sub-directories). */
int tv_dir_count(const struct tv_node_source *src, const struct tv_addr *dir, uint64_t *count,
		 struct tv_err *err);

/* One change to a tree: set what stands at a path, or remove it. */
struct tv_edit {
	const char *path;      /* normalised, not "" */
	bool remove;	       /* the path and, for a directory, all below; absent is fine */
	struct tv_entry entry; /* file, symlink; or directory: see below */
};

/*
 * Applies edits (any order; sorted inside; for equal paths the last wins) to a tree, in
 * O(edits * log n). Missing parents of a set path are made (mode 0755, mtime of the newest entry
 * below). Setting a directory: with a zero entry.addr only its mode and mtime are set and it is made
 * empty when absent (what was a file gives way); with an address the whole sub-tree is replaced by
 * it. A removal comes before sets below the same path. Directory sizes and counts are kept right.
 * A directory's own mtime changes only by an edit that sets it. *out is the new root entry with the
 * old root's mode and mtime; new nodes are in the batch. A set below what was a file turns it into a
 * directory; a set below what the same call sets as a file is -ENOTDIR. -EINVAL: a path that is not
 * normalised, a name beginning with ".wh.", an entry that no node may hold (see tv_entry: a symlink
 * needs its size and hash). Size, files and hash of a directory that is set are taken from its node.
 */
int tv_tree_edit(struct tv_node_batch *b, const struct tv_entry *root, const struct tv_edit *edits,
		 size_t n, struct tv_entry *out, struct tv_err *err);

/* Walks a whole tree depth first in byte order of names; a directory comes before its contents.
 * `path` is relative to the root; the root itself is not visited. visit: 0 goes on, TV_WALK_SKIP
 * does not enter this directory, anything else ends the walk and is returned. */
#define TV_WALK_SKIP 1
int tv_tree_walk(const struct tv_node_source *src, const struct tv_entry *root,
		 int (*visit)(void *arg, const char *path, const struct tv_entry *e,
			      struct tv_err *err),
		 void *arg, struct tv_err *err);

#endif
