/* Verbs that are one system call. Wherever a path can stand, an open descriptor can. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static int fd_of(struct run *r, const char *word)
{
	return where(r, word).fd;
}

/* --- opening -------------------------------------------------------------------------------- */

/* open @A PATH FLAGS [MODE] */
static long do_open(struct run *r, char **w)
{
	struct where at = where(r, w[2]);
	mode_t mode = w[4] ? (mode_t)number(w[4]) : 0644;
	int fd = openat(at.fd, at.path, flags(w[3]) | O_CLOEXEC, mode);
	if (fd >= 0)
		*slot(r, w[1]) = fd;
	return fd < 0 ? -1 : 0;
}

/* reopen @B @A FLAGS: through /proc */
static long do_reopen(struct run *r, char **w)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_of(r, w[2]));
	int fd = open(path, flags(w[3]) | O_CLOEXEC);
	if (fd >= 0)
		*slot(r, w[1]) = fd;
	return fd < 0 ? -1 : 0;
}

static long do_close(struct run *r, char **w)
{
	return close(fd_of(r, w[1]));
}

static long do_dup(struct run *r, char **w)
{
	int fd = fcntl(fd_of(r, w[1]), F_DUPFD_CLOEXEC, 0);
	if (fd >= 0)
		*slot(r, w[2]) = fd;
	return fd < 0 ? -1 : 0;
}

/* setfl @A FLAGS, getfl @A: tells whether APPEND is set */
static long do_setfl(struct run *r, char **w)
{
	return fcntl(fd_of(r, w[1]), F_SETFL, flags(w[2]));
}

static long do_getfl(struct run *r, char **w)
{
	int fl = fcntl(fd_of(r, w[1]), F_GETFL);
	if (fl >= 0)
		say(r, "%s%s%s",
		    (fl & O_ACCMODE) == O_RDONLY   ? "RDONLY"
		    : (fl & O_ACCMODE) == O_WRONLY ? "WRONLY"
						   : "RDWR",
		    fl & O_APPEND ? "|APPEND" : "", fl & O_PATH ? "|PATH" : "");
	return fl < 0 ? -1 : 0;
}

/* --- bytes ---------------------------------------------------------------------------------- */

/* What was read, shortened; bytes that are not plain become '.'. */
static void say_bytes(struct run *r, const char *bytes, size_t n)
{
	char text[81];
	size_t kept = n < sizeof(text) - 1 ? n : sizeof(text) - 1;
	for (size_t i = 0; i < kept; i++)
		text[i] = (char)(bytes[i] > ' ' && bytes[i] <= '~' ? bytes[i] : '.');
	text[kept] = '\0';
	say(r, kept < n ? "'%s'+%zu" : "'%s'", text, n - kept);
}

static char *buffer(size_t n)
{
	char *buf = calloc(1, n + 1);
	if (!buf)
		bad("no memory");
	return buf;
}

/* read @A N, pread @A OFFSET N */
static long do_read(struct run *r, char **w)
{
	size_t size = (size_t)number(w[2]);
	char *buf = buffer(size);
	ssize_t n = read(fd_of(r, w[1]), buf, size);
	if (n >= 0)
		say_bytes(r, buf, (size_t)n);
	free(buf);
	return n;
}

static long do_pread(struct run *r, char **w)
{
	size_t size = (size_t)number(w[3]);
	char *buf = buffer(size);
	ssize_t n = pread(fd_of(r, w[1]), buf, size, number(w[2]));
	if (n >= 0)
		say_bytes(r, buf, (size_t)n);
	free(buf);
	return n;
}

/* From and to no memory at all; as many pieces as are too many. */
static long do_read_fault(struct run *r, char **w)
{
	volatile uintptr_t nowhere = 8; /* hidden from the compiler's checks */
	return read(fd_of(r, w[1]), (void *)nowhere, 4);
}

static long do_write_fault(struct run *r, char **w)
{
	volatile uintptr_t nowhere = 8;
	return write(fd_of(r, w[1]), (void *)nowhere, 4);
}

static long do_readv(struct run *r, char **w)
{
	static char bytes[2048];
	static struct iovec pieces[2048];
	for (size_t i = 0; i < 2048; i++)
		pieces[i] = (struct iovec){ bytes + i, 1 };
	return readv(fd_of(r, w[1]), pieces, (int)number(w[2]));
}

static const char *text_of(const char *word)
{
	return !strcmp(word, "EMPTY") ? "" : word;
}

static long do_write(struct run *r, char **w)
{
	const char *text = text_of(w[2]);
	return write(fd_of(r, w[1]), text, strlen(text));
}

/* pwrite @A OFFSET TEXT */
static long do_pwrite(struct run *r, char **w)
{
	const char *text = text_of(w[3]);
	return pwrite(fd_of(r, w[1]), text, strlen(text), number(w[2]));
}

static long do_lseek(struct run *r, char **w)
{
	return lseek(fd_of(r, w[1]), number(w[2]), flags(w[3]));
}

static long do_truncate(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return at.is_fd ? ftruncate(at.fd, number(w[2])) : truncate(at.path, number(w[2]));
}

/* fallocate @A MODE OFFSET LENGTH */
static long do_fallocate(struct run *r, char **w)
{
	return fallocate(fd_of(r, w[1]), flags(w[2]), number(w[3]), number(w[4]));
}

/* copy @FROM OFFSET @TO OFFSET LENGTH [FLAGS]; offset -: the descriptor's own */
static long do_copy(struct run *r, char **w)
{
	bool own_in = !strcmp(w[2], "-"), own_out = !strcmp(w[4], "-");
	off_t in = own_in ? 0 : number(w[2]), out = own_out ? 0 : number(w[4]);
	return copy_file_range(fd_of(r, w[1]), own_in ? NULL : &in, fd_of(r, w[3]),
			       own_out ? NULL : &out, (size_t)number(w[5]), (unsigned)flags(w[6]));
}

/* sendfile @TO @FROM LENGTH */
static long do_sendfile(struct run *r, char **w)
{
	off_t in = 0;
	return sendfile(fd_of(r, w[1]), fd_of(r, w[2]), &in, (size_t)number(w[3]));
}

static long do_fsync(struct run *r, char **w)
{
	return w[0][strlen(w[0]) - 4] == 'd' ? fdatasync(fd_of(r, w[1])) : fsync(fd_of(r, w[1]));
}

/* mmap @A PROT FLAGS LENGTH [OFFSET] */
static long do_mmap(struct run *r, char **w)
{
	size_t n = (size_t)number(w[4]);
	void *map =
		mmap(NULL, n, flags(w[2]), flags(w[3]), fd_of(r, w[1]), w[5] ? number(w[5]) : 0);
	if (map == MAP_FAILED)
		return -1;
	munmap(map, n);
	return 0;
}

/* poke @A OFFSET CHARACTER: writes one byte through a shared mapping, and waits until it is in the file;
 * scribble does not wait */
static long do_poke(struct run *r, char **w)
{
	size_t at = (size_t)number(w[2]);
	char *map = mmap(NULL, at + 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(r, w[1]), 0);
	if (map == MAP_FAILED)
		return -1;
	map[at] = *w[3];
	int code = strstr(w[0], "poke") ? msync(map, at + 1, MS_SYNC) : 0;
	munmap(map, at + 1);
	return code;
}

/* --- names ---------------------------------------------------------------------------------- */

static mode_t mode_or(const char *word, mode_t mode)
{
	return word ? (mode_t)number(word) : mode;
}

static long do_mkdir(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return mkdirat(at.fd, at.path, mode_or(w[2], 0755));
}

static long do_rmdir(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return unlinkat(at.fd, at.path, AT_REMOVEDIR);
}

/* unlink PATH [FLAGS] */
static long do_unlink(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return unlinkat(at.fd, at.path, flags(w[2]));
}

/* mknod PATH TYPE [MODE [DEVICE]] */
static long do_mknod(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	mode_t mode = mode_or(w[3], 0644);
	return mknodat(at.fd, at.path, (mode_t)flags(w[2]) | mode,
		       w[3] && w[4] ? (dev_t)number(w[4]) : 0);
}

static long do_symlink(struct run *r, char **w)
{
	struct where at = where(r, w[2]);
	return symlinkat(text_of(w[1]), at.fd, at.path);
}

/* readlink PATH [SIZE] */
static long do_readlink(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	char buf[5000];
	size_t size = w[2] ? (size_t)number(w[2]) : sizeof(buf);
	/* Size 0 is an error of its own, which the C library's check must not forestall. */
	long n = syscall(SYS_readlinkat, at.fd, at.path, buf, (int)size);
	if (n > 80)
		say(r, "(%ld)", n);
	else if (n >= 0)
		say(r, "'%.*s'", (int)n, buf);
	return n;
}

static long do_link(struct run *r, char **w)
{
	struct where from = where(r, w[1]), to = where(r, w[2]);
	return linkat(from.fd, from.path, to.fd, to.path, flags(w[3]));
}

/* linkproc @A PATH: gives an open file a name, as O_TMPFILE's users do */
static long do_linkproc(struct run *r, char **w)
{
	char path[64];
	struct where to = where(r, w[2]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_of(r, w[1]));
	return linkat(AT_FDCWD, path, to.fd, to.path, AT_SYMLINK_FOLLOW);
}

static long do_rename(struct run *r, char **w)
{
	struct where from = where(r, w[1]), to = where(r, w[2]);
	return w[3] ? renameat2(from.fd, from.path, to.fd, to.path, (unsigned)flags(w[3]))
		    : renameat(from.fd, from.path, to.fd, to.path);
}

/* nopath: calls without any path */
static long do_nopath(struct run *r, char **w)
{
	static const int calls[] = { SYS_openat, SYS_mkdirat, SYS_unlinkat, SYS_readlinkat };
	(void)w;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		say(r, "%s",
		    syscall(calls[i], AT_FDCWD, NULL, 0, 1) < 0 ? name_of_error(errno) : "ok");
	return 0;
}

/* --- attributes ----------------------------------------------------------------------------- */

/* chmod PATH MODE [FLAGS] */
static long do_chmod(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	mode_t mode = (mode_t)number(w[2]);
	if (at.is_fd)
		return fchmod(at.fd, mode);
	return w[3] ? syscall(SYS_fchmodat2, at.fd, at.path, mode, flags(w[3]))
		    : fchmodat(at.fd, at.path, mode, 0);
}

/* chown PATH USER GROUP [FLAGS] */
static long do_chown(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	uid_t uid = id_of(w[2]);
	gid_t gid = id_of(w[3]);
	return at.is_fd ? fchown(at.fd, uid, gid) : fchownat(at.fd, at.path, uid, gid, flags(w[4]));
}

/* chme PATH: gives it to who has it already */
static long do_chme(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return at.is_fd ? fchown(at.fd, geteuid(), getegid())
			: fchownat(at.fd, at.path, geteuid(), getegid(), flags(w[2]));
}

/* utimens PATH ATIME MTIME [FLAGS]; utimens PATH NULL is "now" in the other form */
static long do_utimens(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	bool null = !strcmp(w[2], "NULL");
	struct timespec times[2];
	for (int i = 0; i < 2 && !null; i++)
		times[i] = time_of(w[2 + i]);
	return syscall(SYS_utimensat, at.fd, at.is_fd ? NULL : at.path, null ? NULL : times,
		       null ? 0 : flags(w[4]));
}

/* access PATH MODE [FLAGS] */
static long do_access(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return faccessat(at.fd, at.path, flags(w[2]), flags(w[3]));
}

/* setxattr PATH NAME VALUE [FLAGS], SELF for the link itself */
static long do_setxattr(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	const char *value = text_of(w[3]);
	if (at.is_fd)
		return fsetxattr(at.fd, w[2], value, strlen(value), flags(w[4]));
	if (w[4] && !strcmp(w[4], "SELF"))
		return lsetxattr(at.path, w[2], value, strlen(value), 0);
	return setxattr(at.path, w[2], value, strlen(value), flags(w[4]));
}

/* getxattr PATH NAME [SIZE] */
static long do_getxattr(struct run *r, char **w)
{
	static char buf[1 << 16];
	struct where at = where(r, w[1]);
	size_t size = w[3] ? (size_t)number(w[3]) : sizeof(buf);
	ssize_t n =
		at.is_fd ? fgetxattr(at.fd, w[2], buf, size) : getxattr(at.path, w[2], buf, size);
	if (n >= 0 && size == 0)
		say(r, "(%zd)", n);
	else if (n >= 0)
		say_bytes(r, buf, (size_t)n);
	return n;
}

static long do_removexattr(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return at.is_fd ? fremovexattr(at.fd, w[2]) : removexattr(at.path, w[2]);
}

/* --- descriptors, the process --------------------------------------------------------------- */

static long do_flock(struct run *r, char **w)
{
	return flock(fd_of(r, w[1]), flags(w[2]));
}

/* lock @A TYPE START LENGTH: belongs to the descriptor; plock: to the process */
static long do_lock(struct run *r, char **w)
{
	struct flock lock = { .l_type = (short)flags(w[2]),
			      .l_start = number(w[3]),
			      .l_len = number(w[4]) };
	return fcntl(fd_of(r, w[1]), w[0][0] == 'p' ? F_SETLK : F_OFD_SETLK, &lock);
}

static long do_chdir(struct run *r, char **w)
{
	struct where at = where(r, w[1]);
	return at.is_fd ? fchdir(at.fd) : chdir(at.path);
}

static long do_umask(struct run *r, char **w)
{
	(void)r;
	umask((mode_t)number(w[1]));
	return 0;
}

/* fsize N: no file of this process may grow beyond it */
static long do_fsize(struct run *r, char **w)
{
	struct rlimit limit = { (rlim_t)number(w[1]), (rlim_t)number(w[1]) };
	(void)r;
	return setrlimit(RLIMIT_FSIZE, &limit);
}

const struct verb posix_calls[] = {
	{ "open", OK, 3, do_open },
	{ "reopen", OK, 3, do_reopen },
	{ "close", OK, 1, do_close },
	{ "dup", OK, 2, do_dup },
	{ "setfl", OK, 2, do_setfl },
	{ "getfl", TOLD, 1, do_getfl },
	{ "read", TOLD, 2, do_read },
	{ "pread", TOLD, 3, do_pread },
	{ "readfault", COUNT, 1, do_read_fault },
	{ "writefault", COUNT, 1, do_write_fault },
	{ "readv", COUNT, 2, do_readv },
	{ "write", COUNT, 2, do_write },
	{ "pwrite", COUNT, 3, do_pwrite },
	{ "lseek", COUNT, 3, do_lseek },
	{ "truncate", OK, 2, do_truncate },
	{ "fallocate", OK, 4, do_fallocate },
	{ "copy", COUNT, 5, do_copy },
	{ "sendfile", COUNT, 3, do_sendfile },
	{ "fsync", OK, 1, do_fsync },
	{ "fdatasync", OK, 1, do_fsync },
	{ "mmap", OK, 4, do_mmap },
	{ "poke", OK, 3, do_poke },
	{ "scribble", OK, 3, do_poke },
	{ "mkdir", OK, 1, do_mkdir },
	{ "rmdir", OK, 1, do_rmdir },
	{ "unlink", OK, 1, do_unlink },
	{ "mknod", OK, 2, do_mknod },
	{ "symlink", OK, 2, do_symlink },
	{ "readlink", TOLD, 1, do_readlink },
	{ "link", OK, 2, do_link },
	{ "linkproc", OK, 2, do_linkproc },
	{ "rename", OK, 2, do_rename },
	{ "nopath", TOLD, 0, do_nopath },
	{ "chmod", OK, 2, do_chmod },
	{ "chown", OK, 3, do_chown },
	{ "chme", OK, 1, do_chme },
	{ "utimens", OK, 2, do_utimens },
	{ "access", OK, 2, do_access },
	{ "setxattr", OK, 3, do_setxattr },
	{ "getxattr", TOLD, 2, do_getxattr },
	{ "removexattr", OK, 2, do_removexattr },
	{ "flock", OK, 2, do_flock },
	{ "lock", OK, 4, do_lock },
	{ "plock", OK, 4, do_lock },
	{ "chdir", OK, 1, do_chdir },
	{ "umask", TOLD, 1, do_umask },
	{ "fsize", TOLD, 1, do_fsize },
	{ NULL, OK, 0, NULL },
};
