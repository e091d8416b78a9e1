#include "ingest/file-bytes.h"

#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"

#define BLOCK ((size_t)1 << 17)

/* Gives all bytes to a function, a block at a time. */
static int each_block(int fd, off_t at,
		      int (*take)(void *arg, const void *bytes, size_t n, struct tv_err *err),
		      void *arg, struct tv_err *err)
{
	tv_autofree uint8_t *block = malloc(BLOCK);
	if (!block)
		return tv_err_nomem(err);
	for (;;) {
		ssize_t n = pread(fd, block, BLOCK, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tv_err_sys(err, -errno, "cannot read");
		if (n == 0)
			return 0;
		int r = take(arg, block, (size_t)n, err);
		if (r < 0)
			return r;
		at += n;
	}
}

static int hash_block(void *arg, const void *bytes, size_t n, struct tv_err *err)
{
	return tv_hasher_update(arg, bytes, n, err);
}

int tv_bytes_sha(int fd, struct tv_sha *out, struct tv_err *err)
{
	struct tv_hasher *h = NULL;
	struct tv_addr addr;
	int r = tv_hasher_new(&h, err);
	if (r == 0)
		r = each_block(fd, 0, hash_block, h, err);
	if (r == 0)
		r = tv_hasher_final(h, &addr, out, err);
	tv_hasher_free(h);
	return r;
}

static int write_block(void *arg, const void *bytes, size_t n, struct tv_err *err)
{
	int r = tv_io_write_all(*(const int *)arg, bytes, n);
	return r < 0 ? tv_err_sys(err, r, "cannot write") : 0;
}

int tv_bytes_copy(int from, int to, struct tv_err *err)
{
	off_t at = 0;
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	for (;;) {
		ssize_t n = copy_file_range(from, &at, to, NULL, (size_t)1 << 30, 0);
		if (n < 0 && errno == EINTR)
			continue;
		/* Whatever it does not like, and files that tell no length: the rest by hand. */
		if (n <= 0)
			return each_block(from, at, write_block, &to, err);
	}
}
