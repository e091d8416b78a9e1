/* store/ref.c: names, moves by compare-and-swap, history. */
#include "tests/unit/support.h"

static void names(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	char name[210];
	static const char *const good[] = { "main",  "v1.0",	 "draft/ann/x-1", "a",
					    "feed",  "abcdefg",	 "deadbee",	  "2026-01-19",
					    "a_b+c", "deadbeefx" };
	static const char *const bad[] = { "",	       "/a",	   "a/",       "a//b",
					   ".a",       "a/.b",	   "-a",       "a/-b",
					   "a.lock",   "a.lock/b", "a b",      "a:b",
					   "a~1",      "a@{0}",	   "deadbeef", "DEADBEEF00",
					   "12345678", "\xc3\xa9", "a\n",      ".." };
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++)
		ok(tv_ref_name_check(good[i], &err));
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		fails(-EINVAL, tv_ref_name_check(bad[i], &err));
	memset(name, 'x', 201);
	name[201] = '\0';
	fails(-EINVAL, tv_ref_name_check(name, &err));
	name[200] = '\0';
	ok(tv_ref_name_check(name, &err));
	memset(name, 'a', 65); /* 65 digits are no hash */
	name[65] = '\0';
	ok(tv_ref_name_check(name, &err));
}

static int move(struct fixture *f, const char *name, enum tv_ref_kind kind,
		const struct tv_sha *expected, const struct tv_sha *commit, struct tv_err *err)
{
	return tv_ref_move(f->store, name, kind, expected, commit, "ann", "why", err);
}

static void compare_and_swap(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_ref ref;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct tv_sha b = publish_one(f->store, &a, "p", "2"), nobody = { { 9 } };

	ok(move(f, "x", TV_REF_BRANCH, NULL, &a, &err));
	fails(-TV_E_CONFLICT, move(f, "x", TV_REF_BRANCH, NULL, &b, &err));
	fails(-TV_E_CONFLICT, move(f, "x", TV_REF_BRANCH, &b, &b, &err));
	fails(-TV_E_CONFLICT, move(f, "y", TV_REF_BRANCH, &a, &b, &err));
	fails(-ENOENT, move(f, "x", TV_REF_BRANCH, &a, &nobody, &err));
	fails(-EEXIST, move(f, "x", TV_REF_TAG, &a, &b, &err));
	fails(-EINVAL, move(f, "x y", TV_REF_BRANCH, NULL, &b, &err));
	ok(move(f, "x", TV_REF_BRANCH, &a, &b, &err));
	ok(tv_ref_get(f->store, "x", &ref, &err));
	assert_true(tv_sha_eq(&ref.commit, &b) && ref.kind == TV_REF_BRANCH &&
		    ref.time_ns > A_TIME);
	assert_string_equal(ref.name, "x");
}

static void tags_do_not_move(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct tv_sha b = publish_one(f->store, &a, "p", "2");
	ok(move(f, "v1", TV_REF_TAG, NULL, &a, &err));
	fails(-EEXIST, move(f, "v1", TV_REF_TAG, &a, &b, &err));
	fails(-EEXIST, move(f, "v1", TV_REF_TAG, NULL, &a, &err));
	fails(-EEXIST, move(f, "v1", TV_REF_BRANCH, &a, &b, &err));
	ok(tv_ref_delete(f->store, "v1", "ann", &err));
	ok(move(f, "v1", TV_REF_TAG, NULL, &b, &err));
}

struct moves {
	unsigned n;
	int64_t last;
	struct tv_ref_move newest;
	struct words words;
};

static int move_visit(void *arg, const struct tv_ref_move *m, struct tv_err *err)
{
	(void)err;
	struct moves *all = arg;
	if (!all->n++)
		all->newest = *m;
	else
		is(m->time_ns <= all->last);
	all->last = m->time_ns;
	add_word(&all->words, m->had_old ? (m->has_new ? "moved" : "deleted") : "made");
	is(strcmp(m->who, "ann") == 0 && (!m->has_new || strcmp(m->why, "why") == 0));
	return 0;
}

static void history(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct moves all = { .n = 0 };
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct tv_sha b = publish_one(f->store, &a, "p", "2");
	struct tv_ref ref;
	ok(move(f, "x", TV_REF_DRAFT, NULL, &a, &err));
	ok(move(f, "x", TV_REF_DRAFT, &a, &b, &err));
	ok(move(f, "x1", TV_REF_DRAFT, NULL, &b, &err)); /* a neighbour in the table */
	ok(tv_ref_delete(f->store, "x", "ann", &err));
	fails(-ENOENT, tv_ref_get(f->store, "x", &ref, &err));
	fails(-ENOENT, tv_ref_delete(f->store, "x", "ann", &err));
	ok(move(f, "x", TV_REF_DRAFT, NULL, &a, &err));
	ok(tv_ref_history(f->store, "x", move_visit, &all, &err));
	assert_string_equal(all.words.text, "made deleted moved made ");
	assert_true(tv_sha_eq(&all.newest.new_commit, &a));
	all = (struct moves){ .n = 0 };
	ok(tv_ref_history(f->store, "none", move_visit, &all, &err));
	assert_int_equal(all.n, 0);
	fails(-EPERM, tv_ref_delete(f->store, "main", "ann", &err));
}

struct deletion {
	const char *name;
	const struct tv_sha *expected;
};

static int delete_it(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct deletion *d = arg;
	return tv_ref_delete_in(t, d->name, d->expected, "ann", "published", err);
}

static void deleted_where_it_stands(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct tv_sha b = publish_one(f->store, &a, "p", "2");
	struct tv_kv *kv = tv_store_kv(f->store);
	struct deletion off = { "x", &a }, right = { "x", &b }, top = { "main", &b };
	struct tv_ref ref;
	ok(move(f, "x", TV_REF_DRAFT, NULL, &b, &err));
	fails(-TV_E_CONFLICT, tv_kv_write(kv, delete_it, &off, &err));
	ok(tv_ref_get(f->store, "x", &ref, &err));
	ok(tv_kv_write(kv, delete_it, &right, &err));
	fails(-ENOENT, tv_ref_get(f->store, "x", &ref, &err));
	fails(-ENOENT, tv_kv_write(kv, delete_it, &right, &err));
	fails(-EPERM, tv_kv_write(kv, delete_it, &top, &err));
}

static int list_visit(void *arg, const struct tv_ref *r, struct tv_err *err)
{
	(void)err;
	add_word(arg, r->name);
	return strcmp(r->name, "stop") == 0 ? 7 : 0;
}

static void listing(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct words seen = { "" };
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	ok(move(f, "b/c", TV_REF_DRAFT, NULL, &a, &err));
	ok(move(f, "b", TV_REF_TAG, NULL, &a, &err));
	ok(tv_ref_each(f->store, list_visit, &seen, &err));
	assert_string_equal(seen.text, "b b/c main ");
	seen = (struct words){ "" };
	ok(move(f, "stop", TV_REF_TAG, NULL, &a, &err));
	ok(move(f, "z", TV_REF_TAG, NULL, &a, &err));
	assert_int_equal(tv_ref_each(f->store, list_visit, &seen, &err), 7);
	assert_string_equal(seen.text, "b b/c main stop ");
}

static int damage(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_kv_put(t, TV_T_REFS, tv_bytes("main", 4), tv_bytes(arg, 3), err);
}

static void damaged_row(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_ref ref;
	char bytes[] = "abc";
	struct words seen = { "" };
	ok(tv_kv_write(tv_store_kv(f->store), damage, bytes, &err));
	fails(-TV_E_DAMAGED, tv_ref_get(f->store, "main", &ref, &err));
	fails(-TV_E_DAMAGED, tv_ref_each(f->store, list_visit, &seen, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		store_test(compare_and_swap),
		store_test(tags_do_not_move),
		store_test(history),
		store_test(listing),
		store_test(damaged_row),
		store_test(deleted_where_it_stands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
