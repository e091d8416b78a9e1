/*
 * The log that recorder.c writes and replayer.c reads: what was on the disk before, then every
 * change and every sync, in order. Both run on the same machine, so records are plain structs.
 */
#ifndef TV_CRASH_LOG_H
#define TV_CRASH_LOG_H

#include <stdint.h>

#define LOG_MAGIC "tvfs power log 2\n"

enum log_op {
	LOG_BASE = 1, /* found at the start: dir, name, ino, mode, data (dir 0: the root itself) */
	LOG_CREATE, /* a new inode under (dir, name), or without a name (O_TMPFILE): ino, mode, data
		       * (a symlink's target) */
	LOG_LINK,   /* (dir, name) -> ino */
	LOG_UNLINK, /* (dir, name) goes; rmdir too */
	LOG_RENAME, /* (dir, name) -> (dir2, name2); size 1: exchanged */
	LOG_WRITE,  /* ino, offset, data; LOG_DURABLE when the descriptor is O_DSYNC */
	LOG_SIZE,   /* ino gets this size: truncated, or grown by zeros */
	LOG_MODE,   /* ino, mode */
	LOG_SYNC,   /* fsync of ino, a file or a folder */
	LOG_DATASYNC, /* fdatasync of ino */
	LOG_SYNC_ALL, /* syncfs, sync */
	LOG_MAPPED,   /* ino is mapped shared and writable: its stores are not seen */
	LOG_EXIT,     /* the command ended; size: its status */
};

#define LOG_DURABLE 1

struct log_record {
	uint32_t op, flags;
	uint64_t ino, dir, dir2;
	int64_t offset, size;
	uint32_t mode, process;
	uint32_t name_len, name2_len, data_len, pad;
	/* then name, name2, data */
};

#endif
