/*
 * Names below a folder, opened without ever following a symbolic link: every component is opened
 * with O_NOFOLLOW from the descriptor of the one before. What a live folder's owner plants in it can
 * therefore not lead a scan or a sync out of it.
 *
 * All functions are thread-safe; descriptors are O_CLOEXEC and the caller's to close.
 */
#ifndef TV_STORE_BENEATH_H
#define TV_STORE_BENEATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "store/base/err.h"
#include "store/node.h"

/* Opens the folder `path` (normalised; "" is the root itself) for reading. -ENOENT; -ENOTDIR, also
 * for a symbolic link on the way. Sets no message: whether it is an error is the caller's to say. */
int tv_beneath_open_dir(int root, const char *path);

/* Opens the folder that holds `path` (not ""), as a place for *at calls; *name is the last name (a
 * pointer into path). Errors as above. */
int tv_beneath_open_parent(int root, const char *path, const char **name);

/* What a stat tells about a name, in the units of tree entries. */
struct tv_seen {
	enum tv_kind kind; /* 0: none of the three (fifo, socket, device) */
	uint16_t mode;	   /* permission bits; 0777 for a symlink */
	bool mount_point;
	uint64_t size, ino, dev;
	int64_t mtime_ns, ctime_ns;
};

/* Stats a name in an open folder, not following links. `dev` is the root's device number, to know
 * mount points by. 0 or -errno, no message. */
int tv_beneath_stat(int dirfd, const char *name, uint64_t dev, struct tv_seen *out);

/* The same of an open descriptor (mount_point stays false). */
int tv_beneath_fstat(int fd, struct tv_seen *out);

/* The same for a path below root. -ENOENT also when a folder on the way is a file or a link. */
int tv_beneath_stat_path(int root, const char *path, uint64_t dev, struct tv_seen *out);

/* True when nothing that a write changes is different: kind, size, inode, mtime, ctime, mode. */
bool tv_seen_same(const struct tv_seen *a, const struct tv_seen *b);

/* When it was last written, as far as its times tell at now_ns: the mtime, or the ctime (which no
 * program can set) where the mtime lies in the future. Both may, on a clock that was set back. */
int64_t tv_seen_written_ns(const struct tv_seen *seen, int64_t now_ns);

#endif
