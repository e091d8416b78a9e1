/*
 * The kernel's side of passthrough: registering backing files with a FUSE connection, and knowing
 * whether that can be had here. The ioctls are those of linux/fuse.h since Linux 6.9 (protocol 7.40);
 * the headers of older systems lack them.
 */
#ifndef TV_FS_PASSTHROUGH_H
#define TV_FS_PASSTHROUGH_H

#include <stdbool.h>
#include <stddef.h>

/* Registers an open regular file; the kernel keeps its own reference. An id > 0, or -errno. */
int tv_backing_register(int fuse_fd, int fd);
void tv_backing_release(int fuse_fd, int id);

/* 0 when this kernel and this process could have passthrough; else -errno and the reason. */
int tv_passthrough_possible(char *why_not, size_t size);

/* True when files reached from this descriptor lie on a stacked filesystem (overlayfs), for which
 * the connection must allow backing files of depth 1. */
bool tv_passthrough_stacked(int fd);

#endif
