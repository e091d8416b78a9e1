/*
 * Counting and printing differences, the same way for commit, diff, show, status and sync.
 *
 *	+ added   - removed   ~ changed   . touched (only time or mode)
 */
#ifndef TV_TOOLS_CHANGES_H
#define TV_TOOLS_CHANGES_H

#include "store/diff.h"
#include "tools/cli.h"

struct tv_changes {
	struct tv_cli *cli;
	const char *under;  /* only this path and what is below it; NULL: all */
	const char *indent; /* in front of each printed line; NULL: none */
	uint64_t print;	    /* print the first so many as text */
	cJSON *list;	    /* collect the first `print` as JSON here; NULL: not */
	FILE *to;	    /* print there; NULL: the command's output */
	bool stream;	    /* print each as a JSON line */
	bool touched;	    /* TV_TOUCHED items too: else they are only counted */
	uint64_t added, removed, changed, touches; /* results */
};

/* A visit for tv_tree_diff and tv_worktree_changes; arg is the struct. */
int tv_changes_visit(void *arg, const struct tv_diff_item *item, struct tv_err *err);

/* One line of a change, without its data: for sync's call-back. */
void tv_changes_note(struct tv_changes *c, const char *path, enum tv_change change);

/* Diffs two trees by their roots, or two commits (a NULL: from nothing). */
int tv_changes_trees(struct tv_changes *c, const struct tv_entry *a, const struct tv_entry *b);
int tv_changes_between(struct tv_changes *c, const struct tv_sha *a, const struct tv_sha *b);

/* "+3 -0 ~1", and " .2" when something was touched. */
void tv_changes_text(const struct tv_changes *c, char out[96]);

/* added, removed, changed, touched as members of one object. */
void tv_changes_json(const struct tv_changes *c, cJSON *object);

/* "… and N more" when more were found than printed. */
void tv_changes_more(const struct tv_changes *c, const char *hint);

#endif
