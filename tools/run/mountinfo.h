/* Mounts as /proc/self/mountinfo tells them, and taking them away. */
#ifndef TV_TOOLS_RUN_MOUNTINFO_H
#define TV_TOOLS_RUN_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

#include "store/base/err.h"

#define TV_MOUNT_TYPE "fuse.tvfs"

struct tv_mounted {
	char type[64], source[256];
	dev_t device;
};

/* The topmost mount at an absolute path: 1 found, 0 nothing is mounted there, -errno. _of looks with
 * the eyes of another process. */
int tv_mountinfo_find(const char *path, struct tv_mounted *out, struct tv_err *err);
int tv_mountinfo_find_of(pid_t pid, const char *path, struct tv_mounted *out, struct tv_err *err);

/* True when a process sees a superblock anywhere. */
bool tv_mountinfo_has(pid_t pid, dev_t device);

/* An absolute path without links, for a mount point that may not answer any more: only its parent is
 * looked at. Owned by the caller. */
int tv_mountpoint_real(const char *path, char **out, struct tv_err *err);

/* True when the daemon of a mount there is gone. */
bool tv_mountpoint_dead(const char *path);

/* Unmounts, for others than root through fusermount3. -EBUSY: in use. */
int tv_mountpoint_unmount(const char *path, bool lazy, struct tv_err *err);

#endif
