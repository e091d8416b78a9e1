/*
 * The same random system calls on a plain folder and on a view of the same files: results, errors,
 * contents, attributes and listings must be the same.
 *
 *	helper-differential SEED STEPS PLAIN VIEW [log]	runs, then compares the two trees
 *	helper-differential compare PLAIN VIEW		compares only
 *
 * Both folders hold the same files with the same times at the start. One difference is permitted, and
 * checked to be exactly this: where the kernel reads frozen files by itself (passthrough), a descriptor
 * opened for reading before the file was first written keeps the frozen bytes.
 *
 * Environment: NO_PASSTHROUGH (so that this difference is none), NO_TMPFILE, NO_MMAP (no calls through mappings:
 * what a mapping changed is lost with the daemon that was killed).
 *
 * Times that calls set lie before 2010 and are compared to the nanosecond; all others are "now" and must
 * be so in both. Inode numbers must map one to one, for as long as an inode lives.
 *
 * Exit status: 0 the same, 1 a difference (told on stdout, with the seed and the last calls).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { A, B, SIDES };
#define SLOTS 12
#define PATH_SIZE 1024
#define DATA_MAX 65536
#define LOG_LINES 40
#define OLD ((time_t)1262304000) /* 2010: what calls set lies before it */

/* An open file, on both sides. */
struct slot {
	int fd[SIDES];
	bool open, writable;
	char *frozen; /* what a descriptor on the blob must read for ever; owned */
	ssize_t frozen_len;
};

/* Which inode number of the view belongs to which inode of the plain folder. */
struct pair {
	uint64_t ino, born, view_ino;
};

static int roots[SIDES];
static struct slot slots[SLOTS];
static struct pair *pairs;
static size_t n_pairs, cap_pairs;
static uint64_t random_state, seed, step;
static char log_lines[LOG_LINES][512];
static FILE *log_file;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1du >> 16;
}

static unsigned below(unsigned n)
{
	return (unsigned)(next_random() % n);
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	char *line = log_lines[step % LOG_LINES];
	int n = snprintf(line, sizeof(log_lines[0]), "%llu: ", (unsigned long long)step);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(log_lines[0]) - (size_t)n, fmt, ap);
	va_end(ap);
	if (log_file)
		fprintf(log_file, "%s\n", line);
}

__attribute__((format(printf, 1, 2), noreturn)) static void differ(const char *fmt, ...)
{
	va_list ap;
	printf("seed %llu, step %llu: ", (unsigned long long)seed, (unsigned long long)step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\nthe last calls:\n");
	for (uint64_t i = step > LOG_LINES ? step - LOG_LINES + 1 : 0; i <= step; i++)
		printf("  %s\n", log_lines[i % LOG_LINES]);
	exit(1);
}

/* Compares the outcome of one call; true when it went well on both sides. */
static bool same(const char *what, const long result[SIDES], const int error[SIDES])
{
	bool failed[SIDES] = { result[A] < 0, result[B] < 0 };
	if (failed[A] != failed[B] || (failed[A] && error[A] != error[B]) ||
	    (!failed[A] && result[A] != result[B]))
		differ("%s: plain gives %ld (%s), the view %ld (%s)", what, result[A],
		       failed[A] ? strerrorname_np(error[A]) : "ok", result[B],
		       failed[B] ? strerrorname_np(error[B]) : "ok");
	return !failed[A];
}

/* Runs an expression, which uses `side`, on both sides. */
#define BOTH(what, expression)                                                                     \
	(__extension__({                                                                           \
		long both_result[SIDES];                                                           \
		int both_error[SIDES];                                                             \
		for (int side = A; side < SIDES; side++) {                                         \
			errno = 0;                                                                 \
			both_result[side] = (long)(expression);                                    \
			both_error[side] = errno;                                                  \
		}                                                                                  \
		same(what, both_result, both_error);                                               \
	}))

/* --- attributes ---------------------------------------------------------------------------- */

static void check_ino(const struct statx *plain, uint64_t view_ino, const char *path)
{
	uint64_t born = (uint64_t)plain->stx_btime.tv_sec * 1000000000u + plain->stx_btime.tv_nsec;
	for (size_t i = n_pairs; i-- > 0;) {
		if (pairs[i].ino != plain->stx_ino)
			continue;
		if (pairs[i].born != born)
			break; /* the number is used again; the newest pair counts */
		if (pairs[i].view_ino != view_ino)
			differ("%s: st_ino of the view was %llx and is %llx", path,
			       (unsigned long long)pairs[i].view_ino, (unsigned long long)view_ino);
		return;
	}
	if (n_pairs == cap_pairs) {
		if (cap_pairs >= 4096) { /* the oldest half is forgotten: looking must stay fast */
			n_pairs = cap_pairs / 2;
			memmove(pairs, pairs + n_pairs, n_pairs * sizeof(pairs[0]));
		} else {
			cap_pairs = cap_pairs ? cap_pairs * 2 : 256;
			pairs = realloc(pairs, cap_pairs * sizeof(pairs[0]));
		}
	}
	pairs[n_pairs++] = (struct pair){ plain->stx_ino, born, view_ino };
}

static void check_time(const char *path, const struct statx_timestamp *a,
		       const struct statx_timestamp *b)
{
	bool same_time = a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
	if ((a->tv_sec < OLD || b->tv_sec < OLD) ? !same_time
						 : llabs((long long)(a->tv_sec - b->tv_sec)) > 60)
		differ("%s: mtime %lld.%09u and %lld.%09u", path, (long long)a->tv_sec, a->tv_nsec,
		       (long long)b->tv_sec, b->tv_nsec);
}

static void check_stat(const char *path, const struct statx *a, const struct statx *b,
		       const struct slot *slot)
{
	bool dir = S_ISDIR(a->stx_mode);
	if (a->stx_mode != b->stx_mode)
		differ("%s: mode %o and %o", path, a->stx_mode, b->stx_mode);
	if (a->stx_uid != b->stx_uid || a->stx_gid != b->stx_gid)
		differ("%s: owner %u:%u and %u:%u", path, a->stx_uid, a->stx_gid, b->stx_uid,
		       b->stx_gid);
	if (!dir && a->stx_nlink != b->stx_nlink)
		differ("%s: %u links and %u", path, a->stx_nlink, b->stx_nlink);
	if (slot && slot->frozen) {
		if ((ssize_t)b->stx_size != slot->frozen_len)
			differ("%s: a frozen descriptor's size is %llu, was %zd", path,
			       (unsigned long long)b->stx_size, slot->frozen_len);
		return;
	}
	if (!dir && a->stx_size != b->stx_size)
		differ("%s: size %llu and %llu", path, (unsigned long long)a->stx_size,
		       (unsigned long long)b->stx_size);
	check_time(path, &a->stx_mtime, &b->stx_mtime);
	/* A symlink cannot keep its number on disk; it changes when the kernel forgets the old one. */
	if (!S_ISLNK(a->stx_mode))
		check_ino(a, b->stx_ino, path);
}

static void compare_stat(const char *path, int flags)
{
	struct statx x[SIDES];
	if (BOTH("stat",
		 statx(roots[side], path, flags, STATX_BASIC_STATS | STATX_BTIME, &x[side])))
		check_stat(path, &x[A], &x[B], NULL);
}

static void compare_fstat(const struct slot *s)
{
	struct statx x[SIDES];
	if (BOTH("fstat",
		 statx(s->fd[side], "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &x[side])))
		check_stat("(open file)", &x[A], &x[B], s);
}

/* --- whole trees --------------------------------------------------------------------------- */

static int list(int dirfd, const char *path, char ***names)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int n = 0, cap = 0;
	*names = NULL;
	if (!d)
		return -1;
	for (struct dirent *e; errno = 0, (e = readdir(d));) {
		if (n == cap)
			*names = realloc(*names,
					 (size_t)(cap = cap ? cap * 2 : 32) * sizeof(char *));
		/* The type goes along, so that it is compared too. */
		if (asprintf(&(*names)[n++], "%s%c%d", e->d_name, '\0', e->d_type) < 0)
			exit(2);
	}
	int code = errno;
	closedir(d);
	errno = code;
	return code ? -1 : n;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void compare_bytes(const char *path)
{
	static char bytes[SIDES][DATA_MAX * 4];
	int fd[SIDES];
	if (!BOTH("open to compare",
		  (fd[side] = openat(roots[side], path, O_RDONLY | O_NOFOLLOW)) < 0 ? -1 : 0))
		return;
	long n[SIDES];
	if (BOTH("read to compare", n[side] = pread(fd[side], bytes[side], sizeof(bytes[0]), 0)) &&
	    memcmp(bytes[A], bytes[B], (size_t)n[A]) != 0) {
		long at = 0;
		while (bytes[A][at] == bytes[B][at])
			at++;
		differ("%s: contents differ from byte %ld on", path, at);
	}
	close(fd[A]);
	close(fd[B]);
}

static void compare_link(const char *path)
{
	char target[SIDES][PATH_SIZE];
	long n[SIDES];
	if (BOTH("readlink",
		 n[side] = readlinkat(roots[side], path, target[side], sizeof(target[0]))) &&
	    memcmp(target[A], target[B], (size_t)n[A]) != 0)
		differ("%s: link targets differ", path);
}

static void proc_path(char *out, int side, const char *path)
{
	snprintf(out, PATH_SIZE + 64, "/proc/self/fd/%d/%s", roots[side], path);
}

static bool listed(const char *names, long n, const char *wanted)
{
	for (long at = 0; at < n; at += (long)strlen(names + at) + 1)
		if (!strcmp(names + at, wanted))
			return true;
	return false;
}

static void compare_xattrs(const char *path)
{
	char name[SIDES][PATH_SIZE + 64], names[SIDES][1024];
	long n[SIDES];
	proc_path(name[A], A, path);
	proc_path(name[B], B, path);
	if (!BOTH("listxattr", n[side] = llistxattr(name[side], names[side], sizeof(names[0]))))
		return;
	/* In any order: it tells where on the disk they are kept. */
	for (long at = 0; at < n[A]; at += (long)strlen(names[A] + at) + 1)
		if (!listed(names[B], n[B], names[A] + at))
			differ("%s: attribute %s is not listed", path, names[A] + at);
}

static void compare_tree(const char *path);

static void compare_entry(const char *dir, const char *name)
{
	char path[PATH_SIZE];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	compare_stat(path, AT_SYMLINK_NOFOLLOW);
	compare_xattrs(path);
	if (fstatat(roots[A], path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* a folder that may be read and not entered: on both sides, as was just seen */
	if (S_ISDIR(st.st_mode))
		compare_tree(path);
	else if (S_ISLNK(st.st_mode))
		compare_link(path);
	else if (S_ISREG(st.st_mode))
		compare_bytes(path);
}

static void compare_lists(const char *path, bool deep)
{
	char **names[SIDES];
	int n[SIDES];
	if (!BOTH("list", n[side] = list(roots[side], path, &names[side])))
		return;
	for (int side = A; side < SIDES; side++)
		if (names[side])
			qsort(names[side], (size_t)n[side], sizeof(char *), by_name);
	for (int i = 0; i < n[A] && names[A] && names[B]; i++) {
		const char *a = names[A][i], *b = names[B][i];
		if (strcmp(a, b) != 0 || strcmp(a + strlen(a) + 1, b + strlen(b) + 1) != 0)
			differ("%s: lists '%s' (type %s) and '%s' (type %s)", path, a,
			       a + strlen(a) + 1, b, b + strlen(b) + 1);
		if (deep && strcmp(a, ".") != 0 && strcmp(a, "..") != 0)
			compare_entry(path, a);
		free(names[A][i]);
		free(names[B][i]);
	}
	free(names[A]);
	free(names[B]);
}

static void compare_tree(const char *path)
{
	compare_lists(path, true);
}

/* --- arguments ----------------------------------------------------------------------------- */

/* Few names, so that calls meet; up to three levels. */
static const char *any_path(char *out)
{
	static const char *const names[] = {
		"a", "b", "c", "d.parquet", "e.json", "f", "g", "dir", "sub", "x", "y", "data.lock"
	};
	static const char *const odd[] = { "new\nline", "back\\slash", "caf\xe9", "sp ace",
					   "-dash" };
	unsigned depth = 1 + below(100) / 55 + below(100) / 80;
	size_t n = 0;
	out[0] = '\0';
	for (unsigned i = 0; i < depth; i++) {
		bool last = i + 1 == depth;
		/* Folders mostly have folders' names, so that deep paths exist. */
		const char *name = !last || chance(25) ? names[7 + below(2)] : names[below(12)];
		n += (size_t)snprintf(out + n, PATH_SIZE - n, "%s%s", i ? "/" : "", name);
	}
	if (chance(3))
		snprintf(out, PATH_SIZE, "%s", odd[below(5)]);
	if (chance(1))
		snprintf(out, PATH_SIZE, ".");
	if (chance(1)) {
		memset(out, 'n', 250 + below(7)); /* around the limit, and around ".wh." + it */
		out[250 + below(7)] = '\0';
	}
	return out;
}

static struct slot *any_slot(bool open)
{
	for (unsigned i = 0, at = below(SLOTS); i < SLOTS; i++, at = (at + 1) % SLOTS)
		if (slots[at].open == open)
			return &slots[at];
	return NULL;
}

static off_t any_offset(void)
{
	return chance(20) ? 0 : chance(30) ? (off_t)below(16) * 4096 : (off_t)below(DATA_MAX / 2);
}

static size_t any_length(void)
{
	return chance(10) ? 4096u * (1 + below(6)) : 1 + below(chance(80) ? 2000 : DATA_MAX / 2);
}

static void any_times(struct timespec times[2])
{
	for (int i = 0; i < 2; i++)
		times[i] = (struct timespec){ .tv_sec = (time_t)below(OLD),
					      .tv_nsec = below(1000000000) };
	if (chance(10))
		times[below(2)].tv_nsec = UTIME_OMIT;
	if (chance(10))
		times[below(2)].tv_nsec = UTIME_NOW;
}

static char *any_bytes(size_t n)
{
	static char bytes[DATA_MAX];
	char first = (char)('a' + below(26));
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(first + (char)(i % 7));
	return bytes;
}

/* --- the calls ----------------------------------------------------------------------------- */

static void close_slot(struct slot *s)
{
	close(s->fd[A]);
	close(s->fd[B]);
	free(s->frozen);
	*s = (struct slot){ .open = false };
}

/* Whether a frozen descriptor of the same file is open. A change of attributes alone leaves it with the
 * blob, and whoever opens the file to read then may share that, or not: it cannot be seen. */
static bool beside_frozen(const struct stat *st)
{
	struct stat other;
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].open && slots[i].frozen && fstat(slots[i].fd[B], &other) == 0 &&
		    other.st_ino == st->st_ino)
			return true;
	return false;
}

/* A descriptor that only reads and was opened on frozen bytes may keep them. */
static void note_frozen(struct slot *s, int flags)
{
	char layer[16] = "";
	struct stat st;
	if ((flags & O_ACCMODE) != O_RDONLY || getenv("NO_PASSTHROUGH") ||
	    fstat(s->fd[B], &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
	    fgetxattr(s->fd[B], "user.tvfs.layer", layer, sizeof(layer)) < 0)
		return;
	if (strncmp(layer, "foundation", 10) != 0) {
		if (beside_frozen(&st))
			close_slot(s);
		return;
	}
	s->frozen = malloc((size_t)st.st_size);
	s->frozen_len = pread(s->fd[B], s->frozen, (size_t)st.st_size, 0);
}

static void do_open(void)
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
				      O_NOFOLLOW,
				      O_DIRECTORY };
	static const int modes[] = { O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR };
	char path[PATH_SIZE];
	struct slot *s = any_slot(false);
	if (!s) {
		s = any_slot(true);
		close_slot(s);
	}
	any_path(path);
	int flags = modes[below(5)] | extras[below(13)] | O_NONBLOCK; /* for fifos */
	if (chance(5))
		flags |= chance(50) ? O_SYNC : O_DSYNC;
	mode_t mode = chance(80) ? 0644 : (mode_t)below(01000);
	note("open %s %o %o", path, flags, mode);
	if (!BOTH("open", (s->fd[side] = openat(roots[side], path, flags, mode)) < 0 ? -1 : 0))
		return;
	s->open = true;
	s->writable = (flags & O_ACCMODE) != O_RDONLY;
	note_frozen(s, flags);
	if (s->open)
		compare_fstat(s);
}

/* A second descriptor of a slot's inode, by way of /proc. */
static void do_reopen(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC,
				     O_WRONLY | O_APPEND };
	struct slot *from = any_slot(true), *to = any_slot(false);
	char proc[64];
	if (!from || !to || from->frozen)
		return;
	int flags = modes[below(5)] | O_NONBLOCK;
	note("reopen %zd as %zd %o", from - slots, to - slots, flags);
	if (!BOTH("reopen", (snprintf(proc, sizeof(proc), "/proc/self/fd/%d", from->fd[side]),
			     (to->fd[side] = open(proc, flags)) < 0 ? -1 : 0)))
		return;
	to->open = true;
	to->writable = (flags & O_ACCMODE) != O_RDONLY;
	note_frozen(to, flags);
	if (to->open)
		compare_fstat(to);
}

static void do_link_open(void)
{
	struct slot *s = any_slot(true);
	char path[PATH_SIZE], proc[64];
	if (!s || s->frozen)
		return;
	any_path(path);
	note("link of %zd to %s", s - slots, path);
	if (BOTH("link", (snprintf(proc, sizeof(proc), "/proc/self/fd/%d", s->fd[side]),
			  linkat(AT_FDCWD, proc, roots[side], path, AT_SYMLINK_FOLLOW))))
		compare_stat(path, AT_SYMLINK_NOFOLLOW);
}

static void do_lock(void)
{
	static const int types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
	static const int hows[] = { LOCK_SH, LOCK_EX, LOCK_UN };
	struct slot *s = any_slot(true);
	for (int i = 0; i < SLOTS; i++) /* a frozen descriptor stands for another file */
		if (slots[i].open && slots[i].frozen)
			return;
	if (!s)
		return;
	unsigned which = below(3);
	if (chance(50)) {
		note("flock %zd %d", s - slots, hows[which]);
		BOTH("flock", flock(s->fd[side], hows[which] | LOCK_NB));
		return;
	}
	struct flock lock = { .l_type = (short)types[which], .l_start = below(100), .l_len = 10 };
	note("lock %zd %d %ld", s - slots, types[which], (long)lock.l_start);
	BOTH("lock", fcntl(s->fd[side], F_OFD_SETLK, &lock));
}

static void do_sendfile(void)
{
	struct slot *from = any_slot(true), *to = any_slot(true);
	struct stat st;
	if (!from || !to || from->frozen || to->frozen || fstat(to->fd[A], &st) < 0 ||
	    !S_ISREG(st.st_mode) || fstat(from->fd[A], &st) < 0 || !S_ISREG(st.st_mode))
		return;
	off_t at = any_offset();
	size_t n = any_length();
	note("sendfile %zd %ld+%zu -> %zd", from - slots, (long)at, n, to - slots);
	BOTH("sendfile", (__extension__({
		     off_t in = at;
		     sendfile(to->fd[side], from->fd[side], &in, n);
	     })));
	compare_fstat(to);
}

static void do_tmpfile(void)
{
	struct slot *s = any_slot(false);
	char path[PATH_SIZE], proc[64];
	if (!s || getenv("NO_TMPFILE"))
		return;
	any_path(path);
	note("tmpfile, linked to %s", path);
	if (!BOTH("tmpfile",
		  (s->fd[side] = openat(roots[side], ".", O_TMPFILE | O_RDWR, 0640)) < 0 ? -1 : 0))
		return;
	s->open = s->writable = true;
	BOTH("write", write(s->fd[side], "temporary", 9));
	BOTH("link", (snprintf(proc, sizeof(proc), "/proc/self/fd/%d", s->fd[side]),
		      linkat(AT_FDCWD, proc, roots[side], path, AT_SYMLINK_FOLLOW)));
	compare_fstat(s);
}

static void do_close(void)
{
	struct slot *s = any_slot(true);
	if (!s)
		return;
	note("close %zd", s - slots);
	close_slot(s);
}

static void do_read(void)
{
	static char bytes[SIDES][DATA_MAX];
	struct slot *s = any_slot(true);
	if (!s)
		return;
	off_t at = any_offset();
	size_t n = any_length();
	note("pread %zd %ld+%zu", s - slots, (long)at, n);
	if (s->frozen) {
		ssize_t got = pread(s->fd[B], bytes[B], n, at), want = s->frozen_len - at;
		want = want < 0 ? 0 : want > (ssize_t)n ? (ssize_t)n : want;
		if (got != want || memcmp(bytes[B], s->frozen + (want ? at : 0), (size_t)want) != 0)
			differ("a frozen descriptor reads %zd bytes, not its %zd", got, want);
		return;
	}
	long got[SIDES];
	if (BOTH("pread", got[side] = pread(s->fd[side], bytes[side], n, at)) &&
	    memcmp(bytes[A], bytes[B], (size_t)got[A]) != 0)
		differ("pread gives other bytes");
}

static void do_write(void)
{
	struct slot *s = any_slot(true);
	struct stat st;
	/* A fifo's times stand still in any FUSE mount: the kernel does not tell of its use. */
	if (!s || fstat(s->fd[A], &st) < 0 || S_ISFIFO(st.st_mode))
		return;
	size_t n = any_length();
	char *bytes = any_bytes(n);
	if (chance(50)) {
		off_t at = any_offset();
		note("pwrite %zd %ld+%zu", s - slots, (long)at, n);
		BOTH("pwrite", pwrite(s->fd[side], bytes, n, at));
	} else {
		note("write %zd %zu", s - slots, n);
		BOTH("write", write(s->fd[side], bytes, n));
	}
	compare_fstat(s);
}

/* Where data begins depends on what happens to be in the page cache; but what is skipped must be
 * zeros, and both sides must be left at the same position. */
static void seek_data(struct slot *s, off_t at, int whence, off_t size)
{
	static char bytes[DATA_MAX * 4];
	off_t r = lseek(s->fd[B], at, whence);
	if (r < 0 ? errno != ENXIO || (whence == SEEK_HOLE && at < size) : r < at || r > size)
		differ("lseek to data gives %ld (%s) in %ld bytes", (long)r,
		       r < 0 ? strerrorname_np(errno) : "ok", (long)size);
	ssize_t n = pread(s->fd[A], bytes, sizeof(bytes), at), skipped = r < 0 ? size - at : r - at;
	for (ssize_t i = 0; whence == SEEK_DATA && i < n && i < skipped; i++)
		if (bytes[i])
			differ("lseek from %ld skips data at %zd", (long)at, at + i);
	BOTH("lseek", lseek(s->fd[side], at, SEEK_SET));
}

static void do_seek(void)
{
	static const int whences[] = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };
	struct slot *s = any_slot(true);
	struct stat st;
	/* What an offset in a folder means is each filesystem's own affair. */
	if (!s || s->frozen || fstat(s->fd[A], &st) < 0 || !S_ISREG(st.st_mode))
		return;
	int whence = whences[below(5)];
	off_t at = any_offset();
	note("lseek %zd %ld %d", s - slots, (long)at, whence);
	if (whence == SEEK_DATA || whence == SEEK_HOLE)
		seek_data(s, at, whence, st.st_size);
	else
		BOTH("lseek", lseek(s->fd[side], at, whence));
}

static void do_ftruncate(void)
{
	struct slot *s = any_slot(true);
	if (!s)
		return;
	off_t n = any_offset();
	note("ftruncate %zd %ld", s - slots, (long)n);
	BOTH("ftruncate", ftruncate(s->fd[side], n));
	compare_fstat(s);
}

static void do_truncate(void)
{
	char path[PATH_SIZE], proc[SIDES][PATH_SIZE + 64];
	off_t n = any_offset();
	any_path(path);
	proc_path(proc[A], A, path);
	proc_path(proc[B], B, path);
	note("truncate %s %ld", path, (long)n);
	BOTH("truncate", truncate(proc[side], n));
}

static void do_fallocate(void)
{
	/* FUSE passes no others on: collapsing and inserting ranges is EOPNOTSUPP in any such mount. */
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE };
	struct slot *s = any_slot(true);
	if (!s)
		return;
	int mode = modes[below(4)];
	off_t at = any_offset(), n = (off_t)any_length();
	if (chance(50)) {
		at &= ~(off_t)4095;
		n = (n + 4095) & ~(off_t)4095;
	}
	note("fallocate %zd %x %ld+%ld", s - slots, (unsigned)mode, (long)at, (long)n);
	BOTH("fallocate", fallocate(s->fd[side], mode, at, n));
	compare_fstat(s);
}

static void do_copy_range(void)
{
	struct slot *from = any_slot(true), *to = any_slot(true);
	if (!from || !to || from->frozen || to->frozen)
		return;
	off_t at = any_offset(), to_at = any_offset();
	size_t n = any_length();
	note("copy_file_range %zd %ld -> %zd %ld, %zu", from - slots, (long)at, to - slots,
	     (long)to_at, n);
	BOTH("copy_file_range", (__extension__({
		     off_t in = at, out = to_at;
		     copy_file_range(from->fd[side], &in, to->fd[side], &out, n, 0);
	     })));
	compare_fstat(to);
}

static void do_mmap(void)
{
	struct slot *s = any_slot(true);
	struct stat st;
	if (!s || s->frozen || getenv("NO_MMAP") || fstat(s->fd[A], &st) < 0 || st.st_size == 0 ||
	    (fcntl(s->fd[A], F_GETFL) & O_ACCMODE) != O_RDWR)
		return;
	off_t at = (off_t)below((unsigned)st.st_size);
	note("mmap %zd, write at %ld", s - slots, (long)at);
	char *map[SIDES];
	if (!BOTH("mmap", (map[side] = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
					    MAP_SHARED, s->fd[side], 0)) == MAP_FAILED
				  ? -1
				  : 0))
		return;
	if (memcmp(map[A], map[B], (size_t)st.st_size) != 0)
		differ("the mapped bytes differ");
	for (int side = A; side < SIDES; side++) {
		map[side][at] = (char)('A' + at % 26);
		if (chance(30))
			msync(map[side], (size_t)st.st_size, MS_SYNC);
		munmap(map[side], (size_t)st.st_size);
	}
}

static void do_fsync(void)
{
	struct slot *s = any_slot(true);
	if (!s || chance(80)) /* slow */
		return;
	note("fsync %zd", s - slots);
	BOTH("fsync", fsync(s->fd[side]));
}

static void do_mkdir(void)
{
	char path[PATH_SIZE];
	mode_t mode = chance(80) ? 0755 : (mode_t)(0700 | below(01000));
	any_path(path);
	note("mkdir %s %o", path, mode);
	if (BOTH("mkdir", mkdirat(roots[side], path, mode)))
		compare_stat(path, 0);
}

static void do_mknod(void)
{
	char path[PATH_SIZE];
	mode_t type = chance(50) ? S_IFIFO : S_IFREG;
	any_path(path);
	note("mknod %s %o", path, type);
	if (BOTH("mknod", mknodat(roots[side], path, type | 0644, 0)))
		compare_stat(path, 0);
}

static void do_remove(void)
{
	char path[PATH_SIZE];
	int flags = chance(25) ? AT_REMOVEDIR : 0;
	any_path(path);
	note("%s %s", flags ? "rmdir" : "unlink", path);
	BOTH("remove", unlinkat(roots[side], path, flags));
}

static void do_rename(void)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	unsigned flags = chance(15) ? RENAME_NOREPLACE : chance(15) ? RENAME_EXCHANGE : 0;
	any_path(from);
	any_path(to);
	note("rename %s %s %u", from, to, flags);
	if (BOTH("rename", renameat2(roots[side], from, roots[side], to, flags)))
		compare_stat(to, AT_SYMLINK_NOFOLLOW);
}

static void do_link(void)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	any_path(from);
	any_path(to);
	note("link %s %s", from, to);
	if (BOTH("link", linkat(roots[side], from, roots[side], to, 0)))
		compare_stat(to, AT_SYMLINK_NOFOLLOW);
}

static void do_symlink(void)
{
	char target[PATH_SIZE], path[PATH_SIZE];
	any_path(target);
	any_path(path);
	note("symlink %s -> %s", path, target);
	if (BOTH("symlink", symlinkat(target, roots[side], path)))
		compare_link(path);
}

static void do_stat(void)
{
	char path[PATH_SIZE];
	any_path(path);
	note("stat %s", path);
	compare_stat(path, chance(50) ? AT_SYMLINK_NOFOLLOW : 0);
}

static void do_list(void)
{
	char path[PATH_SIZE];
	any_path(path);
	note("list %s", path);
	compare_lists(chance(20) ? "." : path, false);
}

static void do_chmod(void)
{
	char path[PATH_SIZE];
	struct slot *s = any_slot(true);
	mode_t mode = (mode_t)below(01000) | 0600;
	if (s && chance(30)) {
		note("fchmod %zd %o", s - slots, mode);
		BOTH("fchmod", fchmod(s->fd[side], mode));
		compare_fstat(s);
		return;
	}
	any_path(path);
	note("chmod %s %o", path, mode);
	if (BOTH("chmod", fchmodat(roots[side], path, mode, 0)))
		compare_stat(path, 0);
}

static void do_chown(void)
{
	char path[PATH_SIZE];
	uid_t uid = chance(30) ? (uid_t)-1 : below(2) ? 0 : 1000 + below(3);
	gid_t gid = chance(30) ? (gid_t)-1 : below(2) ? 0 : 1000 + below(3);
	if (geteuid() != 0)
		return;
	any_path(path);
	note("lchown %s %d %d", path, (int)uid, (int)gid);
	if (BOTH("lchown", fchownat(roots[side], path, uid, gid, AT_SYMLINK_NOFOLLOW)))
		compare_stat(path, AT_SYMLINK_NOFOLLOW);
}

static void do_utimens(void)
{
	struct timespec times[2];
	char path[PATH_SIZE];
	struct slot *s = any_slot(true);
	any_times(times);
	if (s && chance(30)) {
		note("futimens %zd %ld.%09ld", s - slots, (long)times[1].tv_sec, times[1].tv_nsec);
		BOTH("futimens", futimens(s->fd[side], times));
		compare_fstat(s);
		return;
	}
	any_path(path);
	note("utimens %s %ld.%09ld", path, (long)times[1].tv_sec, times[1].tv_nsec);
	if (BOTH("utimens", utimensat(roots[side], path, times, AT_SYMLINK_NOFOLLOW)))
		compare_stat(path, AT_SYMLINK_NOFOLLOW);
}

static void do_xattr(void)
{
	static const char *const names[] = { "user.a", "user.b", "user.long.name" };
	char path[PATH_SIZE], proc[SIDES][PATH_SIZE + 64], value[SIDES][64];
	const char *name = names[below(3)];
	any_path(path);
	proc_path(proc[A], A, path);
	proc_path(proc[B], B, path);
	unsigned what = below(3);
	note("xattr %u %s %s", what, path, name);
	if (what == 0) {
		int flags = chance(70) ? 0 : chance(50) ? XATTR_CREATE : XATTR_REPLACE;
		BOTH("setxattr", setxattr(proc[side], name, path, strlen(path), flags));
	} else if (what == 1) {
		BOTH("removexattr", removexattr(proc[side], name));
	} else {
		long n[SIDES];
		if (BOTH("getxattr", n[side] = getxattr(proc[side], name, value[side], 64)) &&
		    memcmp(value[A], value[B], (size_t)n[A]) != 0)
			differ("%s: attribute %s differs", path, name);
	}
}

static void do_access(void)
{
	char path[PATH_SIZE];
	int mode = (int)below(8);
	any_path(path);
	note("access %s %d", path, mode);
	BOTH("access", faccessat(roots[side], path, mode, 0));
}

/* What legacy scripts do to a JSON file: temp file, rename over it. */
static void do_replace(void)
{
	char path[PATH_SIZE], temp[PATH_SIZE + 8];
	any_path(path);
	snprintf(temp, sizeof(temp), "%s.tmp", path);
	size_t n = any_length();
	char *bytes = any_bytes(n);
	int fd[SIDES];
	note("replace %s by %zu bytes", path, n);
	if (!BOTH("open temp", (fd[side] = openat(roots[side], temp,
						  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)) < 0
				       ? -1
				       : 0))
		return;
	BOTH("write temp", write(fd[side], bytes, n));
	close(fd[A]);
	close(fd[B]);
	if (!BOTH("rename temp", renameat(roots[side], temp, roots[side], path)))
		BOTH("unlink temp", unlinkat(roots[side], temp, 0));
}

static const struct {
	void (*call)(void);
	unsigned weight;
} calls[] = {
	{ do_open, 22 },      { do_close, 9 },	   { do_read, 12 },    { do_write, 14 },
	{ do_seek, 4 },	      { do_ftruncate, 3 }, { do_truncate, 3 }, { do_fallocate, 3 },
	{ do_copy_range, 2 }, { do_mmap, 3 },	   { do_fsync, 1 },    { do_mkdir, 5 },
	{ do_mknod, 2 },      { do_remove, 9 },	   { do_rename, 10 },  { do_link, 3 },
	{ do_symlink, 2 },    { do_stat, 8 },	   { do_list, 4 },     { do_chmod, 4 },
	{ do_chown, 2 },      { do_utimens, 5 },   { do_xattr, 4 },    { do_access, 3 },
	{ do_replace, 5 },    { do_tmpfile, 1 },   { do_reopen, 4 },   { do_link_open, 1 },
	{ do_lock, 3 },	      { do_sendfile, 2 },
};

static void one_call(void)
{
	unsigned total = 0;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		total += calls[i].weight;
	unsigned pick = below(total);
	for (size_t i = 0;; i++) {
		if (pick < calls[i].weight) {
			calls[i].call();
			return;
		}
		pick -= calls[i].weight;
	}
}

static int open_roots(char *const *paths)
{
	for (int side = A; side < SIDES; side++) {
		roots[side] = open(paths[side], O_RDONLY | O_DIRECTORY);
		if (roots[side] < 0) {
			perror(paths[side]);
			return -1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && !strcmp(argv[1], "compare")) {
		if (open_roots(argv + 2) < 0)
			return 2;
		compare_tree(".");
		return 0;
	}
	if (argc < 5 || open_roots(argv + 3) < 0) {
		fprintf(stderr, "usage: helper-differential SEED STEPS PLAIN VIEW [LOG]\n");
		return 2;
	}
	seed = strtoull(argv[1], NULL, 10);
	random_state = seed * 0x9e3779b97f4a7c15u + 1;
	uint64_t steps = strtoull(argv[2], NULL, 10);
	if (argc > 5)
		log_file = fopen(argv[5], "w");
	umask(022);
	for (step = 0; step < steps; step++) {
		note("-");
		one_call();
		if (step % 1000 == 999)
			compare_tree(".");
	}
	step = steps ? steps - 1 : 0;
	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].open)
			close_slot(&slots[i]);
	compare_tree(".");
	printf("seed %llu: %llu steps, no difference\n", (unsigned long long)seed,
	       (unsigned long long)steps);
	return 0;
}
