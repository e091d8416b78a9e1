/*
 * The live folder: the plain lakehouse that scripts and data jobs see without tvfs.
 *
 * The store remembers per live folder which commit it was last synced to ("base"), and what it saw
 * of each file (size, mtime, ctime, inode -> blob), so that unchanged files are not read again. A
 * remembered file counts as unchanged only when its times are older than the moment it was looked at
 * by more than the clock's grain (git's racy rule).
 *
 * import: base -> live folder is "ours", merged with the ref (publish.h): it never undoes what was
 * published in between. What is promised for a file is "not changed while it was read": it is
 * stat'ed before and after on the same descriptor; files younger than the settle time are looked at
 * again after it has passed. sync: base -> ref is applied to the live folder, and refuses to
 * overwrite local changes. Both can be killed at any point and repeated.
 */
#ifndef TV_STORE_WORKTREE_H
#define TV_STORE_WORKTREE_H

#include "store/base/progress.h"
#include "store/diff.h"
#include "store/publish.h"

/*
 * The base is a tree, not a commit: an import that was merged with others' work leaves the folder at
 * "ours", which no commit holds. `base_root` is that tree (a gc root of its own), `base` the commit
 * that holds what was imported or synced last; they are the same tree unless others had published
 * in between, and then a sync brings the rest. A partial import moves the base at its paths only.
 */
struct tv_worktree {
	uint8_t id[16]; /* from the real path */
	char *path;	/* absolute, real; owned */
	int dirfd;	/* owned */
	bool has_base;	/* false: never synced */
	struct tv_sha base;
	struct tv_entry base_root;
};

/* Opens a live folder; the fields about its base are as recorded now, and each call below looks at
 * the record anew. -ENOENT, -ENOTDIR; -EOPNOTSUPP when it is a tvfs view (FUSE, and the
 * user.tvfs.foundation attribute answers): what was written there is published by `run --publish`. */
int tv_worktree_open(struct tv_store *s, const char *path, struct tv_worktree *out,
		     struct tv_err *err);
void tv_worktree_close(struct tv_worktree *w);

struct tv_import {
	const char *ref;
	const char *const *paths; /* normalised, inside the folder; n_paths 0: everything */
	size_t n_paths;
	const char *const *ignore; /* patterns (tv_path_matches); ignored names are left alone */
	size_t n_ignore;
	int64_t settle_ns; /* files younger than this are looked at twice; 0: never */
	bool force; /* import empty or footerless Parquet, unparsable JSON, and an emptied folder */
	const char *author, *message, *trace_id;
	int (*gate)(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		    struct tv_err *err);
	void *gate_arg;
	const struct tv_progress *progress;
};

struct tv_refused_file {
	char *path, *reason;
};

struct tv_refused {
	struct tv_refused_file *files;
	size_t len;
};

int tv_refused_add(struct tv_refused *r, const char *path, const char *reason, struct tv_err *err);
void tv_refused_free(struct tv_refused *r);

/* Imports and publishes. An import without any change returns unchanged = true and makes no commit.
 * -TV_E_CONFLICT; -TV_E_GATE for files refused (refused is filled, nothing is published);
 * -EINVAL special files, reserved names, mount points; -ENOENT a path that is neither in the folder
 * nor in its base; -EBUSY a file kept changing while it was read. Folder times alone are no change:
 * they ride along with the next one.
 *
 * At most one sync of a folder runs at a time, and no import beside it: both wait up to 30 s for the
 * other, then -TV_E_LOCKED. Any number of imports may run side by side. */
int tv_worktree_import(struct tv_store *s, struct tv_worktree *w, const struct tv_import *how,
		       struct tv_published *out, struct tv_conflicts *conflicts,
		       struct tv_refused *refused, struct tv_err *err);

/* What the live folder has changed since its base (no blob is stored), in tree order. With `refused`
 * special files, mount points and reserved names are put there and are no changes; else -EINVAL. */
int tv_worktree_changes(struct tv_store *s, struct tv_worktree *w, const struct tv_import *how,
			int (*visit)(void *arg, const struct tv_diff_item *item,
				     struct tv_err *err),
			void *arg, struct tv_refused *refused, struct tv_err *err);

/* Brings the live folder to a commit. -TV_E_CONFLICT (conflicts filled, nothing changed) when a path
 * to be changed was changed locally; with `force` local changes are overwritten. Local changes to
 * other paths stay, and stay changes. A folder that the commit no longer has goes when it is empty.
 * -EBUSY: a file was changed under the sync's hands: what was done stays, repeat it. */
struct tv_sync {
	/* Brings the folder to where this ref stands when the folder is locked, whatever commit is given: it
	 * may move while the sync waits for a commit of the folder. `at` gets its commit. Both nullable. */
	const char *ref;
	struct tv_sha *at;
	const char *const *ignore;
	size_t n_ignore;
	bool force;
	const struct tv_progress *progress;
	/* Told each path as it is changed. Nullable. */
	void (*changed)(void *arg, const char *path, enum tv_change change);
	void *arg;
};
int tv_worktree_sync(struct tv_store *s, struct tv_worktree *w, const struct tv_sha *commit,
		     const struct tv_sync *how, struct tv_conflicts *conflicts, struct tv_err *err);

#endif
