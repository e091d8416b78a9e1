/*
 * Path index: which commits changed a path, without reading a tree (table TV_T_PATHS).
 *
 * Each commit adds one row a file or symlink in which it differs from its first parent, under the
 * hash of the path and the commit's sequence number; directories have none. Paths whose hashes
 * collide share a row. Beside them stands, in chunks, the list of the hashes that a commit has rows
 * under, so that gc can take them away when the parent is gone already.
 */
#ifndef TV_STORE_PATH_INDEX_H
#define TV_STORE_PATH_INDEX_H

#include "store/commit.h"

/* Adds a commit's rows. `before` is the first parent's root, or NULL. */
int tv_path_index_add(struct tv_kv_txn *t, const struct tv_node_source *nodes,
		      const struct tv_entry *before, const struct tv_entry *after,
		      uint64_t sequence, struct tv_err *err);

/* Removes them. */
int tv_path_index_del(struct tv_kv_txn *t, uint64_t sequence, struct tv_err *err);

/* Walks the versions of a path in a row (more than one record only on a collision; the others are
 * skipped): 1 and *out, or 0 when the row has none of this path. out->commit is not set. */
int tv_path_index_decode(struct tv_bytes row, const char *path, struct tv_path_version *out,
			 struct tv_err *err);

#endif
