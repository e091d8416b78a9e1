/* store/verdicts.c: what is kept of blobs, what gc takes, stores that are older than the table. */
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>

#include "store/gc.h"
#include "store/table-pass.h"
#include "store/verdicts.h"
#include "tests/unit/live.h"
#include "tests/unit/support.h"
#include "tests/unit/support/trees.h"

static struct tv_addr addr(uint8_t first)
{
	return (struct tv_addr){ { first } };
}

static struct tv_verdict_key key(uint8_t blob, uint8_t rules)
{
	return (struct tv_verdict_key){ addr(blob), addr(rules) };
}

static void keep(struct tv_store *s, struct tv_verdict_key k, const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	const struct tv_bytes bytes = tv_bytes(text, strlen(text));
	ok(tv_verdicts_write(s, &k, &bytes, 1, &err));
}

struct got {
	char text[3][16];
	unsigned times;
};

static int take(void *arg, size_t i, struct tv_bytes verdict, struct tv_err *err)
{
	struct got *got = arg;
	(void)err;
	is(i < 3 && verdict.len < sizeof(got->text[i]));
	memcpy(got->text[i], verdict.data, verdict.len);
	got->times++;
	return 0;
}

static struct got look(struct tv_store *s, const struct tv_verdict_key *keys, size_t n)
{
	struct tv_err err = TV_ERR_INIT;
	struct got got = { .times = 0 };
	ok(tv_verdicts_read(s, keys, n, take, &got, &err));
	return got;
}

static void kept_by_blob_and_rules(void **state)
{
	struct fixture *f = *state;
	const struct tv_verdict_key keys[] = { key(1, 1), key(2, 1), key(1, 2) };
	is(!look(f->store, keys, 3).times);
	keep(f->store, keys[0], "good");
	keep(f->store, keys[1], "");
	struct got got = look(f->store, keys, 3);
	is(got.times == 2 && strcmp(got.text[0], "good") == 0 && !*got.text[1]);
	keep(f->store, keys[2], "bad"); /* other rules: in place of the one before */
	got = look(f->store, keys, 3);
	is(got.times == 2 && !*got.text[0] && strcmp(got.text[2], "bad") == 0);
	close_store(f);
	open_store(f);
	is(look(f->store, keys, 3).times == 2);
}

/* gc takes verdicts of blobs that are not there, and no others. */
static void go_with_their_blobs(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_entry entry;
	const struct file file = { "a", "kept", 0 }, loose = { "b", "loose", 0 };
	struct tv_verdict_key keys[3] = { key(7, 1), key(0, 1), key(0, 1) };
	ok(publish_files(f->store, "draft/g", NULL, &loose, 1, &out, &err));
	ok(tv_tree_lookup(tv_store_nodes(f->store), &out.root, "b", &entry, NULL, &err));
	keys[1].blob = entry.addr;
	ok(publish_files(f->store, "main", NULL, &file, 1, &out, &err));
	ok(tv_tree_lookup(tv_store_nodes(f->store), &out.root, "a", &entry, NULL, &err));
	keys[2].blob = entry.addr;
	for (unsigned i = 0; i < 3; i++)
		keep(f->store, keys[i], "v");
	const struct tv_gc dry = { .delete_ = false };
	struct tv_gc_figures figures;
	ok(tv_gc(f->store, &dry, &figures, &err));
	is(look(f->store, keys, 3).times == 3);
	ok(tv_ref_delete(f->store, "draft/g", "a", &err));
	gc_now(f->store);
	struct got got = look(f->store, keys, 3);
	is(got.times == 1 && *got.text[2]);
	fsck_is_clean(f->store);
}

/* As a program that did not know the table left it. */
static void drop_table(const struct fixture *f)
{
	char path[96];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	snprintf(path, sizeof(path), "%s/index", f->folder);
	is(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 32) == 0);
	is(mdb_env_open(env, path, 0, 0600) == 0 && mdb_txn_begin(env, NULL, 0, &txn) == 0);
	is(mdb_dbi_open(txn, "verdicts", 0, &dbi) == 0 && mdb_drop(txn, dbi, 1) == 0);
	is(mdb_txn_commit(txn) == 0);
	mdb_env_close(env);
}

static void older_stores_get_the_table(void **state)
{
	struct fixture *f = *state;
	const struct tv_verdict_key one = key(1, 1);
	publish_one(f->store, NULL, "a", "1");
	close_store(f);
	drop_table(f);
	open_store(f);
	is(!look(f->store, &one, 1).times);
	keep(f->store, one, "v");
	is(look(f->store, &one, 1).times == 1);
	close_store(f);
	open_store(f);
	is(look(f->store, &one, 1).times == 1);
	fsck_is_clean(f->store);
}

static int count_row(void *arg, struct tv_bytes k, struct tv_bytes value, struct tv_err *err)
{
	(void)k;
	(void)value;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

/* Where the table cannot be made (here: no file may be written) the store works without it. */
static int without_the_table(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	const struct tv_verdict_key one = key(1, 1);
	const struct tv_bytes bytes = tv_bytes("v", 1);
	const struct rlimit none = { 0, 0 };
	struct tv_kv_stat stat;
	struct tv_ref ref;
	unsigned rows = 0;
	signal(SIGXFSZ, SIG_IGN);
	is(setrlimit(RLIMIT_FSIZE, &none) == 0);
	open_store(f);
	ok(tv_ref_get(f->store, "main", &ref, &err));
	is(!look(f->store, &one, 1).times);
	fails(-EOPNOTSUPP, tv_verdicts_write(f->store, &one, &bytes, 1, &err));
	ok(tv_table_pass(tv_store_kv(f->store), TV_T_VERDICTS, count_row, &rows, &err));
	ok(tv_kv_stat(tv_store_kv(f->store), &stat, &err));
	is(rows == 0 && stat.entries[TV_T_VERDICTS] == 0 && stat.entries[TV_T_REFS] == 1);
	close_store(f);
	return 0;
}

static void stores_that_cannot_get_it(void **state)
{
	struct fixture *f = *state;
	publish_one(f->store, NULL, "a", "1");
	close_store(f);
	drop_table(f);
	is(wait_child(fork_child(without_the_table, f)) == 0);
	open_store(f);
	fsck_is_clean(f->store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(kept_by_blob_and_rules),
		store_test(go_with_their_blobs),
		store_test(older_stores_get_the_table),
		store_test(stores_that_cannot_get_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
