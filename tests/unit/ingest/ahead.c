/* Files that threads read ahead: in their order, each with its own error, and stopped at any point. */
#include "ingest/ahead.h"
#include "ingest/bars-parquet.h"
#include "tests/unit/support.h"

#define FILES 200
#define BROKEN 77  /* no Parquet */
#define MISSING 78 /* not there */

struct world {
	struct fixture *dir;
	int dirfd;
	bool inside; /* of open_file: it is called by one at a time */
};

static void name_of(size_t i, char out[32])
{
	snprintf(out, 32, "%zu.parquet", i);
}

static int open_file(void *arg, size_t i, struct tv_err *err)
{
	struct world *w = arg;
	char name[32];
	name_of(i, name);
	bool alone = !__atomic_exchange_n(&w->inside, true, __ATOMIC_SEQ_CST);
	int fd = alone ? tv_parquet_open(w->dirfd, name, err) : tv_err_set(err, -EBUSY, "two");
	__atomic_store_n(&w->inside, false, __ATOMIC_SEQ_CST);
	return fd;
}

static const char *name_file(void *arg, size_t i)
{
	(void)arg;
	return i == BROKEN ? "broken" : "good";
}

static int world_setup(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	tv_auto(tv_duck_close_p) struct tv_duck *duck = NULL;
	struct world *w = calloc(1, sizeof(*w));
	void *dir = NULL;
	if (!w || dir_setup(&dir) < 0 || tv_duck_open(NULL, &duck, &err) < 0)
		return -1;
	w->dir = dir;
	w->dirfd = open(w->dir->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	*state = w;
	for (size_t i = 0; i < FILES; i++) {
		tv_autobars struct tv_bars bars = TV_BARS_INIT;
		char name[32];
		name_of(i, name);
		for (size_t k = 0; k <= i; k++)
			tv_bars_add(&bars, &(struct tv_bar){ .timestamp = (int64_t)i, .close = 1 },
				    NULL);
		if (i != MISSING && tv_bars_save(duck, &bars, w->dirfd, name, &err) < 0)
			return -1;
	}
	char name[32];
	name_of(BROKEN, name);
	tv_autoclose int fd = openat(w->dirfd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);
	return fd >= 0 && write(fd, "no", 2) == 2 ? 0 : -1;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	void *dir = w->dir;
	close(w->dirfd);
	free(w);
	return dir_teardown(&dir);
}

static void in_order(void **state)
{
	const struct tv_ahead_files files = { FILES, open_file, name_file, *state };
	static const size_t starts[] = { 0, 3, FILES - 1 };
	for (size_t s = 0; s < TV_ARRAY_LEN(starts); s++) {
		tv_auto(tv_ahead_free_p) struct tv_ahead *a = NULL;
		struct tv_err err = TV_ERR_INIT;
		ok(tv_ahead_new(&files, starts[s], &a, &err));
		for (size_t i = starts[s]; i < FILES; i++) {
			tv_autobars struct tv_bars bars = TV_BARS_INIT;
			if (i == BROKEN || i == MISSING) {
				fails(i == BROKEN ? -TV_E_GATE : -ENOENT,
				      tv_ahead_next(a, &bars, &err));
				continue;
			}
			ok(tv_ahead_next(a, &bars, &err));
			assert_int_equal(bars.n, i + 1);
			assert_int_equal(bars.timestamp[0], i);
		}
		tv_autobars struct tv_bars none = TV_BARS_INIT;
		fails(-EINVAL, tv_ahead_next(a, &none, &err));
	}
}

static void stopped(void **state)
{
	const struct tv_ahead_files files = { FILES, open_file, name_file, *state };
	struct tv_err err = TV_ERR_INIT;
	for (size_t taken = 0; taken < 6; taken++) {
		struct tv_ahead *a = NULL;
		ok(tv_ahead_new(&files, 0, &a, &err));
		for (size_t i = 0; i < taken; i++) {
			tv_autobars struct tv_bars bars = TV_BARS_INIT;
			ok(tv_ahead_next(a, &bars, &err));
		}
		tv_ahead_free(a);
	}
	tv_ahead_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(stopped),
	};
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
