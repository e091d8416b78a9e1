/* The live lakehouse as commands see it: found by the settings, checked, paths in it resolved. */
#ifndef TV_TOOLS_LIVE_H
#define TV_TOOLS_LIVE_H

#include "store/worktree.h"
#include "tools/cli.h"

/* Opens the live folder. -EINVAL when it leads out of the project; -TV_E_MISSING when there is none
 * yet (with `make`, it is made). */
int tv_live_open(struct tv_cli *cli, bool make, struct tv_worktree *out);

/* The settings' part of an import or a look at changes. */
void tv_live_import(const struct tv_cli *cli, struct tv_import *how);

/* Brings the live folder to where a ref stands. Changes that were made there stay: then a note says what to
 * do. No live folder, or a view in its place, is fine. */
int tv_live_follow(struct tv_cli *cli, const char *ref, const struct tv_sha *commit);

/*
 * What a user's path means inside the lakehouse (normalised; owned by the caller). Tried in this
 * order: relative to the working directory (or absolute), to the project, to the lakehouse (this only
 * from outside of it). -EINVAL when it lies outside.
 */
int tv_live_path(struct tv_cli *cli, const char *text, char **path);

/* Prints the conflicting paths of a refused merge on stderr, or keeps them for the JSON error. */
void tv_live_conflicts(struct tv_cli *cli, const struct tv_conflicts *conflicts);

/* What was refused, with the reasons: as lines, or as an array "refused" in an object. */
void tv_live_refused_text(FILE *out, const char *before, const struct tv_refused *refused);
void tv_live_refused_json(cJSON *object, const struct tv_refused *refused);

static inline void tv_worktree_close_p(struct tv_worktree *w)
{
	tv_worktree_close(w);
}
#define TV_WORKTREE_CLOSED                                                                         \
	{                                                                                          \
		.dirfd = -1                                                                        \
	}
#define tv_autoworktree __attribute__((cleanup(tv_worktree_close_p)))

#endif
