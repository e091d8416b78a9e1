/*
 * What the files of the blob module share: blob.c (rows, files), blob-batch.c (adding),
 * blob-place.c (making durable, registering).
 */
#ifndef TV_STORE_BLOB_PRIV_H
#define TV_STORE_BLOB_PRIV_H

#include <pthread.h>
#include <sys/types.h>

#include "store/base/cleanup.h"
#include "store/base/map16.h"
#include "store/blob.h"
#include "store/lease.h"

/* How much of a file is read at once: what still fits into the processor's caches while two digests
 * are made of it. Files below that are hashed before anything is written, so that a known one costs
 * no write; larger ones are written as they are read. */
#define TV_BLOB_CHUNK ((size_t)256 << 10)
/* Up to so many blobs are synced one by one; above, one syncfs does for all (it also waits for what
 * other programs wrote). */
#define TV_BLOB_SYNC_SINGLY 8

#define TV_BLOB_NONCE 17 /* 16 digits and a NUL */
#define TV_BLOB_TEMP 64

/* A new blob. */
struct tv_blob_item {
	struct tv_blob blob;
	char nonce[TV_BLOB_NONCE]; /* of its temp file */
	bool placed;
	int fd; /* kept open for its fdatasync while there are few, else -1 */
};

struct tv_blobs {
	struct tv_store *store;
	struct tv_process self;
	int sync_fd;	   /* opened before the first write: syncfs then tells of errors since */
	uint64_t epoch;	   /* of gc, when the batch began */
	int64_t placed_ns; /* boot time clock; 0 before place */
	bool failed;
	pthread_mutex_t lock; /* over all below, until place */
	struct tv_blob_scratch *spare;
	struct tv_blob_item *items;
	size_t len, cap;
	struct tv_map16 by_addr; /* -> place in items */
	struct tv_map16 relied;	 /* a set */
	uint64_t bytes;
};

static inline void tv_blob_item_close(struct tv_blob_item *it)
{
	tv_close_p(&it->fd);
	it->fd = -1;
}

static inline bool tv_blob_row_is(const struct tv_blob_row *row, const struct tv_blob *blob)
{
	return row->size == blob->size && tv_sha_eq(&row->sha, &blob->sha);
}

/* "<pid>.<start ticks>.<nonce>": gc sees whose it is. */
void tv_blob_temp_name(const struct tv_blobs *b, const char *nonce, char out[TV_BLOB_TEMP]);

/* -TV_E_DIGEST with its message. */
int tv_blob_other_sha(const struct tv_addr *addr, struct tv_err *err);

/* Fills the buffer, or less of it at the end of the file. Bytes read, or -errno. */
ssize_t tv_blob_read_chunk(int fd, uint8_t *buf, size_t cap);

/* 0 when the file of a blob is there with its size, -ENOENT when it is not, -TV_E_DAMAGED when its
 * size is another. */
int tv_blob_file_check(struct tv_store *s, const struct tv_addr *addr, uint64_t size,
		       struct tv_err *err);

/* tv_blob_row_get in a transaction of its own. */
int tv_blob_row_read(struct tv_store *s, const struct tv_addr *addr, struct tv_blob_row *out,
		     struct tv_err *err);

#endif
