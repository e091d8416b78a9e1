/*
 * Figures of a live mount: counted by the handlers, told to whoever connects to the stats socket.
 * Each connection gets one JSON document (figures.h) and is closed; one that does not read is waited
 * for a second at most, by a thread that does nothing else.
 *
 * Every thread counts in memory of its own, which only the thread on the socket looks at besides: the
 * handlers share no cache line, and need no locked instruction. A thread that ended leaves its
 * counts to the next one that comes.
 */
#ifndef TV_FS_STATS_H
#define TV_FS_STATS_H

#include "fs/figures.h"
#include "fs/view.h"
#include "store/store.h"

struct tv_stats_thread {
	struct tv_stats_thread *next;
	bool taken; /* by a living thread */
	enum tv_op op;
	int64_t start_ns; /* of the request in hand */
	struct tv_op_figures ops[TV_OP_COUNT];
	uint64_t bytes[TV_FIGURE_RANGE_BYTES + 1]; /* by enum tv_figure */
};

struct tv_stats {
	pthread_key_t key; /* this thread's counts */
	pthread_mutex_t lock;
	struct tv_stats_thread *threads; /* guarded by lock; each stays until tv_stats_fini */
	struct tv_view *view;
	struct tv_store *store;
	const char *passthrough; /* "on", or why not */
	int64_t started_ns;
	int listen_fd, stop_fd; /* stop_fd: an eventfd */
	pthread_t thread;
	bool running;
};

/* Before the first request, and after the last. -errno. */
int tv_stats_init(struct tv_stats *s);
void tv_stats_fini(struct tv_stats *s);

/* Counts a request of this thread and starts its clock; the end, when the answer is ready, stops it.
 * In between, the request may be counted as failed, and bytes to one of the TV_FIGURE_*_BYTES that go
 * through the daemon. A thread that there is no memory for counts nothing. */
void tv_stats_begin(struct tv_stats *s, enum tv_op op);
void tv_stats_end(struct tv_stats *s);
void tv_stats_failed(struct tv_stats *s);
void tv_stats_bytes(struct tv_stats *s, enum tv_figure which, size_t n);

/* Everything as it is now; not thread-safe against tv_stats_fini. */
void tv_stats_figures(struct tv_stats *s, struct tv_figures *out);

/* Starts the thread that answers on listen_fd (-1: none). store: whose node cache is told of; or
 * NULL. -errno. */
int tv_stats_start(struct tv_stats *s, struct tv_view *view, struct tv_store *store, int listen_fd);
void tv_stats_stop(struct tv_stats *s);

#endif
