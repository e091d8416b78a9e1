/*
 * Marking what a store needs.
 *
 * Roots are the commits that refs, leases of live processes and run records name, and the trees of live
 * folders (their base is not always a commit's, worktree-priv.h). A commit keeps its parents, as far
 * as they are there: a missing one that is marked shallow ends its history. A tree keeps its nodes and
 * blobs. A mark is never taken back, so marking again costs only what is new; done inside a write
 * transaction it sees everything that any other writer has published. One thread.
 */
#ifndef TV_STORE_GC_MARK_H
#define TV_STORE_GC_MARK_H

#include "store/base/map16.h"
#include "store/base/progress.h"
#include "store/store.h"

struct tv_gc_marks {
	struct tv_map16 commits; /* by the first half of the id */
	struct tv_map16 nodes, blobs;
	struct tv_map16 runs; /* records read, by the hash of the id: a run never changes commits */
	uint64_t sequence;    /* commits published up to here were there when marking began */
	bool begun;
	const struct tv_progress *progress;
};

#define TV_GC_MARKS_INIT ((struct tv_gc_marks){ .sequence = 0 })
void tv_gc_marks_free(struct tv_gc_marks *m);

/* Marks from all roots as they are now; after the first time also from each commit published since,
 * whether a ref names it yet or not. Fails when anything that is needed cannot be read
 * (-TV_E_DAMAGED): then nothing may be deleted. */
int tv_gc_mark(struct tv_store *s, struct tv_gc_marks *m, struct tv_err *err);

bool tv_gc_marked_commit(const struct tv_gc_marks *m, const struct tv_sha *id);

/* Visits the commit each root names, and why ("ref main", "lease", "run R", "live folder P"); a
 * live folder's other trees come with commit NULL and `tree`. Leases of dead processes are left
 * out. */
struct tv_root {
	const struct tv_sha *commit;
	const struct tv_entry *tree;
	enum tv_root_kind {
		TV_ROOT_BRANCH,
		TV_ROOT_TAG,
		TV_ROOT_LEASE,
		TV_ROOT_RUN,
		TV_ROOT_FOLDER,
	} kind;
	const char *name; /* of the ref, the lease, the run; the path of the folder */
};
/* `skip_run` (nullable): runs for which it says true are not read. */
int tv_roots_each(struct tv_store *s, bool (*skip_run)(void *arg, struct tv_bytes id),
		  int (*visit)(void *arg, const struct tv_root *root, struct tv_err *err),
		  void *arg, struct tv_err *err);

#endif
