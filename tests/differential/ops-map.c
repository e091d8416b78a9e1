/* Mappings, shared and private, of files that are read, written and cut to size meanwhile. */
#include "differential.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE BLOCK

void map_close(struct worker *w, struct map *m)
{
	if (!m->open)
		return;
	munmap(m->at[A], m->len);
	munmap(m->at[B], m->len);
	close(m->place);
	frozen_free(&m->frozen);
	m->open = false;
	note_closed(w, &w->shared->maps[w->id][m - w->maps]);
}

static struct map *map_of(struct worker *w, const struct call *c)
{
	struct map *m = &w->maps[c->n[0] < 0 ? 0 : c->n[0] % MAPS];
	if (m->open)
		return m;
	idle(w);
	return NULL;
}

/* The length of the mapped plain file. */
static off_t size_of(const struct map *m)
{
	struct stat st;
	return fstat(m->place, &st) < 0 ? 0 : st.st_size;
}

/* --- touching pages that may be gone ------------------------------------------------------- */

/* The one place where a signal handler must reach: a load or store on a page behind the file's end. */
static sigjmp_buf *bus_target(void)
{
	static sigjmp_buf target;
	return &target;
}

static void bus_error(int signal)
{
	(void)signal;
	siglongjmp(*bus_target(), 1);
}

/* Copies n bytes; -1 with EFAULT where that gave SIGBUS. */
static long touch(char *to, const char *from, size_t n)
{
	struct sigaction on = { .sa_handler = bus_error }, before;
	long r = 0;

	sigaction(SIGBUS, &on, &before);
	if (sigsetjmp(*bus_target(), 1) == 0) {
		memcpy(to, from, n);
	} else {
		errno = EFAULT;
		r = -1;
	}
	int code = errno;
	sigaction(SIGBUS, &before, NULL);
	errno = code;
	return r;
}

/* Bytes from `at` (in the mapping) on: not more than were asked for, and not those behind the file's end in its
 * last page, which mean nothing. Where the page is gone altogether, one. */
static size_t reach(const struct map *m, size_t at, size_t n, off_t size)
{
	off_t from = m->offset + (off_t)at, last = (size + PAGE - 1) & ~(off_t)(PAGE - 1);
	if (n > m->len - at)
		n = m->len - at;
	if (from >= last)
		return 1;
	if (from >= size)
		return 0;
	return from + (off_t)n > size ? (size_t)(size - from) : n;
}

/* --- the calls ----------------------------------------------------------------------------- */

static void choose_map(struct chooser *ch, struct call *c)
{
	static const int prots[] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE };
	c->n[0] = below(ch, MAPS);
	c->slot[0] = any_slot(ch);
	c->n[1] = chance(ch, 60) ? 0 : PAGE * (long long)below(ch, 8);
	c->n[2] = 1LL + below(ch, 8 * PAGE);
	c->n[3] = ONE_OF(ch, prots);
	c->n[4] = chance(ch, 70) ? MAP_SHARED : MAP_PRIVATE;
}

static void run_map(struct worker *w, const struct call *c)
{
	struct map *m = &w->maps[c->n[0] < 0 ? 0 : c->n[0] % MAPS];
	struct slot *s = &w->slots[c->slot[0]];
	int prot = (int)c->n[3], flags = (int)c->n[4];
	size_t len = c->n[2] > 0 && c->n[2] < BUFFER ? (size_t)c->n[2] : PAGE;
	char path[64];

	/* What is stored to a private map of frozen bytes says nothing about files. */
	if (s->open && s->frozen.reads != LIVE)
		prot &= ~PROT_WRITE;
	if (!s->open || s->type != S_IFREG) {
		idle(w);
		return;
	}
	map_close(w, m);
	*m = (struct map){ .len = len, .offset = c->n[1], .prot = prot, .flags = flags };
	if (!BOTH(w, "mmap",
		  (m->at[side] = mmap(NULL, len, prot, flags, s->fd[side], m->offset)) == MAP_FAILED
			  ? -1
			  : 0))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd[A]);
	m->place = open(path, O_PATH | O_CLOEXEC);
	m->open = true;
	frozen_copy(&m->frozen, &s->frozen);
	w->shared->maps[w->id][m - w->maps] = w->shared->slots[w->id][c->slot[0]];
}

static void run_unmap(struct worker *w, const struct call *c)
{
	struct map *m = map_of(w, c);
	if (m)
		map_close(w, m);
}

static void choose_touch(struct chooser *ch, struct call *c)
{
	c->n[0] = below(ch, MAPS);
	c->n[1] = chance(ch, 30) ? 0 : (long long)below(ch, 8 * PAGE);
	c->n[2] = 1LL + below(ch, chance(ch, 80) ? 500 : 2 * PAGE);
	c->n[3] = below(ch, 26);
}

/* The view of a frozen file's mapping: its end may be another. */
static void load_frozen(struct worker *w, struct map *m, size_t at, size_t n)
{
	off_t size = size_of(m), from = m->offset + (off_t)at;
	size_t plain = reach(m, at, n, size), view = reach(m, at, n, m->frozen.len);

	if (from >= size || from >= m->frozen.len || touch(w->buffer[A], m->at[A] + at, plain) < 0)
		return;
	if (touch(w->buffer[B], m->at[B] + at, view) < 0)
		memset(w->buffer[B], '?', view); /* cut off: right only if it is not frozen */
	if (plain <
	    view) /* behind the end of the shorter one are zeros, or what was stored there */
		view = plain;
	if (!reads_right(&m->frozen, w->buffer[A], (ssize_t)view, w->buffer[B], (ssize_t)view, from,
			 view))
		differ(w, "mapped bytes", "a frozen mapping shows other bytes from %ld on",
		       (long)from);
}

static void run_load(struct worker *w, const struct call *c)
{
	struct map *m = map_of(w, c);
	if (!m)
		return;
	size_t at = (size_t)c->n[1] % m->len, n = c->n[2] > 0 ? (size_t)c->n[2] : 1;
	if (m->frozen.reads != LIVE) {
		load_frozen(w, m, at, n);
		return;
	}
	n = reach(m, at, n, size_of(m));
	if (BOTH(w, "load", touch(w->buffer[side], m->at[side] + at, n)) &&
	    memcmp(w->buffer[A], w->buffer[B], n) != 0)
		differ(w, "mapped bytes", "%zu mapped bytes from %ld on differ", n,
		       (long)(m->offset + (off_t)at));
}

static void run_store(struct worker *w, const struct call *c)
{
	struct map *m = map_of(w, c);
	if (!m)
		return;
	if (!(m->prot & PROT_WRITE)) {
		idle(w);
		return;
	}
	size_t at = (size_t)c->n[1] % m->len, n = c->n[2] > 0 ? (size_t)c->n[2] : 1;
	n = reach(m, at, n, size_of(m));
	memset(w->buffer[A], (int)('A' + c->n[3]), n);
	BOTH(w, "store", touch(m->at[side] + at, w->buffer[A], n));
	struct open_file *f = &w->shared->maps[w->id][m - w->maps];
	if ((m->flags & MAP_SHARED) && f->known) {
		/* Dirty pages get their file's times when they are written back, each side when it sees fit. */
		f->dirty = true;
		w->shared->known[f->known - 1].loose_times = true;
	}
}

static void choose_msync(struct chooser *ch, struct call *c)
{
	static const int flags[] = { MS_SYNC, MS_SYNC, MS_ASYNC, MS_INVALIDATE | MS_SYNC };
	c->n[0] = below(ch, MAPS);
	c->n[1] = ONE_OF(ch, flags);
}

static void run_msync(struct worker *w, const struct call *c)
{
	struct map *m = map_of(w, c);
	if (!m)
		return;
	BOTH(w, "msync", msync(m->at[side], m->len, (int)c->n[1]));
	if (c->n[1] & MS_SYNC)
		w->shared->maps[w->id][m - w->maps].dirty = false;
}

static void choose_madvise(struct chooser *ch, struct call *c)
{
	static const int advice[] = { MADV_DONTNEED, MADV_WILLNEED, MADV_SEQUENTIAL, MADV_REMOVE };
	choose_touch(ch, c);
	c->n[3] = ONE_OF(ch, advice);
}

/* MADV_DONTNEED drops what was stored to a private map; MADV_REMOVE makes a hole in the file. */
static void run_madvise(struct worker *w, const struct call *c)
{
	struct map *m = map_of(w, c);
	if (!m)
		return;
	size_t at = (size_t)c->n[1] % m->len & ~(size_t)(PAGE - 1);
	size_t n = c->n[2] > 0 && (size_t)c->n[2] < m->len - at ? (size_t)c->n[2] : m->len - at;
	BOTH(w, "madvise", madvise(m->at[side] + at, n, (int)c->n[3]));
}

const struct op ops_map[] = {
	{ "map", "sdddxx", 35, choose_map, run_map, NULL, 0 },
	{ "unmap", "d", 8, choose_touch, run_unmap, NULL, 0 },
	{ "load", "ddd", 45, choose_touch, run_load, NULL, 0 },
	{ "store", "dddd", 45, choose_touch, run_store, NULL, 0 },
	{ "msync", "dx", 8, choose_msync, run_msync, NULL, 0 },
	{ "madvise", "dddd", 8, choose_madvise, run_madvise, NULL, 0 },
	{ .name = NULL },
};
