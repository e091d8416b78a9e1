/* store/lease.c: who is alive, and what that keeps. */
#include "tests/unit/support.h"

#include <signal.h>

#include "store/lease.h"

static int sleep_child(void *arg)
{
	(void)arg;
	pause();
	return 0;
}

static void processes(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_process self, other;
	ok(tv_process_self(&self, &err));
	assert_int_equal(self.pid, getpid());
	assert_true(tv_process_alive(&self));
	other = self;
	other.start_ticks++; /* the pid was used again */
	assert_false(tv_process_alive(&other));
	other = self;
	other.boot_id[0] = other.boot_id[0] == 'a' ? 'b' : 'a';
	assert_false(tv_process_alive(&other));

	support_parent = getpid();
	pid_t pid = fork_child(sleep_child, NULL);
	ok(tv_process_of(pid, &other, &err));
	assert_true(tv_process_alive(&other));
	kill(pid, SIGKILL);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_false(tv_process_alive(&other)); /* a zombie */
	wait_child(pid);
	assert_false(tv_process_alive(&other));
	fails(-ESRCH, tv_process_of(pid, &other, &err));
}

struct list {
	unsigned n, alive;
	struct tv_lease last;
};

static int visit(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err)
{
	(void)err;
	struct list *list = arg;
	list->n++;
	list->alive += alive;
	list->last = *l;
	return 0;
}

static struct list list(struct fixture *f)
{
	struct tv_err err = TV_ERR_INIT;
	struct list all = { .n = 0 };
	ok(tv_lease_each(f->store, visit, &all, &err));
	return all;
}

static void take_and_drop(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha id = publish_one(f->store, NULL, "p", "1"), nobody = { { 3 } };
	struct tv_lease a, b;
	fails(-ENOENT, tv_lease_take(f->store, &nobody, "run", "r", NULL, &a, &err));
	ok(tv_lease_take(f->store, &id, "mount", NULL, NULL, &a, &err));
	assert_true(list(f).n == 1 && list(f).alive == 1);
	usleep(2000); /* ids are in order of milliseconds */
	ok(tv_lease_take(f->store, &id, "run", "run-1", NULL, &b, &err));
	assert_string_not_equal(a.id, b.id);
	assert_int_equal(list(f).n, 2);
	struct tv_lease last = list(f).last;
	assert_memory_equal(&last.commit, &id, sizeof(id));
	assert_string_equal(last.kind, "run");
	assert_string_equal(last.run_id, "run-1");
	assert_int_equal(last.owner.pid, getpid());
	assert_true(last.time_ns == b.time_ns);
	ok(tv_lease_drop(f->store, a.id, &err));
	ok(tv_lease_drop(f->store, a.id, &err));
	assert_string_equal(list(f).last.id, b.id);
	fails(-EINVAL, tv_lease_take(f->store, &id, "sixteen-letters-", "", NULL, &a, &err));
}

static int take_child(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_ref ref;
	struct tv_lease lease;
	open_store(f);
	ok(tv_ref_get(f->store, "main", &ref, &err));
	ok(tv_lease_take(f->store, &ref.commit, "run", "", NULL, &lease, &err));
	return 0; /* and is gone */
}

static void stale_leases_are_pruned(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha id = publish_one(f->store, NULL, "p", "1");
	struct tv_lease mine;
	unsigned dropped = 99;
	ok(tv_lease_take(f->store, &id, "mount", "", NULL, &mine, &err));
	close_store(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wait_child(fork_child(take_child, f)), 0);
	open_store(f);
	assert_true(list(f).n == 4 && list(f).alive == 1);
	ok(tv_lease_prune(f->store, &dropped, &err));
	assert_int_equal(dropped, 3);
	assert_string_equal(list(f).last.id, mine.id);
	ok(tv_lease_prune(f->store, &dropped, &err));
	assert_int_equal(dropped, 0);
}

static int plant(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct tv_bytes *row = arg;
	return tv_kv_put(t, TV_T_LEASES, tv_bytes("x", 1), *row, err);
}

static void damaged_rows(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct list all;
	static uint8_t bytes[600];
	bytes[92] = 15;
	static const size_t lengths[] = { 0, 40, 92, 93, 100, 600 };
	for (size_t i = 0; i < TV_ARRAY_LEN(lengths); i++) {
		struct tv_bytes row = tv_bytes(bytes, lengths[i]);
		ok(tv_kv_write(tv_store_kv(f->store), plant, &row, &err));
		fails(-TV_E_DAMAGED, tv_lease_each(f->store, visit, &all, &err));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes),
		store_test(take_and_drop),
		store_test(stale_leases_are_pruned),
		store_test(damaged_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
