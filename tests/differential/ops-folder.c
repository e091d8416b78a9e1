/*
 * Listings under way while names change. What POSIX promises is checked on each side: a name that stood there
 * all along comes exactly once, and no name comes that never was there; a position that telldir gave leads
 * back to where it was. The order is each filesystem's own.
 *
 * The system call is used as it is, with small buffers: the C library would read whole folders at once.
 */
#include "differential.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

void folder_close(struct worker *w, struct folder *f)
{
	w->shared->listing[w->id][f - w->folders] = false;
	if (!f->open)
		return;
	for (int side = A; side < SIDES; side++) {
		close(f->fd[side]);
		free(f->got[side]);
	}
	free_names(f->names, f->n_names);
	*f = (struct folder){ .open = false };
}

static struct folder *folder_of(struct worker *w, const struct call *c)
{
	struct folder *f = &w->folders[c->n[0] < 0 ? 0 : c->n[0] % FOLDERS];
	if (f->open)
		return f;
	idle(w);
	return NULL;
}

/* Takes the names that stand there now; what came before does not count any more. */
static void take_names(struct worker *w, struct folder *f)
{
	free_names(f->names, f->n_names);
	f->n_names = list_names(f->fd[A], ".", &f->names);
	f->since = w->shared->n_touched;
	if (f->n_names < 0) { /* it may be read and not entered: nothing is known of its names */
		f->n_names = 0;
		f->since -= TOUCHED + 1;
	}
	for (int side = A; side < SIDES; side++) {
		f->n_got[side] = f->n_told[side] = 0;
		f->told[side] = 0;
	}
}

static void choose_folder(struct chooser *ch, struct call *c)
{
	c->n[0] = below(ch, FOLDERS);
	c->n[1] = 300LL + below(ch, chance(ch, 70) ? 500 : 8000);
}

static void choose_opendir(struct chooser *ch, struct call *c)
{
	static const char *const places[] = { "wide", "wide", "wide", ".", "dir", "sub" };
	choose_folder(ch, c);
	snprintf(c->path[0], PATH_SIZE, "%s", ONE_OF(ch, places));
}

static void run_opendir(struct worker *w, const struct call *c)
{
	struct folder *f = &w->folders[c->n[0] < 0 ? 0 : c->n[0] % FOLDERS];
	int fd[SIDES];

	folder_close(w, f);
	if (!BOTH(w, "opendir",
		  (fd[side] = openat(w->base[side], c->path[0],
				     O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0
			  ? -1
			  : 0))
		return;
	*f = (struct folder){ .open = true, .fd = { fd[A], fd[B] } };
	w->shared->listing[w->id][f - w->folders] = true;
	take_names(w, f);
}

static bool touched(const struct worker *w, const struct folder *f, const char *name)
{
	const struct shared *s = w->shared;
	uint32_t hash = name_hash(name);

	if (s->n_touched - f->since > TOUCHED)
		return true; /* too long ago to tell */
	for (uint64_t i = f->since; i < s->n_touched; i++)
		if (s->touched[i % TOUCHED] == hash)
			return true;
	return false;
}

static int index_of(const struct folder *f, const char *name)
{
	for (int i = 0; i < f->n_names; i++)
		if (!strcmp(f->names[i], name))
			return i;
	return -1;
}

/* One entry came: a name of the start is counted, another one must have been made since. */
static void take_entry(struct worker *w, struct folder *f, int side, const char *name)
{
	struct stat st;
	int i = index_of(f, name);

	if (i < 0) {
		if (!touched(w, f, name) && fstatat(f->fd[A], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			differ(w, "listed what is not there",
			       "side %c lists '%s', which never was there", 'A' + side, name);
		return;
	}
	f->got[side] = realloc(f->got[side], (size_t)(f->n_got[side] + 1) * sizeof(int));
	f->got[side][f->n_got[side]++] = i;
}

static void check_whole(struct worker *w, struct folder *f, int side)
{
	int *times = calloc((size_t)f->n_names + 1, sizeof(int));
	struct stat st;

	for (int i = 0; i < f->n_got[side]; i++)
		times[f->got[side][i]]++;
	/* A folder that was removed meanwhile lists nothing. */
	bool there = fstat(f->fd[A], &st) == 0 && st.st_nlink > 0;
	for (int i = 0; there && i < f->n_names; i++)
		if (times[i] != 1 && !touched(w, f, f->names[i]))
			differ(w, times[i] ? "listed twice" : "listed never",
			       "side %c lists '%s' %d times, which stood there all along",
			       'A' + side, f->names[i], times[i]);
	free(times);
}

/* Reads a buffer full; ENOENT, of a removed folder, is an end too. */
static void read_side(struct worker *w, struct folder *f, int side, size_t size)
{
	struct dirent64 *e;
	long n = syscall(SYS_getdents64, f->fd[side], w->buffer[side], size);

	if (n < 0 && errno != ENOENT)
		differ(w, "getdents", "getdents on side %c gives %s", 'A' + side,
		       strerrorname_np(errno));
	for (long at = 0; at < n; at += e->d_reclen) {
		e = (struct dirent64 *)(void *)(w->buffer[side] + at);
		take_entry(w, f, side, e->d_name);
	}
	if (n <= 0)
		check_whole(w, f, side);
}

static void run_readdir(struct worker *w, const struct call *c)
{
	struct folder *f = folder_of(w, c);
	size_t size = c->n[1] > 300 && c->n[1] < BUFFER ? (size_t)c->n[1] : 300;

	for (int side = A; f && side < SIDES; side++)
		read_side(w, f, side, size);
}

/* To the end: what is still to come must come. */
static void run_readdir_all(struct worker *w, const struct call *c)
{
	struct folder *f = folder_of(w, c);
	if (!f)
		return;
	for (int side = A; side < SIDES; side++) {
		off_t before;
		do {
			before = lseek(f->fd[side], 0, SEEK_CUR);
			read_side(w, f, side, (size_t)c->n[1] % BUFFER);
		} while (lseek(f->fd[side], 0, SEEK_CUR) != before);
	}
}

static void run_telldir(struct worker *w, const struct call *c)
{
	struct folder *f = folder_of(w, c);
	for (int side = A; f && side < SIDES; side++) {
		f->told[side] = lseek(f->fd[side], 0, SEEK_CUR);
		f->n_told[side] = f->n_got[side];
	}
}

static void run_seekdir(struct worker *w, const struct call *c)
{
	struct folder *f = folder_of(w, c);
	if (!f)
		return;
	for (int side = A; side < SIDES; side++) {
		if (lseek(f->fd[side], f->told[side], SEEK_SET) != f->told[side])
			differ(w, "seekdir", "seekdir on side %c gives %s", 'A' + side,
			       strerrorname_np(errno));
		f->n_got[side] = f->n_told[side];
	}
}

static bool others_list(const struct worker *w)
{
	int n = 0;
	for (int i = 0; i < WORKERS; i++)
		for (int j = 0; j < FOLDERS; j++)
			n += w->shared->listing[i][j];
	return n > 1;
}

static void run_rewinddir(struct worker *w, const struct call *c)
{
	struct folder *f = folder_of(w, c);
	if (!f)
		return;
	uint64_t since = f->since;
	BOTH(w, "rewinddir", lseek(f->fd[side], 0, SEEK_SET));
	take_names(w, f);
	/* The kernel may go on with a list that another reader had begun before the rewinding: what changed
	 * since the opening may be seen or not (docs/notes-fs.md). */
	if (others_list(w) && f->n_names)
		f->since = since;
}

static void run_closedir(struct worker *w, const struct call *c)
{
	struct folder *f = folder_of(w, c);
	if (f)
		folder_close(w, f);
}

const struct op ops_folder[] = {
	{ "opendir", "pd", 16, choose_opendir, run_opendir, NULL, 0 },
	{ "readdir", "dd", 45, choose_folder, run_readdir, NULL, 0 },
	{ "readdir_all", "dd", 10, choose_folder, run_readdir_all, NULL, 0 },
	{ "telldir", "d", 12, choose_folder, run_telldir, NULL, 0 },
	{ "seekdir", "d", 8, choose_folder, run_seekdir, NULL, 0 },
	{ "rewinddir", "d", 4, choose_folder, run_rewinddir, NULL, 0 },
	{ "closedir", "d", 2, choose_folder, run_closedir, NULL, 0 },
	{ .name = NULL },
};
