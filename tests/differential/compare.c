/* Results of calls, attributes, numbers and times. */
#include "differential.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void differ(struct worker *w, const char *key, const char *fmt, ...)
{
	struct shared *s = w->shared;
	va_list ap;

	snprintf(s->key, sizeof(s->key), "%s", key);
	va_start(ap, fmt);
	vsnprintf(s->difference, sizeof(s->difference), fmt, ap);
	va_end(ap);
	if (w->reply < 0) {
		printf("%s\n", s->difference);
		exit(1);
	}
	(void)!write(w->reply, "d", 1);
	_exit(1);
}

bool same(struct worker *w, const char *what, const long result[SIDES], const int error[SIDES])
{
	bool failed[SIDES] = { result[A] < 0, result[B] < 0 };
	const char *told[SIDES] = { failed[A] ? strerrorname_np(error[A]) : "ok",
				    failed[B] ? strerrorname_np(error[B]) : "ok" };
	char key[100];

	if (failed[A] == failed[B] && (failed[A] ? error[A] == error[B] : result[A] == result[B]))
		return !failed[A];
	snprintf(key, sizeof(key), "%s: %s and %s", what, told[A], told[B]);
	differ(w, key, "%s: plain gives %ld (%s), the view %ld (%s)", what, result[A], told[A],
	       result[B], told[B]);
}

void proc_path(char out[PROC_SIZE], int fd, const char *path)
{
	snprintf(out, PROC_SIZE, "/proc/self/fd/%d/%s", fd, path);
}

/* --- what is known of a file --------------------------------------------------------------- */

static bool in_use(const struct shared *s, uint32_t known)
{
	for (int i = 0; i < WORKERS; i++) {
		for (int j = 0; j < SLOTS; j++)
			if (s->slots[i][j].known == known + 1)
				return true;
		for (int j = 0; j < MAPS; j++)
			if (s->maps[i][j].known == known + 1)
				return true;
	}
	return false;
}

/* The entry of an inode; a number that the disk uses again gets a new one. */
static struct known *known_by(struct shared *s, uint64_t ino, uint64_t born)
{
	uint32_t first = (uint32_t)(ino * 0x9e3779b97f4a7c15u >> 40) % KNOWN, at = first;
	uint32_t spare = KNOWN;

	for (int i = 0; i < 64; i++, at = (at + 1) % KNOWN) {
		struct known *k = &s->known[at];
		if (k->ino == ino && k->born == born)
			return k;
		if (k->ino == 0 || k->ino == ino) {
			spare = at;
			break;
		}
		if (spare == KNOWN && !in_use(s, at))
			spare = at;
	}
	s->known[spare == KNOWN ? first : spare] = (struct known){ .ino = ino, .born = born };
	return &s->known[spare == KNOWN ? first : spare];
}

/* Tells a file from the one that had its number before: the disk's generation of the number, where it tells it. */
static uint64_t born_of(int dirfd, const char *path, int flags, const struct statx *x)
{
	struct {
		struct file_handle head;
		uint32_t words[MAX_HANDLE_SZ / 4];
	} h = { .head.handle_bytes = MAX_HANDLE_SZ };
	int mount, how = (flags & AT_EMPTY_PATH) |
			 (flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) ? 0 : AT_SYMLINK_FOLLOW);
	uint64_t born = (uint64_t)x->stx_btime.tv_sec * 1000000000u + x->stx_btime.tv_nsec;

	if (name_to_handle_at(dirfd, path, &h.head, &mount, how) == 0)
		for (size_t i = 0; i < h.head.handle_bytes / 4; i++)
			born = born * 0x9e3779b97f4a7c15u + h.words[i];
	return born;
}

struct known *known_of(struct worker *w, int plain_fd)
{
	struct statx x;
	if (statx(plain_fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &x) < 0)
		return &w->shared->known[0];
	return known_by(w->shared, x.stx_ino, born_of(plain_fd, "", AT_EMPTY_PATH, &x));
}

/* --- times --------------------------------------------------------------------------------- */

/* How many ticks lay before a time: two times between the same ticks are equal as far as anyone can
 * tell, since both sides were changed one after the other. */
static unsigned epoch(const struct shared *s, const struct statx_timestamp *t)
{
	unsigned low = 0, high = s->n_ticks;
	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct timespec *tick = &s->ticks[mid];
		if (t->tv_sec > tick->tv_sec ||
		    (t->tv_sec == tick->tv_sec && t->tv_nsec >= tick->tv_nsec))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool same_moment(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool dirty_maps(const struct shared *s, const struct known *k)
{
	for (int i = 0; i < WORKERS; i++)
		for (int j = 0; j < MAPS; j++)
			if (s->maps[i][j].dirty && s->maps[i][j].known == k - s->known + 1)
				return true;
	return false;
}

static void check_times(struct worker *w, const char *path, const struct statx *a,
			const struct statx *b, struct known *k)
{
	const struct shared *s = w->shared;
	const struct statx_timestamp *m = &a->stx_mtime, *n = &b->stx_mtime;
	bool set = m->tv_sec < OLD || n->tv_sec < OLD;

	if (set ? same_moment(m, n) : epoch(s, m) == epoch(s, n)) {
		if (!dirty_maps(s, k))
			k->loose_times = false;
	} else if (
		!k->loose_times ||
		/* With passthrough nobody tells of stores behind the close of what was mapped. */
		(n->tv_sec < OLD && !dirty_maps(s, k) && !w->options->frozen)) {
		differ(w, "mtime", "%s: mtime %lld.%09u (epoch %u) and %lld.%09u (epoch %u)", path,
		       (long long)m->tv_sec, m->tv_nsec, epoch(s, m), (long long)n->tv_sec,
		       n->tv_nsec, epoch(s, n));
	}
	/* Later is right: a copy-up makes a new file on disk, and ctime cannot be set. And a frozen file that lost
	 * its name is as it was. */
	m = &a->stx_ctime;
	n = &b->stx_ctime;
	if (!k->loose_times && a->stx_nlink && epoch(s, m) > epoch(s, n))
		differ(w, "ctime", "%s: ctime %lld.%09u (epoch %u) and %lld.%09u (epoch %u)", path,
		       (long long)m->tv_sec, m->tv_nsec, epoch(s, m), (long long)n->tv_sec,
		       n->tv_nsec, epoch(s, n));
}

void compare_times_set(struct worker *w, const char *path, int flags, const struct timespec set[2])
{
	struct statx x[SIDES];
	if (!BOTH(w, "stat", statx(w->base[side], path, flags, STATX_BASIC_STATS, &x[side])))
		return;
	for (int side = A; side < SIDES; side++) {
		const struct statx_timestamp *got[2] = { &x[side].stx_atime, &x[side].stx_mtime };
		/* A link is dated by whoever goes through it, even on the way to itself. */
		for (int i = S_ISLNK(x[side].stx_mode); i < 2; i++)
			if (set[i].tv_nsec < 1000000000 &&
			    (set[i].tv_sec != got[i]->tv_sec ||
			     set[i].tv_nsec != (long)got[i]->tv_nsec))
				differ(w, "time as set",
				       "%s: %s was set to %lld.%09ld on side %c and is %lld.%09u",
				       path, i ? "mtime" : "atime", (long long)set[i].tv_sec,
				       set[i].tv_nsec, 'A' + side, (long long)got[i]->tv_sec,
				       got[i]->tv_nsec);
	}
}

/* --- attributes ---------------------------------------------------------------------------- */

static void check_ino(struct worker *w, const char *path, struct known *k, uint64_t view_ino)
{
	if (!k->view_ino)
		k->view_ino = view_ino;
	if (k->view_ino != view_ino)
		differ(w, "st_ino", "%s: st_ino of the view was %llx and is %llx", path,
		       (unsigned long long)k->view_ino, (unsigned long long)view_ino);
}

/* The difference that a test of the shrinking asks for: it takes several calls to bring about. */
static bool planted(const struct worker *w, const struct statx *x)
{
	return w->options->fault && S_ISREG(x->stx_mode) && x->stx_nlink >= 2 &&
	       x->stx_size >= 10000 && (x->stx_mode & 0100);
}

static void check_size(struct worker *w, const char *path, const struct statx *a,
		       const struct statx *b, struct frozen *f)
{
	bool alike = a->stx_size == b->stx_size;

	if (f && f->reads == EITHER && f->len != (ssize_t)a->stx_size)
		f->reads = alike ? LIVE : FROZEN;
	if (f && f->reads == FROZEN)
		alike = (ssize_t)b->stx_size == f->len;
	if (!alike)
		differ(w, "size", "%s: size %llu and %llu (a frozen one may be %zd)", path,
		       (unsigned long long)a->stx_size, (unsigned long long)b->stx_size,
		       f && f->reads != LIVE ? f->len : -1);
}

/* The writing back of what was stored through a mapping is a write of the daemon's: one of an ordinary user takes
 * set-id bits away; on ext4 they stay (docs/limits.md). */
static bool same_mode(const struct statx *a, const struct statx *b, struct known *k)
{
	unsigned other = a->stx_mode ^ b->stx_mode;
	k->set_ids_lost = other && S_ISREG(a->stx_mode) && getuid() != 0 &&
			  !(other & ~(unsigned)(S_ISUID | S_ISGID)) && !(b->stx_mode & other) &&
			  (k->loose_times || k->set_ids_lost);
	return !other || k->set_ids_lost;
}

static void check_stat(struct worker *w, const char *path, const struct statx *a,
		       const struct statx *b, struct known *k, struct frozen *f)
{
	bool dir = S_ISDIR(a->stx_mode);

	if (!same_mode(a, b, k))
		differ(w, "mode", "%s: mode %o and %o", path, a->stx_mode, b->stx_mode);
	if (a->stx_uid != b->stx_uid || a->stx_gid != b->stx_gid)
		differ(w, "owner", "%s: owner %u:%u and %u:%u", path, a->stx_uid, a->stx_gid,
		       b->stx_uid, b->stx_gid);
	/* Folders: 1 in the view, which programs take as "not counted". Their size is the disk's affair. */
	if (!dir && (a->stx_nlink != b->stx_nlink || planted(w, a)))
		differ(w, "nlink", "%s: %u links and %u", path, a->stx_nlink, b->stx_nlink);
	if (!dir)
		check_size(w, path, a, b, f);
	check_times(w, path, a, b, k);
	/* A symlink cannot keep its number on disk; it changes when the kernel forgets the old one. */
	if (!S_ISLNK(a->stx_mode))
		check_ino(w, path, k, b->stx_ino);
}

/* What was stored through a mapping gets its time when the pages are written back, which may be after
 * the last comparison: the next run begins with one that is the same on both sides. */
static void settle_times(struct worker *w, const char *path, int flags)
{
	const struct timespec times[2] = { { .tv_sec = OLD / 2 }, { .tv_sec = OLD / 2 } };
	BOTH(w, "utimens", utimensat(w->base[side], path, times, flags & AT_SYMLINK_NOFOLLOW));
}

/* The same for set-id bits, which such a writing back may take away. */
static void settle_mode(struct worker *w, const char *path, int flags, mode_t mode)
{
	if (S_ISREG(mode) && (mode & (S_ISUID | S_ISGID)) && getuid() != 0)
		BOTH(w, "chmod",
		     fchmodat(w->base[side], path, mode & 07777 & ~(mode_t)(S_ISUID | S_ISGID),
			      flags & AT_SYMLINK_NOFOLLOW));
}

void compare_stat(struct worker *w, const char *path, int flags)
{
	struct statx x[SIDES];
	if (!BOTH(w, "stat",
		  statx(w->base[side], path, flags, STATX_BASIC_STATS | STATX_BTIME, &x[side])))
		return;
	struct known *k =
		known_by(w->shared, x[A].stx_ino, born_of(w->base[A], path, flags, &x[A]));
	if (!w->shared->settling || !k->loose_times)
		check_stat(w, path, &x[A], &x[B], k, NULL);
	if (w->shared->settling && (k->loose_times || k->set_ids_lost))
		settle_mode(w, path, flags, x[A].stx_mode);
	if (w->shared->settling && k->loose_times)
		settle_times(w, path, flags);
}

void compare_fstat(struct worker *w, struct slot *s)
{
	struct statx x[SIDES];
	if (BOTH(w, "fstat",
		 statx(s->fd[side], "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &x[side])))
		check_stat(w, "(open file)", &x[A], &x[B],
			   known_by(w->shared, x[A].stx_ino,
				    born_of(s->fd[A], "", AT_EMPTY_PATH, &x[A])),
			   &s->frozen);
}
