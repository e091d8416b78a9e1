/*
 * Blobs: the bytes of file versions, and how they get into the store durably.
 *
 * Adding goes in three steps. add copies bytes into a temp file while hashing them (any number of
 * threads, no lock held); place makes all temp files durable with one sync, renames them to their
 * addresses and syncs the folders; register, inside the commit's write transaction, re-checks every
 * blob the commit relies on and adds rows for the new ones. A crash between leaves files that gc
 * removes. A blob whose row is condemned counts as absent: it is written again, which revives it.
 * gc deletes rows and files inside write transactions and counts them in a gc epoch, so register
 * can tell whether anything placed or relied on may have gone since the batch began.
 *
 * When an address is taken and the SHA-256 differs, add fails with -TV_E_DIGEST: never an alias.
 */
#ifndef TV_STORE_BLOB_H
#define TV_STORE_BLOB_H

#include "store/store.h"

struct tv_blob {
	struct tv_addr addr;
	struct tv_sha sha;
	uint64_t size;
};

struct tv_blobs; /* a batch */

int tv_blobs_begin(struct tv_store *s, struct tv_blobs **out, struct tv_err *err);
/* Removes temp files that were not placed. */
void tv_blobs_free(struct tv_blobs *b);

/* Copies everything from the descriptor's current position. Thread-safe. `tail` (nullable) gets the
 * last up to 16 bytes and `head` the first up to 16 (for format checks): head_tail holds both. */
struct tv_blob_edges {
	uint8_t head[16], tail[16];
	unsigned head_len, tail_len;
};
int tv_blobs_add_fd(struct tv_blobs *b, int fd, struct tv_blob *out, struct tv_blob_edges *edges,
		    struct tv_err *err);
int tv_blobs_add_bytes(struct tv_blobs *b, const void *bytes, size_t n, struct tv_blob *out,
		       struct tv_err *err);

/* The same as add_fd for a file that was made with O_TMPFILE on the store's file system, and that nobody
 * writes to any more: it becomes the blob without a copy. Any other file is copied. Thread-safe. */
int tv_blobs_adopt_fd(struct tv_blobs *b, int fd, struct tv_blob *out, struct tv_err *err);

/* Notes that the commit relies on a stored blob. 1 when it is there (not condemned, its file in its
 * full length), 0 when it is not: then add it. Thread-safe. */
int tv_blobs_rely(struct tv_blobs *b, const struct tv_addr *addr, struct tv_err *err);

/* Makes all added blobs durable and visible under their addresses. Once; after an error the batch
 * can only be freed. */
int tv_blobs_place(struct tv_blobs *b, struct tv_err *err);

/* In the commit's write transaction. -EAGAIN: something relied on has gone; begin anew. */
int tv_blobs_register(struct tv_blobs *b, struct tv_kv_txn *t, struct tv_err *err);

/* Bytes and blobs that the batch added anew (not de-duplicated). */
void tv_blobs_figures(const struct tv_blobs *b, uint64_t *count, uint64_t *bytes);

/* Opens a blob for reading; the caller closes. -TV_E_DAMAGED when the file is missing. */
int tv_blob_open(struct tv_store *s, const struct tv_addr *addr, struct tv_err *err);

/* What the index knows of an address. -ENOENT. */
int tv_blob_info(struct tv_store *s, const struct tv_addr *addr, struct tv_blob *out,
		 struct tv_err *err);

/* Reads a blob and compares both digests and the size with its row. -TV_E_DIGEST. */
int tv_blob_verify(struct tv_store *s, const struct tv_addr *addr, struct tv_err *err);

/* Rows, for gc and fsck, inside a transaction. */
struct tv_blob_row {
	struct tv_sha sha;
	uint64_t size;
	int64_t condemned_ns; /* 0: live */
};
int tv_blob_row_get(struct tv_kv_txn *t, const struct tv_addr *addr, struct tv_blob_row *out,
		    struct tv_err *err); /* 1, 0, -errno */
int tv_blob_row_put(struct tv_kv_txn *t, const struct tv_addr *addr, const struct tv_blob_row *row,
		    struct tv_err *err);
int tv_blob_row_decode(struct tv_bytes value, struct tv_blob_row *out, struct tv_err *err);

/* True when a name in .tvfs/tmp/ ("<pid>.<start ticks>.<random>") belongs to a process that is gone,
 * or is no such name: gc may remove the file. */
bool tv_blob_temp_stale(const char *name);

/* The gc epoch: bumped by gc in each transaction that removes files. */
int tv_gc_epoch_get(struct tv_kv_txn *t, uint64_t *epoch, struct tv_err *err);
int tv_gc_epoch_bump(struct tv_kv_txn *t, struct tv_err *err);

/* "ab/<address>" below blobs/. */
#define TV_BLOB_PATH 36
void tv_blob_path(const struct tv_addr *addr, char out[TV_BLOB_PATH]);

#endif
