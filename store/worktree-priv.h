/* What the files of the worktree module share: the record in the store, the lock, and reading of
 * live files. */
#ifndef TV_STORE_WORKTREE_PRIV_H
#define TV_STORE_WORKTREE_PRIV_H

#include "store/base/buf.h"
#include "store/base/path.h"
#include "store/scan.h"
#include "store/txn-nodes.h"
#include "store/worktree.h"

/*
 * The record of a live folder (TV_T_WORKTREES). Bytes, little-endian: version (1), flags (1: base, 2:
 * pending); with a base: commit id (32), root; with pending: commit id (32), root; path length (le16),
 * path. A root: mode (le16), mtime (le64), size (le64), files (le64), address (16), hash (32).
 *
 * `pending` is the commit that a sync is bringing the folder to. It is there exactly while a sync
 * runs or after one was killed, and keeps the commit from gc. A path of the folder that equals
 * pending's was brought there by the sync: the next import or sync moves the base at these paths
 * before it does anything else (tv_worktree_begin), so a killed sync leaves no conflicts behind.
 */
struct tv_worktree_row {
	bool has_base, has_pending;
	struct tv_sha base, pending;
	struct tv_entry base_root, pending_root;
	char path[TV_PATH_MAX];
};

void tv_worktree_row_encode(const struct tv_worktree_row *row, struct tv_buf *out);
int tv_worktree_row_decode(struct tv_bytes value, struct tv_worktree_row *out, struct tv_err *err);

/* 1, 0, -errno. `raw` (nullable) gets the bytes, to see later whether the row is still the same. */
int tv_worktree_row_get(struct tv_kv_txn *t, const uint8_t id[16], struct tv_worktree_row *out,
			struct tv_buf *raw, struct tv_err *err);
int tv_worktree_row_put(struct tv_kv_txn *t, const uint8_t id[16],
			const struct tv_worktree_row *row, struct tv_err *err);

/* Sets what the handle says about its base to what is recorded. */
int tv_worktree_load(struct tv_store *s, struct tv_worktree *w, struct tv_err *err);

/* One import, sync or comparison. */
struct tv_worktree_work {
	struct tv_store *s;
	struct tv_worktree *w;
	int lock; /* descriptor that holds the lock */
	struct tv_worktree_row row;
	struct tv_buf raw; /* the row's bytes; empty: there was none */
	struct tv_node_batch *nodes;
	struct tv_entry base; /* the row's base, or an empty directory */
};

/* Takes the lock (shared, or exclusive for a sync), reads the record, and brings the base up to what
 * a killed sync did. */
int tv_worktree_begin(struct tv_store *s, struct tv_worktree *w, bool exclusive,
		      struct tv_worktree_work *work, struct tv_err *err);
void tv_worktree_end(struct tv_worktree_work *work);
#define tv_autowork __attribute__((cleanup(tv_worktree_end)))

/* A scan with everything set that comes from the work. */
void tv_worktree_scan(const struct tv_worktree_work *work, struct tv_scan *out);

/* Whether the work's record is still what the store holds (1, 0, -errno). */
int tv_worktree_unmoved(const struct tv_worktree_work *work, struct tv_err *err);

/* The content of a live path, without storing it: the cache answers, or the file is read. An absent
 * path has kind 0 and is no error; so has what no tree holds (a fifo, a mount point), with
 * seen->ino set. A symlink's target is owned by the caller (out->target). -EBUSY: it kept changing. */
int tv_worktree_state(const struct tv_worktree_work *work, const char *path, struct tv_entry *out,
		      struct tv_seen *seen, struct tv_err *err);

/* The cache row of one path. */
int tv_worktree_put_row(struct tv_kv_txn *t, const uint8_t id[16], const char *path,
			const struct tv_seen *seen, const struct tv_entry *e, int64_t looked_ns,
			struct tv_err *err);
int tv_worktree_del_row(struct tv_kv_txn *t, const uint8_t id[16], const char *path,
			struct tv_err *err);

/* Puts the rows of files that were read, and removes those without a file; in a write transaction. */
int tv_worktree_put_cache(struct tv_kv_txn *t, const uint8_t id[16], const struct tv_scan *scan,
			  struct tv_err *err);

/* Edits that the scan's items are. `soft`: only the folder times, else all but them. Owned by the
 * caller (free); the paths are the scan's. */
int tv_scan_edits(const struct tv_scan *scan, bool soft, struct tv_edit **out, size_t *n,
		  struct tv_err *err);

/*
 * Reading the items of a scan that want it, on several threads.
 *
 * A file is stat'ed before and after on the descriptor it is read from; when anything differs it is
 * read again. One that went away meanwhile becomes a removal. Refused files are collected, not read
 * on. With blobs NULL digests are only computed.
 */
struct tv_reading {
	int dirfd;
	struct tv_blobs *blobs;	    /* nullable */
	bool check;		    /* refuse what filecheck.h refuses */
	struct tv_refused *refused; /* with check */
	const struct tv_progress *progress;
};
int tv_reading_run(const struct tv_reading *r, struct tv_scan *scan, struct tv_err *err);

/* Waits until no file that was read is younger than settle_ns, and reads again what changed
 * meanwhile; -EBUSY when a file keeps changing. */
int tv_reading_settle(const struct tv_reading *r, struct tv_scan *scan, int64_t settle_ns,
		      struct tv_err *err);

/* Digests of what an open file holds, by its size; and the open itself (-errno, no message). */
int tv_reading_hash(int fd, struct tv_blob *out, struct tv_err *err);
int tv_reading_open(int dirfd, const char *name);

#endif
