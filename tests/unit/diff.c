#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/diff.h"
#include "tests/unit/support/trees.h"

#define BOTH (TV_DIFF_TOUCHED | TV_DIFF_DIRS)

/* The items of a diff: as text, one "<sign> <path>" a line, and as edits. */
struct seen {
	struct tv_buf text;
	struct model edits; /* removals too; order as reported */
	size_t n;
};

static int see(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct seen *s = arg;
	(void)err;
	assert_true(item->before || item->after);
	assert_int_equal(item->change == TV_ADDED, item->before == NULL);
	assert_int_equal(item->change == TV_REMOVED, item->after == NULL);
	tv_buf_addf(&s->text, "%c %s\n", item->change, item->path);
	struct model *m = &s->edits;
	if (m->len == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->v = realloc(m->v, m->cap * sizeof(*m->v));
		assert_non_null(m->v);
	}
	struct tv_edit *e = &m->v[m->len++];
	*e = (struct tv_edit){ .path = strdup(item->path), .remove = !item->after };
	if (item->after) {
		e->entry = *item->after;
		if (e->entry.target)
			e->entry.target = strdup(e->entry.target);
		if (e->entry.kind == TV_DIR)
			e->entry.addr = (struct tv_addr){ { 0 } };
	}
	s->n++;
	return 0;
}

static void seen_free(struct seen *s)
{
	tv_buf_free(&s->text);
	model_free(&s->edits);
}

static struct seen diff(struct mem_store *m, const struct tv_entry *a, const struct tv_entry *b,
			unsigned flags)
{
	struct seen s = { .text = TV_BUF_INIT };
	struct tv_err err = TV_ERR_INIT;
	check(tv_tree_diff(&m->source, a, b, flags, see, &s, &err), &err);
	tv_buf_add_u8(&s.text, 0);
	return s;
}

static void assert_diff(struct mem_store *m, const struct tv_entry *a, const struct tv_entry *b,
			unsigned flags, const char *want)
{
	struct seen s = diff(m, a, b, flags);
	assert_string_equal((char *)s.text.data, want);
	seen_free(&s);
}

static struct tv_entry tree(struct mem_store *m, const struct tv_edit *edits, size_t n)
{
	struct tv_entry empty = empty_stored(m);
	return edit_stored(m, &empty, edits, n);
}

static void what_is_reported(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry x = file_entry("x", 0644, 1), y = file_entry("y", 0644, 1);
	struct tv_entry touched = file_entry("x", 0600, 2), exec = file_entry("x", 0744, 1);
	struct tv_edit before[] = {
		{ .path = "changed", .entry = x },
		{ .path = "d/same", .entry = x },
		{ .path = "d/touched", .entry = x },
		{ .path = "exec", .entry = x },
		{ .path = "gone/f", .entry = x },
		{ .path = "hollow", .entry = dir_entry(0755, 1) },
		{ .path = "kind", .entry = x },
		{ .path = "to-dir", .entry = x },
		{ .path = "to-file/f", .entry = x },
	};
	struct tv_edit after[] = {
		{ .path = "changed", .entry = y },
		{ .path = "d", .entry = dir_entry(0700, 1) },
		{ .path = "d/same", .entry = x },
		{ .path = "d/touched", .entry = touched },
		{ .path = "exec", .entry = exec },
		{ .path = "kind", .entry = link_entry("x", 1) },
		{ .path = "new/f", .entry = x },
		{ .path = "new/e", .entry = dir_entry(0755, 1) },
		{ .path = "to-dir/f", .entry = x },
		{ .path = "to-file", .entry = x },
	};
	struct tv_entry a = tree(&m, before, TV_ARRAY_LEN(before));
	struct tv_entry b = tree(&m, after, TV_ARRAY_LEN(after));
	assert_diff(&m, &a, &b, 0,
		    "~ changed\n~ exec\n- gone/f\n- hollow\n~ kind\n+ new/e\n+ new/f\n"
		    "~ to-dir\n+ to-dir/f\n~ to-file\n- to-file/f\n");
	assert_diff(&m, &a, &b, BOTH,
		    "~ changed\n. d\n. d/touched\n~ exec\n- gone\n- gone/f\n- hollow\n~ kind\n"
		    "+ new\n+ new/e\n+ new/f\n~ to-dir\n+ to-dir/f\n~ to-file\n- to-file/f\n");
	assert_diff(&m, &a, &b, TV_DIFF_TOUCHED,
		    "~ changed\n. d/touched\n~ exec\n- gone/f\n- hollow\n~ kind\n+ new/e\n"
		    "+ new/f\n~ to-dir\n+ to-dir/f\n~ to-file\n- to-file/f\n");
	assert_diff(&m, &a, &a, BOTH, "");
	assert_int_equal(tv_tree_diff(&m.source, &a, &x, 0, see, NULL, NULL), -ENOTDIR);
	mem_store_free(&m);
}

static int stop(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	(void)item;
	(void)err;
	return ++*(int *)arg == 2 ? 42 : 0;
}

static void visit_ends_it(void **state)
{
	(void)state;
	struct mem_store m;
	int calls = 0;
	mem_store_init(&m);
	struct tv_entry x = file_entry("x", 0644, 1), empty = empty_stored(&m);
	struct tv_edit edits[] = { { .path = "a/b/c", .entry = x },
				   { .path = "a/b/d", .entry = x } };
	struct tv_entry a = tree(&m, edits, 2);
	assert_int_equal(tv_tree_diff(&m.source, &empty, &a, BOTH, stop, &calls, NULL), 42);
	assert_int_equal(calls, 2);
	mem_store_free(&m);
}

/* diff(a, b), applied to a, gives b; without flags there is nothing to report where hashes agree. */
static void a_diff_is_a_patch(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct random_edits e;
	mem_store_init(&m);
	struct tv_entry trees[6];
	trees[0] = empty_stored(&m);
	for (int round = 0; round < 40; round++) {
		for (size_t i = 1; i < TV_ARRAY_LEN(trees); i++) {
			trees[i] = trees[rng_below(&rng, (uint32_t)i)];
			for (uint32_t k = rng_below(&rng, 20); k; k--) {
				random_edits(&e, &rng, 1 + rng_below(&rng, 30));
				trees[i] = edit_stored(&m, &trees[i], e.v, e.n);
			}
		}
		for (size_t i = 0; i < 10; i++) {
			struct tv_entry a = trees[rng_below(&rng, TV_ARRAY_LEN(trees))];
			struct tv_entry b = trees[rng_below(&rng, TV_ARRAY_LEN(trees))];
			struct seen s = diff(&m, &a, &b, BOTH);
			struct tv_entry patched = edit_stored(&m, &a, s.edits.v, s.edits.len);
			assert_same_root(&patched, &b);
			for (size_t k = 1; k < s.edits.len; k++)
				assert_true(tv_tree_path_cmp(s.edits.v[k - 1].path,
							     s.edits.v[k].path) < 0);
			seen_free(&s);
			s = diff(&m, &a, &b, TV_DIFF_DIRS);
			assert_int_equal(s.n == 0, tv_sha_eq(&a.sha, &b.sha));
			seen_free(&s);
		}
		trees[0] = trees[rng_below(&rng, TV_ARRAY_LEN(trees))];
	}
	mem_store_free(&m);
}

static void ten_of_a_million(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct flat f;
	mem_store_init(&m);
	flat_init(&f, big_count());
	struct tv_entry a = tree(&m, f.edits, f.n);
	struct tv_edit edits[10];
	for (size_t i = 0; i < 10; i++) {
		edits[i] = f.edits[i * (f.n / 10) + rng_below(&rng, (uint32_t)f.n / 10)];
		edits[i].entry.sha.b[31] = 1;
		edits[i].remove = i % 3 == 0;
	}
	struct tv_entry b = edit_stored(&m, &a, edits, 10);
	m.gets = 0;
	double t0 = now_s();
	struct seen s = diff(&m, &a, &b, BOTH);
	print_message("diff of 10 among %zu: %.2f ms, %" PRIu64 " nodes read\n", f.n,
		      (now_s() - t0) * 1e3, m.gets);
	assert_int_equal(s.n, 10);
	assert_in_range(m.gets, 2, 120);
	seen_free(&s);

	/* only times: nothing is read where nobody asks for them */
	struct tv_edit touch = f.edits[7];
	touch.entry.mtime_ns = 99;
	b = edit_stored(&m, &a, &touch, 1);
	assert_true(tv_sha_eq(&a.sha, &b.sha));
	m.gets = 0;
	s = diff(&m, &a, &b, 0);
	assert_int_equal(s.n + m.gets, 0);
	seen_free(&s);
	s = diff(&m, &a, &b, TV_DIFF_TOUCHED);
	assert_int_equal(s.n, 1);
	seen_free(&s);
	flat_free(&f);
	mem_store_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_reported),
		cmocka_unit_test(visit_ends_it),
		cmocka_unit_test(a_diff_is_a_patch),
		cmocka_unit_test(ten_of_a_million),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
