#include "store/pidns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"

#define FILE_NAME "pidns"
/* How long another process's change of the contents, which takes microseconds, is waited for. */
#define WAIT_NS (2 * INT64_C(1000000000))

int tv_pidns_self(char out[TV_PIDNS_TEXT], struct tv_err *err)
{
	tv_autofree char *boot = NULL;
	struct stat st;
	int r = tv_io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, NULL, err);
	if (r < 0)
		return tv_err_wrap(err, r, "is /proc mounted?");
	if (stat("/proc/self/ns/pid", &st) < 0)
		return tv_err_sys(err, -errno, "cannot tell the PID namespace (is /proc mounted?)");
	boot[strcspn(boot, "\n")] = '\0';
	snprintf(out, TV_PIDNS_TEXT, "%.36s %llu\n", boot, (unsigned long long)st.st_ino);
	return 0;
}

/* 1 when the file says that the holders of its lock are in `self`. */
static int is_mine(int fd, const char *self, struct tv_err *err)
{
	char text[TV_PIDNS_TEXT] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return tv_err_sys(err, -errno, "cannot read '" FILE_NAME "' of the store");
	return strcmp(text, self) == 0;
}

/* Not durable: after a crash of the machine the boot id is another. */
static int rewrite(int fd, const char *self, struct tv_err *err)
{
	int r = ftruncate(fd, 0) < 0 ? -errno : tv_io_pwrite_all(fd, self, strlen(self), 0);
	return r < 0 ? tv_err_sys(err, r, "cannot write '" FILE_NAME "' of the store") : 0;
}

static void pause_randomly(void)
{
	usleep(500 + (useconds_t)(tv_boottime_ns() / 1000 % 3000));
}

/* 1 when the shared lock is held and the contents are ours, 0 to try again. Changing a flock from
 * one kind to the other lets go in between, so the contents count only under the shared lock. */
static int try_enter(int fd, const char *self, struct tv_err *err)
{
	if (flock(fd, LOCK_SH | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return 0;
		return tv_err_sys(err, -errno, "cannot lock '" FILE_NAME "' of the store");
	}
	int r = is_mine(fd, self, err);
	if (r != 0)
		return r;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		r = rewrite(fd, self, err);
	flock(fd, LOCK_UN);
	return r;
}

int tv_pidns_enter(int dirfd, mode_t mode, int *fd, struct tv_err *err)
{
	char self[TV_PIDNS_TEXT];
	int r = tv_pidns_self(self, err);
	if (r < 0)
		return r;
	tv_autoclose int file = openat(dirfd, FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC, mode);
	if (file < 0 && errno == EROFS)
		return tv_err_set(
			err, -EROFS,
			"the store is on a filesystem that is mounted read-only, and even who only "
			"reads takes locks in it; make it writable, or use a copy ('cp -a') and "
			"--store");
	if (file < 0)
		return tv_err_sys(err, -errno, "cannot open '" FILE_NAME "' of the store");
	struct stat st;
	if (fstat(file, &st) == 0 && (st.st_mode & 0777) != mode)
		fchmod(file, mode); /* whoever made it sees to it; others cannot */

	int64_t deadline = tv_boottime_ns() + WAIT_NS;
	while ((r = try_enter(file, self, err)) == 0) {
		if (tv_boottime_ns() > deadline)
			return tv_err_set(err, -TV_E_LOCKED,
					  "processes of another PID namespace (a container?) use "
					  "this store; end them, or run this one in theirs");
		pause_randomly();
	}
	if (r < 0)
		return r;
	*fd = tv_steal_fd(&file);
	return 0;
}
