/*
 * Comparing a live folder with a tree: what would have to be edited, and which files must be read
 * for that.
 *
 * Each folder's names are sorted and joined with the tree's entries and the rows of the import cache,
 * all three in one pass, so a scan costs one stat a file and nothing that grows with the tree when
 * only some paths are looked at. No symbolic link is followed, and a mount point inside the folder
 * is refused: what lies below it is somebody else's. Special files and names that belong to overlays
 * (".wh.") are errors by name, too. Ignored names are not looked at: neither imported nor removed from the tree
 * (but what they lie in, when it goes, takes them with it). A folder that the tree does not have and that
 * holds nothing but ignored names is not imported either: a sync leaves such folders behind.
 *
 * One thread. The tree is read through the source given; nothing is written.
 */
#ifndef TV_STORE_SCAN_H
#define TV_STORE_SCAN_H

#include "store/base/progress.h"
#include "store/beneath.h"
#include "store/import-cache.h"
#include "store/tree.h"

/* Temp files of a sync begin with this, in the live folder; scans do not see them. */
#define TV_SYNC_TEMP ".tvfs-sync."

enum tv_scan_kind {
	TV_SCAN_SET,	/* the path gets `entry` */
	TV_SCAN_READ,	/* the same, once the file has been read: entry.addr and .sha are missing */
	TV_SCAN_REMOVE, /* the path has gone */
	TV_SCAN_TIME,	/* only a folder's mtime differs: worth recording, not worth a commit */
};

struct tv_scan_item {
	char *path; /* owned */
	enum tv_scan_kind what;
	bool in_base;	       /* something stands at this path in the tree */
	bool read;	       /* was TV_SCAN_READ, and has been read */
	bool hollow;	       /* while scanning: a new folder with only ignored names so far */
	size_t parent;	       /* of a hollow one: place of the new folder it is in, from 1; or 0 */
	struct tv_entry entry; /* .target is owned by the item */
	struct tv_seen seen;   /* files: as it looked when it was read, or at the scan */
	int64_t looked_ns;     /* files that were read: when, for the cache row */
};

struct tv_scan {
	/* What to compare. */
	struct tv_kv *kv;
	const uint8_t *worktree; /* id */
	int dirfd;
	const struct tv_node_source *nodes;
	const struct tv_entry *base;
	const char *const *ignore;
	size_t n_ignore;
	const struct tv_progress *progress;
	/* Told by name what cannot be imported, which is then passed over as ignored names are. NULL: the
	 * first ends the scan with -EINVAL. */
	int (*bad)(void *arg, const char *path, const char *reason, struct tv_err *err);
	void *bad_arg;

	/* The result. */
	struct tv_scan_item *items;
	size_t len, cap;
	struct tv_buf stale; /* cache keys without a file: length (le16), key */
	struct tv_seen root; /* the folder itself, when everything was scanned */
	bool whole;
	uint64_t files; /* looked at */
};

/* Scans everything (n_paths 0, or a path ""), or the given paths only: a file, or a folder with all
 * below it, or what stands in the tree and no longer in the folder. -EINVAL names what cannot be
 * imported; -ENOENT a path that is neither here nor there; -EAGAIN a folder went away meanwhile: free
 * the result and scan again. */
int tv_scan_run(struct tv_scan *scan, const char *const *paths, size_t n_paths, struct tv_err *err);
void tv_scan_free(struct tv_scan *scan); /* the result */

/* True when the pattern list or the sync's own temp files hold this path. */
bool tv_scan_ignored(const char *const *ignore, size_t n_ignore, const char *path);

#endif
