/* store/commit.c, commit-walk.c, path-index.c: bytes of commits, history, versions of a path. */
#include "tests/unit/support.h"

#include "store/diff.h"
#include "store/path-index.h"

static struct tv_commit get(struct fixture *f, const struct tv_sha *id)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_commit c = TV_COMMIT_INIT;
	ok(tv_commit_get(f->store, id, &c, &err));
	return c;
}

struct put {
	struct fixture *f;
	struct tv_commit *c;
	struct tv_node_batch *nodes;
};

static int put_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct put *p = arg;
	int r = tv_store_put_nodes(p->f->store, t, p->nodes, &p->c->root.addr, err);
	if (r < 0)
		return r;
	return tv_commit_put(p->f->store, t, tv_node_batch_source(p->nodes), p->c, err);
}

/* Puts a commit with the tree of another commit (NULL: an empty one). */
static int put(struct fixture *f, struct tv_commit *c, const struct tv_sha *tree_of,
	       struct tv_err *err)
{
	struct put p = { .f = f, .c = c };
	int r = tv_node_batch_new(tv_store_nodes(f->store), &p.nodes, err);
	is(r == 0);
	if (tree_of) {
		tv_autocommit struct tv_commit other = get(f, tree_of);
		c->root = other.root;
	} else {
		r = tv_tree_empty(p.nodes, &c->root, err);
	}
	if (r == 0)
		r = tv_kv_write(tv_store_kv(f->store), put_body, &p, err);
	tv_node_batch_free(p.nodes);
	return r;
}

static struct tv_sha *parents(const struct tv_sha *a, const struct tv_sha *b)
{
	struct tv_sha *list = calloc(2, sizeof(*list));
	list[0] = *a;
	if (b)
		list[1] = *b;
	return list;
}

static void round_trip(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autocommit struct tv_commit first = { .time_ns = -5 };
	tv_autocommit struct tv_commit second = {
		.time_ns = A_TIME,
		.n_parents = 1,
		.author = strdup("Ann \xc3\xa9"),
		.message = strdup("line\n\nmore"),
		.trace_id = strdup("t-1"),
		.meta = strdup("{\"rows\": 5}"),
	};
	ok(put(f, &first, NULL, &err));
	second.parents = parents(&first.id, NULL);
	ok(put(f, &second, NULL, &err));
	assert_int_equal(first.generation, 1);
	assert_int_equal(second.generation, 2);
	assert_true(second.sequence > first.sequence);

	tv_autocommit struct tv_commit c = get(f, &second.id);
	assert_true(tv_sha_eq(&c.id, &second.id) && tv_sha_eq(&c.parents[0], &first.id));
	assert_true(tv_entry_same(&c.root, &second.root));
	assert_int_equal(c.root.kind, TV_DIR);
	assert_int_equal(c.n_parents, 1);
	assert_true(c.time_ns == A_TIME && c.sequence == second.sequence);
	assert_string_equal(c.author, "Ann \xc3\xa9");
	assert_string_equal(c.message, "line\n\nmore");
	assert_string_equal(c.trace_id, "t-1");
	assert_string_equal(c.meta, "{\"rows\": 5}");
	tv_autocommit struct tv_commit root = get(f, &first.id);
	assert_true(root.time_ns == -5 && root.n_parents == 0);
	assert_string_equal(root.meta, "{}");
	assert_string_equal(root.author, "");
}

/* docs/format.md: changing these bytes would change every id. */
static void golden_id(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	char hex[TV_SHA_HEX];
	tv_autocommit struct tv_commit c = { .time_ns = A_TIME, .author = strdup("ann") };
	ok(put(f, &c, NULL, &err));
	tv_sha_hex(&c.id, hex);
	assert_string_equal(hex,
			    "19a7b4444aab468e713c07a9b24af49172e24f55ac55588d3a95ad79e5474664");
}

static void same_commit_twice(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	tv_autocommit struct tv_commit a = { .time_ns = 1 };
	tv_autocommit struct tv_commit b = { .time_ns = 2 };
	tv_autocommit struct tv_commit again = { .time_ns = 1 };
	ok(put(f, &a, NULL, &err));
	ok(put(f, &b, NULL, &err));
	ok(put(f, &again, NULL, &err));
	assert_true(tv_sha_eq(&a.id, &again.id) && !tv_sha_eq(&a.id, &b.id));
	assert_int_equal(again.sequence, a.sequence);
}

static void refused(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha nobody = { { 1 } };
	struct tv_commit c = { .n_parents = 1, .parents = parents(&nobody, NULL) };
	fails(-ENOENT, put(f, &c, NULL, &err));
	tv_commit_free(&c);
	c = (struct tv_commit){ .author = strdup("\xff") };
	fails(-EINVAL, put(f, &c, NULL, &err));
	tv_commit_free(&c);
	c = (struct tv_commit){ .meta = strdup("[1]") };
	fails(-EINVAL, put(f, &c, NULL, &err));
	tv_commit_free(&c);
	c = (struct tv_commit){ .meta = strdup("{") };
	fails(-EINVAL, put(f, &c, NULL, &err));
	tv_commit_free(&c);
	fails(-ENOENT, tv_commit_get(f->store, &nobody, &c, &err));
}

/* --- damage ---------------------------------------------------------------------------------- */

struct damage {
	struct tv_sha id;
	size_t at;   /* which byte to change */
	size_t keep; /* or: how many to keep; 0 all */
};

static int damage_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct damage *d = arg;
	struct tv_bytes row;
	int r = tv_kv_get(t, TV_T_COMMITS, tv_bytes(d->id.b, 32), &row, err);
	if (r != 1)
		return -EIO;
	tv_autofree uint8_t *copy = malloc(row.len);
	memcpy(copy, row.data, row.len);
	if (!d->keep)
		copy[d->at % row.len] ^= 0x10;
	return tv_kv_put(t, TV_T_COMMITS, tv_bytes(d->id.b, 32),
			 tv_bytes(copy, d->keep ? d->keep : row.len), err);
}

static void damaged_bytes(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_commit c = TV_COMMIT_INIT;
	struct tv_sha id = publish_one(f->store, NULL, "a", "1");
	for (size_t at = 8; at < 120; at += 7) {
		struct damage d = { .id = id, .at = at };
		ok(tv_kv_write(tv_store_kv(f->store), damage_body, &d, &err));
		fails(-TV_E_DAMAGED, tv_commit_get(f->store, &id, &c, &err));
		ok(tv_kv_write(tv_store_kv(f->store), damage_body, &d, &err)); /* flips it back */
		ok(tv_commit_get(f->store, &id, &c, &err));
		tv_commit_free(&c);
	}
	for (size_t keep = 120; keep; keep -= 20) {
		struct damage d = { .id = id, .keep = keep };
		ok(tv_kv_write(tv_store_kv(f->store), damage_body, &d, &err));
		fails(-TV_E_DAMAGED, tv_commit_get(f->store, &id, &c, &err));
	}
}

/* --- history --------------------------------------------------------------------------------- */

struct log {
	struct words words;
	unsigned n;
};

static int log_visit(void *arg, const struct tv_commit *c, struct tv_err *err)
{
	(void)err;
	struct log *log = arg;
	add_word(&log->words, c->message);
	log->n++;
	return log->n == 10 ? 42 : 0;
}

static struct tv_sha put_named(struct fixture *f, const char *name, const struct tv_sha *a,
			       const struct tv_sha *b)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autocommit struct tv_commit c = { .message = strdup(name) };
	c.n_parents = a ? (b ? 2 : 1) : 0;
	c.parents = a ? parents(a, b) : NULL;
	ok(put(f, &c, NULL, &err));
	return c.id;
}

/* A diamond: each commit once, children before parents. */
static void log_of_a_diamond(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha a = put_named(f, "a", NULL, NULL), b = put_named(f, "b", &a, NULL);
	struct tv_sha c = put_named(f, "c", &a, NULL), d = put_named(f, "d", &c, &b);
	struct tv_sha other = put_named(f, "x", NULL, NULL);
	struct log log = { .n = 0 };
	ok(tv_commit_log(f->store, &d, log_visit, &log, &err));
	assert_string_equal(log.words.text, "d c b a ");
	tv_autocommit struct tv_commit top = get(f, &d);
	assert_int_equal(top.generation, 3);

	assert_int_equal(tv_commit_is_ancestor(f->store, &a, &d, &err), 1);
	assert_int_equal(tv_commit_is_ancestor(f->store, &d, &d, &err), 1);
	assert_int_equal(tv_commit_is_ancestor(f->store, &d, &a, &err), 0);
	assert_int_equal(tv_commit_is_ancestor(f->store, &b, &c, &err), 0);
	assert_int_equal(tv_commit_is_ancestor(f->store, &other, &d, &err), 0);
	struct tv_sha nobody = { { 1 } };
	fails(-ENOENT, tv_commit_is_ancestor(f->store, &nobody, &d, &err));
	fails(-ENOENT, tv_commit_log(f->store, &nobody, log_visit, &log, &err));
}

static void log_ends_when_told(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha id = put_named(f, "0", NULL, NULL);
	for (int i = 1; i < 20; i++)
		id = put_named(f, ".", &id, NULL);
	struct log log = { .n = 0 };
	assert_int_equal(tv_commit_log(f->store, &id, log_visit, &log, &err), 42);
	assert_int_equal(log.n, 10);
}

struct del {
	struct fixture *f;
	struct tv_sha id;
	bool mark;
};

static int del_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct del *d = arg;
	int r = d->mark ? tv_commit_shallow_mark_in(t, &d->id, err) : 0;
	return r < 0 ? r : tv_commit_del(d->f->store, t, &d->id, err);
}

static void shallow_history(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha a = put_named(f, "a", NULL, NULL), b = put_named(f, "b", &a, NULL);
	struct tv_sha c = put_named(f, "c", &b, NULL), d = put_named(f, "d", &c, NULL);
	struct log log = { .n = 0 };
	struct del del = { f, a, true };
	ok(tv_kv_write(tv_store_kv(f->store), del_body, &del, &err));
	ok(tv_commit_log(f->store, &d, log_visit, &log, &err));
	assert_string_equal(log.words.text, "d c b ");
	assert_string_equal(err.text, "");
	/* without the mark it is damage */
	del = (struct del){ f, b, false };
	ok(tv_kv_write(tv_store_kv(f->store), del_body, &del, &err));
	fails(-TV_E_DAMAGED, tv_commit_log(f->store, &d, log_visit, &log, &err));
	fails(-ENOENT, tv_kv_write(tv_store_kv(f->store), del_body, &del, &err));
}

static void newest_of_a_foundation(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_sha a = put_named(f, "a", NULL, NULL), b = put_named(f, "b", &a, NULL), id;
	tv_autocommit struct tv_commit c = get(f, &a);
	ok(tv_commit_of_foundation(f->store, &c.root.sha, &id, &err));
	assert_true(tv_sha_eq(&id, &b));
	struct del del = { f, b, false };
	ok(tv_kv_write(tv_store_kv(f->store), del_body, &del, &err));
	ok(tv_commit_of_foundation(f->store, &c.root.sha, &id, &err));
	assert_true(tv_sha_eq(&id, &a));
	c.root.sha.b[31] ^= 1;
	fails(-ENOENT, tv_commit_of_foundation(f->store, &c.root.sha, &id, &err));
}

/* --- versions of a path ---------------------------------------------------------------------- */

struct versions {
	char text[200];
	struct tv_sha last;
};

static int version_visit(void *arg, const struct tv_path_version *v, struct tv_err *err)
{
	(void)err;
	struct versions *all = arg;
	size_t n = strlen(all->text);
	snprintf(all->text + n, sizeof(all->text) - n, "%c%llu", v->change,
		 v->removed ? 0ULL : (unsigned long long)v->entry.size);
	is(v->removed || (v->entry.kind == TV_FILE && v->entry.mode == 0644 && v->entry.mtime_ns));
	all->last = v->commit;
	return 0;
}

static struct versions path_log(struct fixture *f, const struct tv_sha *from, const char *path)
{
	struct tv_err err = TV_ERR_INIT;
	struct versions all = { .text = "" };
	ok(tv_commit_path_log(f->store, from, path, version_visit, &all, &err));
	return all;
}

static void versions_of_a_path(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_sha a = publish_one(f->store, NULL, "d/p", "1");
	struct tv_sha b = publish_one(f->store, &a, "d/p", "22");
	struct tv_sha c = publish_one(f->store, &b, "other", "333");
	struct file touch = { .path = "d/p", .text = "22", .mtime_ns = A_TIME + 9 };
	ok(publish_files(f->store, "main", &c, &touch, 1, &out, &err));
	struct tv_sha d = out.commit, e = publish_one(f->store, &d, "d/p", NULL);
	struct tv_sha g = publish_one(f->store, &e, "d", "file now");

	assert_string_equal(path_log(f, &g, "d/p").text, "-0.2~2+1");
	assert_string_equal(path_log(f, &d, "d/p").text, ".2~2+1");
	assert_string_equal(path_log(f, &c, "d/p").text, "~2+1");
	struct versions all = path_log(f, &c, "d/p");
	assert_true(tv_sha_eq(&all.last, &a));
	assert_string_equal(path_log(f, &g, "other").text, "+3");
	assert_string_equal(path_log(f, &b, "other").text, "");
	assert_string_equal(path_log(f, &g, "d").text, "~8");
	assert_string_equal(path_log(f, &g, "none").text, "");
}

/* Versions on another branch are left out. */
static void versions_follow_history(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	struct tv_sha a = publish_one(f->store, NULL, "p", "1");
	struct file draft = { .path = "p", .text = "4444" };
	ok(publish_files(f->store, "draft", &a, &draft, 1, &out, &err));
	struct tv_sha b = publish_one(f->store, &a, "p", "22");
	assert_string_equal(path_log(f, &b, "p").text, "~2+1");
	assert_string_equal(path_log(f, &out.commit, "p").text, "~4+1");
}

static int count_paths(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	unsigned *n = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes k, v;
	*n = 0;
	int r = tv_kv_cursor_open(t, TV_T_PATHS, &c, err);
	if (r < 0)
		return r;
	for (r = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &k, &v, err); r == 1;
	     r = tv_kv_cursor_next(c, &k, &v, err))
		*n += 1;
	tv_kv_cursor_close(c);
	return r;
}

static void rows_of_a_large_commit_go_with_it(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	enum { N = 2500 };
	static char names[N][16];
	tv_autofree struct file *files = calloc(N, sizeof(*files));
	struct tv_published out;
	unsigned n;
	struct tv_sha first = publish_one(f->store, NULL, "keep", "1");
	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "d%d/f%d", i % 7, i);
		files[i] = (struct file){ .path = names[i], .text = "same" };
	}
	ok(publish_files(f->store, "main", &first, files, N, &out, &err));
	ok(tv_kv_read(tv_store_kv(f->store), count_paths, &n, &err));
	assert_int_equal(n, 2 + N + 3); /* rows, and chunks of up to 1020 hashes */
	assert_string_equal(path_log(f, &out.commit, "d6/f2498").text, "+4");
	/* also when the parent has gone before */
	struct del del = { f, first, true };
	ok(tv_kv_write(tv_store_kv(f->store), del_body, &del, &err));
	del.id = out.commit;
	ok(tv_kv_write(tv_store_kv(f->store), del_body, &del, &err));
	ok(tv_kv_read(tv_store_kv(f->store), count_paths, &n, &err));
	assert_int_equal(n, 0);
}

/* Two paths in one row, as a collision of their hashes would have it; and rows cut short. */
static void path_rows(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_path_version v;
	static const uint8_t row[] = { 1, 0, 'a', '-', 1, 2, 0, 'b', 'b', '-', 1 };
	assert_int_equal(tv_path_index_decode(tv_bytes(row, sizeof(row)), "bb", &v, &err), 1);
	assert_true(v.removed && v.change == TV_REMOVED);
	assert_int_equal(tv_path_index_decode(tv_bytes(row, sizeof(row)), "c", &v, &err), 0);
	for (size_t n = 6; n < sizeof(row); n++)
		fails(-TV_E_DAMAGED, tv_path_index_decode(tv_bytes(row, n), "c", &v, &err));
	static const uint8_t short_entry[] = { 1, 0, 'a', '+', 0, 1, 2, 3 };
	fails(-TV_E_DAMAGED,
	      tv_path_index_decode(tv_bytes(short_entry, sizeof(short_entry)), "a", &v, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(round_trip),
		store_test(golden_id),
		store_test(same_commit_twice),
		store_test(refused),
		store_test(damaged_bytes),
		store_test(log_of_a_diamond),
		store_test(log_ends_when_told),
		store_test(shallow_history),
		store_test(newest_of_a_foundation),
		store_test(versions_of_a_path),
		store_test(versions_follow_history),
		store_test(rows_of_a_large_commit_go_with_it),
		cmocka_unit_test(path_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
