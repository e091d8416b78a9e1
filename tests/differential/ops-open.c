/* Opening, closing, duplicating; files without a name; flags of open files. */
#include "differential.h"

#include <stdlib.h>

void slot_close(struct worker *w, struct slot *s)
{
	if (!s->open)
		return;
	close(s->fd[A]);
	close(s->fd[B]);
	frozen_free(&s->frozen);
	s->open = false;
	note_closed(w, &w->shared->slots[w->id][s - w->slots]);
}

/* Takes two descriptors over. */
static void slot_fill(struct worker *w, struct slot *s, const int fd[SIDES], int flags)
{
	struct stat st;

	*s = (struct slot){ .open = true, .fd = { fd[A], fd[B] } };
	if (fstat(fd[A], &st) == 0)
		s->type = st.st_mode & S_IFMT;
	note_open(w, s, flags);
	compare_fstat(w, s);
}

static void choose_open(struct chooser *ch, struct call *c)
{
	static const int extras[] = { 0,
				      0,
				      0,
				      O_CREAT,
				      O_CREAT,
				      O_CREAT | O_EXCL,
				      O_TRUNC,
				      O_CREAT | O_TRUNC,
				      O_CREAT | O_TRUNC,
				      O_APPEND,
				      O_CREAT | O_APPEND,
				      O_CREAT | O_APPEND,
				      O_NOFOLLOW,
				      O_DIRECTORY };
	static const int rare[] = { O_SYNC, O_DSYNC, O_DIRECT, O_DIRECT, O_PATH, O_NOATIME };
	static const int modes[] = { O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR };

	c->slot[0] = any_slot(ch);
	any_path(ch, c->path[0]);
	c->n[0] = ONE_OF(ch, modes) | ONE_OF(ch, extras);
	if (chance(ch, 12))
		c->n[0] |= ONE_OF(ch, rare);
	c->n[1] = chance(ch, 80) ? 0644 : any_mode(ch);
}

static void run_open(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	int flags = (int)c->n[0] | O_CLOEXEC | O_NONBLOCK; /* O_NONBLOCK: for fifos */
	int fd[SIDES];

	slot_close(w, s);
	if (BOTH(w, "open",
		 (fd[side] = openat(w->base[side], c->path[0], flags, (mode_t)c->n[1])) < 0 ? -1
											    : 0))
		slot_fill(w, s, fd, flags);
}

static void run_close(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	if (!s->open)
		idle(w);
	slot_close(w, s);
}

static void choose_dup(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->slot[1] = any_slot(ch);
}

/* dup2 closes what was there. */
static void run_dup(struct worker *w, const struct call *c)
{
	struct slot *from = &w->slots[c->slot[0]], *to = &w->slots[c->slot[1]];
	struct open_file *files = w->shared->slots[w->id];
	int fd[SIDES];

	if (!from->open || from == to) {
		idle(w);
		return;
	}
	if (to->open && BOTH(w, "dup2", dup2(from->fd[side], to->fd[side]) < 0 ? -1 : 0)) {
		fd[A] = to->fd[A];
		fd[B] = to->fd[B];
		frozen_free(&to->frozen);
		note_closed(w, &files[c->slot[1]]);
	} else if (!BOTH(w, "dup", (fd[side] = dup(from->fd[side])) < 0 ? -1 : 0)) {
		return;
	}
	*to = (struct slot){ .open = true, .fd = { fd[A], fd[B] }, .type = from->type };
	frozen_copy(&to->frozen, &from->frozen);
	files[c->slot[1]] = files[c->slot[0]];
	compare_fstat(w, to);
}

/* A second open file of a slot's inode, by way of /proc. */
static void choose_reopen(struct chooser *ch, struct call *c)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC,
				     O_WRONLY | O_APPEND };
	choose_dup(ch, c);
	c->n[0] = ONE_OF(ch, modes);
}

/* A descriptor for the frozen file has no path once that was changed, so that opening it for writing, or
 * linking it, is ESTALE (docs/notes-fs.md); so it is with O_PATH. */
static bool may_be_apart(struct worker *w, const struct slot *s)
{
	struct known *k = known_of(w, s->fd[A]);
	const struct open_file *all = &w->shared->slots[0][0];

	if (s->frozen.reads != LIVE)
		return true;
	if (!(fcntl(s->fd[A], F_GETFL) & O_PATH))
		return false;
	for (int i = 0; i < WORKERS * SLOTS; i++)
		if (all[i].class != ON_FILE && all[i].known == k - w->shared->known + 1)
			return true;
	return k->frozen_closed_ms;
}

static void run_reopen(struct worker *w, const struct call *c)
{
	struct slot *from = &w->slots[c->slot[0]], *to = &w->slots[c->slot[1]];
	int flags = (int)c->n[0] | O_CLOEXEC | O_NONBLOCK, fd[SIDES];
	char path[64];

	if (!from->open || from == to || may_be_apart(w, from)) {
		idle(w);
		return;
	}
	slot_close(w, to);
	if (BOTH(w, "reopen",
		 (snprintf(path, sizeof(path), "/proc/self/fd/%d", from->fd[side]),
		  (fd[side] = open(path, flags)) < 0 ? -1 : 0)))
		slot_fill(w, to, fd, flags);
}

/* --- files without a name ------------------------------------------------------------------ */

static void choose_tmpfile(struct chooser *ch, struct call *c)
{
	static const int modes[] = { O_RDWR,	      O_RDWR,	O_WRONLY,
				     O_RDWR | O_EXCL, O_RDONLY, O_RDWR | O_APPEND };
	static const char *const places[] = { ".", "dir", "sub", "dir/sub", "a" };
	c->slot[0] = any_slot(ch);
	snprintf(c->path[0], PATH_SIZE, "%s", ONE_OF(ch, places));
	c->n[0] = ONE_OF(ch, modes);
	c->n[1] = any_mode(ch);
}

static void run_tmpfile(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	int flags = (int)c->n[0] | O_TMPFILE | O_CLOEXEC, fd[SIDES];

	slot_close(w, s);
	if (BOTH(w, "tmpfile",
		 (fd[side] = openat(w->base[side], c->path[0], flags, (mode_t)c->n[1])) < 0 ? -1
											    : 0))
		slot_fill(w, s, fd, flags);
}

static void choose_linkfd(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	any_path(ch, c->path[0]);
	c->n[0] = below(ch, 2);
}

/* linkat by way of /proc (0) or with AT_EMPTY_PATH (1). */
static void run_linkfd(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	bool empty = c->n[0] == 1;
	char proc[64];

	if (!s->open || may_be_apart(w, s)) {
		idle(w);
		return;
	}
	if (BOTH(w, "link of an open file",
		 (snprintf(proc, sizeof(proc), "/proc/self/fd/%d", s->fd[side]),
		  linkat(empty ? s->fd[side] : AT_FDCWD, empty ? "" : proc, w->base[side],
			 c->path[0], empty ? AT_EMPTY_PATH : AT_SYMLINK_FOLLOW))))
		compare_stat(w, c->path[0], AT_SYMLINK_NOFOLLOW);
	compare_fstat(w, s);
}

/* --- flags --------------------------------------------------------------------------------- */

static void choose_setfl(struct chooser *ch, struct call *c)
{
	static const int flags[] = {
		0, O_APPEND, O_APPEND, O_DIRECT, O_NOATIME, O_APPEND | O_DIRECT
	};
	c->slot[0] = any_slot(ch);
	c->n[0] = ONE_OF(ch, flags);
}

static void run_setfl(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	if (!s->open) {
		idle(w);
		return;
	}
	int flags = (int)c->n[0] | O_NONBLOCK;
	/* With passthrough the kernel's own open of the file below keeps what it was opened with. */
	if (w->options->frozen)
		flags |= fcntl(s->fd[A], F_GETFL) & (O_APPEND | O_DIRECT);
	BOTH(w, "F_SETFL", fcntl(s->fd[side], F_SETFL, flags));
	BOTH(w, "F_GETFL", fcntl(s->fd[side], F_GETFL));
}

const struct op ops_open[] = {
	{ "open", "spoo", 240, choose_open, run_open, NULL, MAKES_NAMES },
	{ "close", "s", 50, choose_slot, run_close, NULL, 0 },
	{ "dup", "ss", 12, choose_dup, run_dup, NULL, 0 },
	{ "reopen", "sso", 50, choose_reopen, run_reopen, NULL, 0 },
	{ "tmpfile", "spoo", 12, choose_tmpfile, run_tmpfile, NULL, 0 },
	{ "linkfd", "spd", 18, choose_linkfd, run_linkfd, NULL, MAKES_NAMES },
	{ "setfl", "so", 12, choose_setfl, run_setfl, NULL, 0 },
	{ .name = NULL },
};
