/* A file's bytes by descriptor: their digest, and a copy of them. */
#ifndef TV_INGEST_FILE_BYTES_H
#define TV_INGEST_FILE_BYTES_H

#include "store/hash.h"

/* The SHA-256 of all of it, wherever the descriptor stands. */
int tv_bytes_sha(int fd, struct tv_sha *out, struct tv_err *err);

/* Fills an empty file with all bytes of another: shared with it where the filesystem can (FICLONE), else
 * copied, by the kernel where it can. */
int tv_bytes_copy(int from, int to, struct tv_err *err);

#endif
