#include "ingest/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/hash.h"

#define MAGIC "tvspool1"
#define FILE_MAX ((size_t)1 << 30)

/* MAGIC, the address of all that follows, from, to, fetched, n, times, columns. In this machine's
 * order of bytes: it does not leave it. */
struct head {
	char magic[8];
	struct tv_addr sum;
	int64_t from, to, fetched_s;
	uint64_t n;
};

#define SUMMED offsetof(struct head, from)

static struct tv_addr sum_of(const struct tv_buf *b)
{
	return tv_addr_of(b->data + SUMMED, b->len - SUMMED);
}

int tv_spool_save(int dirfd, const char *name, const struct tv_spooled *what,
		  const struct tv_bars *bars, struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	tv_autofree char *temp = NULL;
	struct head head = { MAGIC, { { 0 } }, what->from, what->to, what->fetched_s, bars->n };
	tv_buf_add(&b, &head, sizeof(head));
	tv_buf_add(&b, bars->timestamp, bars->n * sizeof(int64_t));
	for (size_t c = 0; c < TV_BARS_VALUES; c++)
		tv_buf_add(&b, tv_bars_values(bars, c), bars->n * sizeof(double));
	char unique[2 * 8 + 1]; /* others may keep the same symbol at this moment */
	int r = tv_random_hex(unique, 8, err);
	if (r < 0)
		return r;
	if (b.failed || asprintf(&temp, "%s.%s.new", name, unique) < 0) {
		temp = NULL;
		return tv_err_nomem(err);
	}
	head.sum = sum_of(&b);
	memcpy(b.data, &head, sizeof(head));
	tv_autoclose int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : tv_io_write_all(fd, b.data, b.len);
	if (r == 0 && renameat(dirfd, temp, dirfd, name) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		unlinkat(dirfd, temp, 0);
	return r < 0 ? tv_err_sys(err, r, "cannot keep what was fetched as '%s'", name) : 0;
}

static bool good(const struct tv_buf *b, struct head *head)
{
	if (b->len < sizeof(*head))
		return false;
	memcpy(head, b->data, sizeof(*head));
	struct tv_addr sum = sum_of(b);
	return memcmp(head->magic, MAGIC, sizeof(head->magic)) == 0 &&
	       tv_addr_eq(&sum, &head->sum) && head->n < FILE_MAX &&
	       b->len == sizeof(*head) + head->n * 6 * sizeof(double);
}

int tv_spool_load(int dirfd, const char *name, struct tv_spooled *what, struct tv_bars *bars,
		  struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	struct head head;
	tv_autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || tv_io_read_to_end(fd, FILE_MAX, &b, NULL) < 0 || !good(&b, &head))
		return 0;
	int r = tv_bars_reserve(bars, head.n, err);
	if (r < 0)
		return r;
	const uint8_t *p = b.data + sizeof(head);
	size_t column = head.n * sizeof(double);
	if (head.n)
		memcpy(bars->timestamp, p, column);
	for (size_t c = 0; c < TV_BARS_VALUES && head.n; c++)
		memcpy(tv_bars_values(bars, c), p + (c + 1) * column, column);
	bars->n = head.n;
	*what = (struct tv_spooled){ head.from, head.to, head.fetched_s };
	return 1;
}

void tv_spool_sweep(int dirfd, int64_t before_s)
{
	struct dirent **names = NULL;
	int n = scandirat(dirfd, ".", &names, NULL, NULL);
	for (int i = 0; i < n; i++) {
		struct stat st;
		if (fstatat(dirfd, names[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_mtim.tv_sec < before_s)
			unlinkat(dirfd, names[i]->d_name, 0);
		free(names[i]);
	}
	free(names);
}

void tv_spool_remove(int dirfd, const char *name)
{
	unlinkat(dirfd, name, 0);
}
