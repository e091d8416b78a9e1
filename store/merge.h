/*
 * Three-way merge of trees, in O(changes on both sides).
 *
 * A path changed on one side only takes that side. Changed on both: the same content is no conflict
 * (the newer mtime stays); a metadata-only change on one side gives way to a content change on the
 * other; anything else is a conflict, as is a directory removed on one side with a content change
 * below it on the other. Conflicts are all collected, never resolved.
 */
#ifndef TV_STORE_MERGE_H
#define TV_STORE_MERGE_H

#include "store/tree.h"

/* Paths, sorted and unique; free with tv_conflicts_free. */
struct tv_conflicts {
	char **paths;
	size_t len;
};

void tv_conflicts_free(struct tv_conflicts *c);

/* 0 and *out (new nodes in the batch), or -TV_E_CONFLICT with *conflicts filled (nullable) and a
 * message that names the first few paths. */
int tv_tree_merge(struct tv_node_batch *b, const struct tv_entry *base, const struct tv_entry *ours,
		  const struct tv_entry *theirs, struct tv_entry *out,
		  struct tv_conflicts *conflicts, struct tv_err *err);

#endif
