/* The system calls that write, and what can be told about one when it begins. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "recorder.h"
#include "tracee.h"

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

#define DATA(call, arg)                                                                            \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .kind = CALL_DATA, .fd = arg, .at = -1,          \
		.path = -1                                                                         \
	}
#define FD(call, what)                                                                             \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .kind = what, .fd = 0, .at = -1, .path = -1      \
	}
#define PATH(call, what, at_, path_)                                                               \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .kind = what, .fd = -1, .at = at_, .path = path_ \
	}
#define PATHS(call, what, at_, path_, at2_, path2_)                                                \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .kind = what, .fd = -1, .at = at_,               \
		.path = path_, .at2 = at2_, .path2 = path2_                                        \
	}

static const struct call_info infos[] = {
	DATA(write, 0),
	DATA(pwrite64, 0),
	DATA(writev, 0),
	DATA(pwritev, 0),
	DATA(pwritev2, 0),
	DATA(sendfile, 0),
	DATA(copy_file_range, 2),
	DATA(splice, 2),
	FD(ioctl, CALL_CLONE),
	FD(ftruncate, CALL_FSIZE),
	FD(fallocate, CALL_FSIZE),
	PATH(truncate, CALL_SIZE, -1, 0),
	PATH(open, CALL_OPEN, -1, 0),
	PATH(creat, CALL_OPEN, -1, 0),
	PATH(openat, CALL_OPEN, 0, 1),
	PATH(openat2, CALL_OPEN, 0, 1),
	PATHS(rename, CALL_RENAME, -1, 0, -1, 1),
	PATHS(renameat, CALL_RENAME, 0, 1, 2, 3),
	PATHS(renameat2, CALL_RENAME, 0, 1, 2, 3),
	PATHS(link, CALL_LINK, -1, 0, -1, 1),
	PATHS(linkat, CALL_LINK, 0, 1, 2, 3),
	PATHS(symlink, CALL_SYMLINK, -1, 1, -1, 0),
	PATHS(symlinkat, CALL_SYMLINK, 1, 2, -1, 0),
	PATH(unlink, CALL_UNLINK, -1, 0),
	PATH(unlinkat, CALL_UNLINK, 0, 1),
	PATH(rmdir, CALL_UNLINK, -1, 0),
	PATH(mkdir, CALL_MKDIR, -1, 0),
	PATH(mkdirat, CALL_MKDIR, 0, 1),
	PATH(mknod, CALL_MKDIR, -1, 0),
	PATH(mknodat, CALL_MKDIR, 0, 1),
	FD(fchmod, CALL_FMODE),
	PATH(chmod, CALL_MODE, -1, 0),
	PATH(fchmodat, CALL_MODE, 0, 1),
	PATH(fchmodat2, CALL_MODE, 0, 1),
	FD(fchown, CALL_OTHER),
	PATH(chown, CALL_OTHER, -1, 0),
	PATH(lchown, CALL_OTHER, -1, 0),
	PATH(fchownat, CALL_OTHER, 0, 1),
	PATH(utimensat, CALL_OTHER, 0, 1),
	PATH(setxattr, CALL_OTHER, -1, 0),
	PATH(lsetxattr, CALL_OTHER, -1, 0),
	FD(fsetxattr, CALL_OTHER),
	PATH(removexattr, CALL_OTHER, -1, 0),
	PATH(lremovexattr, CALL_OTHER, -1, 0),
	FD(fremovexattr, CALL_OTHER),
	FD(fsync, CALL_FSYNC),
	FD(fdatasync, CALL_FDATASYNC),
	FD(syncfs, CALL_SYNCFS),
	{ .nr = __NR_sync, .name = "sync", .kind = CALL_SYNC, .fd = -1, .at = -1, .path = -1 },
	{ .nr = __NR_msync, .name = "msync", .kind = CALL_OTHER, .fd = -1, .at = -1, .path = -1 },
	{ .nr = __NR_mmap, .name = "mmap", .kind = CALL_MMAP, .fd = 4, .at = -1, .path = -1 },
	{ .nr = __NR_io_submit, .name = "io_submit", .kind = CALL_NEVER },
	{ .nr = __NR_io_uring_enter, .name = "io_uring_enter", .kind = CALL_NEVER },
};

size_t call_infos(const struct call_info **all)
{
	*all = infos;
	return sizeof(infos) / sizeof(infos[0]);
}

const struct call_info *call_info_of(long nr)
{
	for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++)
		if (infos[i].nr == nr)
			return &infos[i];
	return NULL;
}

static uint64_t open_flags(const struct call *c)
{
	switch (c->info->nr) {
	case __NR_creat:
		return O_CREAT | O_TRUNC;
	case __NR_open:
		return c->args[1];
	case __NR_openat:
		return c->args[2];
	default: {
		struct open_how how = { 0 };

		tracee_read(c->tid, c->args[2], &how, sizeof(how));
		return how.flags;
	}
	}
}

bool call_writes(const struct call *c)
{
	switch (c->info->kind) {
	case CALL_OPEN: {
		uint64_t flags = open_flags(c);

		return (flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE;
	}
	case CALL_CLONE:
		return c->args[1] == TV_FICLONE || c->args[1] == TV_FICLONERANGE;
	case CALL_MMAP:
		return false;
	default:
		return true;
	}
}

void call_describe(const struct call *c, char *out, size_t n)
{
	out[0] = '\0';
	if (c->info->path >= 0)
		tracee_string(c->tid, c->args[c->info->path], out, n);
	else if (c->info->fd >= 0)
		tracee_fd_target(c->tid, (int)c->args[c->info->fd], out, n);
}
