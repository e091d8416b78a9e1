/*
 * History in order of sequence, newest first. A commit's sequence is larger than its parents', so
 * each is met once, after all its descendants. One thread; no transaction is held between calls.
 */
#ifndef TV_STORE_COMMIT_WALK_H
#define TV_STORE_COMMIT_WALK_H

#include "store/commit.h"

struct tv_commit_walk {
	struct tv_store *store;
	uint64_t oldest;	/* commits with a smaller sequence are left out */
	struct tv_commit *heap; /* largest sequence first; owned */
	size_t len, cap;
};

/* Begins at a commit. -ENOENT. */
int tv_commit_walk_open(struct tv_commit_walk *w, struct tv_store *s, const struct tv_sha *from,
			uint64_t oldest, struct tv_err *err);
void tv_commit_walk_close(struct tv_commit_walk *w);

/* The next commit: 1 (*out is the caller's to free), 0 at the end. -TV_E_DAMAGED when a parent is
 * missing where history does not end on purpose. */
int tv_commit_walk_next(struct tv_commit_walk *w, struct tv_commit *out, struct tv_err *err);

/* Whether a commit is `tip` or one of its ancestors: 1 or 0. -ENOENT when either is gone. */
int tv_commit_is_in(struct tv_store *s, const struct tv_sha *commit, const struct tv_sha *tip,
		    struct tv_err *err);

#define tv_autowalk __attribute__((cleanup(tv_commit_walk_close)))

#endif
