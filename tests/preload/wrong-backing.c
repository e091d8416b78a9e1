/*
 * Makes a daemon wrong, to see whether the tests notice: whatever file it registers for the kernel to read and
 * write, the blob at $TVFS_WRONG_BLOB is registered in its place. So a file that is opened for writing is
 * written into the store.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct fuse_backing_map and FUSE_DEV_IOC_BACKING_OPEN of Linux 6.9, which older headers lack. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	va_start(args, request);
	void *arg = va_arg(args, void *);
	va_end(args);
	const char *blob = getenv("TVFS_WRONG_BLOB");
	if (request != BACKING_OPEN || !blob)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	struct backing_map wrong = { .fd = open(blob, O_RDONLY | O_CLOEXEC) };
	int r = (int)syscall(SYS_ioctl, fd, request, &wrong);
	close(wrong.fd);
	return r;
}
