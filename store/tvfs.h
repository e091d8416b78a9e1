/*
 * libtvfs: reading what a tvfs store holds, from a program of one's own, without a mount.
 *
 * A snapshot is one commit, opened: while it is open gc keeps everything that it holds. Paths are
 * relative to the top of the lakehouse, without a slash at either end; "" is the top. All digests are
 * lower-case hexadecimal text.
 *
 * Calls return 0 (or a descriptor) or a negative errno; besides the usual ones -ENOMEDIUM there is no
 * store, -ENOTUNIQ the digits fit several commits, -EUCLEAN and -EBADMSG the store is damaged,
 * -ENOLCK others use it in a way that does not go together, -EPROTONOSUPPORT its format is newer.
 * With `err` not NULL its text is one line that says what went wrong and what to do. A store and its
 * snapshots may be used by many threads, not after fork(). Texts that are returned live as long as the
 * handle.
 */
#ifndef TVFS_H
#define TVFS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tvfs_error {
	char text[1024];
};

/* The version of the library, as "1.2.3". */
const char *tvfs_version(void);

/* Opens the store of a project: `folder` is the project, a folder in it, or the .tvfs folder. */
struct tvfs_store;
int tvfs_store_open(const char *folder, struct tvfs_store **out, struct tvfs_error *err);
void tvfs_store_close(struct tvfs_store *store); /* after its snapshots; NULL is fine */

/* Opens the commit that a revision names: a ref, a tag, digits of a foundation hash or commit id, REV~N,
 * REF@{TIME}. -ENOENT, -ENOTUNIQ, -EINVAL. It writes one row (a lease) to the store. */
struct tvfs_snapshot;
int tvfs_snapshot_open(struct tvfs_store *store, const char *revision, struct tvfs_snapshot **out,
		       struct tvfs_error *err);
void tvfs_snapshot_close(struct tvfs_snapshot *snapshot);		    /* NULL is fine */
const char *tvfs_snapshot_foundation(const struct tvfs_snapshot *snapshot); /* 64 digits */
const char *tvfs_snapshot_commit(const struct tvfs_snapshot *snapshot);	    /* 64 digits */

enum tvfs_kind { TVFS_FILE = 1, TVFS_FOLDER = 2, TVFS_SYMLINK = 3 };

struct tvfs_entry {
	enum tvfs_kind kind;
	unsigned mode;	  /* permission bits */
	int64_t mtime_ns; /* since 1970-01-01 UTC */
	uint64_t size;	  /* bytes; folder: of all files and symlinks below */
	uint64_t files;	  /* folder: files and symlinks below; else 0 */
	char sha256
		[65]; /* of the contents or the target; folder: its hash (of the top: the foundation) */
	char blob[33]; /* file: its address in the store, XXH3-128; else "" */
};

/* What stands at a path. -ENOENT, -ENOTDIR. */
int tvfs_stat(struct tvfs_snapshot *snapshot, const char *path, struct tvfs_entry *out,
	      struct tvfs_error *err);

/* Calls visit for each name in a folder, in byte order. Non-zero from visit ends and is returned. */
int tvfs_list(struct tvfs_snapshot *snapshot, const char *folder,
	      int (*visit)(void *arg, const char *name, const struct tvfs_entry *entry), void *arg,
	      struct tvfs_error *err);

/* Opens a file for reading: a descriptor of the caller's, of the store's own file: it cannot change, and
 * stays readable whatever becomes of the store. -EISDIR, -ELOOP for a symlink. The size was
 * compared, the bytes were not: `tvfs fsck --read-data` does that, or compare their sha256. */
int tvfs_open(struct tvfs_snapshot *snapshot, const char *path, struct tvfs_error *err);

/* A symlink's target, with a NUL, into `target`. -ERANGE, -EINVAL when it is none. */
int tvfs_readlink(struct tvfs_snapshot *snapshot, const char *path, char *target, size_t size,
		  struct tvfs_error *err);

#ifdef __cplusplus
}
#endif

#endif
