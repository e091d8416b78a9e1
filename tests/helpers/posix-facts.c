/* Verbs that look at what is there. None follows a last symlink, but for those that say so. */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int look(struct run *r, const char *word, struct stat *st)
{
	struct where at = where(r, word);
	return fstatat(at.fd, at.path, st, AT_SYMLINK_NOFOLLOW | (at.is_fd ? AT_EMPTY_PATH : 0));
}

/* stat PATH [FLAGS]: follows; only the outcome */
static long do_stat(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	struct stat st;
	return at.is_fd ? fstat(at.fd, &st) : fstatat(at.fd, at.path, &st, flags(w[2]));
}

static long do_lstat(struct run *r, char **w)
{
	struct stat st;
	return look(r, w[1], &st);
}

static char letter(mode_t mode)
{
	return S_ISREG(mode)	? 'f'
	       : S_ISDIR(mode)	? 'd'
	       : S_ISLNK(mode)	? 'l'
	       : S_ISFIFO(mode) ? 'p'
	       : S_ISSOCK(mode) ? 's'
	       : S_ISCHR(mode)	? 'c'
				: 'b';
}

static long do_kind(struct run *r, char **w)
{
	struct stat st;
	if (look(r, w[1], &st) < 0)
		return -1;
	say(r, "%c", letter(st.st_mode));
	return 0;
}

static long do_mode(struct run *r, char **w)
{
	struct stat st;
	if (look(r, w[1], &st) < 0)
		return -1;
	say(r, "%c%04o", letter(st.st_mode), st.st_mode & 07777);
	return 0;
}

static long do_size(struct run *r, char **w)
{
	struct stat st;
	return look(r, w[1], &st) < 0 ? -1 : (long)st.st_size;
}

static long do_nlink(struct run *r, char **w)
{
	struct stat st;
	return look(r, w[1], &st) < 0 ? -1 : (long)st.st_nlink;
}

static long do_owner(struct run *r, char **w)
{
	struct stat st;
	if (look(r, w[1], &st) < 0)
		return -1;
	say(r, "%u:%u", st.st_uid, st.st_gid);
	return 0;
}

/* blocks PATH: "full" when at least as much is allotted as it is long */
static long do_blocks(struct run *r, char **w)
{
	struct stat st;
	if (look(r, w[1], &st) < 0)
		return -1;
	say(r, "%s", st.st_blocks * 512 >= st.st_size ? "full" : "sparse");
	return 0;
}

/* usage PATH: in blocks of 512 bytes */
static long do_usage(struct run *r, char **w)
{
	struct stat st;
	return look(r, w[1], &st) < 0 ? -1 : (long)st.st_blocks;
}

/* same PATH PATH: whether they are one file, with all that is told of it */
static long do_same(struct run *r, char **w)
{
	struct stat a, b;
	if (look(r, w[1], &a) < 0 || look(r, w[2], &b) < 0)
		return -1;
	if (a.st_ino != b.st_ino || a.st_dev != b.st_dev)
		say(r, "other");
	else if (a.st_mode != b.st_mode || a.st_nlink != b.st_nlink || a.st_size != b.st_size ||
		 a.st_uid != b.st_uid || a.st_gid != b.st_gid ||
		 memcmp(&a.st_mtim, &b.st_mtim, sizeof(a.st_mtim)) != 0)
		say(r, "same-but-told-otherwise");
	else
		say(r, "same");
	return 0;
}

/* keep PATH notes the inode number, kept PATH tells whether it is the same still */
static long do_keep(struct run *r, char **w)
{
	struct stat st;
	if (look(r, w[1], &st) < 0)
		return -1;
	if (w[0][strlen(w[0]) - 1] == 'p')
		r->snaps[SNAPS - 1].x.stx_ino = st.st_ino;
	else
		say(r, "%s", r->snaps[SNAPS - 1].x.stx_ino == st.st_ino ? "kept" : "changed");
	return 0;
}

/* atime PATH, mtime PATH: exactly */
static long do_time(struct run *r, char **w)
{
	struct stat st;
	if (look(r, w[1], &st) < 0)
		return -1;
	const struct timespec *t = w[0][0] == 'a' ? &st.st_atim : &st.st_mtim;
	if (t->tv_sec == OLD_SEC && t->tv_nsec == OLD_NSEC)
		say(r, "old");
	else if (llabs((long long)t->tv_sec - time(NULL)) < 3600)
		say(r, "now");
	else
		say(r, "%lld.%09ld", (long long)t->tv_sec, t->tv_nsec);
	return 0;
}

/* --- which times move ----------------------------------------------------------------------- */

static bool newer(const struct statx_timestamp *t, const struct timespec *than)
{
	return t->tv_sec != than->tv_sec ? t->tv_sec > than->tv_sec : t->tv_nsec >= than->tv_nsec;
}

static void wait_for_the_clock(const struct statx *x)
{
	const struct timespec pause = { .tv_nsec = 200 * 1000 };
	struct timespec now;
	while (clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 &&
	       (newer(&x->stx_ctime, &now) || newer(&x->stx_mtime, &now)) &&
	       x->stx_ctime.tv_sec < now.tv_sec + 2)
		nanosleep(&pause, NULL);
}

/* What the filesystem itself says, not what the kernel remembers. */
static int ask(const struct snap *s, struct statx *x)
{
	return statx(s->fd, s->path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
		     STATX_BASIC_STATS, x);
}

/* snap PATH...: notes the times, and lets the clock tick. "~" before a path: only the mtime matters, for
 * folders in which something may be copied up. */
static long do_snap(struct run *r, char **w)
{
	r->n_snaps = 0;
	for (int i = 1; w[i]; i++) {
		bool only_mtime = w[i][0] == '~';
		struct where at = where(r, w[i] + only_mtime);
		struct snap *s = &r->snaps[r->n_snaps];
		if (++r->n_snaps == SNAPS)
			bad("too many snaps");
		*s = (struct snap){ .name = w[i] + only_mtime,
				    .fd = at.fd,
				    .path = at.path,
				    .only_mtime = only_mtime };
		if (ask(s, &s->x) < 0)
			return -1;
	}
	for (size_t i = 0; i < r->n_snaps; i++)
		wait_for_the_clock(&r->snaps[i].x);
	return 0;
}

static bool differs(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

/* moved [a]: which times of what was snapped have changed: m, c; atimes only when asked for. "!": the
 * kernel remembers another mtime than it should. */
static long do_moved(struct run *r, char **w)
{
	for (size_t i = 0; i < r->n_snaps; i++) {
		const struct snap *s = &r->snaps[i];
		struct statx told, x;
		if (statx(s->fd, s->path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS,
			  &told) < 0 ||
		    ask(s, &x) < 0) {
			say(r, "%s:%s", s->name, name_of_error(errno));
			continue;
		}
		bool m = differs(&x.stx_mtime, &s->x.stx_mtime),
		     c = differs(&x.stx_ctime, &s->x.stx_ctime) && (m || !s->only_mtime),
		     a = w[1] && differs(&x.stx_atime, &s->x.stx_atime);
		say(r, "%s:%s%s%s%s%s", s->name, m ? "m" : "", c ? "c" : "", a ? "a" : "",
		    m || c || a ? "" : "-", differs(&x.stx_mtime, &told.stx_mtime) ? "!" : "");
	}
	return 0;
}

/* --- contents and lists --------------------------------------------------------------------- */

/* cat PATH: follows */
static long do_cat(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	char text[41];
	int fd = at.is_fd ? dup(at.fd) : openat(at.fd, at.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	int code = errno;
	close(fd);
	errno = code;
	if (n < 0)
		return -1;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			text[i] = '.';
	text[n] = '\0';
	say(r, "'%s'", text);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void say_sorted(struct run *r, char **names, size_t n)
{
	char text[2000] = "[";
	size_t len = 1;
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n && len < sizeof(text) - 300; i++) {
		bool is_long = strlen(names[i]) > 40;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.40s%s", i ? " " : "",
					names[i], is_long ? "..." : "");
		free(names[i]);
	}
	say(r, "%s]", text);
}

/* ls PATH: names with the letters of their types; d_ino and d_type must be those of stat */
static long do_ls(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	char *names[400];
	size_t n = 0;
	int fd = at.is_fd ? openat(at.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			  : openat(at.fd, at.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -1;
	struct dirent *e;
	while ((errno = 0, e = readdir(d)) && n < sizeof(names) / sizeof(names[0])) {
		struct stat st;
		bool dots = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
		bool known = fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
		bool right = !known || (st.st_ino == e->d_ino && IFTODT(st.st_mode) == e->d_type);
		if (!dots && asprintf(&names[n++], "%s%s%c", e->d_name, right ? ":" : "?",
				      letter(DTTOIF(e->d_type))) < 0)
			bad("no memory");
	}
	int code = errno;
	closedir(d);
	errno = code;
	if (code)
		return -1;
	say_sorted(r, names, n);
	return 0;
}

/* dotdot FOLDER: whether its list gives ".." the number of its parent */
static long do_dotdot(struct run *r, char **w)
{
	struct stat st;
	DIR *d = opendir(w[1]);
	if (!d || fstatat(dirfd(d), "..", &st, 0) < 0)
		return -1;
	for (struct dirent *e; (e = readdir(d));)
		if (!strcmp(e->d_name, ".."))
			say(r, e->d_ino == st.st_ino ? "right" : "wrong");
	closedir(d);
	return 0;
}

/* listxattr PATH: those of users and of root; the kernel's own modules may add theirs */
static long do_listxattr(struct run *r, char **w)
{
	static char list[1 << 16];
	struct where at = where(r, w[1]);
	char *names[100];
	size_t n = 0;
	ssize_t size = at.is_fd ? flistxattr(at.fd, list, sizeof(list))
				: llistxattr(at.path, list, sizeof(list));
	if (size < 0)
		return -1;
	for (const char *p = list; p < list + size && n < 100; p += strlen(p) + 1)
		if (!strncmp(p, "user.", 5) || !strncmp(p, "trusted.", 8))
			names[n++] = strdup(p);
	say_sorted(r, names, n);
	return 0;
}

/* statfs PATH: what does not depend on the disk */
static long do_statfs(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	struct statfs fs;
	if ((at.is_fd ? fstatfs(at.fd, &fs) : statfs(at.path, &fs)) < 0)
		return -1;
	say(r, "names:%ld block:%ld", (long)fs.f_namelen, (long)fs.f_bsize);
	return 0;
}

const struct verb posix_facts[] = {
	{ "stat", OK, 1, do_stat },	  { "lstat", OK, 1, do_lstat },
	{ "kind", TOLD, 1, do_kind },	  { "mode", TOLD, 1, do_mode },
	{ "size", COUNT, 1, do_size },	  { "nlink", COUNT, 1, do_nlink },
	{ "owner", TOLD, 1, do_owner },	  { "blocks", TOLD, 1, do_blocks },
	{ "usage", COUNT, 1, do_usage },  { "same", TOLD, 2, do_same },
	{ "keep", TOLD, 1, do_keep },	  { "kept", TOLD, 1, do_keep },
	{ "atime", TOLD, 1, do_time },	  { "mtime", TOLD, 1, do_time },
	{ "snap", TOLD, 1, do_snap },	  { "moved", TOLD, 0, do_moved },
	{ "cat", TOLD, 1, do_cat },	  { "ls", TOLD, 1, do_ls },
	{ "dotdot", TOLD, 1, do_dotdot }, { "listxattr", TOLD, 1, do_listxattr },
	{ "statfs", TOLD, 1, do_statfs }, { NULL, OK, 0, NULL },
};
