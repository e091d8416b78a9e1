#include "fs/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/ops-common.h"
#include "store/base/clock.h"

#ifdef TV_SINGLE_THREAD
#define THREADS 1
#else
#define THREADS TV_LOOP_THREADS
#endif
#define LOOK_NS 500000	/* for how long a thread looks for the next request */
#define SHARED_NS 20000 /* an interruption that ends the look: somebody else needs this processor */
#define ASK_NS 5000000	/* how often it is asked whether all processors are busy */
#define IN_VAIN_MAX 3	/* so often in a row nothing came: looking is not worth it, */
#define SOON_NS 700000	/* until a request comes within this time */
#define WAITED_MAX 8	/* so many requests in a row had to wait: one thread does not keep up; */
#define LONG_NS 1000000 /* or one had to, while another took so long */
#define CROWD_NS 50000000 /* for how long threads that were called stay */
#define NUDGE_NS 20000000 /* between two nudges of threads that are to end */

int tv_loop_init(struct tv_loop *l)
{
	cpu_set_t cpus;
	int r = pthread_key_create(&l->self, NULL);
	if (r)
		return -r;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->called, NULL);
	l->processors =
		sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : (unsigned)CPU_COUNT(&cpus);
	l->loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	return 0;
}

void tv_loop_fini(struct tv_loop *l)
{
	if (l->loadavg >= 0)
		close(l->loadavg);
	pthread_cond_destroy(&l->called);
	pthread_mutex_destroy(&l->lock);
	pthread_key_delete(l->self);
}

/* --- who reads ------------------------------------------------------------------------------ */

static void *serve_thread(void *arg);

/* Gets one more thread to read, if there is one to be had. Locked. */
static void call_another(struct tv_loop *l)
{
	if (l->ended)
		return;
	if (l->parked > l->calls) {
		l->calls++;
		l->reading++;
		pthread_cond_signal(&l->called);
	} else if (l->started < THREADS) {
		struct tv_loop_thread *t = &l->threads[l->started];
		t->loop = l;
		if (pthread_create(&t->thread, NULL, serve_thread, t) != 0)
			return; /* those that there are have to do */
		l->started++;
		l->reading++;
	}
}

/* Sleeps until it is called. Locked; this thread does not count as reading. */
static void park(struct tv_loop *l)
{
	l->parked++;
	while (!l->calls && !l->ended)
		pthread_cond_wait(&l->called, &l->lock);
	l->parked--;
	if (l->calls)
		l->calls--;
}

void tv_loop_leave(struct tv_loop *l)
{
	struct tv_loop_thread *t = pthread_getspecific(l->self);
	if (!t || t->away)
		return;
	pthread_mutex_lock(&l->lock);
	t->away = true;
	if (--l->reading == 0)
		call_another(l);
	pthread_mutex_unlock(&l->lock);
}

/* Back from what took long. */
static void come_back(struct tv_loop *l, struct tv_loop_thread *t)
{
	pthread_mutex_lock(&l->lock);
	t->away = false;
	if (l->reading)
		park(l);
	else
		l->reading++;
	pthread_mutex_unlock(&l->lock);
}

/* Parks this thread if another one reads; false when it is the only one. */
static bool left_to_others(struct tv_loop *l)
{
	pthread_mutex_lock(&l->lock);
	bool others = l->reading > 1;
	if (others) {
		l->reading--;
		park(l);
	}
	pthread_mutex_unlock(&l->lock);
	return others;
}

static void end(struct tv_loop *l, int result)
{
	pthread_mutex_lock(&l->lock);
	if (!l->ended)
		l->result = result;
	l->ended = true;
	pthread_cond_broadcast(&l->called);
	pthread_mutex_unlock(&l->lock);
	fuse_session_exit(l->fuse);
}

/* --- the next request ------------------------------------------------------------------------ */

/* Whether a read would not sleep. */
static bool waiting(const struct tv_loop *l)
{
	struct pollfd p = { l->fd, POLLIN, 0 };
	return poll(&p, 1, 0) > 0;
}

/* Whether more threads want to run than there are processors: then one that looks takes the time of one
 * that works. Asked anew now and then. */
static bool others_need_them(struct tv_loop *l, int64_t now)
{
	char text[64];
	if (now - l->asked_at < ASK_NS)
		return l->busy;
	l->asked_at = now;
	ssize_t n = pread(l->loadavg, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	unsigned running = 0;
	bool known = sscanf(text, "%*s %*s %*s %u/", &running) == 1;
	l->busy = !known || running > l->processors;
	return l->busy;
}

/* How often this thread had to make room for another one. */
static long pushed_off(void)
{
	struct rusage used;
	getrusage(RUSAGE_THREAD, &used);
	return used.ru_nivcsw;
}

/* Looks for a request for a moment. Who had to make room meanwhile leaves the processors to others for a
 * while: the client that was just answered may be the one that needs this one. */
static bool look(struct tv_loop *l)
{
	int64_t start = tv_monotonic_ns(), last = start;
	if (l->processors < 2 || l->in_vain >= IN_VAIN_MAX || others_need_them(l, start) ||
	    atomic_exchange(&l->looking, true))
		return false;
	bool found = false;
	long before = pushed_off();
	for (int64_t now = start; !found && now - start < LOOK_NS && now - last < SHARED_NS;
	     now = tv_monotonic_ns()) {
		last = now;
		found = waiting(l);
	}
	if (!found && pushed_off() != before) {
		l->busy = true;
		l->asked_at = tv_monotonic_ns();
	}
	l->in_vain = found ? 0 : l->in_vain + 1;
	atomic_store(&l->looking, false);
	return found;
}

/* Sleeps for a request. */
static int receive(struct tv_loop *l, struct fuse_buf *buf)
{
	int64_t start = tv_monotonic_ns();
	int r = fuse_session_receive_buf(l->fuse, buf);
	if (tv_monotonic_ns() - start < SOON_NS)
		l->in_vain = 0;
	return r;
}

/* More threads are needed when requests wait while this one works. They stay for a while: what made
 * requests wait may come again. */
static void judge(struct tv_loop_thread *t, int64_t took)
{
	t->waited += took > LONG_NS ? WAITED_MAX : 1;
	if (t->waited < WAITED_MAX)
		return;
	t->waited = 0;
	pthread_mutex_lock(&t->loop->lock);
	t->loop->crowd_until = tv_monotonic_ns() + CROWD_NS;
	call_another(t->loop);
	pthread_mutex_unlock(&t->loop->lock);
}

static void serve(struct tv_loop *l, struct tv_loop_thread *t)
{
	struct fuse_buf buf = { .mem = NULL };
	int64_t took = 0;

	pthread_setspecific(l->self, t);
	while (!l->ended) {
		int r;
		if (waiting(l)) {
			judge(t, took);
			r = fuse_session_receive_buf(l->fuse, &buf);
		} else {
			t->waited = 0;
			bool crowd = tv_monotonic_ns() < l->crowd_until;
			if (!crowd && look(l))
				r = fuse_session_receive_buf(l->fuse, &buf);
			else if (!crowd && left_to_others(l))
				continue;
			else
				r = receive(l, &buf);
		}
		took = 0;
		if (r > 0) {
			int64_t start = tv_monotonic_ns();
			fuse_session_process_buf(l->fuse, &buf);
			took = tv_monotonic_ns() - start;
		}
		if ((r <= 0 && r != -EINTR) || fuse_session_exited(l->fuse))
			end(l, r < 0 && r != -EINTR ? r : 0);
		else if (t->away)
			come_back(l, t);
	}
	free(buf.mem);
}

static void *serve_thread(void *arg)
{
	struct tv_loop_thread *t = arg;
	serve(t->loop, t);
	return NULL;
}

/* --- from start to end ----------------------------------------------------------------------- */

void tv_loop_nudge(struct tv_loop *l)
{
	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; i < l->started; i++)
		pthread_kill(l->threads[i].thread, SIGUSR1);
	pthread_mutex_unlock(&l->lock);
}

/* Waits for all others; those that sleep in the kernel may not know yet. */
static void join(struct tv_loop *l)
{
	for (;;) {
		pthread_mutex_lock(&l->lock);
		pthread_t thread = l->threads[l->started - 1].thread;
		bool others = --l->started > 0; /* nobody else nudges what may be gone */
		pthread_mutex_unlock(&l->lock);
		struct timespec until = { 0 };
		if (!others)
			return;
		do {
			pthread_kill(thread, SIGUSR1);
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += NUDGE_NS;
			until.tv_sec += until.tv_nsec / 1000000000;
			until.tv_nsec %= 1000000000;
		} while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT);
	}
}

int tv_loop_run(struct tv_loop *l, struct fuse_session *fuse)
{
	pthread_mutex_lock(&l->lock);
	l->fuse = fuse;
	l->fd = fuse_session_fd(fuse);
	l->threads[0] = (struct tv_loop_thread){ .loop = l, .thread = pthread_self() };
	l->started = l->reading = 1;
	pthread_mutex_unlock(&l->lock);
	serve(l, &l->threads[0]);
	join(l);
	return l->result;
}
