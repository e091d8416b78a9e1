#include "fs/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

int tv_attach_device(struct tv_err *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		return tv_err_set(err, -EACCES,
				  "no right to open /dev/fuse; ask the administrator for it "
				  "(chmod 0666 /dev/fuse is what distributions do)");
	return tv_err_sys(err, -ENODEV,
			  "no /dev/fuse here; load the kernel module (modprobe fuse) or start the "
			  "container with --device /dev/fuse");
}

int tv_attach_mount(const struct tv_mount *m, int device, bool read_only)
{
	char options[160];
	unsigned long flags = MS_NOSUID | MS_NODEV | (read_only ? MS_RDONLY : 0);

	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions%s", device,
		 (unsigned)geteuid(), (unsigned)getegid(), m->allow_other ? ",allow_other" : "");
	return mount(m->fsname ? m->fsname : "tvfs", m->mountpoint, "fuse.tvfs", flags, options) < 0
		       ? -errno
		       : 0;
}

void tv_attach_undo(const struct tv_mount *m, int device)
{
	struct pollfd p = { .fd = device };

	/* The connection's end shows as an error: then the place is nobody's, or another mount's. */
	if (poll(&p, 1, 0) == 1 && p.revents & POLLERR)
		return;
	umount2(m->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
}
