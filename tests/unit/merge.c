#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/merge.h"
#include "tests/unit/support/trees.h"

#define FILE_AT(p, text, mode, mtime)                                                              \
	{                                                                                          \
		.path = (p), .entry = file_entry((text), (mode), (mtime))                          \
	}
#define DIR_AT(p, mode, mtime)                                                                     \
	{                                                                                          \
		.path = (p), .entry = dir_entry((mode), (mtime))                                   \
	}
#define REMOVE(p)                                                                                  \
	{                                                                                          \
		.path = (p), .remove = true                                                        \
	}
#define EDIT(m, root, ...)                                                                         \
	edit_stored((m), (root), (struct tv_edit[]){ __VA_ARGS__ },                                \
		    TV_ARRAY_LEN(((struct tv_edit[]){ __VA_ARGS__ })))

static int merge(struct mem_store *m, const struct tv_entry *base, const struct tv_entry *ours,
		 const struct tv_entry *theirs, struct tv_entry *out, struct tv_conflicts *c,
		 struct tv_err *err)
{
	struct tv_node_batch *b;
	assert_int_equal(tv_node_batch_new(&m->source, &b, NULL), 0);
	int r = tv_tree_merge(b, base, ours, theirs, out, c, err);
	if (r == 0)
		mem_store_keep(m, b, &out->addr);
	tv_node_batch_free(b);
	return r;
}

/* Merges both ways round, which must agree in everything. */
static struct tv_entry merged(struct mem_store *m, const struct tv_entry *base,
			      const struct tv_entry *ours, const struct tv_entry *theirs)
{
	struct tv_entry out, other;
	struct tv_err err = TV_ERR_INIT;
	check(merge(m, base, ours, theirs, &out, NULL, &err), &err);
	check(merge(m, base, theirs, ours, &other, NULL, &err), &err);
	assert_true(tv_entry_same(&out, &other));
	return out;
}

/* Both ways round a conflict, at these paths ("a b c"). */
static void assert_conflicts(struct mem_store *m, const struct tv_entry *base,
			     const struct tv_entry *ours, const struct tv_entry *theirs,
			     const char *want)
{
	for (int swap = 0; swap < 2; swap++) {
		struct tv_conflicts c = { NULL, 0 };
		struct tv_entry out = { .size = 77 };
		struct tv_err err = TV_ERR_INIT;
		tv_autobuf struct tv_buf text = TV_BUF_INIT;
		int r = merge(m, base, swap ? theirs : ours, swap ? ours : theirs, &out, &c, &err);
		assert_int_equal(r, -TV_E_CONFLICT);
		assert_int_equal(err.code, -TV_E_CONFLICT);
		assert_int_equal(out.size, 77);
		for (size_t i = 0; i < c.len; i++)
			tv_buf_addf(&text, "%s%s", i ? " " : "", c.paths[i]);
		tv_buf_add_u8(&text, 0);
		assert_string_equal((char *)text.data, want);
		tv_conflicts_free(&c);
		assert_int_equal(c.len, 0);
		tv_conflicts_free(&c);
	}
}

static struct tv_entry find(struct mem_store *m, const struct tv_entry *root, const char *path)
{
	struct tv_entry e = { 0 };
	int r = tv_tree_lookup(&m->source, root, path, &e, NULL, NULL);
	assert_true(r == 0 || r == -ENOENT);
	return e;
}

static struct tv_entry base_tree(struct mem_store *m)
{
	struct tv_entry empty = empty_stored(m);
	return EDIT(m, &empty, FILE_AT("a", "a", 0644, 10), FILE_AT("b", "b", 0644, 10),
		    FILE_AT("d/x", "x", 0644, 10), FILE_AT("d/y", "y", 0644, 10),
		    FILE_AT("d/sub/z", "z", 0644, 10));
}

static void both_sides_count(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry base = base_tree(&m);
	struct tv_entry ours = EDIT(&m, &base, FILE_AT("a", "a2", 0644, 20), REMOVE("d/x"),
				    FILE_AT("new/o", "o", 0644, 20));
	struct tv_entry theirs = EDIT(&m, &base, FILE_AT("b", "b2", 0755, 30), REMOVE("d/sub"),
				      FILE_AT("new/t", "t", 0644, 30));
	struct tv_entry out = merged(&m, &base, &ours, &theirs);
	struct tv_entry want = EDIT(&m, &base, FILE_AT("a", "a2", 0644, 20), REMOVE("d/x"),
				    FILE_AT("new/o", "o", 0644, 20), FILE_AT("b", "b2", 0755, 30),
				    REMOVE("d/sub"), FILE_AT("new/t", "t", 0644, 30));
	assert_same_root(&out, &want);
	mem_store_free(&m);
}

static void no_conflicts(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry base = base_tree(&m), out, e;
	/* the same content: the newer time stays */
	struct tv_entry ours = EDIT(&m, &base, FILE_AT("a", "a2", 0600, 20), REMOVE("b"));
	struct tv_entry theirs = EDIT(&m, &base, FILE_AT("a", "a2", 0644, 30), REMOVE("b"));
	out = merged(&m, &base, &ours, &theirs);
	e = find(&m, &out, "a");
	assert_int_equal(e.mtime_ns, 30);
	assert_int_equal(e.mode, 0644);
	assert_int_equal(find(&m, &out, "b").kind, 0);

	/* metadata gives way to content, and to removal */
	ours = EDIT(&m, &base, FILE_AT("a", "a2", 0644, 20), REMOVE("b"), REMOVE("d"));
	theirs = EDIT(&m, &base, FILE_AT("a", "a", 0600, 30), FILE_AT("b", "b", 0600, 30),
		      FILE_AT("d/x", "x", 0600, 30), DIR_AT("d/sub", 0700, 30), REMOVE("d/y"));
	out = merged(&m, &base, &ours, &theirs);
	e = find(&m, &out, "a");
	assert_int_equal(e.mtime_ns, 20);
	assert_int_equal(e.size, 2);
	assert_int_equal(out.files, 1);

	/* metadata of one file: what one side changed, and the newer of two */
	ours = EDIT(&m, &base, FILE_AT("a", "a", 0644, 5), FILE_AT("b", "b", 0600, 10));
	theirs = EDIT(&m, &base, FILE_AT("a", "a", 0600, 10), FILE_AT("b", "b", 0640, 40));
	out = merged(&m, &base, &ours, &theirs);
	e = find(&m, &out, "a");
	assert_int_equal(e.mtime_ns, 5);
	assert_int_equal(e.mode, 0600);
	e = find(&m, &out, "b");
	assert_int_equal(e.mtime_ns, 40);
	assert_int_equal(e.mode, 0640);
	mem_store_free(&m);
}

static void directories_merge(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry base = base_tree(&m), out, e;
	struct tv_entry ours = EDIT(&m, &base, DIR_AT("d", 0700, 20), DIR_AT("n", 0755, 1),
				    FILE_AT("n/o", "o", 0644, 1), DIR_AT("hollow", 0755, 1));
	struct tv_entry theirs = EDIT(&m, &base, DIR_AT("d", 0755, 30), DIR_AT("n", 0755, 2),
				      FILE_AT("n/t", "t", 0644, 1));
	ours.mtime_ns = 50;
	ours.mode = 0700;
	theirs.mtime_ns = 40;
	out = merged(&m, &base, &ours, &theirs);
	e = find(&m, &out, "d");
	assert_int_equal(e.mtime_ns, 30);
	assert_int_equal(e.mode, 0700); /* theirs is the base's */
	e = find(&m, &out, "n");
	assert_int_equal(e.mtime_ns, 2);
	assert_int_equal(e.files, 2);
	assert_int_equal(find(&m, &out, "hollow").kind, TV_DIR);
	assert_int_equal(out.mtime_ns, 50);
	assert_int_equal(out.mode, 0700);

	/* a file that both made a directory holds what both put there */
	ours = EDIT(&m, &base, REMOVE("a"), FILE_AT("a/o", "o", 0644, 1));
	theirs = EDIT(&m, &base, REMOVE("a"), FILE_AT("a/t", "t", 0644, 1));
	out = merged(&m, &base, &ours, &theirs);
	assert_int_equal(find(&m, &out, "a").files, 2);
	mem_store_free(&m);
}

static void conflicts(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry base = base_tree(&m), ours, theirs;
	ours = EDIT(&m, &base, FILE_AT("a", "1", 0644, 20), REMOVE("b"),
		    FILE_AT("d/new", "1", 0644, 1), FILE_AT("d/x", "1", 0644, 1));
	theirs = EDIT(&m, &base, FILE_AT("a", "2", 0644, 20), FILE_AT("b", "2", 0644, 1),
		      FILE_AT("d/new", "2", 0644, 1), FILE_AT("d/x", "x", 0744, 1));
	assert_conflicts(&m, &base, &ours, &theirs, "a b d/new d/x");

	/* a directory that went, with content that changed or came below it */
	ours = EDIT(&m, &base, REMOVE("d"));
	theirs = EDIT(&m, &base, FILE_AT("d/x", "2", 0644, 1), FILE_AT("d/sub/n/new", "2", 0644, 1),
		      FILE_AT("d/zz", "2", 0644, 1));
	assert_conflicts(&m, &base, &ours, &theirs, "d/sub/n d/sub/n/new d/x d/zz");
	ours = EDIT(&m, &base, REMOVE("d"), FILE_AT("d", "a file now", 0644, 1));
	theirs = EDIT(&m, &base, FILE_AT("d/zz", "2", 0644, 1));
	assert_conflicts(&m, &base, &ours, &theirs, "d/zz");

	/* one path, two kinds */
	ours = EDIT(&m, &base, FILE_AT("n/f", "1", 0644, 1));
	theirs = EDIT(&m, &base, FILE_AT("n", "2", 0644, 1));
	assert_conflicts(&m, &base, &ours, &theirs, "n");
	ours = EDIT(&m, &base, REMOVE("a"), FILE_AT("a/f", "1", 0644, 1));
	theirs = EDIT(&m, &base, FILE_AT("a", "2", 0644, 1));
	assert_conflicts(&m, &base, &ours, &theirs, "a");
	mem_store_free(&m);
}

static void conflict_message(void **state)
{
	(void)state;
	struct mem_store m;
	struct tv_err err = TV_ERR_INIT;
	mem_store_init(&m);
	struct tv_entry base = empty_stored(&m), out, sides[2];
	for (int i = 0; i < 2; i++) {
		const char *t = i ? "1" : "2";
		sides[i] = EDIT(&m, &base, FILE_AT("1", t, 0644, 1), FILE_AT("2", t, 0644, 1),
				FILE_AT("3", t, 0644, 1), FILE_AT("4", t, 0644, 1));
	}
	assert_int_equal(merge(&m, &base, &sides[0], &sides[1], &out, NULL, &err), -TV_E_CONFLICT);
	assert_string_equal(err.text, "both sides changed '1', '2', '3' and 1 more");
	mem_store_free(&m);
}

static struct tv_entry random_change(struct mem_store *m, struct rng *rng, struct tv_entry root,
				     uint32_t n)
{
	struct random_edits e;
	random_edits(&e, rng, n);
	struct tv_entry out = edit_stored(m, &root, e.v, e.n);
	out.mtime_ns = rng_below(rng, 100);
	return out;
}

/* The laws of a merge on random trees. */
static void laws(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct tv_entry base, out, other;
	unsigned clean = 0;
	mem_store_init(&m);
	base = empty_stored(&m);
	for (int round = 0; round < 400; round++) {
		struct tv_err err = TV_ERR_INIT;
		base = random_change(&m, &rng, base, 64);
		uint32_t n = 1 + rng_below(&rng, round % 2 ? 4 : 20);
		struct tv_entry x = random_change(&m, &rng, base, n);
		struct tv_entry y = random_change(&m, &rng, base, n);
		out = merged(&m, &base, &x, &base);
		assert_true(tv_entry_same(&out, &x));
		out = merged(&m, &base, &x, &x);
		assert_true(tv_entry_same(&out, &x));

		/* the long way: roots that differ in time keep the short cuts off */
		struct tv_entry later = base;
		later.mtime_ns = base.mtime_ns + 1;
		out = merged(&m, &base, &x, &later);
		assert_same_root(&out, &x);

		struct tv_conflicts c = { NULL, 0 }, d = { NULL, 0 };
		int r = merge(&m, &base, &x, &y, &out, &c, &err);
		int swapped = merge(&m, &base, &y, &x, &other, &d, &err);
		assert_int_equal(r, swapped);
		assert_int_equal(c.len, d.len);
		for (size_t i = 0; i < c.len; i++)
			assert_string_equal(c.paths[i], d.paths[i]);
		if (r == 0) {
			assert_true(tv_entry_same(&out, &other));
			clean++;
			/* what is merged stays merged */
			struct tv_entry again = merged(&m, &x, &out, &x);
			assert_true(tv_entry_same(&again, &out));
		}
		tv_conflicts_free(&c);
		tv_conflicts_free(&d);
	}
	print_message("%u of 400 merges without conflict\n", clean);
	assert_in_range(clean, 20, 399);
	mem_store_free(&m);
}

/* Edits of different names never conflict, and give what both would in a row. */
static void apart_is_in_a_row(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct flat f;
	mem_store_init(&m);
	flat_init(&f, 20000);
	struct tv_entry empty = empty_stored(&m);
	struct tv_entry base = edit_stored(&m, &empty, f.edits, f.n);
	for (int round = 0; round < 50; round++) {
		struct tv_edit edits[2][20];
		for (size_t i = 0; i < 40; i++) {
			struct tv_edit *e = &edits[i % 2][i / 2];
			*e = f.edits[rng_below(&rng, (uint32_t)f.n / 2) * 2 + i % 2];
			e->remove = rng_below(&rng, 2);
			e->entry.sha.b[30] = (uint8_t)i;
		}
		struct tv_entry x = edit_stored(&m, &base, edits[0], 20);
		struct tv_entry y = edit_stored(&m, &base, edits[1], 20);
		struct tv_entry row = edit_stored(&m, &x, edits[1], 20);
		struct tv_entry out = merged(&m, &base, &x, &y);
		assert_same_root(&out, &row);
	}
	flat_free(&f);
	mem_store_free(&m);
}

static void ten_and_ten_of_a_million(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct flat f;
	struct tv_err err = TV_ERR_INIT;
	mem_store_init(&m);
	flat_init(&f, big_count());
	struct tv_entry empty = empty_stored(&m), sides[2], out;
	struct tv_entry base = edit_stored(&m, &empty, f.edits, f.n);
	for (uint32_t side = 0; side < 2; side++) {
		struct tv_edit edits[10];
		for (size_t i = 0; i < 10; i++) {
			edits[i] = f.edits[rng_below(&rng, (uint32_t)f.n / 2) * 2 + side];
			edits[i].entry.sha.b[30] = 1;
		}
		sides[side] = edit_stored(&m, &base, edits, 10);
	}
	m.gets = 0;
	double t0 = now_s();
	check(merge(&m, &base, &sides[0], &sides[1], &out, NULL, &err), &err);
	print_message("merge of 10 and 10 among %zu: %.2f ms, %" PRIu64 " nodes read\n", f.n,
		      (now_s() - t0) * 1e3, m.gets);
	assert_in_range(m.gets, 10, 300);
	flat_free(&f);
	mem_store_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_count),  cmocka_unit_test(no_conflicts),
		cmocka_unit_test(directories_merge), cmocka_unit_test(conflicts),
		cmocka_unit_test(conflict_message),  cmocka_unit_test(laws),
		cmocka_unit_test(apart_is_in_a_row), cmocka_unit_test(ten_and_ten_of_a_million),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
