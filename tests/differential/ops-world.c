/* What is around the calls: processes, users, masks, working folders, moments, comparisons. */
#include "differential.h"

#include <string.h>
#include <sys/prctl.h>

static void choose_fork(struct chooser *ch, struct call *c)
{
	c->n[0] = below(ch, WORKERS);
}

/* The worker ends, and a child of another one takes its place. */
static int direct_fork(struct play *p, const struct call *c)
{
	int from = (int)c->n[0];
	if (from < 0 || from >= WORKERS || from == c->worker) {
		p->shared->idle = true;
		return 0;
	}
	return play_fork(p, from, c->worker);
}

static struct timespec coarse_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME_COARSE, &t); /* what files are dated with, at least */
	return t;
}

/* Waits for the next tick of the clock that dates files, and remembers it: every date that lies before it was
 * made before, every later one is made later. */
static int direct_tick(struct play *p, const struct call *c)
{
	const struct timespec nap = { 0, 200 * 1000 };
	struct shared *s = p->shared;
	struct timespec now, tick;

	(void)c;
	if (s->n_ticks == TICKS) {
		s->idle = true;
		return 0;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	do {
		nanosleep(&nap, NULL);
		tick = coarse_now();
	} while (tick.tv_sec < now.tv_sec ||
		 (tick.tv_sec == now.tv_sec && tick.tv_nsec <= now.tv_nsec));
	s->ticks[s->n_ticks++] = tick;
	return 0;
}

static void run_compare(struct worker *w, const struct call *c)
{
	(void)c;
	compare_tree(w);
}

/* --- the user ------------------------------------------------------------------------------ */

static void choose_become(struct chooser *ch, struct call *c)
{
	static const int users[] = { 0, 0, 1000, 1001 };
	c->n[0] = ONE_OF(ch, users);
	c->n[1] = ONE_OF(ch, users);
}

/* Not the first worker: it compares. */
static void run_become(struct worker *w, const struct call *c)
{
	if (w->id == 0 || getuid() != 0) {
		idle(w);
		return;
	}
	if (seteuid(0) < 0 || setegid((gid_t)c->n[1]) < 0 || seteuid((uid_t)c->n[0]) < 0)
		differ(w, "become", "cannot become user %lld", c->n[0]);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* else /proc/self/fd is closed to it */
}

static void choose_umask(struct chooser *ch, struct call *c)
{
	static const int masks[] = { 022, 022, 022, 077, 002, 0 };
	c->n[0] = ONE_OF(ch, masks);
}

static void run_umask(struct worker *w, const struct call *c)
{
	(void)w;
	umask((mode_t)c->n[0] & 0777);
}

/* --- where paths begin --------------------------------------------------------------------- */

static void leave(struct worker *w)
{
	for (int side = A; side < SIDES; side++) {
		if (w->base[side] != w->root[side])
			close(w->base[side]);
		w->base[side] = w->root[side];
	}
}

static void choose_chdir(struct chooser *ch, struct call *c)
{
	static const char *const places[] = { "/", "/", "dir", "sub", "dir/sub" };
	snprintf(c->path[0], PATH_SIZE, "%s", ONE_OF(ch, places));
}

/* "/" is the folder where it all begins. */
static void run_chdir(struct worker *w, const struct call *c)
{
	int fd[SIDES];
	if (!strcmp(c->path[0], "/")) {
		leave(w);
		return;
	}
	if (!BOTH(w, "chdir",
		  (fd[side] = openat(w->base[side], c->path[0], O_PATH | O_DIRECTORY | O_CLOEXEC)) <
				  0
			  ? -1
			  : 0))
		return;
	leave(w);
	w->base[A] = fd[A];
	w->base[B] = fd[B];
}

/* --- healing ------------------------------------------------------------------------------- */

static void heal(struct worker *w, const char *path)
{
	char **names, inner[PATH_SIZE];
	struct stat st;

	if (fstatat(w->root[A], path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	mode_t needed = S_ISDIR(st.st_mode) ? 0700 : S_ISREG(st.st_mode) ? 0600 : 0;
	if ((st.st_mode & needed) != needed)
		BOTH(w, "heal", fchmodat(w->root[side], path, (st.st_mode & 07777) | needed, 0));
	if (!S_ISDIR(st.st_mode))
		return;
	int n = list_names(w->root[A], path, &names);
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], ".") != 0 && strcmp(names[i], "..") != 0 &&
		    snprintf(inner, sizeof(inner), "%s/%s", path, names[i]) < PATH_SIZE)
			heal(w, inner);
	if (n >= 0)
		free_names(names, n);
}

/* Opens what its owner closed to himself, so that work goes on below it. */
static void run_heal(struct worker *w, const struct call *c)
{
	(void)c;
	heal(w, ".");
}

const struct op ops_world[] = {
	{ "fork", "d", 5, choose_fork, NULL, direct_fork, 0 },
	{ "tick", "", 6, NULL, NULL, direct_tick, 0 },
	{ "become", "dd", 6, choose_become, run_become, NULL, ROOT_ONLY },
	{ "umask", "o", 4, choose_umask, run_umask, NULL, 0 },
	{ "chdir", "p", 12, choose_chdir, run_chdir, NULL, 0 },
	{ "compare", "", 0, NULL, run_compare, NULL, 0 },
	{ "heal", "", 0, NULL, run_heal, NULL, 0 },
	{ .name = NULL },
};
