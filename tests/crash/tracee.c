#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tracee.h"

bool tracee_read(pid_t tid, uint64_t address, void *out, size_t n)
{
	/* an address of the other process. NOLINTNEXTLINE(performance-no-int-to-ptr) */
	struct iovec to = { out, n }, from = { (void *)(uintptr_t)address, n };

	return process_vm_readv(tid, &to, 1, &from, 1, 0) == (ssize_t)n;
}

void tracee_string(pid_t tid, uint64_t address, char *out, size_t n)
{
	size_t have = 0;

	while (have + 1 < n) {
		/* never across a page: the next one may not be there */
		size_t part = 4096 - (address + have) % 4096;

		if (part > n - 1 - have)
			part = n - 1 - have;
		if (!tracee_read(tid, address + have, out + have, part))
			break;
		if (memchr(out + have, '\0', part))
			return;
		have += part;
	}
	out[have] = '\0';
}

static void fd_path(pid_t tid, int fd, char out[64])
{
	snprintf(out, 64, "/proc/%d/fd/%d", (int)tid, fd);
}

void tracee_fd_target(pid_t tid, int fd, char *out, size_t n)
{
	char path[64];
	ssize_t len;

	fd_path(tid, fd, path);
	len = readlink(path, out, n - 1);
	out[len < 0 ? 0 : len] = '\0';
}

bool tracee_fd_stat(pid_t tid, int fd, struct stat *st)
{
	char path[64];

	fd_path(tid, fd, path);
	return stat(path, st) == 0;
}

bool tracee_fd_info(pid_t tid, int fd, int64_t *pos, unsigned *flags)
{
	char path[64];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)tid, fd);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fscanf(f, "pos: %" SCNd64 " flags: %o", pos, flags) == 2;
	fclose(f);
	return ok;
}

int tracee_fd_open(pid_t tid, int fd, int flags)
{
	char path[64];

	fd_path(tid, fd, path);
	return open(path, flags | O_CLOEXEC);
}

int tracee_start_dir(pid_t tid, int fd)
{
	char path[64];

	if (fd != AT_FDCWD)
		return tracee_fd_open(tid, fd, O_PATH | O_DIRECTORY);
	snprintf(path, sizeof(path), "/proc/%d/cwd", (int)tid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

pid_t tracee_tgid(pid_t tid)
{
	char path[64], line[256];
	int tgid = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (tgid < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "Tgid: %d", &tgid);
	fclose(f);
	return tgid;
}
