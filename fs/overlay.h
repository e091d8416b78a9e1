/*
 * The overlay on disk: what a run wrote, as plain files in `<run dir>/data/lakehouse/`.
 *
 *	NAME			a file, folder or symlink of the run; it hides the frozen one. A folder
 *				is merged with the frozen folder of the same path
 *	.wh.NAME		whiteout (empty file): the frozen NAME is hidden. It says nothing about the
 *				overlay's own NAME, which may stand beside it and then replaces the frozen one
 *				altogether (a folder is not merged)
 *	.wh..wh..opq		in a folder: nothing frozen shows through it
 *	.wh..wh..redirect	in a folder: it is merged with the frozen folder whose path (from the
 *				lakehouse's root) the file holds, not with the one of its own path
 *	.wh..wh..long.<hash>	whiteout of a name too long for the prefix: the file holds the name, hash is
 *				the XXH3-128 of it
 *	.wh..wh..tmp.*		leftovers of a crash; ignored
 *
 * The first three are the OCI image layer form. No FUSE here: this module is what both the mount
 * and `--publish` read an overlay with. Names from disk are checked before they are used; all access
 * is by descriptors below the overlay's root, never through links.
 */
#ifndef TV_FS_OVERLAY_H
#define TV_FS_OVERLAY_H

#include <sys/stat.h>

#include "store/diff.h"

#define TV_OVERLAY_OPAQUE ".wh..wh..opq"
#define TV_OVERLAY_REDIRECT ".wh..wh..redirect"

/* One difference between the frozen tree and the merged view, in path order. */
struct tv_overlay_change {
	const char *path;      /* in the view */
	enum tv_change change; /* TV_ADDED, TV_REMOVED, TV_CHANGED, TV_TOUCHED (folders only) */
	const struct stat *st; /* of what stands there now, NULL when removed */
	const char *
		disk_path; /* relative to the overlay's root; NULL: frozen contents at a new path */
	const struct tv_entry
		*frozen; /* the frozen entry that now stands at `path` (a folder that was
					* renamed); NULL when the overlay holds it */
};

/* Walks an overlay against the frozen tree it lies on. Excluded top-level names (routes) are left out.
 * A removed folder is reported once, as itself; a renamed frozen folder as one addition with
 * `frozen` set, then the changes below it. visit's non-zero return ends and is returned. */
int tv_overlay_walk(int overlay_dirfd, const struct tv_node_source *nodes,
		    const struct tv_entry *frozen_root, const char *const *exclude,
		    size_t n_exclude,
		    int (*visit)(void *arg, const struct tv_overlay_change *c, struct tv_err *err),
		    void *arg, struct tv_err *err);

/* The walk as edits and blobs, ready for tv_tree_edit: imports the overlay's files into the batch.
 * *edits (and their paths) are freed with tv_overlay_edits_free. A file that is not to be published (special
 * files, reserved names) is -EINVAL. */
struct tv_blobs;
struct tv_overlay_edits {
	struct tv_edit *edits;
	size_t len;
};
void tv_overlay_edits_free(struct tv_overlay_edits *e);
int tv_overlay_edits(int overlay_dirfd, const struct tv_node_source *nodes,
		     const struct tv_entry *frozen_root, const char *const *exclude,
		     size_t n_exclude, struct tv_blobs *blobs, struct tv_overlay_edits *out,
		     struct tv_err *err);

#endif
