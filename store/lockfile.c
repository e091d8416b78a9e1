#include "store/lockfile.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/store-priv.h"

#define POLL_NS 5000000

static int open_file(struct tv_store *s, const char *name, struct tv_err *err)
{
	const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(s->dirfd, name, flags);
	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? tv_err_sys(err, -errno, "cannot open '%s' in the store", name) : fd;
	fd = openat(s->dirfd, name, flags | O_CREAT, s->file_mode);
	if (fd < 0)
		return tv_err_sys(err, -errno, "cannot make '%s' in the store", name);
	/* The umask must not keep the writers' group out. Another maker may have been faster: then
	 * this changes nothing, or is not ours to change. */
	if (tv_store_give(s, fd) < 0 || fchmod(fd, s->file_mode) < 0) {
		struct stat st;
		if (fstat(fd, &st) < 0 || (st.st_mode & 0777) != (s->file_mode & 0777)) {
			close(fd);
			return tv_err_set(err, -EPERM, "cannot set the mode of '%s' in the store",
					  name);
		}
	}
	return fd;
}

int tv_lockfile_take(struct tv_store *s, const char *name, bool exclusive, int64_t wait_ns,
		     const char *when_taken, struct tv_err *err)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	int64_t give_up = tv_boottime_ns() + wait_ns;
	tv_autoclose int fd = open_file(s, name, err);
	if (fd < 0)
		return fd;
	while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return tv_err_sys(err, -errno, "cannot lock '%s' in the store", name);
		if (tv_boottime_ns() >= give_up)
			return tv_err_set(err, -TV_E_LOCKED, "%s", when_taken);
		nanosleep(&pause, NULL);
	}
	return tv_steal_fd(&fd);
}
