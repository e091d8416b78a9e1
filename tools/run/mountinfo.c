#include "tools/run/mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"

/* mountinfo writes blank, tab, newline and backslash as \ooo. In place. */
static void unescape(char *s)
{
	char *out = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/* "36 35 0:39 / /mnt rw,nosuid shared:1 - fuse.tvfs tvfs:1f3a rw": false when it is another path. */
static bool parse_line(char *line, const char *path, struct tv_mounted *out)
{
	unsigned major_no, minor_no;
	int at = 0;
	if (sscanf(line, "%*d %*d %u:%u %*s %n", &major_no, &minor_no, &at) != 2 || !at)
		return false;
	char *mountpoint = line + at, *rest = strchr(mountpoint, ' ');
	if (!rest)
		return false;
	*rest++ = '\0';
	unescape(mountpoint);
	char *tail = strstr(rest, " - ");
	if (strcmp(mountpoint, path) != 0 || !tail)
		return false;
	out->device = makedev(major_no, minor_no);
	if (sscanf(tail, " - %63s %255s", out->type, out->source) < 1)
		return false;
	unescape(out->source);
	return true;
}

static FILE *open_mountinfo(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	return fopen(path, "re");
}

int tv_mountinfo_find_of(pid_t pid, const char *path, struct tv_mounted *out, struct tv_err *err)
{
	char *line = NULL;
	size_t room = 0;
	int found = 0;
	FILE *f = open_mountinfo(pid);
	if (!f)
		return tv_err_sys(err, -errno, "cannot read /proc/%d/mountinfo", (int)pid);
	/* The last one of a path lies on top. */
	while (getline(&line, &room, f) > 0) {
		struct tv_mounted m = { .source = "" };
		if (parse_line(line, path, &m)) {
			*out = m;
			found = 1;
		}
	}
	free(line);
	fclose(f);
	return found;
}

int tv_mountinfo_find(const char *path, struct tv_mounted *out, struct tv_err *err)
{
	return tv_mountinfo_find_of(getpid(), path, out, err);
}

bool tv_mountinfo_has(pid_t pid, dev_t device)
{
	char *line = NULL;
	size_t room = 0;
	bool found = false;
	FILE *f = open_mountinfo(pid);
	while (f && !found && getline(&line, &room, f) > 0) {
		unsigned major_no, minor_no;
		if (sscanf(line, "%*d %*d %u:%u", &major_no, &minor_no) == 2)
			found = makedev(major_no, minor_no) == device;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

int tv_mountpoint_real(const char *path, char **out, struct tv_err *err)
{
	tv_autofree char *copy = strdup(path), *parent = NULL;
	if (!copy)
		return tv_err_nomem(err);
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	const char *name = tv_path_base(copy);
	char *slash = strrchr(copy, '/');
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		*out = realpath(path, NULL);
		return *out ? 0 : tv_err_sys(err, -errno, "cannot find '%s'", path);
	}
	tv_autofree char *base = strdup(name);
	if (slash)
		*slash = '\0';
	parent = realpath(slash ? (*copy ? copy : "/") : ".", NULL);
	if (!parent || !base)
		return tv_err_sys(err, -errno, "cannot find '%s'", path);
	*out = tv_path_join(parent, base);
	return *out ? 0 : tv_err_nomem(err);
}

bool tv_mountpoint_dead(const char *path)
{
	struct statvfs figures;
	/* Not by its attributes: the kernel has them cached, and would answer in place of the daemon. */
	return statvfs(path, &figures) < 0 && errno == ENOTCONN;
}

static int by_fusermount(const char *path, bool lazy, struct tv_err *err)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-q", lazy ? "-z" : "--", path, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return tv_err_sys(err, -errno, "cannot start fusermount3");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return tv_err_set(err, -EPERM,
				  "unmounting '%s' needs root or fusermount3 (package fuse3)",
				  path);
	return tv_err_set(err, -EBUSY,
			  "'%s' is in use, or not this user's: end what uses it, or try --lazy",
			  path);
}

int tv_mountpoint_unmount(const char *path, bool lazy, struct tv_err *err)
{
	if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	if (errno == EPERM)
		return by_fusermount(path, lazy, err);
	if (errno == EBUSY)
		return tv_err_set(err, -EBUSY,
				  "'%s' is in use: end what uses it (fuser -vm '%s'), or --lazy",
				  path, path);
	return tv_err_sys(err, -errno, "cannot unmount '%s'", path);
}
