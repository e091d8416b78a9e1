/* The processes: how the parent drives its workers, one call at a time. */
#include "differential.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define HANGS_MS 40000

int worker_start(struct worker *w, char *const roots[SIDES], const struct options *o,
		 struct shared *shared)
{
	*w = (struct worker){ .shared = shared, .options = o, .reply = -1 };
	for (int side = A; side < SIDES; side++) {
		w->root[side] = open(roots[side], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		w->base[side] = w->root[side];
		w->buffer[side] = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (w->root[side] < 0 || w->buffer[side] == MAP_FAILED) {
			perror(roots[side]);
			return -1;
		}
	}
	return 0;
}

/* --- in a worker --------------------------------------------------------------------------- */

uint32_t name_hash(const char *path)
{
	size_t n = strlen(path);
	uint32_t hash = 2166136261u;

	while (n && path[n - 1] == '/')
		n--;
	size_t from = n;
	while (from && path[from - 1] != '/')
		from--;
	for (; from < n; from++)
		hash = (hash ^ (unsigned char)path[from]) * 16777619u;
	return hash;
}

static void make_call(struct worker *w)
{
	struct shared *s = w->shared;
	const struct call *c = &s->call;

	s->idle = false;
	if (c->op->traits & MAKES_NAMES)
		for (int i = 0; i < 2; i++)
			s->touched[s->n_touched++ % TOUCHED] = name_hash(c->path[i]);
	c->op->run(w, c);
}

static void close_all(struct worker *w)
{
	for (int i = 0; i < MAPS; i++)
		map_close(w, &w->maps[i]);
	for (int i = 0; i < SLOTS; i++)
		slot_close(w, &w->slots[i]);
	for (int i = 0; i < FOLDERS; i++)
		folder_close(w, &w->folders[i]);
}

/* A worker of its own: what it inherits counts once more. */
static void begin(struct worker *w, int id)
{
	struct shared *s = w->shared;
	int from = w->id;

	w->id = id;
	s->pids[id] = getpid();
	if (from == id)
		return;
	memcpy(s->slots[id], s->slots[from], sizeof(s->slots[0]));
	memcpy(s->maps[id], s->maps[from], sizeof(s->maps[0]));
	/* A listing's position is common to parent and child; only one of them goes on with it. */
	for (int i = 0; i < FOLDERS; i++)
		folder_close(w, &w->folders[i]);
	if (id == 0) /* the one that compares trees may always do so */
		(void)!seteuid(getuid());
}

/* Calls until it is told to end ('x'), or the parent has gone. 'f' and a digit: a copy becomes that worker. */
static void serve(struct worker *w, struct play *p, int parent_pidfd)
{
	char what[2];
	for (;;) {
		struct pollfd fds[] = { { p->channels[w->id].request[0], POLLIN, 0 },
					{ parent_pidfd, POLLIN, 0 } };
		if (poll(fds, 2, -1) < 0 || fds[1].revents)
			_exit(3);
		if (read(fds[0].fd, what, 2) != 2)
			_exit(3);
		if (what[0] == 'c')
			make_call(w);
		else if (what[0] == 'x')
			close_all(w);
		else if (fork() == 0)
			begin(w, what[1] - '0');
		else
			continue; /* the child answers */
		w->reply = p->channels[w->id].reply[1];
		if (write(w->reply, what[0] == 'x' ? "x" : "k", 1) != 1 || what[0] == 'x')
			_exit(0);
	}
}

/* --- in the parent ------------------------------------------------------------------------- */

static void show_difference(const struct play *p, const char *key, const char *what)
{
	printf("difference: %s\nstep %llu: %s\n", key, (unsigned long long)p->shared->step, what);
}

/* What the worker answered: 'k' or 'x', or 0 after telling what went wrong. */
static char answer(struct play *p, int id)
{
	struct channel *ch = &p->channels[id];
	struct pollfd fds[] = { { ch->reply[0], POLLIN, 0 }, { ch->pidfd, POLLIN, 0 } };
	char what = 0;

	if (poll(fds, ch->pidfd < 0 ? 1 : 2, HANGS_MS) == 0) {
		show_difference(p, "hangs", "a call does not return");
		return 0;
	}
	if (!(fds[0].revents & POLLIN) || read(ch->reply[0], &what, 1) != 1)
		show_difference(p, "dies", "a worker died");
	else if (what == 'd')
		show_difference(p, p->shared->key, p->shared->difference);
	return what == 'd' ? 0 : what;
}

static char ask(struct play *p, int id, const char what[2])
{
	if (write(p->channels[id].request[1], what, 2) != 2)
		return 0;
	return what[0] == 'f' ? answer(p, what[1] - '0') : answer(p, id);
}

/* pidfd_open by its number: the C library's wrapper is younger than some that we build with. */
static int open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void wait_gone(struct channel *ch)
{
	struct pollfd fd = { ch->pidfd, POLLIN, 0 };
	if (ch->pidfd < 0)
		return;
	poll(&fd, 1, HANGS_MS);
	close(ch->pidfd);
	ch->pidfd = -1;
}

int play_fork(struct play *p, int from, int to)
{
	char what[2] = { 'f', (char)('0' + to) };

	if (ask(p, to, "x ") != 'x')
		return 1;
	wait_gone(&p->channels[to]);
	if (ask(p, from, what) != 'k')
		return 1;
	p->channels[to].pidfd = open_pidfd(p->shared->pids[to]);
	return 0;
}

int play_start(struct play *p, char *const roots[SIDES], const struct options *o)
{
	signal(SIGCHLD, SIG_IGN); /* nobody waits: pidfds tell */
	signal(SIGPIPE, SIG_IGN);
	p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->shared == MAP_FAILED || worker_start(&p->own, roots, o, p->shared) < 0)
		return -1;
	for (int i = 0; i < WORKERS; i++) {
		p->channels[i].pidfd = -1;
		if (pipe2(p->channels[i].request, O_CLOEXEC) < 0 ||
		    pipe2(p->channels[i].reply, O_CLOEXEC) < 0)
			return -1;
	}
	int self = open_pidfd(getpid());
	for (int i = 0; i < WORKERS; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			p->own.id = i;
			p->own.reply = p->channels[i].reply[1];
			begin(&p->own, i);
			serve(&p->own, p, self);
		}
		p->channels[i].pidfd = open_pidfd(pid);
	}
	return 0;
}

int play_call(struct play *p, const struct call *c)
{
	char text[2 * PATH_SIZE * 3 + 200];
	int r;

	if (p->record) {
		call_text(c, text, sizeof(text));
		fprintf(p->record, "%s\n", text);
	}
	p->shared->call = *c;
	p->shared->idle = false;
	r = c->op->direct ? c->op->direct(p, c) : ask(p, c->worker, "c ") != 'k';
	p->shared->step++;
	return r;
}

void play_end(struct play *p)
{
	for (int i = 0; i < WORKERS; i++) {
		struct channel *ch = &p->channels[i];
		/* After a difference some are dead, or about to be, and one may hang. */
		struct pollfd fds[] = { { ch->reply[0], POLLIN, 0 }, { ch->pidfd, POLLIN, 0 } };
		if (ch->pidfd >= 0 &&
		    (write(ch->request[1], "x ", 2) != 2 || poll(fds, 2, HANGS_MS) <= 0))
			kill(p->shared->pids[i], SIGKILL);
		wait_gone(ch);
	}
}
