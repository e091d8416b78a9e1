#include "fs/passthrough.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

int tv_backing_register(int fuse_fd, int fd)
{
	struct backing_map map = { .fd = fd };
	int id = ioctl(fuse_fd, BACKING_OPEN, &map);
	return id < 0 ? -errno : id > 0 ? id : -EIO;
}

void tv_backing_release(int fuse_fd, int id)
{
	uint32_t which = (uint32_t)id;
	ioctl(fuse_fd, BACKING_CLOSE, &which);
}

/* CAP_SYS_ADMIN counts only in the first user namespace, the one that maps all ids to themselves. */
static bool is_admin(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	tv_autofree char *map = NULL;
	unsigned inside, outside, count;

	if (syscall(SYS_capget, &header, data) < 0 ||
	    !(data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)))
		return false;
	if (tv_io_read_file(AT_FDCWD, "/proc/self/uid_map", 4096, &map, NULL, NULL) < 0)
		return true; /* the kernel will tell */
	return sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
	       outside == 0 && count == UINT32_MAX;
}

int tv_passthrough_possible(char *why_not, size_t size)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	if (uname(&name) == 0)
		sscanf(name.release, "%u.%u", &major, &minor);
	if (major < 6 || (major == 6 && minor < 9)) {
		snprintf(why_not, size, "Linux %u.%u is older than 6.9", major, minor);
		return -EOPNOTSUPP;
	}
	if (!is_admin()) {
		snprintf(why_not, size, "needs CAP_SYS_ADMIN outside of user namespaces");
		return -EPERM;
	}
	snprintf(why_not, size, "%s", "");
	return 0;
}

bool tv_passthrough_stacked(int fd)
{
	struct statfs fs;
	return fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}
