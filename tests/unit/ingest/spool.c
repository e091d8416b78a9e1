/* What was fetched and is not published yet: kept whole, or not used. */
#include "ingest/spool.h"
#include "tests/unit/support.h"

static void fill(struct tv_bars *bars, int n)
{
	for (int i = 0; i < n; i++) {
		struct tv_bar bar = {
			i * TV_DAY_SECONDS, i + .5, i + 1, i, i + .25, 1e6 / (i + 1)
		};
		assert_int_equal(tv_bars_add(bars, &bar, NULL), 0);
	}
}

static int folder_of(const struct fixture *f)
{
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is(fd >= 0);
	return fd;
}

static void kept(void **state)
{
	const struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int dir = folder_of(f);
	static const int sizes[] = { 0, 1, 3000, 5 };
	for (size_t i = 0; i < TV_ARRAY_LEN(sizes); i++) {
		tv_autobars struct tv_bars bars = TV_BARS_INIT, got = TV_BARS_INIT;
		const struct tv_spooled what = { -5, 1000 + (int64_t)i, 77 };
		struct tv_spooled told;
		fill(&bars, sizes[i]);
		ok(tv_spool_save(dir, "A", &what, &bars, &err));
		assert_int_equal(tv_spool_load(dir, "A", &told, &got, &err), 1);
		assert_true(tv_bars_equal(&bars, &got));
		assert_true(told.from == what.from && told.to == what.to && told.fetched_s == 77);
	}
	tv_spool_remove(dir, "A");
	tv_spool_remove(dir, "A");
	tv_autobars struct tv_bars none = TV_BARS_INIT;
	struct tv_spooled told;
	assert_int_equal(tv_spool_load(dir, "A", &told, &none, &err), 0);
}

/* Each byte changed, each length cut: never rows. */
static void damaged(void **state)
{
	const struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int dir = folder_of(f);
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	const struct tv_spooled what = { 1, 2, 3 };
	struct tv_spooled told;
	fill(&bars, 4);
	ok(tv_spool_save(dir, "A", &what, &bars, &err));
	tv_autofree char *good = NULL;
	size_t n;
	ok(tv_io_read_file(dir, "A", 1 << 20, &good, &n, &err));
	tv_autoclose int fd = openat(dir, "A", O_RDWR | O_CLOEXEC);
	for (size_t i = 0; i < n; i++) {
		tv_autobars struct tv_bars got = TV_BARS_INIT;
		char bad = (char)(good[i] ^ 0x10);
		assert_int_equal(pwrite(fd, &bad, 1, (off_t)i), 1);
		assert_int_equal(tv_spool_load(dir, "A", &told, &got, &err), 0);
		assert_int_equal(pwrite(fd, &good[i], 1, (off_t)i), 1);
	}
	for (size_t i = n; i-- > 0;) {
		tv_autobars struct tv_bars got = TV_BARS_INIT;
		assert_int_equal(ftruncate(fd, (off_t)i), 0);
		assert_int_equal(tv_spool_load(dir, "A", &told, &got, &err), 0);
	}
}

static void swept(void **state)
{
	const struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autoclose int dir = folder_of(f);
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	const struct tv_spooled what = { 1, 2, 3 };
	const struct timespec old[] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	fill(&bars, 3);
	ok(tv_spool_save(dir, "old", &what, &bars, &err));
	ok(tv_spool_save(dir, "new", &what, &bars, &err));
	ok(mkdirat(dir, "folder", 0700));
	ok(utimensat(dir, "old", old, 0));
	ok(utimensat(dir, "folder", old, 0));
	tv_spool_sweep(dir, 1000);
	ok(faccessat(dir, "old", F_OK, 0));
	tv_spool_sweep(dir, 1001);
	assert_int_equal(faccessat(dir, "old", F_OK, 0), -1);
	ok(faccessat(dir, "new", F_OK, 0));
	ok(faccessat(dir, "folder", F_OK, 0));
	tv_spool_sweep(-1, 1001);
}

static void cannot_be_kept(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	const struct tv_spooled what = { 1, 2, 3 };
	fails(-EBADF, tv_spool_save(-1, "A", &what, &bars, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		dir_test(kept),
		dir_test(damaged),
		dir_test(swept),
		dir_test(cannot_be_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
