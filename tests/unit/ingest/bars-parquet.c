/* Bars to Parquet and back: exact for any bits, the same bytes each time, errors that name the place. */
#include <math.h>
#include <sys/mman.h>

#include "ingest/bars-parquet.h"
#include "tests/unit/support.h"

struct world {
	struct fixture *dir;
	struct tv_duck *duck;
	int dirfd;
};

static int world_setup(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct world *w = calloc(1, sizeof(*w));
	void *dir = NULL;
	if (!w || dir_setup(&dir) < 0)
		return -1;
	w->dir = dir;
	w->dirfd = open(w->dir->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	*state = w;
	if (tv_duck_open(NULL, &w->duck, &err) == 0)
		return 0;
	print_error("%s\n", err.text);
	return -1;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	void *dir = w->dir;
	tv_duck_close(w->duck);
	close(w->dirfd);
	free(w);
	return dir_teardown(&dir);
}

/* xorshift64* (Vigna, 2016). */
static uint64_t next(uint64_t *x)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * UINT64_C(2685821657736338717);
}

/* Any bits at all, and often those that are lost first. */
static double odd_double(bool only_odd, uint64_t *x)
{
	static const double odd[] = { 0.0,    -0.0, 0x1p-1074, -0x1p-1074, 0x1p-1022, 1e308,
				      -1e308, NAN,  INFINITY,  -INFINITY,  1.0 / 3 };
	uint64_t bits = next(x);
	double v;
	if (only_odd || bits % 3 == 0)
		return odd[(bits >> 8) % TV_ARRAY_LEN(odd)];
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* few: only values of which a dictionary can be made, in which -0.0 must not become 0.0. */
static void fill_bars(struct tv_bars *bars, size_t n, bool few, uint64_t *x)
{
	struct tv_err err = TV_ERR_INIT;
	bars->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct tv_bar bar = { (int64_t)next(x),	  odd_double(few, x), odd_double(few, x),
				      odd_double(few, x), odd_double(few, x), odd_double(few, x) };
		ok(tv_bars_add(bars, &bar, &err));
	}
}

static void random_bars(struct tv_bars *bars, size_t n, uint64_t *x)
{
	fill_bars(bars, n, false, x);
}

static void read_back(struct world *w, int fd, const struct tv_bars *bars)
{
	struct tv_err err = TV_ERR_INIT;
	const struct tv_parquet file = { w->duck, "a memfd", fd };
	tv_autobars struct tv_bars got = TV_BARS_INIT;
	ok(tv_bars_read(&file, &got, &err));
	is(tv_bars_equal(bars, &got));
}

static void same_bytes(int a, int b)
{
	off_t n = lseek(a, 0, SEEK_END);
	is(n > 0 && n == lseek(b, 0, SEEK_END));
	char *p = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, a, 0);
	char *q = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, b, 0);
	is(p != MAP_FAILED && q != MAP_FAILED);
	is(memcmp(p, q, (size_t)n) == 0);
	munmap(p, (size_t)n);
	munmap(q, (size_t)n);
}

static void any_bits(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	static const size_t sizes[] = { 1, 2, 7, 2047, 2048, 2049, 5000, TV_DUCK_ROW_GROUP + 1 };
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	tv_auto(tv_duck_close_p) struct tv_duck *other = NULL;
	ok(tv_duck_open(&(struct tv_duck_options){ .threads = 3 }, &other, &err));
	for (size_t i = 0; i < TV_ARRAY_LEN(sizes); i++) {
		uint64_t x = 88172645463325252 + i;
		tv_autoclose int fd = memfd_create("a", MFD_CLOEXEC);
		tv_autoclose int again = memfd_create("b", MFD_CLOEXEC);
		fill_bars(&bars, sizes[i], i % 2, &x);
		ok(tv_bars_write(w->duck, &bars, fd, &err));
		read_back(w, fd, &bars);
		ok(tv_bars_write(other, &bars, again, &err));
		same_bytes(fd, again);
	}
}

static void saving(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	struct stat st;
	uint64_t x = 7;
	tv_autobars struct tv_bars bars = TV_BARS_INIT, got = TV_BARS_INIT;
	static const char name[] = "A*?[b]'c\"_1d.parquet";
	fails(-EINVAL, tv_bars_save(w->duck, &bars, w->dirfd, name, &err));
	random_bars(&bars, 100, &x);
	ok(tv_bars_save(w->duck, &bars, w->dirfd, name, &err));
	is(fchmodat(w->dirfd, name, 0640, 0) == 0);
	random_bars(&bars, 90, &x);
	ok(tv_bars_save(w->duck, &bars, w->dirfd, name, &err));
	ok(tv_bars_load(w->duck, w->dirfd, name, &got, &err));
	is(tv_bars_equal(&bars, &got));
	is(fstatat(w->dirfd, name, &st, 0) == 0 && (st.st_mode & 07777) == 0640);
	fails(-ENOENT, tv_bars_save(w->duck, &bars, w->dirfd, "nowhere/x.parquet", &err));
	is(strstr(err.text, "nowhere/x.parquet"));

	/* A folder in the way: the rename fails, and the temp file goes. */
	is(mkdirat(w->dirfd, "folder", 0777) == 0);
	fails(-EISDIR, tv_bars_save(w->duck, &bars, w->dirfd, "folder", &err));
	tv_autoclosedir DIR *d = opendir(w->dir->dir);
	size_t n = 0;
	while (readdir(d))
		n++;
	is(n == 4);
	is(unlinkat(w->dirfd, "folder", AT_REMOVEDIR) == 0 && unlinkat(w->dirfd, name, 0) == 0);
}

/* What others write, as statements; the message each is answered with, NULL: it is read. */
static const struct {
	const char *select, *message;
} inputs[] = {
	{ "SELECT 7::INTEGER AS timestamp, 1::FLOAT AS open, 2 AS high, 1::SMALLINT AS low, "
	  "1.5::DOUBLE AS close, 9007199254740992 AS volume",
	  NULL },
	{ "SELECT 5 AS volume, 4 AS close, 3 AS low, 2 AS high, 1 AS open, 7::UINTEGER AS timestamp",
	  NULL },
	{ "SELECT TIMESTAMP_NS '2020-01-01' AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close, "
	  "1 AS volume",
	  NULL },
	{ "SELECT DATE '1960-01-01' AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close, "
	  "1 AS volume",
	  NULL },
	{ "SELECT 1577836800::DOUBLE AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close, "
	  "1 AS volume",
	  NULL },
	{ "SELECT 0.5::DOUBLE AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close, 1 AS volume",
	  "'f', column 'timestamp' (double), row 0: not a whole number of seconds" },
	{ "SELECT TIMESTAMP_MS '2020-01-01 00:00:00.5' AS timestamp, 1 AS open, 1 AS high, 1 AS low, "
	  "1 AS close, 1 AS volume",
	  "'f', column 'timestamp' (timestamp[us]), row 0: not a whole number of seconds" },
	{ "SELECT range AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close, "
	  "9007199254740990 + range AS volume FROM range(5)",
	  "'f', column 'volume' (int64), row 3: no double is exactly this integer" },
	{ "SELECT range AS timestamp, 1 AS open, if(range = 3000, NULL, 1) AS high, 1 AS low, "
	  "1 AS close, 1 AS volume FROM range(5000)",
	  "'f', column 'high' (int32), row 3000: there is no value" },
	{ "SELECT 1 AS timestamp, 'x' AS open, 1 AS high, 1 AS low, 1 AS close, 1 AS volume",
	  "'f', column 'open': its type is text, wanted is double" },
	{ "SELECT 'x' AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close, 1 AS volume",
	  "'f', column 'timestamp': its type is text, wanted is int64 (Unix seconds)" },
	{ "SELECT 1 AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close",
	  "'f': there is no column 'volume'" },
	{ "SELECT 1 AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS \"Close\", 1 AS volume",
	  "'f', column 'Close' (int32): bars have no such column" },
	{ "SELECT 1 AS timestamp, 1 AS open, 1 AS high, 1 AS low, 1 AS close, 1 AS volume, "
	  "'a' AS \"note\"",
	  "'f', column 'note' (text): bars have no such column" },
};

static void foreign(void **state)
{
	struct world *w = *state;
	for (size_t i = 0; i < TV_ARRAY_LEN(inputs); i++) {
		struct tv_err err = TV_ERR_INIT;
		tv_autobars struct tv_bars got = TV_BARS_INIT;
		tv_autoclose int fd = memfd_create("f", MFD_CLOEXEC);
		const struct tv_parquet file = { w->duck, "f", fd };
		ok(tv_duck_write_parquet(w->duck, inputs[i].select, fd, &err));
		if (!inputs[i].message) {
			ok(tv_bars_read(&file, &got, &err));
			is(got.n == 1);
			continue;
		}
		fails(-TV_E_GATE, tv_bars_read(&file, &got, &err));
		assert_string_equal(err.text, inputs[i].message);
		is(got.n == 0 && !got.open);
	}
}

static void missing(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autobars struct tv_bars got = TV_BARS_INIT;
	tv_autoclose int empty = openat(w->dirfd, "empty", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	is(empty >= 0 && mkfifoat(w->dirfd, "fifo", 0666) == 0);
	fails(-ENOENT, tv_bars_load(w->duck, w->dirfd, "none", &got, &err));
	is(strstr(err.text, "'none'"));
	fails(-TV_E_GATE, tv_bars_load(w->duck, w->dirfd, "empty", &got, &err));
	is(strstr(err.text, "'empty'"));
	fails(-EINVAL, tv_bars_load(w->duck, w->dirfd, ".", &got, &err));
	fails(-EINVAL, tv_bars_load(w->duck, w->dirfd, "fifo", &got, &err));
	is(unlinkat(w->dirfd, "empty", 0) == 0 && unlinkat(w->dirfd, "fifo", 0) == 0);
}

/* One damage after the other: an error, or rows (nothing in the file covers its numbers); afterwards the
 * database still works. */
static void damaged(void **state)
{
	struct world *w = *state;
	struct tv_err err = TV_ERR_INIT;
	uint64_t x = 99;
	unsigned refused = 0;
	tv_autobars struct tv_bars bars = TV_BARS_INIT;
	tv_autoclose int fd = memfd_create("good", MFD_CLOEXEC);
	random_bars(&bars, 40, &x);
	ok(tv_bars_write(w->duck, &bars, fd, &err));
	static unsigned char bytes[65536];
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);
	is(n > 100 && n < (ssize_t)sizeof(bytes));
	for (unsigned i = 0; i < 400; i++) {
		tv_autobars struct tv_bars got = TV_BARS_INIT;
		tv_autoclose int bad = memfd_create("bad", MFD_CLOEXEC);
		const struct tv_parquet file = { w->duck, "bad", bad };
		size_t at = next(&x) % (uint64_t)n, cut = i % 4 ? (size_t)n : at;
		unsigned char kept = bytes[at];
		bytes[at] = (unsigned char)(next(&x) >> 32);
		is(tv_io_write_all(bad, bytes, cut) == 0);
		bytes[at] = kept;
		int r = tv_bars_read(&file, &got, &err);
		is(r == 0 || (err.code == r && (r == -TV_E_GATE || r == -ENOMEM || r == -EIO)));
		refused += r < 0;
	}
	is(refused >= 100); /* all that were cut */
	read_back(w, fd, &bars);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_bits), cmocka_unit_test(saving),  cmocka_unit_test(foreign),
		cmocka_unit_test(missing),  cmocka_unit_test(damaged),
	};
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
