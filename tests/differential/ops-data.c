/* Bytes of open files: reading, writing, positions, sizes, holes, syncs. */
#include "differential.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/uio.h>

/* An open slot that has bytes; else the call is idle. */
static struct slot *slot_of(struct worker *w, const struct call *c)
{
	struct slot *s = &w->slots[c->slot[0]];
	if (s->open)
		return s;
	idle(w);
	return NULL;
}

static bool is_direct(const struct slot *s)
{
	int flags = fcntl(s->fd[A], F_GETFL);
	return flags >= 0 && (flags & O_DIRECT);
}

/* O_DIRECT is comparable where it is aligned: the disk refuses the rest, the daemon copies it. */
static void align(const struct slot *s, off_t *at, size_t *n)
{
	if (is_direct(s)) {
		*at &= ~(off_t)(BLOCK - 1);
		*n = (*n + BLOCK - 1) & ~(size_t)(BLOCK - 1);
	}
}

static void make_bytes(char *bytes, size_t n, long long first)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)((long long)'a' + (first + (long long)i) % 7 + first % 19);
}

/* --- reading ------------------------------------------------------------------------------- */

static void choose_read(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->n[0] = any_length(ch);
}

static void choose_pread(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->n[0] = any_offset(ch);
	c->n[1] = any_length(ch);
}

static void read_compared(struct worker *w, struct slot *s, const char *what, off_t at,
			  const long got[SIDES], const int error[SIDES], size_t n)
{
	if (s->frozen.reads == LIVE || got[A] < 0 || got[B] < 0) {
		if (!same(w, what, got, error))
			return;
	}
	if (!reads_right(&s->frozen, w->buffer[A], got[A], w->buffer[B], got[B], at, n))
		differ(w, "read bytes", "%s gives other bytes: %ld and %ld, frozen %zd", what,
		       got[A], got[B], s->frozen.reads == LIVE ? -1 : s->frozen.len);
}

static void run_pread(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	off_t at = c->n[0];
	size_t n = (size_t)c->n[1];
	long got[SIDES];
	int error[SIDES];

	if (!s)
		return;
	align(s, &at, &n);
	EACH_SIDE(got, error, pread(s->fd[side], w->buffer[side], n, at))
	read_compared(w, s, "pread", at, got, error, n);
}

static void run_read(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	off_t start = s ? lseek(s->fd[A], 0, SEEK_CUR) : 0, at = start;
	size_t n = (size_t)c->n[0];
	long got[SIDES];
	int error[SIDES];

	if (!s)
		return;
	align(s, &at, &n);
	if (at != start)
		BOTH(w, "lseek", lseek(s->fd[side], at, SEEK_SET));
	EACH_SIDE(got, error, read(s->fd[side], w->buffer[side], n))
	read_compared(w, s, "read", at, got, error, n);
	/* Frozen bytes may have led to another position. */
	if (s->frozen.reads != LIVE)
		BOTH(w, "lseek", lseek(s->fd[side], at, SEEK_SET));
	else if (s->type == S_IFREG)
		BOTH(w, "lseek", lseek(s->fd[side], 0, SEEK_CUR));
}

/* Two pieces of a buffer, so that calls with vectors have something to gather. */
static int pieces(char *buffer, size_t n, struct iovec v[2])
{
	size_t first = n > 2 * BLOCK ? BLOCK : n / 3;
	v[0] = (struct iovec){ buffer, first };
	v[1] = (struct iovec){ buffer + first, n - first };
	return 2;
}

static void run_readv(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	off_t at = c->n[0];
	size_t n = (size_t)c->n[1];
	struct iovec v[2];
	long got[SIDES];
	int error[SIDES];

	if (!s)
		return;
	if (is_direct(s)) {
		idle(w); /* the pieces are not aligned */
		return;
	}
	EACH_SIDE(got, error, preadv2(s->fd[side], v, pieces(w->buffer[side], n, v), at, 0))
	read_compared(w, s, "preadv2", at, got, error, n);
}

/* --- writing ------------------------------------------------------------------------------- */

static void choose_write(struct chooser *ch, struct call *c)
{
	choose_read(ch, c);
	c->n[1] = below(ch, 26);
}

static void choose_pwrite(struct chooser *ch, struct call *c)
{
	choose_pread(ch, c);
	c->n[0] = any_end(ch);
	c->n[2] = below(ch, 26);
}

/* NULL, and an idle call, where the outcome cannot be compared. */
static struct slot *slot_to_write(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	if (!s)
		return NULL;
	int flags = fcntl(s->fd[A], F_GETFL);
	/* A fifo's times stand still in any FUSE mount: the kernel does not tell of its use. And where a
	 * direct write appends, nothing aligns it. */
	if (s->type == S_IFIFO || (flags >= 0 && (flags & O_DIRECT) && (flags & O_APPEND))) {
		idle(w);
		return NULL;
	}
	return s;
}

static void run_pwrite(struct worker *w, const struct call *c)
{
	struct slot *s = slot_to_write(w, c);
	off_t at = c->n[0];
	size_t n = (size_t)c->n[1];

	if (!s)
		return;
	align(s, &at, &n);
	make_bytes(w->buffer[A], n, c->n[2]);
	BOTH(w, "pwrite", pwrite(s->fd[side], w->buffer[A], n, at));
	compare_fstat(w, s);
}

static void run_write(struct worker *w, const struct call *c)
{
	struct slot *s = slot_to_write(w, c);
	off_t start = s ? lseek(s->fd[A], 0, SEEK_CUR) : 0, at = start;
	size_t n = (size_t)c->n[0];

	if (!s)
		return;
	align(s, &at, &n);
	if (at != start)
		BOTH(w, "lseek", lseek(s->fd[side], at, SEEK_SET));
	make_bytes(w->buffer[A], n, c->n[1]);
	BOTH(w, "write", write(s->fd[side], w->buffer[A], n));
	if (s->type == S_IFREG)
		BOTH(w, "lseek", lseek(s->fd[side], 0, SEEK_CUR));
	compare_fstat(w, s);
}

static void choose_writev(struct chooser *ch, struct call *c)
{
	/* Not RWF_NOWAIT and those younger than Linux 6.6: EOPNOTSUPP in any FUSE mount. */
	static const int flags[] = { 0, 0, RWF_DSYNC, RWF_SYNC, RWF_APPEND, RWF_APPEND };
	choose_pwrite(ch, c);
	c->n[3] = ONE_OF(ch, flags);
	if (chance(ch, 10))
		c->n[0] = -1; /* at the file's own position */
}

static void run_writev(struct worker *w, const struct call *c)
{
	struct slot *s = slot_to_write(w, c);
	size_t n = (size_t)c->n[1];
	struct iovec v[2];

	if (!s)
		return;
	if (is_direct(s)) {
		idle(w);
		return;
	}
	make_bytes(w->buffer[A], n, c->n[2]);
	int k = pieces(w->buffer[A], n, v);
	BOTH(w, "pwritev2", pwritev2(s->fd[side], v, k, c->n[0], (int)c->n[3]));
	compare_fstat(w, s);
}

/* --- positions and sizes ------------------------------------------------------------------- */

/* Where data begins depends on what happens to be in the page cache; but what is skipped must be
 * zeros, and both sides must be left at the same position. */
static void seek_data(struct worker *w, struct slot *s, off_t at, int whence, off_t size)
{
	off_t r = lseek(s->fd[B], at, whence);
	bool none = r < 0 && errno == ENXIO && (whence == SEEK_DATA || at >= size || at < 0);

	if (r < 0 ? !none : r < at || r > size)
		differ(w, "seek data", "lseek to data gives %ld (%s) in %ld bytes", (long)r,
		       r < 0 ? strerrorname_np(errno) : "ok", (long)size);
	ssize_t n = pread(s->fd[A], w->buffer[A], BUFFER, at), skipped = r < 0 ? size - at : r - at;
	for (ssize_t i = 0; whence == SEEK_DATA && i < n && i < skipped; i++)
		if (w->buffer[A][i])
			differ(w, "seek over data", "lseek from %ld skips data at %zd", (long)at,
			       at + i);
	BOTH(w, "lseek", lseek(s->fd[side], at < 0 ? 0 : at, SEEK_SET));
}

static void choose_seek(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->n[0] = any_offset(ch);
	c->n[1] = below(ch, 5);
}

static void run_seek(struct worker *w, const struct call *c)
{
	static const int whences[] = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };
	struct slot *s = slot_of(w, c);
	struct stat st;

	if (!s)
		return;
	/* What an offset in a folder means is each filesystem's own affair; a frozen end may be another. */
	if (s->frozen.reads != LIVE || fstat(s->fd[A], &st) < 0 || s->type != S_IFREG ||
	    c->n[1] < 0 || c->n[1] > 4) {
		idle(w);
		return;
	}
	int whence = whences[c->n[1]];
	off_t from = whence == SEEK_CUR	  ? lseek(s->fd[A], 0, SEEK_CUR)
		     : whence == SEEK_END ? st.st_size
					  : 0;
	if (from + c->n[0] > SIZE_LIMIT) /* any_end tells why */
		idle(w);
	else if ((whence == SEEK_DATA || whence == SEEK_HOLE) &&
		 !(fcntl(s->fd[A], F_GETFL) & O_PATH))
		seek_data(w, s, c->n[0], whence, st.st_size);
	else
		BOTH(w, "lseek", lseek(s->fd[side], c->n[0], whence));
}

static void choose_ftruncate(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->n[0] = any_end(ch);
}

static void run_ftruncate(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	if (!s)
		return;
	BOTH(w, "ftruncate", ftruncate(s->fd[side], c->n[0]));
	compare_fstat(w, s);
}

static void choose_truncate(struct chooser *ch, struct call *c)
{
	any_path(ch, c->path[0]);
	c->n[0] = any_end(ch);
}

static void run_truncate(struct worker *w, const struct call *c)
{
	char proc[SIDES][PROC_SIZE];
	proc_path(proc[A], w->base[A], c->path[0]);
	proc_path(proc[B], w->base[B], c->path[0]);
	if (BOTH(w, "truncate", truncate(proc[side], c->n[0])))
		compare_stat(w, c->path[0], 0);
}

static void choose_fallocate(struct chooser *ch, struct call *c)
{
	/* FUSE passes no others on: collapsing and inserting ranges is EOPNOTSUPP in any such mount. */
	static const int modes[] = { 0,
				     FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE };
	c->slot[0] = any_slot(ch);
	c->n[0] = ONE_OF(ch, modes);
	c->n[1] = any_end(ch);
	c->n[2] = any_length(ch);
	if (chance(ch, 50)) {
		c->n[1] &= ~(long long)(BLOCK - 1);
		c->n[2] = (c->n[2] + BLOCK - 1) & ~(long long)(BLOCK - 1);
	}
}

static void run_fallocate(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	if (!s)
		return;
	BOTH(w, "fallocate", fallocate(s->fd[side], (int)c->n[0], c->n[1], c->n[2]));
	compare_fstat(w, s);
}

/* --- syncs and hints ----------------------------------------------------------------------- */

static void choose_sync(struct chooser *ch, struct call *c)
{
	c->slot[0] = any_slot(ch);
	c->n[0] = chance(ch, 3) ? 3 : below(ch, 3);
}

static void run_sync(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	if (!s)
		return;
	if (c->n[0] == 0)
		BOTH(w, "fsync", fsync(s->fd[side]));
	else if (c->n[0] == 1)
		BOTH(w, "fdatasync", fdatasync(s->fd[side]));
	else if (c->n[0] == 2)
		BOTH(w, "sync_file_range",
		     sync_file_range(s->fd[side], 0, 0, SYNC_FILE_RANGE_WRITE));
	else
		BOTH(w, "syncfs", syncfs(s->fd[side]));
}

static void choose_advise(struct chooser *ch, struct call *c)
{
	choose_pread(ch, c);
	c->n[2] = below(ch, 7);
}

static void run_advise(struct worker *w, const struct call *c)
{
	struct slot *s = slot_of(w, c);
	if (!s)
		return;
	if (c->n[2] == 6)
		BOTH(w, "readahead", readahead(s->fd[side], c->n[0], (size_t)c->n[1]));
	else
		BOTH(w, "posix_fadvise",
		     posix_fadvise(s->fd[side], c->n[0], c->n[1], (int)c->n[2]));
}

const struct op ops_data[] = {
	{ "pread", "sdd", 130, choose_pread, run_pread, NULL, 0 },
	{ "read", "sd", 40, choose_read, run_read, NULL, 0 },
	{ "preadv", "sdd", 15, choose_pread, run_readv, NULL, 0 },
	{ "pwrite", "sddd", 95, choose_pwrite, run_pwrite, NULL, 0 },
	{ "write", "sdd", 70, choose_write, run_write, NULL, 0 },
	{ "pwritev2", "sdddx", 30, choose_writev, run_writev, NULL, 0 },
	{ "lseek", "sdd", 50, choose_seek, run_seek, NULL, 0 },
	{ "ftruncate", "sd", 40, choose_ftruncate, run_ftruncate, NULL, 0 },
	{ "truncate", "pd", 25, choose_truncate, run_truncate, NULL, 0 },
	{ "fallocate", "sxdd", 40, choose_fallocate, run_fallocate, NULL, 0 },
	{ "sync", "sd", 3, choose_sync, run_sync, NULL, 0 },
	{ "advise", "sddd", 6, choose_advise, run_advise, NULL, 0 },
	{ .name = NULL },
};
