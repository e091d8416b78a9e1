/*
 * What was last seen of each file of a live folder, so that unchanged files are not read again
 * (table TV_T_IMPORT).
 *
 * A row says: a file that had this size, mtime, ctime and inode held the bytes with this address and
 * SHA-256, and was looked at at this moment. It is believed only when both times are older than that
 * moment by more than the clock's grain: a write in the same tick leaves the times as they are
 * (git's racy rule). ctime cannot be set by programs, so a restored mtime does not deceive it. What no
 * stat shows is a store through a shared mapping whose page was dirty already when the file was
 * read; the kernel stamps the times again once it has written that page back.
 *
 * A row is a hint for reading, never a promise that the blob is stored.
 */
#ifndef TV_STORE_IMPORT_CACHE_H
#define TV_STORE_IMPORT_CACHE_H

#include "store/base/buf.h"
#include "store/beneath.h"
#include "store/kv.h"

#define TV_CACHE_GRAIN_NS 10000000LL	      /* the kernel's coarse clock ticks every 1 to 10 ms */
#define TV_CACHE_GRAIN_COARSE_NS 2000000000LL /* filesystems that store whole (FAT: even) seconds */
#define TV_CACHE_PREFIX 32
#define TV_CACHE_KEY_MAX (TV_CACHE_PREFIX + 255)
#define TV_CACHE_ROW 88

struct tv_cache_row {
	uint64_t size, ino;
	int64_t mtime_ns, ctime_ns, looked_ns;
	struct tv_addr addr;
	struct tv_sha sha;
};

/* The first bytes of the keys of a folder's files: worktree id, hash of the folder's path. */
void tv_cache_prefix(const uint8_t worktree[16], const char *folder, uint8_t out[TV_CACHE_PREFIX]);

/* The key of a path; returns its length. */
size_t tv_cache_key(const uint8_t worktree[16], const char *path, uint8_t out[TV_CACHE_KEY_MAX]);

void tv_cache_row_encode(const struct tv_cache_row *row, uint8_t out[TV_CACHE_ROW]);
bool tv_cache_row_decode(struct tv_bytes value, struct tv_cache_row *out);

/* True when a file that looks like `seen` still holds what the row says. */
bool tv_cache_row_holds(const struct tv_cache_row *row, const struct tv_seen *seen);

/* One row. 1, 0 (also when the row is malformed: it is a hint), -errno. */
int tv_cache_get(struct tv_kv *kv, const uint8_t worktree[16], const char *path,
		 struct tv_cache_row *out, struct tv_err *err);

/* Reads the rows of a folder in order of names, some thousand a transaction. One thread. */
struct tv_cache_reader {
	struct tv_kv *kv;
	uint8_t prefix[TV_CACHE_PREFIX];
	struct tv_buf chunk; /* name length (le16), name, row; one after the other */
	size_t at;
	bool last;	  /* no more chunk follows */
	char resume[256]; /* the last name of the chunk */
	size_t resume_len;
};
void tv_cache_reader_init(struct tv_cache_reader *r, struct tv_kv *kv);
void tv_cache_reader_free(struct tv_cache_reader *r);
/* Goes to the start of a folder. */
int tv_cache_reader_open(struct tv_cache_reader *r, const uint8_t worktree[16], const char *folder,
			 struct tv_err *err);
/* The current row: 1, or 0 at the end. The name lives until the next call of _next. */
int tv_cache_reader_get(const struct tv_cache_reader *r, const char **name, size_t *n,
			struct tv_bytes *row);
int tv_cache_reader_next(struct tv_cache_reader *r, struct tv_err *err);

#endif
