/* store/runrec.c: run ids, records, what they are locked to. */
#include "tests/unit/support.h"

#include "store/base/json.h"
#include "store/runrec.h"

static void ids(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	char id[210];
	static const char *const good[] = { "a", "20260119T120000Z-1f3a9c", "a.b_c+d:e@f=g-h",
					    "0" };
	static const char *const bad[] = {
		"", ".a", "-a", "a b", "a/b", "a\n", "\xc3\xa9", "../x"
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++)
		ok(tv_run_id_check(good[i], false, &err));
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		fails(-EINVAL, tv_run_id_check(bad[i], false, &err));
	ok(tv_run_id_check("parent/worker-1/x", true, &err));
	fails(-EINVAL, tv_run_id_check("parent/", true, &err));
	fails(-EINVAL, tv_run_id_check("/a", true, &err));
	fails(-EINVAL, tv_run_id_check("a//b", true, &err));
	fails(-EINVAL, tv_run_id_check("a/../b", true, &err));
	memset(id, 'x', 201);
	id[201] = '\0';
	fails(-EINVAL, tv_run_id_check(id, false, &err));
	id[200] = '\0';
	ok(tv_run_id_check(id, false, &err));
}

struct base {
	struct tv_sha commit, foundation;
};

static struct base make_base(struct fixture *f)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha id = publish_one(f->store, NULL, "p", "1");
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	ok(tv_commit_get(f->store, &id, &c, &err));
	return (struct base){ id, c.root.sha };
}

static int create(struct fixture *f, const struct base *b, const char *id, const char *json,
		  cJSON **out, struct tv_err *err)
{
	tv_autojson cJSON *doc = json ? cJSON_Parse(json) : NULL;
	return tv_run_create(f->store, id, &b->commit, &b->foundation, doc, out, err);
}

static const char *text_of(const cJSON *doc, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, key));
}

static void create_and_get(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct base b = make_base(f);
	tv_autojson cJSON *made = NULL;
	tv_autojson cJSON *got = NULL;
	tv_autojson cJSON *old = NULL;
	ok(create(f, &b, "r1", "{\"commit\":\"lie\",\"x\":[1,2]}", &made, &err));
	ok(tv_run_get(f->store, "r1", &got, &err));
	assert_true(cJSON_Compare(made, got, true));
	assert_string_equal(text_of(got, "run_id"), "r1");
	char hex[TV_SHA_HEX];
	tv_sha_hex(&b.commit, hex);
	assert_string_equal(text_of(got, "commit"), hex);
	tv_sha_hex(&b.foundation, hex);
	assert_string_equal(text_of(got, "foundation_hash"), hex);
	assert_string_equal(got->child->string, "run_id");

	fails(-EEXIST, create(f, &b, "r1", "{\"x\":3}", &old, &err));
	assert_true(cJSON_Compare(old, got, true));
	fails(-EEXIST, create(f, &b, "r1", NULL, NULL, &err));
	fails(-EINVAL, create(f, &b, ".r", NULL, NULL, &err));
	fails(-ENOENT, tv_run_get(f->store, "r2", &old, &err));
	struct base gone = { { { 5 } }, { { 6 } } };
	fails(-ENOENT, create(f, &gone, "r3", NULL, NULL, &err));
}

static int set_state(void *arg, cJSON *doc, struct tv_err *err)
{
	cJSON_DeleteItemFromObject(doc, "state");
	return cJSON_AddStringToObject(doc, "state", arg) ? 0 : tv_err_nomem(err);
}

static int set_commit(void *arg, cJSON *doc, struct tv_err *err)
{
	(void)arg;
	(void)err;
	cJSON_DeleteItemFromObject(doc, "commit");
	return 0;
}

static int say_no(void *arg, cJSON *doc, struct tv_err *err)
{
	cJSON_AddNumberToObject(doc, "lost", 1);
	return tv_err_set(err, *(int *)arg, "no");
}

static void update(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct base b = make_base(f);
	char word[] = "sealed";
	int no = -EBUSY;
	ok(create(f, &b, "r1", NULL, NULL, &err));
	ok(tv_run_update(f->store, "r1", set_state, word, &err));
	fails(-EPERM, tv_run_update(f->store, "r1", set_commit, NULL, &err));
	fails(-EBUSY, tv_run_update(f->store, "r1", say_no, &no, &err));
	fails(-ENOENT, tv_run_update(f->store, "r2", set_state, word, &err));
	tv_autojson cJSON *got = NULL;
	ok(tv_run_get(f->store, "r1", &got, &err));
	assert_string_equal(text_of(got, "state"), "sealed");
	assert_null(cJSON_GetObjectItem(got, "lost"));
	assert_non_null(text_of(got, "commit"));
}

static int add_id(void *arg, const char *id, struct tv_err *err)
{
	(void)err;
	add_word(arg, id);
	return strcmp(id, "stop") == 0 ? 5 : 0;
}

static int add_doc(void *arg, const cJSON *doc, struct tv_err *err)
{
	return add_id(arg, text_of(doc, "run_id"), err);
}

static void listing_and_forgetting(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct base b = make_base(f), other = b;
	struct words seen = { "" };
	other.foundation.b[31] ^= 1; /* the next in the index */
	ok(create(f, &b, "a", NULL, NULL, &err));
	ok(create(f, &b, "a/w-1", NULL, NULL, &err));
	ok(create(f, &other, "b", NULL, NULL, &err));
	ok(create(f, &b, "c", NULL, NULL, &err));
	ok(tv_run_each(f->store, add_doc, &seen, &err));
	assert_string_equal(seen.text, "a a/w-1 b c ");
	seen = (struct words){ "" };
	ok(tv_run_each_of(f->store, &b.foundation, add_id, &seen, &err));
	assert_string_equal(seen.text, "a a/w-1 c ");
	ok(tv_run_forget(f->store, "a", &err));
	fails(-ENOENT, tv_run_forget(f->store, "a", &err));
	seen = (struct words){ "" };
	ok(tv_run_each_of(f->store, &b.foundation, add_id, &seen, &err));
	assert_string_equal(seen.text, "a/w-1 c ");
	ok(create(f, &b, "stop", NULL, NULL, &err));
	ok(create(f, &b, "z", NULL, NULL, &err));
	seen = (struct words){ "" };
	assert_int_equal(tv_run_each(f->store, add_doc, &seen, &err), 5);
	assert_string_equal(seen.text, "a/w-1 b c stop ");
}

static int create_child(void *arg)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	struct tv_ref ref;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	open_store(f);
	ok(tv_ref_get(f->store, "main", &ref, &err));
	ok(tv_commit_get(f->store, &ref.commit, &c, &err));
	int r = tv_run_create(f->store, "same", &ref.commit, &c.root.sha, NULL, NULL, &err);
	is(r == 0 || r == -EEXIST);
	return r == 0;
}

static void one_of_many_gets_the_id(void **state)
{
	struct fixture *f = *state;
	make_base(f);
	close_store(f);
	pid_t pids[8];
	int made = 0;
	for (int i = 0; i < 8; i++)
		pids[i] = fork_child(create_child, f);
	for (int i = 0; i < 8; i++) {
		int r = wait_child(pids[i]);
		assert_in_range(r, 0, 1);
		made += r;
	}
	assert_int_equal(made, 1);
}

static int damage(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return tv_kv_put(t, TV_T_RUNS, tv_bytes("r1", 2), tv_bytes(arg, strlen(arg)), err);
}

static void damaged_records(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	char bad[][16] = { "", "[]", "{\"run_id\":", "nonsense" };
	struct words seen = { "" };
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++) {
		cJSON *doc = NULL;
		ok(tv_kv_write(tv_store_kv(f->store), damage, bad[i], &err));
		fails(-TV_E_DAMAGED, tv_run_get(f->store, "r1", &doc, &err));
		fails(-TV_E_DAMAGED, tv_run_each(f->store, add_doc, &seen, &err));
		assert_null(doc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		store_test(create_and_get),
		store_test(update),
		store_test(listing_and_forgetting),
		store_test(one_of_many_gets_the_id),
		store_test(damaged_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
