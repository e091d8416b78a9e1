/* store/kv.c: tables, map growth under load, a full reader table, damaged files, killed writers. */
#include "tests/unit/support.h"

#include <pthread.h>
#include <signal.h>

#include "store/kv.h"

#define SMALL_MAP ((size_t)256 << 10)

static const char *index_of(struct fixture *f)
{
	static char path[96];
	snprintf(path, sizeof(path), "%s/index", f->dir);
	return path;
}

static struct tv_kv *open_kv(const char *path)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = NULL;
	ok(tv_kv_open(path, 0600, &kv, &err));
	return kv;
}

static struct tv_kv *make_kv(struct fixture *f, size_t map_bytes)
{
	struct tv_err err = TV_ERR_INIT;
	ok(tv_kv_create_sized(index_of(f), 0600, map_bytes, &err));
	return open_kv(index_of(f));
}

static struct tv_bytes text(const char *s)
{
	return tv_bytes(s, strlen(s));
}

/* --- rows ------------------------------------------------------------------------------------ */

static int put_abc(struct tv_kv_txn *t, void *arg, struct tv_err *err_out)
{
	(void)arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_bytes v;
	is(tv_kv_put_new(t, TV_T_META, text("b"), text("1"), &err) == 1);
	is(tv_kv_put_new(t, TV_T_META, text("b"), text("2"), &err) == 0);
	is(tv_kv_get(t, TV_T_META, text("b"), &v, &err) == 1 && v.len == 1);
	is(*(const char *)v.data == '1');
	ok(tv_kv_put(t, TV_T_META, text("d"), text("4"), &err));
	ok(tv_kv_put(t, TV_T_META, text("f"), text(""), &err));
	is(tv_kv_del(t, TV_T_META, text("x"), err_out) == 0);
	return 0;
}

static int walk_abc(struct tv_kv_txn *t, void *arg, struct tv_err *err_out)
{
	(void)arg;
	(void)err_out;
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv_cursor *c;
	struct tv_bytes k, v;
	static const struct {
		const char *from, *key;
	} table[] = { { "", "b" }, { "a", "b" }, { "b", "b" }, { "c", "d" }, { "g", NULL } },
	  before[] = { { "", "f" }, { "g", "f" }, { "f", "d" }, { "c", "b" }, { "b", NULL } };

	ok(tv_kv_cursor_open(t, TV_T_META, &c, &err));
	for (size_t i = 0; i < TV_ARRAY_LEN(table); i++) {
		int r = tv_kv_cursor_from(c, text(table[i].from), &k, &v, &err);
		is(r == (table[i].key != NULL));
		is(!r || memcmp(k.data, table[i].key, 1) == 0);
		r = tv_kv_cursor_before(c, text(before[i].from), &k, &v, &err);
		is(r == (before[i].key != NULL));
		is(!r || memcmp(k.data, before[i].key, 1) == 0);
	}
	is(tv_kv_cursor_from(c, text("d"), &k, &v, &err) == 1);
	is(tv_kv_cursor_next(c, &k, &v, &err) == 1 && v.len == 0);
	is(tv_kv_cursor_next(c, &k, &v, &err) == 0);
	is(tv_kv_cursor_from(c, text("d"), &k, &v, &err) == 1);
	is(tv_kv_cursor_prev(c, &k, &v, &err) == 1 && memcmp(k.data, "b", 1) == 0);
	is(tv_kv_cursor_prev(c, &k, &v, &err) == 0);
	tv_kv_cursor_close(c);
	return 0;
}

static void rows_and_cursors(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv_stat st;
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	ok(tv_kv_write(kv, put_abc, NULL, &err));
	ok(tv_kv_read(kv, walk_abc, NULL, &err));
	ok(tv_kv_stat(kv, &st, &err));
	assert_int_equal(st.entries[TV_T_META], 3);
	assert_int_equal(st.max_readers, 4096);
	assert_true(st.used_bytes > 0 && st.map_bytes >= SMALL_MAP);
	tv_kv_close(kv);
}

static void key_order_of_numbers(void **state)
{
	(void)state;
	uint8_t a[8], b[8];
	static const uint64_t values[] = { 0, 1, 255, 256, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX };
	for (size_t i = 0; i + 1 < TV_ARRAY_LEN(values); i++) {
		tv_be64_put(a, values[i]);
		tv_be64_put(b, values[i + 1]);
		assert_true(memcmp(a, b, 8) < 0);
		assert_true(tv_be64_get(a) == values[i]);
	}
}

static int put_then_fail(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	(void)arg;
	int r = tv_kv_put(t, TV_T_META, text("k"), text("v"), err);
	return r < 0 ? r : tv_err_set(err, -EPERM, "the body says no");
}

static int has_k(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	(void)arg;
	return tv_kv_get(t, TV_T_META, text("k"), NULL, err);
}

static void failed_body_changes_nothing(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	fails(-EPERM, tv_kv_write(kv, put_then_fail, NULL, &err));
	assert_int_equal(tv_kv_read(kv, has_k, NULL, &err), 0);
	tv_kv_close(kv);
}

static int nested(struct tv_kv_txn *t, void *arg, struct tv_err *err_out)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = arg;
	ok(tv_kv_put(t, TV_T_META, text("k"), text("v"), err_out));
	/* sees what its own transaction has written, and does not wait for itself */
	is(tv_kv_read(kv, has_k, NULL, &err) == 1);
	fails(-EDEADLK, tv_kv_write(kv, put_then_fail, NULL, &err));
	return 0;
}

static void nested_calls(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	ok(tv_kv_write(kv, nested, kv, &err));
	assert_int_equal(tv_kv_read(kv, has_k, NULL, &err), 1);
	tv_kv_close(kv);
}

static int bad_keys(struct tv_kv_txn *t, void *arg, struct tv_err *err_out)
{
	(void)arg;
	(void)err_out;
	static char long_key[512];
	struct tv_err err = TV_ERR_INIT;
	fails(-EINVAL, tv_kv_put(t, TV_T_META, tv_bytes(long_key, 512), text(""), &err));
	fails(-EINVAL, tv_kv_put(t, TV_T_META, text(""), text(""), &err));
	return 0;
}

static void keys_out_of_bounds(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	ok(tv_kv_write(kv, bad_keys, NULL, &err));
	tv_kv_close(kv);
}

static void second_open_shares(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = make_kv(*state, SMALL_MAP), *again = open_kv(index_of(*state));
	assert_ptr_equal(kv, again);
	tv_kv_close(again);
	ok(tv_kv_write(kv, nested, kv, &err));
	tv_kv_close(kv);
}

/* --- growth ---------------------------------------------------------------------------------- */

struct fill {
	unsigned first, n;
};

static int fill_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct fill *f = arg;
	static const char value[3000];
	for (unsigned i = 0; i < f->n; i++) {
		uint8_t key[8];
		tv_be64_put(key, f->first + i);
		int r = tv_kv_put(t, TV_T_NODES, tv_bytes(key, 8), tv_bytes(value, sizeof(value)),
				  err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int count_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	unsigned *n = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes k, v;
	*n = 0;
	int r = tv_kv_cursor_open(t, TV_T_NODES, &c, err);
	if (r < 0)
		return r;
	for (r = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &k, &v, err); r == 1;
	     r = tv_kv_cursor_next(c, &k, &v, err))
		*n += 1;
	tv_kv_cursor_close(c);
	return r;
}

static unsigned count(struct tv_kv *kv)
{
	struct tv_err err = TV_ERR_INIT;
	unsigned n = 0;
	ok(tv_kv_read(kv, count_body, &n, &err));
	return n;
}

static void one_transaction_larger_than_the_map(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	struct fill f = { 0, 2000 }; /* some 8 MiB in a map of 256 KiB */
	struct tv_kv_stat st;
	ok(tv_kv_write(kv, fill_body, &f, &err));
	assert_int_equal(count(kv), 2000);
	ok(tv_kv_stat(kv, &st, &err));
	assert_true(st.map_bytes >= 8u << 20);
	tv_kv_close(kv);
	kv = open_kv(index_of(*state));
	assert_int_equal(count(kv), 2000);
	tv_kv_close(kv);
}

struct shared {
	const char *path;
	unsigned number, rounds;
};

static int grow_child(void *arg)
{
	const struct shared *s = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = open_kv(s->path);
	unsigned seen = 0;
	for (unsigned i = 0; i < s->rounds; i++) {
		struct fill f = { s->number * 100000 + i * 10, 10 };
		ok(tv_kv_write(kv, fill_body, &f, &err));
		unsigned now = count(kv);
		is(now >= seen + 10 && now % 10 == 0);
		seen = now;
	}
	tv_kv_close(kv);
	return 0;
}

static void growth_while_others_read_and_write(void **state)
{
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	tv_kv_close(kv);
	pid_t pids[6];
	struct shared s[6];
	for (unsigned i = 0; i < 6; i++) {
		s[i] = (struct shared){ index_of(*state), i, 40 };
		pids[i] = fork_child(grow_child, &s[i]);
	}
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(wait_child(pids[i]), 0);
	kv = open_kv(index_of(*state));
	assert_int_equal(count(kv), 6 * 40 * 10);
	tv_kv_close(kv);
}

struct threads {
	struct tv_kv *kv;
	unsigned number;
};

static void *grow_thread(void *arg)
{
	const struct threads *s = arg;
	struct tv_err err = TV_ERR_INIT;
	for (unsigned i = 0; i < 30; i++) {
		struct fill f = { s->number * 100000 + i * 10, 10 };
		ok(tv_kv_write(s->kv, fill_body, &f, &err));
		is(count(s->kv) % 10 == 0);
	}
	return NULL;
}

static void growth_under_threads(void **state)
{
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	pthread_t threads[4];
	struct threads s[4];
	for (unsigned i = 0; i < 4; i++) {
		s[i] = (struct threads){ kv, i };
		assert_int_equal(pthread_create(&threads[i], NULL, grow_thread, &s[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(count(kv), 4 * 30 * 10);
	tv_kv_close(kv);
}

/* --- readers --------------------------------------------------------------------------------- */

struct slow_reader {
	struct tv_kv *kv;
	pthread_mutex_t *gate;
};

static int hold_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct slow_reader *s = arg;
	int r = tv_kv_get(t, TV_T_META, text("k"), NULL, err);
	pthread_mutex_lock(s->gate);
	pthread_mutex_unlock(s->gate);
	return r;
}

static void *hold_thread(void *arg)
{
	struct slow_reader *s = arg;
	struct tv_err err = TV_ERR_INIT;
	ok(tv_kv_read(s->kv, hold_body, s, &err));
	return NULL;
}

/* Threads that all read at once, so that a process holds `n` reader slots, and then kill it. */
#define SLOTS_A_CHILD 256
static int hog_child(void *arg)
{
	struct tv_kv *kv = open_kv(arg);
	static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread;
	pthread_attr_t attr;
	struct slow_reader s = { kv, &gate };
	pthread_mutex_lock(&gate);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 << 10);
	for (int i = 0; i < SLOTS_A_CHILD; i++)
		is(pthread_create(&thread, &attr, hold_thread, &s) == 0);
	pause();
	return 0;
}

static unsigned slots_in_use(struct tv_kv *kv)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv_stat st;
	ok(tv_kv_stat(kv, &st, &err));
	return st.readers;
}

static void full_reader_table_is_cleared_of_the_dead(void **state)
{
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	struct tv_err err = TV_ERR_INIT;
	enum { CHILDREN = 4096 / SLOTS_A_CHILD };
	pid_t pids[CHILDREN];
	/* The slot of this process's own is let go of: the children get all but none. */
	tv_kv_close(kv);
	for (int i = 0; i < CHILDREN; i++)
		pids[i] = fork_child(hog_child, (void *)(uintptr_t)index_of(*state));
	kv = open_kv(index_of(*state));
	for (int i = 0; i < 1000 && slots_in_use(kv) < 4090; i++)
		usleep(10000);
	bool full = slots_in_use(kv) >= 4090;
	for (int i = 0; i < CHILDREN; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < CHILDREN; i++)
		wait_child(pids[i]);
	if (!full) {
		tv_kv_close(kv);
		cannot("run 4096 threads");
	}
	/* All slots are marked as used, by processes that are gone. More than the pool at once: */
	pthread_t threads[8];
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct slow_reader s = { kv, &gate };
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hold_thread, &s), 0);
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ok(tv_kv_write(kv, nested, kv, &err));
	tv_kv_close(kv);
}

/* --- crashes and damage ---------------------------------------------------------------------- */

static int write_for_ever(void *arg)
{
	const struct shared *s = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = open_kv(s->path);
	for (unsigned i = 0; i < 100000; i++) {
		struct fill f = { s->number * 100000 + i * 7, 7 };
		ok(tv_kv_write(kv, fill_body, &f, &err));
	}
	return 0;
}

static void killed_writers_leave_whole_transactions(void **state)
{
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	tv_kv_close(kv);
	for (unsigned i = 0; i < 20; i++) {
		struct shared s = { index_of(*state), i, 0 };
		pid_t pid = fork_child(write_for_ever, &s);
		usleep(3000 + 1700 * i);
		kill(pid, SIGKILL);
		assert_int_equal(wait_child(pid), -SIGKILL);
		kv = open_kv(index_of(*state));
		assert_int_equal(count(kv) % 7, 0);
		tv_kv_close(kv);
	}
}

static void write_file(struct fixture *f, const char *name, const void *bytes, size_t n, off_t at)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", index_of(f), name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(tv_io_pwrite_all(fd, bytes, n, at), 0);
	close(fd);
}

static void damaged_files(void **state)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_kv *kv = make_kv(*state, SMALL_MAP);
	struct fill f = { 0, 2000 };
	char path[160];
	static const char zeros[8192];
	ok(tv_kv_write(kv, fill_body, &f, &err));
	tv_kv_close(kv);

	snprintf(path, sizeof(path), "%s/data.mdb", index_of(*state));
	assert_int_equal(truncate(path, 1 << 20), 0);
	fails(-TV_E_DAMAGED, tv_kv_open(index_of(*state), 0600, &kv, &err));
	write_file(*state, "data.mdb", zeros, sizeof(zeros), 0);
	fails(-TV_E_DAMAGED, tv_kv_open(index_of(*state), 0600, &kv, &err));
	assert_int_equal(truncate(path, 0), 0);
	fails(-TV_E_DAMAGED, tv_kv_open(index_of(*state), 0600, &kv, &err));
	assert_int_equal(unlink(path), 0);
	fails(-TV_E_DAMAGED, tv_kv_open(index_of(*state), 0600, &kv, &err));
}

static void missing_lock_file_is_made(void **state)
{
	struct fixture *f = *state;
	struct tv_kv *kv = make_kv(f, SMALL_MAP);
	struct stat st;
	char path[160];
	tv_kv_close(kv);
	snprintf(path, sizeof(path), "%s/lock.mdb", index_of(f));
	assert_int_equal(unlink(path), 0);
	mode_t before = umask(0777);
	kv = open_kv(index_of(f));
	umask(before);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	tv_kv_close(kv);
}

static void modes_do_not_depend_on_the_umask(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct stat st;
	char path[160];
	mode_t before = umask(077);
	ok(tv_kv_create(index_of(f), 0660, &err));
	umask(before);
	snprintf(path, sizeof(path), "%s/data.mdb", index_of(f));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(stat(index_of(f), &st), 0);
	assert_int_equal(st.st_mode & 07777, 02770);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		dir_test(rows_and_cursors),
		cmocka_unit_test(key_order_of_numbers),
		dir_test(failed_body_changes_nothing),
		dir_test(nested_calls),
		dir_test(keys_out_of_bounds),
		dir_test(second_open_shares),
		dir_test(one_transaction_larger_than_the_map),
		dir_test(growth_while_others_read_and_write),
		dir_test(growth_under_threads),
		dir_test(full_reader_table_is_cleared_of_the_dead),
		dir_test(killed_writers_leave_whole_transactions),
		dir_test(damaged_files),
		dir_test(missing_lock_file_is_made),
		dir_test(modes_do_not_depend_on_the_umask),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
