/* store/publish.c: one publisher, many at once, conflicts, gates, killed ones. */
#include "tests/unit/support.h"

#include <signal.h>

static int look(struct fixture *f, const struct tv_entry *root, const char *path,
		struct tv_err *err)
{
	struct tv_entry e;
	return tv_tree_lookup(tv_store_nodes(f->store), root, path, &e, NULL, err);
}

static void first_and_next(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published one, two;
	struct file a = { .path = "a/b", .text = "1" }, c = { .path = "c", .text = "2" };
	struct tv_publish p = { .ref = "main",
				.author = "ann",
				.message = "first",
				.trace_id = "t",
				.meta = "{\"k\":1}" };
	ok(publish_with(f->store, &p, &a, 1, &one, NULL, &err));
	struct tv_sha zero = { { 0 } };
	assert_true(tv_sha_eq(&one.previous, &zero) && !one.merged && !one.unchanged);
	p = (struct tv_publish){ .ref = "main", .base = &one.commit };
	ok(publish_with(f->store, &p, &c, 1, &two, NULL, &err));
	assert_true(tv_sha_eq(&two.previous, &one.commit) && !two.merged);

	struct tv_ref ref;
	tv_autocommit struct tv_commit first = TV_COMMIT_INIT, second = TV_COMMIT_INIT;
	ok(tv_ref_get(f->store, "main", &ref, &err));
	assert_true(tv_sha_eq(&ref.commit, &two.commit));
	ok(tv_commit_get(f->store, &one.commit, &first, &err));
	ok(tv_commit_get(f->store, &two.commit, &second, &err));
	assert_string_equal(first.message, "first");
	assert_string_equal(first.trace_id, "t");
	assert_string_equal(first.meta, "{\"k\":1}");
	assert_int_equal(second.n_parents, 1);
	assert_true(tv_sha_eq(&second.parents[0], &one.commit));
	assert_true(tv_sha_eq(&second.root.sha, &two.foundation));
	ok(look(f, &second.root, "a/b", &err));
	ok(look(f, &second.root, "c", &err));
}

static int also_mark(void *arg, struct tv_kv_txn *t, const struct tv_commit *c, struct tv_err *err)
{
	struct tv_sha *seen = arg;
	*seen = c->id;
	return tv_kv_put(t, TV_T_META, tv_bytes("also", 4), tv_bytes(c->id.b, 32), err);
}

static int also_fail(void *arg, struct tv_kv_txn *t, const struct tv_commit *c, struct tv_err *err)
{
	(void)arg;
	(void)t;
	(void)c;
	return tv_err_set(err, -EDOM, "not this");
}

static void unchanged_makes_no_commit(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_sha seen = { { 0 } }, a = publish_one(f->store, NULL, "p", "1");
	struct file same = { .path = "p", .text = "1" };
	struct tv_publish p = { .ref = "main", .base = &a, .also = also_mark, .also_arg = &seen };
	ok(publish_with(f->store, &p, &same, 1, &out, NULL, &err));
	assert_true(out.unchanged && tv_sha_eq(&out.commit, &a) && tv_sha_eq(&seen, &a));
	/* Another mtime is a commit with the same foundation. */
	same.mtime_ns = A_TIME + 1;
	struct tv_sha foundation = out.foundation;
	ok(publish_with(f->store, &p, &same, 1, &out, NULL, &err));
	assert_true(!out.unchanged && tv_sha_eq(&out.foundation, &foundation));
	assert_true(tv_sha_eq(&seen, &out.commit));
	/* What runs along can still stop it. */
	p.also = also_fail;
	same.text = "2";
	struct tv_published none = { .unchanged = true };
	fails(-EDOM, publish_with(f->store, &p, &same, 1, &none, NULL, &err));
	assert_true(none.unchanged);
	struct tv_ref ref;
	ok(tv_ref_get(f->store, "main", &ref, &err));
	assert_true(tv_sha_eq(&ref.commit, &out.commit));
}

/* The same tree with other metadata, when that is asked for. */
static void always_makes_a_commit(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct file same = { .path = "p", .text = "1" };
	struct tv_publish p = { .ref = "main", .base = &a, .meta = "{\"k\":2}", .always = true };
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	ok(publish_with(f->store, &p, &same, 1, &out, NULL, &err));
	assert_true(!out.unchanged && !tv_sha_eq(&out.commit, &a) && tv_sha_eq(&out.previous, &a));
	ok(tv_commit_get(f->store, &out.commit, &c, &err));
	assert_string_equal(c.meta, "{\"k\":2}");
	assert_true(c.n_parents == 1 && tv_sha_eq(&c.parents[0], &a));
}

static void merged_with_what_came_between(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct tv_sha b = publish_one(f->store, &a, "theirs", "2");
	struct file mine = { .path = "mine", .text = "3" };
	ok(publish_files(f->store, "main", &a, &mine, 1, &out, &err));
	assert_true(out.merged && tv_sha_eq(&out.previous, &b));
	ok(look(f, &out.root, "p", &err));
	ok(look(f, &out.root, "mine", &err));
	ok(look(f, &out.root, "theirs", &err));
	/* The same change once more, from the same base: it is there already. */
	ok(publish_files(f->store, "main", &a, &mine, 1, &out, &err));
	assert_true(out.unchanged);
}

static void conflicts_are_named(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_conflicts conflicts = { .paths = NULL };
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct tv_sha b = publish_one(f->store, &a, "p", "2");
	struct file mine[] = { { .path = "p", .text = "3" }, { .path = "q", .text = "4" } };
	struct tv_publish p = { .ref = "main", .base = &a };
	fails(-TV_E_CONFLICT, publish_with(f->store, &p, mine, 2, &out, &conflicts, &err));
	assert_int_equal(conflicts.len, 1);
	assert_string_equal(conflicts.paths[0], "p");
	fails(-TV_E_CONFLICT, publish_with(f->store, &p, mine, 2, &out, &conflicts, &err));
	tv_conflicts_free(&conflicts);
	fails(-TV_E_CONFLICT, publish_with(f->store, &p, mine, 2, &out, NULL, &err));
	struct tv_ref ref;
	ok(tv_ref_get(f->store, "main", &ref, &err));
	assert_true(tv_sha_eq(&ref.commit, &b));
}

static void new_refs(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_ref ref;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1"), nobody = { { 4 } };
	struct file file = { .path = "q", .text = "2" };
	struct tv_publish p = { .ref = "draft/x", .ref_kind = TV_REF_DRAFT, .base = &a };
	ok(publish_with(f->store, &p, &file, 1, &out, NULL, &err));
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	ok(tv_commit_get(f->store, &out.commit, &c, &err));
	assert_true(c.n_parents == 1 && tv_sha_eq(&c.parents[0], &a)); /* where it was made from */
	ok(tv_ref_get(f->store, "draft/x", &ref, &err));
	assert_int_equal(ref.kind, TV_REF_DRAFT);

	ok(tv_ref_move(f->store, "v1", TV_REF_TAG, NULL, &a, "", "", &err));
	p = (struct tv_publish){ .ref = "v1", .base = &a };
	fails(-EEXIST, publish_with(f->store, &p, &file, 1, &out, NULL, &err));
	p.ref = "no good";
	fails(-EINVAL, publish_with(f->store, &p, &file, 1, &out, NULL, &err));
	p = (struct tv_publish){ .ref = "main", .base = &nobody };
	fails(-ENOENT, publish_with(f->store, &p, &file, 1, &out, NULL, &err));
}

/* --- gates ----------------------------------------------------------------------------------- */

struct gate {
	struct fixture *f;
	unsigned calls;
	struct tv_sha *base;
	bool interfere; /* somebody publishes while the gate thinks */
	int answer;
	bool saw_both;
};

static int gate(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		struct tv_err *err)
{
	struct gate *g = arg;
	struct tv_entry e;
	g->calls++;
	g->saw_both = tv_tree_lookup(nodes, merged, "mine", &e, NULL, NULL) == 0 &&
		      tv_tree_lookup(nodes, merged, "theirs", &e, NULL, NULL) == 0;
	if (g->interfere) {
		g->interfere = false;
		publish_one(g->f->store, g->base, "theirs", "2");
	}
	return g->answer ? tv_err_set(err, g->answer, "the gate says no") : 0;
}

static void gates_judge_the_merged_tree(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct file mine = { .path = "mine", .text = "3" };
	struct gate g = { .f = f, .base = &a, .interfere = true };
	struct tv_publish p = { .ref = "main", .base = &a, .gate = gate, .gate_arg = &g };
	ok(publish_with(f->store, &p, &mine, 1, &out, NULL, &err));
	assert_int_equal(g.calls, 2);
	assert_true(g.saw_both && out.merged);
	/* nothing to publish: nothing to judge */
	g.answer = -TV_E_GATE;
	ok(publish_with(f->store, &p, &mine, 1, &out, NULL, &err));
	assert_true(out.unchanged && g.calls == 2);
	mine.text = "4";
	p.base = &out.commit;
	struct tv_sha before = out.commit;
	fails(-TV_E_GATE, publish_with(f->store, &p, &mine, 1, &out, NULL, &err));
	struct tv_ref ref;
	ok(tv_ref_get(f->store, "main", &ref, &err));
	assert_true(tv_sha_eq(&ref.commit, &before));
}

/* --- many ------------------------------------------------------------------------------------ */

#define MANY 64

struct publisher {
	struct fixture *f;
	struct tv_sha base;
	const char *path;
	unsigned number, rounds;
};

static int publisher(void *arg)
{
	const struct publisher *p = arg;
	struct tv_err err = TV_ERR_INIT;
	open_store(p->f);
	for (unsigned i = 0; i < p->rounds; i++) {
		char path[32], text[32];
		struct tv_published out;
		struct file file = { .path = p->path ? p->path : path, .text = text };
		snprintf(path, sizeof(path), "f%u-%u", p->number, i);
		snprintf(text, sizeof(text), "%u", p->number);
		int r = publish_files(p->f->store, "main", &p->base, &file, 1, &out, &err);
		if (r == -TV_E_CONFLICT)
			return 12;
		ok(r);
	}
	return 0;
}

static int count_visit(void *arg, const struct tv_commit *c, struct tv_err *err)
{
	(void)err;
	unsigned *n = arg;
	*n += 1;
	return c->n_parents > 1;
}

static unsigned commits_on_main(struct fixture *f, struct tv_entry *root)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_ref ref;
	unsigned n = 0;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	ok(tv_ref_get(f->store, "main", &ref, &err));
	ok(tv_commit_get(f->store, &ref.commit, &c, &err));
	*root = c.root;
	ok(tv_commit_log(f->store, &ref.commit, count_visit, &n, &err));
	return n;
}

static void many_publish_at_once(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct publisher p[MANY];
	pid_t pids[MANY];
	struct tv_entry root;
	struct tv_sha base = publish_one(f->store, NULL, "p", "1");
	close_store(f);
	for (unsigned i = 0; i < MANY; i++) {
		p[i] = (struct publisher){ .f = f, .base = base, .number = i, .rounds = 2 };
		pids[i] = fork_child(publisher, &p[i]);
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(wait_child(pids[i]), 0);
	open_store(f);
	assert_int_equal(commits_on_main(f, &root), 1 + 2 * MANY);
	assert_int_equal(root.files, 1 + 2 * MANY);
	for (unsigned i = 0; i < MANY; i++) {
		char path[32];
		snprintf(path, sizeof(path), "f%u-1", i);
		ok(look(f, &root, path, &err));
	}
}

static void one_of_two_on_the_same_path(void **state)
{
	struct fixture *f = *state;
	struct tv_entry root;
	struct tv_sha base = publish_one(f->store, NULL, "p", "1");
	close_store(f);
	struct publisher p[2];
	pid_t pids[2];
	int codes[2];
	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct publisher){ f, base, "p", 10 + i, 1 };
		pids[i] = fork_child(publisher, &p[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		codes[i] = wait_child(pids[i]);
	assert_int_equal(codes[0] + codes[1], 12);
	open_store(f);
	assert_int_equal(commits_on_main(f, &root), 2);
}

/* --- killed ---------------------------------------------------------------------------------- */

static int check_tree(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	struct fixture *f = arg;
	if (e->kind != TV_FILE)
		return 0;
	int r = tv_blob_verify(f->store, &e->addr, err);
	return r < 0 ? tv_err_wrap(err, r, "%s", path) : 0;
}

static void killed_publishers(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_entry root;
	struct tv_sha base = publish_one(f->store, NULL, "p", "1");
	unsigned before = 1;
	close_store(f);
	/* On a busy machine the first rounds may end before anything was published. */
	for (unsigned i = 0; i < 10 || (before <= 10 && i < 100); i++) {
		struct publisher p[3];
		pid_t pids[3];
		for (unsigned k = 0; k < 3; k++) {
			p[k] = (struct publisher){ f, base, NULL, 1000 + 3 * i + k, 100000 };
			pids[k] = fork_child(publisher, &p[k]);
		}
		usleep(9000 + 3100 * i);
		for (unsigned k = 0; k < 3; k++)
			kill(pids[k], SIGKILL);
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(wait_child(pids[k]), -SIGKILL);
		open_store(f);
		unsigned n = commits_on_main(f, &root);
		assert_true(n >= before && root.files == n);
		ok(tv_tree_walk(tv_store_nodes(f->store), &root, check_tree, f, &err));
		before = n;
		close_store(f);
	}
	assert_true(before > 10);
}

/* --- gc -------------------------------------------------------------------------------------- */

struct del {
	struct fixture *f;
	struct tv_sha id;
};

static int del_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct del *d = arg;
	return tv_commit_del(d->f->store, t, &d->id, err);
}

static int gc_gate(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		   struct tv_err *err)
{
	struct del *d = arg;
	(void)nodes;
	(void)merged;
	return tv_kv_write(tv_store_kv(d->f->store), del_body, d, err);
}

/* The base goes while the publisher is busy: nothing half-based gets in. */
static void base_removed_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct file file = { .path = "x", .text = "1" };
	ok(publish_files(f->store, "draft", NULL, &file, 1, &out, &err));
	publish_one(f->store, NULL, "p", "1");
	struct del d = { f, out.commit };
	struct file mine = { .path = "mine", .text = "3" };
	struct tv_publish p = { .ref = "main", .base = &d.id, .gate = gc_gate, .gate_arg = &d };
	fails(-EAGAIN, publish_with(f->store, &p, &mine, 1, &out, NULL, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(first_and_next),
		store_test(unchanged_makes_no_commit),
		store_test(always_makes_a_commit),
		store_test(merged_with_what_came_between),
		store_test(conflicts_are_named),
		store_test(new_refs),
		store_test(gates_judge_the_merged_tree),
		store_test(many_publish_at_once),
		store_test(one_of_two_on_the_same_path),
		store_test(killed_publishers),
		store_test(base_removed_meanwhile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
