#include "live.h"

#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/lease.h"
#include "store/runrec.h"

static int count(void *arg, const char *what, struct tv_err *err)
{
	unsigned *n = arg;
	(void)what;
	(void)err;
	++*n;
	return 0;
}

static unsigned forget(struct tv_store *s, struct tv_forget how)
{
	struct tv_err err = TV_ERR_INIT;
	unsigned n = 0;
	ok(tv_forget(s, &how, count, &n, &err));
	return n;
}

static int count_commit(void *arg, const struct tv_commit *c, struct tv_err *err)
{
	(void)c;
	return count(arg, "", err);
}

static unsigned length(struct tv_store *s, const char *ref)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha tip = tip_of(s, ref);
	unsigned n = 0;
	ok(tv_commit_log(s, &tip, count_commit, &n, &err));
	return n;
}

/* Ten commits on main; *ids has them, the oldest first. */
static void ten(struct tv_store *s, struct tv_sha ids[10])
{
	char text[8];
	for (unsigned i = 0; i < 10; i++) {
		snprintf(text, sizeof(text), "%u", i);
		ids[i] = publish_one(s, i ? &ids[i - 1] : NULL, "f", text);
	}
}

static void keeps_the_last(void **state)
{
	struct fixture *f = *state;
	struct tv_sha ids[10];
	ten(f->store, ids);
	is(forget(f->store, (struct tv_forget){ .ref = "main", .keep_last = 3, .dry_run = true }) ==
	   7);
	is(length(f->store, "main") == 10);
	is(forget(f->store, (struct tv_forget){ .ref = "main", .keep_last = 3 }) == 7);
	is(length(f->store, "main") == 3);
	fsck_is_clean(f->store);
	struct tv_gc_figures g = gc_now(f->store);
	/* The one at the end of history lost its row to forget itself. */
	is(g.commits == 6 && g.blobs == 7 && g.kept_commits == 3);
	is(length(f->store, "main") == 3);
	fsck_is_clean(f->store);
	is(forget(f->store, (struct tv_forget){ .ref = "main", .keep_last = 3 }) == 0);
	/* It goes on. */
	publish_more(f->store, "f", "more");
	is(length(f->store, "main") == 4);
	is(forget(f->store, (struct tv_forget){ .ref = "main", .keep_last = 1 }) == 3);
	gc_now(f->store);
	is(length(f->store, "main") == 1 && main_has(f->store, "f", "more"));
	fsck_is_clean(f->store);
}

static void needs_a_rule(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha ids[10];
	ten(f->store, ids);
	struct tv_forget how = { .ref = "main" };
	fails(-EINVAL, tv_forget(f->store, &how, NULL, NULL, &err));
	how = (struct tv_forget){ .keep_last = 1 };
	fails(-EINVAL, tv_forget(f->store, &how, NULL, NULL, &err));
	how = (struct tv_forget){ .ref = "nowhere", .keep_last = 1 };
	fails(-ENOENT, tv_forget(f->store, &how, NULL, NULL, &err));
	/* All of them are young. */
	is(forget(f->store, (struct tv_forget){ .ref = "main", .keep_within_ns = 3600000000000 }) ==
	   0);
	is(forget(f->store, (struct tv_forget){ .ref = "main", .keep_within_ns = 1 }) == 9);
}

static void tags_branches_and_folders_stay(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha ids[10], foundation = { { 1 } };
	ten(f->store, ids);
	ok(tv_ref_move(f->store, "v1", TV_REF_TAG, NULL, &ids[2], "a", "", &err));
	ok(tv_run_create(f->store, "run", &ids[4], &foundation, NULL, NULL, &err));
	ok(tv_ref_move(f->store, "other", TV_REF_BRANCH, NULL, &ids[1], "a", "", &err));
	/* 9 kept; 0 and 1 are of another branch; 2 and 4 are named; 3 and 5-8 go. */
	is(forget(f->store, (struct tv_forget){ .ref = "main", .keep_tagged = true }) == 5);
	gc_now(f->store);
	is(length(f->store, "main") == 1 && length(f->store, "other") == 2);
	is(length(f->store, "v1") == 3);
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	ok(tv_commit_get(f->store, &ids[4], &c, &err));
	is(tv_commit_get(f->store, &ids[3], &c, NULL) == -ENOENT);
	is(tv_commit_get(f->store, &ids[5], &c, NULL) == -ENOENT);
	fsck_is_clean(f->store);
}

static void merged_history(void **state)
{
	struct live l;
	live_open(&l, *state);
	put(&l, "mine", "0");
	import_all(&l);
	for (unsigned i = 1; i < 6; i++) {
		char text[8];
		snprintf(text, sizeof(text), "%u", i);
		publish_more(l.f->store, "theirs", text);
		put(&l, "mine", text);
		is(import_all(&l).merged);
	}
	forget(l.f->store, (struct tv_forget){ .ref = "main", .keep_last = 2 });
	gc_now(l.f->store);
	fsck_is_clean(l.f->store);
	/* The folder's base is older than what is kept, and still a base. */
	put(&l, "mine", "last");
	import_all(&l);
	is(main_has(l.f->store, "theirs", "5") && main_has(l.f->store, "mine", "last"));
	gc_now(l.f->store);
	fsck_is_clean(l.f->store);
	tv_worktree_close(&l.w);
}

static void add_run(struct tv_store *s, const char *id, const struct tv_sha *commit, int64_t age_ns)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha foundation = { { 7 } };
	char text[TV_TIME_TEXT];
	cJSON *doc = cJSON_CreateObject();
	tv_time_format(tv_now_ns() - age_ns, text);
	cJSON_AddStringToObject(doc, "created", "2020-01-01T00:00:00Z");
	cJSON_AddStringToObject(doc, "start", text);
	ok(tv_run_create(s, id, commit, &foundation, doc, NULL, &err));
	cJSON_Delete(doc);
}

static void runs(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	const int64_t day = 86400000000000;
	struct tv_sha a = publish_one(f->store, NULL, "f", "1");
	struct tv_sha b = publish_one(f->store, &a, "f", "2");
	ok(tv_ref_move(f->store, "v1", TV_REF_TAG, NULL, &a, "a", "", &err));
	add_run(f->store, "oldest", &a, 9 * day);
	add_run(f->store, "old", &b, 5 * day);
	add_run(f->store, "live", &b, 5 * day);
	add_run(f->store, "young", &b, day);
	struct tv_lease lease;
	ok(tv_lease_take(f->store, &b, "run", "live", NULL, &lease, &err));
	struct tv_forget how = { .runs = true, .keep_within_ns = 2 * day, .keep_tagged = true };
	how.dry_run = true;
	is(forget(f->store, how) == 1);
	how.dry_run = false;
	is(forget(f->store, how) == 1);
	cJSON *doc;
	is(tv_run_get(f->store, "old", &doc, NULL) == -ENOENT);
	is(forget(f->store, (struct tv_forget){ .runs = true, .keep_last = 1 }) == 1);
	is(tv_run_get(f->store, "oldest", &doc, NULL) == -ENOENT);
	ok(tv_run_get(f->store, "live", &doc, &err));
	cJSON_Delete(doc);
	ok(tv_run_get(f->store, "young", &doc, &err));
	cJSON_Delete(doc);
	ok(tv_lease_drop(f->store, lease.id, &err));
	fsck_is_clean(f->store);
}

static int go_on(void *arg, const char *what, struct tv_err *unused)
{
	struct fixture *f = arg;
	struct tv_err err = TV_ERR_INIT;
	(void)unused;
	struct tv_sha tip = tip_of(f->store, "main");
	/* The newest goes first; then the older one gets a new session. */
	if (strcmp(what, "newer") == 0)
		ok(tv_lease_take(f->store, &tip, "run", "older", NULL, NULL, &err));
	return 0;
}

static void a_run_that_goes_on_is_not_forgotten(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha tip = publish_one(f->store, NULL, "a", "1"), foundation = { { 1 } };
	tv_autojson cJSON *doc = NULL;
	tv_autojson cJSON *old = cJSON_Parse("{\"end\": \"2024-01-01T00:00:00Z\"}");
	tv_autojson cJSON *newer = cJSON_Parse("{\"end\": \"2025-01-01T00:00:00Z\"}");
	ok(tv_run_create(f->store, "older", &tip, &foundation, old, NULL, &err));
	ok(tv_run_create(f->store, "newer", &tip, &foundation, newer, NULL, &err));
	struct tv_forget how = { .runs = true, .keep_within_ns = 1000000000 };
	ok(tv_forget(f->store, &how, go_on, f, &err));
	fails(-ENOENT, tv_run_get(f->store, "newer", &doc, &err));
	tv_err_clear(&err);
	ok(tv_run_get(f->store, "older", &doc, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(keeps_the_last),
		store_test(needs_a_rule),
		store_test(tags_branches_and_folders_stay),
		store_test(merged_history),
		store_test(runs),
		store_test(a_run_that_goes_on_is_not_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
