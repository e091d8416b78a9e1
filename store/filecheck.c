#include "store/filecheck.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"

#define PARQUET_MIN 12 /* magic, footer length, magic */
#define READ_BYTES (128 * 1024)

static int check_parquet(int fd, uint64_t size, struct tv_err *err)
{
	char head[4], tail[4];
	if (size < PARQUET_MIN)
		return tv_err_set(err, -TV_E_GATE, "is too short for a Parquet file");
	int res = tv_io_pread_all(fd, head, sizeof(head), 0);
	if (res == 0)
		res = tv_io_pread_all(fd, tail, sizeof(tail), (off_t)(size - sizeof(tail)));
	if (res < 0)
		return tv_err_sys(err, res, "cannot be read");
	/* PARE: a file whose footer is encrypted. */
	bool plain = memcmp(head, "PAR1", 4) == 0, encrypted = memcmp(head, "PARE", 4) == 0;
	if (!plain && !encrypted)
		return tv_err_set(err, -TV_E_GATE, "does not begin as a Parquet file");
	if (memcmp(head, tail, 4) != 0)
		return tv_err_set(err, -TV_E_GATE, "has no Parquet footer");
	return 0;
}

static int check_json(int fd, uint64_t size, struct tv_err *err)
{
	struct tv_jsoncheck c;
	tv_autofree char *bytes = malloc(READ_BYTES);
	if (!bytes)
		return tv_err_nomem(err);
	tv_jsoncheck_init(&c);
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < READ_BYTES ? (size_t)(size - at) : READ_BYTES;
		int res = tv_io_pread_all(fd, bytes, n, (off_t)at);
		if (res < 0)
			return tv_err_sys(err, res, "cannot be read");
		res = tv_jsoncheck_feed(&c, bytes, n, err);
		if (res < 0)
			return res;
		at += n;
	}
	return tv_jsoncheck_end(&c, err);
}

static const struct {
	const char *suffix;
	int (*check)(int fd, uint64_t size, struct tv_err *err);
} checks[] = {
	{ ".parquet", check_parquet },
	{ ".json", check_json },
};

static size_t find_check(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < TV_ARRAY_LEN(checks); i++) {
		size_t s = strlen(checks[i].suffix);
		if (n >= s && strcasecmp(name + n - s, checks[i].suffix) == 0)
			return i;
	}
	return TV_ARRAY_LEN(checks);
}

bool tv_filecheck_wants(const char *name)
{
	return find_check(name) < TV_ARRAY_LEN(checks);
}

int tv_filecheck_fd(const char *name, int fd, uint64_t size, struct tv_err *err)
{
	size_t i = find_check(name);
	if (i == TV_ARRAY_LEN(checks))
		return 0;
	if (size == 0)
		return tv_err_set(err, -TV_E_GATE, "is empty");
	return checks[i].check(fd, size, err);
}
