/*
 * What differs between two trees, in O(differences * log n): equal nodes are skipped unread.
 */
#ifndef TV_STORE_DIFF_H
#define TV_STORE_DIFF_H

#include "store/tree.h"

enum tv_change {
	TV_ADDED = '+',
	TV_REMOVED = '-',
	TV_CHANGED = '~', /* content: bytes, kind, target, executable bit */
	TV_TOUCHED = '.', /* only mtime or permission bits */
};

struct tv_diff_item {
	const char *path; /* lives during the call-back */
	enum tv_change change;
	const struct tv_entry *before, *after; /* NULL where there is none */
};

/* Report TV_TOUCHED too. */
#define TV_DIFF_TOUCHED 1
/* Report directories themselves; without it only files and symlinks, and empty directories that come
 * or go. */
#define TV_DIFF_DIRS 2

/* Calls visit for each difference, in the order of tv_tree_walk. When a directory is added or
 * removed, everything below it is reported. A directory that both sides have is never TV_CHANGED:
 * what changed in it is reported, and itself as TV_TOUCHED (with both flags). A file that became a
 * directory, or the other way round, is one TV_CHANGED, whatever the flags, and what is below
 * follows. The two roots themselves are not reported. With both flags the items, applied with
 * tv_tree_edit (the address of a directory set to zero), turn a into b. A non-zero return of visit
 * ends and is returned. -ENOTDIR when a root is not a directory. */
int tv_tree_diff(const struct tv_node_source *src, const struct tv_entry *a,
		 const struct tv_entry *b, unsigned flags,
		 int (*visit)(void *arg, const struct tv_diff_item *item, struct tv_err *err),
		 void *arg, struct tv_err *err);

#endif
