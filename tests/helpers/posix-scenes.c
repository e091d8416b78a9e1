/* Verbs that take more than one process, or more than one call. */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* as WHO: a, b; ag: a, who is also in the group g; root again */
static long do_as(struct run *r, char **w)
{
	(void)r;
	bool root = !strcmp(w[1], "root");
	char name[2] = { w[1][0], '\0' };
	uid_t id = root ? 0 : id_of(name);
	gid_t groups[] = { id_of("g") };
	if (setresuid(0, 0, 0) < 0 || setgroups(w[1][1] == 'g', groups) < 0 ||
	    setresgid(id, id, 0) < 0 || setresuid(id, id, 0) < 0)
		bad("cannot become '%s': %m", w[1]);
	return 0;
}

/* Runs a function in another process; its result is the exit status: an errno, or 0. */
static long in_child(struct run *r, char **w, int (*act)(struct run *r, char **w))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(act(r, w));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	if (WIFSIGNALED(status)) {
		say(r, "%s", sigabbrev_np(WTERMSIG(status)));
		return 0;
	}
	say(r, "%s", WEXITSTATUS(status) ? name_of_error(WEXITSTATUS(status)) : "ok");
	return 0;
}

/* --- programs ------------------------------------------------------------------------------- */

/* exec PATH: tells the status that the program ended with, or the error */
static long do_exec(struct run *r, char **w)
{
	int pair[2], status, code = 0;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		char *const argv[] = { w[1], NULL };
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		execv(w[1], argv);
		code = errno;
		_exit(write(pair[1], &code, sizeof(code)) != sizeof(code));
	}
	close(pair[1]);
	ssize_t n = read(pair[0], &code, sizeof(code));
	close(pair[0]);
	waitpid(pid, &status, 0);
	if (n > 0) {
		errno = code;
		return -1;
	}
	say(r, "%d", WEXITSTATUS(status));
	return 0;
}

/* start @A PATH: runs a copy of this program, until @A is closed */
static long do_start(struct run *r, char **w)
{
	int input[2], started[2];
	char c;
	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(started, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		char word[] = "pause", *const argv[] = { w[2], word, NULL };
		dup2(input[0], STDIN_FILENO);
		execv(w[2], argv);
		_exit(127);
	}
	close(input[0]);
	close(started[1]);
	/* The pipe's end is closed by the exec. */
	ssize_t n = read(started[0], &c, 1);
	close(started[0]);
	*slot(r, w[1]) = input[1];
	return n == 0 ? 0 : -1;
}

/* --- locks, as another process meets them --------------------------------------------------- */

static int lock_other(struct run *r, char **w)
{
	struct flock lock = { .l_type = (short)flags(w[2]),
			      .l_start = number(w[3]),
			      .l_len = number(w[4]) };
	return fcntl(where(r, w[1]).fd, F_SETLK, &lock) < 0 ? errno : 0;
}

static long do_lock_other(struct run *r, char **w)
{
	return in_child(r, w, lock_other);
}

/* flockother PATH HOW */
static int flock_other(struct run *r, char **w)
{
	(void)r;
	int fd = open(w[1], O_RDONLY | O_CLOEXEC);
	return fd < 0 || flock(fd, flags(w[2]) | LOCK_NB) < 0 ? errno : 0;
}

static long do_flock_other(struct run *r, char **w)
{
	return in_child(r, w, flock_other);
}

/* getlk @A TYPE START LENGTH: what stands in the way */
static long do_getlk(struct run *r, char **w)
{
	struct flock lock = { .l_type = (short)flags(w[2]),
			      .l_start = number(w[3]),
			      .l_len = number(w[4]) };
	if (fcntl(where(r, w[1]).fd, F_OFD_GETLK, &lock) < 0)
		return -1;
	say(r, lock.l_type == F_UNLCK ? "free" : "%s@%ld+%ld",
	    lock.l_type == F_RDLCK ? "RDLCK" : "WRLCK", (long)lock.l_start, (long)lock.l_len);
	return 0;
}

/* --- mappings ------------------------------------------------------------------------------- */

/* beyond @A: touches the page behind the end of a mapped file */
static int touch_beyond(struct run *r, char **w)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, where(r, w[1]).fd, 0);
	signal(SIGBUS, SIG_DFL); /* a sanitizer has its own idea */
	return map == MAP_FAILED ? errno : *(volatile char *)(map + page);
}

static long do_beyond(struct run *r, char **w)
{
	return in_child(r, w, touch_beyond);
}

/* mapped @A TEXT: what is written with pwrite is seen in a mapping, and the other way round */
static long do_mapped(struct run *r, char **w)
{
	int fd = where(r, w[1]).fd;
	size_t n = strlen(w[2]);
	char *map = mmap(NULL, n + 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), back = 0;
	if (map == MAP_FAILED || pwrite(fd, w[2], n, 0) < 0)
		return -1;
	bool seen = !memcmp(map, w[2], n);
	map[0] = '#';
	if (pread(fd, &back, 1, 0) < 0)
		return -1;
	say(r, "%s %s", seen ? "seen" : "unseen", back == '#' ? "seen" : "unseen");
	munmap(map, n + 1);
	return 0;
}

/* --- links ---------------------------------------------------------------------------------- */

/* chain N: N links in a row, the last one to f; tells what looking through them gives */
static long do_chain(struct run *r, char **w)
{
	char name[32], target[32] = "f";
	struct stat st;
	for (long i = 0, n = (long)number(w[1]); i < n; i++) {
		snprintf(name, sizeof(name), "c%ld", i);
		if (symlink(target, name) < 0)
			return -1;
		snprintf(target, sizeof(target), "%s", name);
	}
	(void)r;
	return stat(target, &st);
}

/* --- sockets, fifos ------------------------------------------------------------------------- */

static long with_socket(struct run *r, char **w)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)r;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", w[1]);
	int code = w[0][0] == 'b' ? bind(fd, (struct sockaddr *)&address, sizeof(address))
				  : connect(fd, (struct sockaddr *)&address, sizeof(address));
	if (code == 0 && w[0][0] == 'b')
		code = listen(fd, 1);
	return code; /* it stays open until the case ends */
}

/* --- folders -------------------------------------------------------------------------------- */

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* descend: makes folders with names of 200 bytes in each other, 25 deep; tells how many there could be */
static long do_descend(struct run *r, char **w)
{
	char name[201];
	long n = 0;
	(void)r;
	(void)w;
	memset(name, 'q', 200);
	name[200] = '\0';
	while (n < 25 && mkdir(name, 0755) == 0 && chdir(name) == 0)
		n++;
	return n;
}

/* fill FOLDER N: so many empty files */
static long do_fill(struct run *r, char **w)
{
	char path[300];
	(void)r;
	for (long i = 0, n = (long)number(w[2]); i < n; i++) {
		snprintf(path, sizeof(path), "%s/n%ld", w[1], i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			return -1;
		close(fd);
	}
	return 0;
}

static long entries(DIR *d)
{
	long n = 0;
	for (struct dirent *e; (e = readdir(d));)
		n += !is_dots(e->d_name);
	return n;
}

/* count FOLDER: how many entries */
static long do_count(struct run *r, char **w)
{
	DIR *d = opendir(w[1]);
	(void)r;
	if (!d)
		return -1;
	long n = entries(d);
	closedir(d);
	return n;
}

/* rewind FOLDER NAME: makes NAME in an open folder; tells the numbers of entries before and after */
static long do_rewind(struct run *r, char **w)
{
	DIR *d = opendir(w[1]);
	if (!d)
		return -1;
	long before = entries(d);
	int fd = openat(dirfd(d), w[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	rewinddir(d);
	say(r, "%ld %ld", before, entries(d));
	closedir(d);
	return fd < 0 ? -1 : 0;
}

/* seekdir FOLDER: going back to a place gives the same rest */
static long do_seekdir(struct run *r, char **w)
{
	char first[256] = "", again[256] = "";
	DIR *d = opendir(w[1]);
	struct dirent *e;
	if (!d)
		return -1;
	for (int i = 0; i < 4 && readdir(d);)
		i++;
	long place = telldir(d);
	if ((e = readdir(d)))
		snprintf(first, sizeof(first), "%s", e->d_name);
	long rest = entries(d);
	seekdir(d, place);
	if ((e = readdir(d)))
		snprintf(again, sizeof(again), "%s", e->d_name);
	say(r, "%s %s", *first && !strcmp(first, again) ? "same" : "other",
	    entries(d) == rest ? "same" : "other");
	closedir(d);
	return 0;
}

/* empty FOLDER: removes each entry while it is listed; tells what is left */
static long do_empty(struct run *r, char **w)
{
	DIR *d = opendir(w[1]);
	(void)r;
	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));)
		if (!is_dots(e->d_name) && unlinkat(dirfd(d), e->d_name, 0) < 0)
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	rewinddir(d);
	long left = entries(d);
	closedir(d);
	return left;
}

/* getdents @A SIZE: whether there were entries */
static long do_getdents(struct run *r, char **w)
{
	static char buf[1 << 16];
	long n = syscall(SYS_getdents64, where(r, w[1]).fd, buf, (size_t)number(w[2]));
	if (n >= 0)
		say(r, "%s", n ? "some" : "none");
	return n;
}

/* remove PATH...: a whole tree, deepest first, as rm -r does */
static long do_clear(struct run *r, char **w)
{
	DIR *d = opendir(w[1]);
	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));) {
		char path[600];
		char *below[] = { w[0], path, NULL };
		if (is_dots(e->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", w[1], e->d_name);
		if (e->d_type == DT_DIR ? do_clear(r, below) < 0 : unlink(path) < 0)
			return -1;
	}
	closedir(d);
	return rmdir(w[1]);
}

const struct verb posix_scenes[] = {
	{ "as", TOLD, 1, do_as },
	{ "exec", TOLD, 1, do_exec },
	{ "start", OK, 2, do_start },
	{ "lockother", TOLD, 4, do_lock_other },
	{ "flockother", TOLD, 2, do_flock_other },
	{ "getlk", TOLD, 4, do_getlk },
	{ "beyond", TOLD, 1, do_beyond },
	{ "mapped", TOLD, 2, do_mapped },
	{ "chain", OK, 1, do_chain },
	{ "bind", OK, 1, with_socket },
	{ "connect", OK, 1, with_socket },
	{ "descend", COUNT, 0, do_descend },
	{ "fill", OK, 2, do_fill },
	{ "count", COUNT, 1, do_count },
	{ "rewind", TOLD, 2, do_rewind },
	{ "seekdir", TOLD, 1, do_seekdir },
	{ "empty", COUNT, 1, do_empty },
	{ "getdents", TOLD, 2, do_getdents },
	{ "clear", OK, 1, do_clear },
	{ NULL, OK, 0, NULL },
};
