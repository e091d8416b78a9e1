/*
 * Figures of a live mount: counted by the handlers, told to whoever connects to the stats socket.
 * Each connection gets one JSON document and is closed. Thread-safe.
 */
#ifndef TV_FS_STATS_H
#define TV_FS_STATS_H

#include <stdatomic.h>

#include "fs/view.h"

enum tv_op {
	TV_OP_LOOKUP,
	TV_OP_FORGET,
	TV_OP_GETATTR,
	TV_OP_SETATTR,
	TV_OP_READLINK,
	TV_OP_MKNOD,
	TV_OP_MKDIR,
	TV_OP_UNLINK,
	TV_OP_RMDIR,
	TV_OP_SYMLINK,
	TV_OP_RENAME,
	TV_OP_LINK,
	TV_OP_OPEN,
	TV_OP_READ,
	TV_OP_WRITE,
	TV_OP_RELEASE,
	TV_OP_FSYNC,
	TV_OP_OPENDIR,
	TV_OP_READDIR,
	TV_OP_RELEASEDIR,
	TV_OP_FSYNCDIR,
	TV_OP_STATFS,
	TV_OP_SETXATTR,
	TV_OP_GETXATTR,
	TV_OP_LISTXATTR,
	TV_OP_REMOVEXATTR,
	TV_OP_CREATE,
	TV_OP_TMPFILE,
	TV_OP_FALLOCATE,
	TV_OP_LSEEK,
	TV_OP_COPY,
	TV_OP_COUNT
};

struct tv_stats {
	_Atomic uint64_t ops[TV_OP_COUNT], errors;
	struct tv_view *view;
	const char *passthrough; /* "on", or why not */
	int64_t started_ns;
	int listen_fd, stop_fd; /* stop_fd: an eventfd */
	pthread_t thread;
	bool running;
};

static inline void tv_stats_count(struct tv_stats *s, enum tv_op op)
{
	atomic_fetch_add_explicit(&s->ops[op], 1, memory_order_relaxed);
}

/* Starts the thread that answers on listen_fd (-1: none). -errno. */
int tv_stats_start(struct tv_stats *s, struct tv_view *view, int listen_fd);
void tv_stats_stop(struct tv_stats *s);

#endif
