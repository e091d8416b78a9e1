/* What the two halves of a sync share: the plan (sync.c), and carrying it out (sync-apply.c). */
#ifndef TV_STORE_SYNC_PRIV_H
#define TV_STORE_SYNC_PRIV_H

#include "store/worktree-priv.h"

enum tv_step_kind {
	TV_STEP_NONE,  /* the folder already has it, or its metadata gives way */
	TV_STEP_WRITE, /* file or symlink: written beside, renamed into place */
	TV_STEP_TOUCH, /* only mode and mtime */
	TV_STEP_MKDIR,
	TV_STEP_REMOVE,
};

/* One path of the difference between base and target. */
struct tv_step {
	char *path; /* owned */
	enum tv_step_kind kind;
	enum tv_change change;
	struct tv_entry after; /* .target owned; kind 0: removed */
	struct tv_seen seen;   /* what stood there when it was checked; ino 0: nothing */
	bool clear;	       /* what stands there is of another kind and goes first */
	bool written;	       /* for the cache: `seen` is what was written */
	int64_t looked_ns;
};

struct tv_sync_plan {
	struct tv_step *steps; /* in the order of tv_tree_walk */
	size_t len, cap;
	struct tv_entry target;
};

/* Makes the folder what the plan says. Durable when it returns. -EBUSY: a file was changed after it
 * was checked. */
int tv_sync_apply(struct tv_worktree_work *work, struct tv_sync_plan *plan,
		  const struct tv_sync *how, struct tv_err *err);

#endif
