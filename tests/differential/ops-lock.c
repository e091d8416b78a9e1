/* Locks: of open files (flock, F_OFD), of processes (F_SETLK), asked for and waited for. */
#include "differential.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>

/* An open slot whose locks are those of the file. */
static struct slot *slot_to_lock(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	if (s->open && locks_comparable(w, s))
		return s;
	idle(w);
	return NULL;
}

static void choose_flock(struct chooser *ch, struct call *c)
{
	static const int hows[] = { LOCK_SH, LOCK_EX, LOCK_UN };
	c->slot[0] = any_slot(ch);
	c->n[0] = ONE_OF(ch, hows);
}

static void run_flock(struct worker *w, const struct call *c)
{
	struct slot *s = slot_to_lock(w, c);
	if (s)
		BOTH(w, "flock", flock(s->fd[side], (int)c->n[0] | LOCK_NB));
}

static void choose_lock(struct chooser *ch, struct call *c)
{
	static const int commands[] = { F_SETLK,     F_SETLK, F_OFD_SETLK,
					F_OFD_SETLK, F_GETLK, F_OFD_GETLK };
	static const int types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
	static const int whences[] = { SEEK_SET, SEEK_SET, SEEK_SET, SEEK_CUR, SEEK_END };
	c->slot[0] = any_slot(ch);
	c->n[0] = ONE_OF(ch, commands);
	c->n[1] = ONE_OF(ch, types);
	c->n[2] = ONE_OF(ch, whences);
	c->n[3] = chance(ch, 3) ? any_offset(ch) : (long long)below(ch, 60);
	c->n[4] = chance(ch, 15) ? 0 : chance(ch, 5) ? -5 : 1LL + below(ch, 20);
}

static void run_lock(struct worker *w, const struct call *c)
{
	struct slot *s = slot_to_lock(w, c);
	struct flock lock[SIDES];

	if (!s)
		return;
	for (int side = A; side < SIDES; side++)
		lock[side] = (struct flock){ .l_type = (short)c->n[1],
					     .l_whence = (short)c->n[2],
					     .l_start = c->n[3],
					     .l_len = c->n[4] };
	if (!BOTH(w, "lock", fcntl(s->fd[side], (int)c->n[0], &lock[side])))
		return;
	const struct flock *a = &lock[A], *b = &lock[B];
	if (a->l_type != b->l_type || a->l_whence != b->l_whence || a->l_start != b->l_start ||
	    a->l_len != b->l_len || a->l_pid != b->l_pid)
		differ(w, "lock found",
		       "lock: plain tells of type %d at %d:%ld+%ld of %d, the view of type %d at %d:%ld+%ld of %d",
		       a->l_type, a->l_whence, (long)a->l_start, (long)a->l_len, (int)a->l_pid,
		       b->l_type, b->l_whence, (long)b->l_start, (long)b->l_len, (int)b->l_pid);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Waits for a lock, 1 ms at most: a signal ends it (EINTR), again and again until it does. */
static long wait_for_lock(int fd, int command, const struct call *c)
{
	struct sigaction on = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct flock lock = { .l_type = (short)c->n[1], .l_start = c->n[2], .l_len = 10 };

	sigaction(SIGALRM, &on, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	long r = command ? fcntl(fd, command, &lock) : flock(fd, (int)c->n[1]);
	int code = errno;
	setitimer(ITIMER_REAL, &never, NULL);
	errno = code;
	return r;
}

static void choose_lock_wait(struct chooser *ch, struct call *c)
{
	static const int commands[] = { F_SETLKW, F_OFD_SETLKW, 0 };
	c->slot[0] = any_slot(ch);
	c->n[0] = ONE_OF(ch, commands);
	c->n[1] = c->n[0] ? chance(ch, 50) ? F_RDLCK : F_WRLCK : chance(ch, 50) ? LOCK_SH : LOCK_EX;
	c->n[2] = below(ch, 60);
}

static void run_lock_wait(struct worker *w, const struct call *c)
{
	struct slot *s = slot_to_lock(w, c);
	if (s)
		BOTH(w, "lock wait", wait_for_lock(s->fd[side], (int)c->n[0], c));
}

const struct op ops_lock[] = {
	{ "flock", "sd", 20, choose_flock, run_flock, NULL, 0 },
	{ "lock", "sddddd", 40, choose_lock, run_lock, NULL, 0 },
	{ "lock_wait", "sddd", 5, choose_lock_wait, run_lock_wait, NULL, 0 },
	{ .name = NULL },
};
