/*
 * The threads that answer a mount's requests.
 *
 * A client that is alone sleeps until its answer comes, and the daemon sleeps until the next request: each
 * wakes the other, mostly on another processor that sleeps too, and that takes longer than most answers
 * do. So one thread answers all requests for as long as it keeps up, and looks for the next one for some
 * microseconds before it sleeps. More threads take part when requests have to wait, or when one says that
 * what it is about to do takes long (docs/bench-mount.md has what this is worth).
 *
 * A thread *reads* (it takes requests from the kernel, answers them, and takes the next), or is *away*
 * (with work that takes long), or is *parked*. One at least reads, unless all are away.
 */
#ifndef TV_FS_LOOP_H
#define TV_FS_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TV_LOOP_THREADS 8

struct fuse_session;
struct tv_loop;

struct tv_loop_thread {
	struct tv_loop *loop;
	pthread_t thread;
	bool away;
	unsigned
		waited; /* requests in a row that were there already when the last one was answered */
};

struct tv_loop {
	struct fuse_session *fuse;
	int fd;		     /* the session's */
	unsigned processors; /* that this process may run on */
	int loadavg;	     /* /proc/loadavg, or -1 */
	pthread_key_t self;  /* this thread's struct tv_loop_thread */
	pthread_mutex_t lock;
	pthread_cond_t called;
	/* guarded by lock */
	struct tv_loop_thread threads[TV_LOOP_THREADS];
	unsigned started, reading, parked, calls;
	int result;
	_Atomic bool ended;
	_Atomic int64_t crowd_until; /* CLOCK_MONOTONIC */
	/* The thread that looks, and how often in a row nothing came of it. */
	_Atomic bool looking;
	_Atomic unsigned in_vain;
	_Atomic int64_t asked_at; /* CLOCK_MONOTONIC */
	_Atomic bool busy;
};

/* -errno */
int tv_loop_init(struct tv_loop *l);
void tv_loop_fini(struct tv_loop *l);

/* Answers requests with this thread and others until the session is exited or unmounted: 0; or -errno. */
int tv_loop_run(struct tv_loop *l, struct fuse_session *fuse);

/* Makes threads that sleep in the kernel look whether the session was exited, by SIGUSR1, for which the
 * caller has set a handler. Any thread; may have to be repeated. */
void tv_loop_nudge(struct tv_loop *l);

/* What this thread does next takes long: requests that come meanwhile are another one's. Nothing for
 * threads that are not the loop's. */
void tv_loop_leave(struct tv_loop *l);

#endif
