/*
 * Whole reads and writes, temp files, folder syncs. All calls retry EINTR and short transfers; all
 * descriptors are O_CLOEXEC.
 */
#ifndef TV_STORE_BASE_IO_H
#define TV_STORE_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "store/base/buf.h"
#include "store/base/err.h"

/* 0 or -errno. A short pread (end of file before n) is -EIO. */
int tv_io_write_all(int fd, const void *bytes, size_t n);
int tv_io_pwrite_all(int fd, const void *bytes, size_t n, off_t at);
int tv_io_pread_all(int fd, void *bytes, size_t n, off_t at);

/* Appends everything from the descriptor's position on, at most `limit` bytes (-EFBIG above). */
int tv_io_read_to_end(int fd, size_t limit, struct tv_buf *out, struct tv_err *err);

/* A whole file as a string (NUL-terminated for convenience; *n is the length without it). */
int tv_io_read_file(int dirfd, const char *path, size_t limit, char **out, size_t *n,
		    struct tv_err *err);

/* Replaces a file atomically and durably: temp file beside it, fdatasync, rename, folder fsync.
 * After a crash the old or the new contents are there. */
int tv_io_replace_file(int dirfd, const char *path, const void *bytes, size_t n, mode_t mode,
		       struct tv_err *err);

/* fsync of a folder. The descriptor is opened for it. */
int tv_io_sync_dir(int dirfd, const char *path, struct tv_err *err);

/* Makes a folder and its missing parents (mode as given, parents too); existing ones are fine. */
int tv_io_mkdirs(int dirfd, const char *path, mode_t mode, struct tv_err *err);

/* Removes a file or a whole tree below dirfd/path without following links or crossing mounts;
 * a missing path is fine. */
int tv_io_remove_tree(int dirfd, const char *path, struct tv_err *err);

/* Nanoseconds since the epoch of a struct timespec, and back (floor division for times < 0). */
int64_t tv_ns_from_timespec(struct timespec ts);
struct timespec tv_timespec_from_ns(int64_t ns);

#endif
