#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tests/unit/support/trees.h"

#define SET(p, e)                                                                                  \
	{                                                                                          \
		.path = (p), .entry = (e)                                                          \
	}
#define REMOVE(p)                                                                                  \
	{                                                                                          \
		.path = (p), .remove = true                                                        \
	}
#define EDIT(m, root, ...)                                                                         \
	edit_stored((m), (root), (struct tv_edit[]){ __VA_ARGS__ },                                \
		    TV_ARRAY_LEN(((struct tv_edit[]){ __VA_ARGS__ })))

static struct tv_entry find(struct mem_store *m, const struct tv_entry *root, const char *path)
{
	struct tv_entry e;
	struct tv_err err = TV_ERR_INIT;
	check(tv_tree_lookup(&m->source, root, path, &e, NULL, &err), &err);
	return e;
}

static int lookup_code(struct mem_store *m, const struct tv_entry *root, const char *path)
{
	struct tv_entry e;
	return tv_tree_lookup(&m->source, root, path, &e, NULL, NULL);
}

static int edit_code(struct mem_store *m, const struct tv_entry *root, const struct tv_edit *edits,
		     size_t n)
{
	struct tv_node_batch *b;
	struct tv_entry out;
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(tv_node_batch_new(&m->source, &b, NULL), 0);
	int r = tv_tree_edit(b, root, edits, n, &out, &err);
	assert_true(r == 0 || (r == err.code && err.text[0]));
	tv_node_batch_free(b);
	return r;
}

static void path_order(void **state)
{
	(void)state;
	static const char *const sorted[] = { "",      "a",   "a/b", "a/b/c", "a/bc",
					      "a\x01", "a.b", "a0",  "b" };
	for (size_t i = 0; i < TV_ARRAY_LEN(sorted); i++)
		for (size_t k = 0; k < TV_ARRAY_LEN(sorted); k++) {
			int c = tv_tree_path_cmp(sorted[i], sorted[k]);
			assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
		}
}

static void edits_do_what_they_say(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry empty = empty_stored(&m), a = file_entry("a", 0644, 10);
	struct tv_entry b = file_entry("bb", 0755, 20), link = link_entry("../x", 30);
	assert_int_equal(empty.mode, 0755);

	struct tv_entry root = EDIT(&m, &empty, SET("d/e/f", a), SET("d/g", b), SET("l", link));
	assert_int_equal(root.size, 1 + 2 + 4);
	assert_int_equal(root.files, 3);
	assert_int_equal(find(&m, &root, "d").mtime_ns, 20); /* made: the newest below */
	assert_int_equal(find(&m, &root, "d/e").mtime_ns, 10);
	assert_int_equal(find(&m, &root, "d").mode, 0755);
	assert_int_equal(find(&m, &root, "d").files, 2);
	assert_true(tv_tree_lookup(&m.source, &root, "", &a, NULL, NULL) == 0);
	assert_true(tv_entry_same(&a, &root));
	assert_int_equal(lookup_code(&m, &root, "d/x"), -ENOENT);
	assert_int_equal(lookup_code(&m, &root, "d/g/x"), -ENOTDIR);
	assert_int_equal(lookup_code(&m, &root, "x/g"), -ENOENT);

	/* an edit below leaves the directory's own mtime; sizes are kept right */
	struct tv_entry next = EDIT(&m, &root, REMOVE("d/g"));
	assert_int_equal(find(&m, &next, "d").mtime_ns, 20);
	assert_int_equal(find(&m, &next, "d").size, 1);
	/* removing what is not there changes nothing */
	next = EDIT(&m, &root, REMOVE("d/nothing"), REMOVE("l/x"), REMOVE("no/where/at/all"));
	assert_same_root(&root, &next);
	/* a directory that became empty stays; its last removal goes by its own path */
	next = EDIT(&m, &root, REMOVE("d/g"), REMOVE("d/e/f"));
	assert_int_equal(find(&m, &next, "d/e").files, 0);
	next = EDIT(&m, &root, REMOVE("d"), REMOVE("l"));
	assert_same_root(&next, &empty);
	mem_store_free(&m);
}

static void edits_of_one_path(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry empty = empty_stored(&m), a = file_entry("a", 0644, 10);
	struct tv_entry b = file_entry("bb", 0755, 20), d = dir_entry(0700, 5);
	struct tv_entry root = EDIT(&m, &empty, SET("d/f", a), SET("d/g", a), SET("x", a));

	/* the last wins, a removal comes before sets below */
	struct tv_entry next = EDIT(&m, &root, SET("x", a), REMOVE("x"), SET("x", b));
	assert_int_equal(find(&m, &next, "x").size, 2);
	next = EDIT(&m, &root, SET("d/h", b), REMOVE("d"));
	assert_int_equal(lookup_code(&m, &next, "d/f"), -ENOENT);
	assert_int_equal(find(&m, &next, "d/h").size, 2);
	/* what a later edit of the same path takes back leaves no parents either */
	next = EDIT(&m, &root, SET("n/x", a), REMOVE("n/x"));
	assert_same_root(&next, &root);
	/* setting a directory keeps its contents, makes it, or turns a file into it */
	next = EDIT(&m, &root, SET("d", d), SET("new", d), SET("x", d));
	assert_int_equal(find(&m, &next, "d").mode, 0700);
	assert_int_equal(find(&m, &next, "d").mtime_ns, 5);
	assert_int_equal(find(&m, &next, "d/f").size, 1);
	assert_int_equal(find(&m, &next, "new").kind, TV_DIR);
	struct tv_entry made = find(&m, &next, "x");
	assert_true(tv_addr_eq(&made.addr, &empty.addr));
	/* names that only begin alike are no group */
	next = EDIT(&m, &root, SET("d.b", b), SET("d/k", b), SET("d-", b));
	assert_int_equal(find(&m, &next, "d/k").size, 2);
	assert_int_equal(find(&m, &next, "d.b").size, 2);
	/* a set below a file makes a directory of it */
	next = EDIT(&m, &root, SET("x/y", b));
	assert_int_equal(find(&m, &next, "x").kind, TV_DIR);
	/* a whole sub-tree, by its address alone; with an edit in it */
	d.addr = find(&m, &root, "d").addr;
	next = EDIT(&m, &root, SET("copy/of/d", d), SET("copy/of/d/h", b));
	assert_int_equal(find(&m, &next, "copy/of/d").files, 3);
	assert_int_equal(next.files, root.files + 3);
	mem_store_free(&m);
}

static void edits_that_are_refused(void **state)
{
	(void)state;
	struct mem_store m;
	mem_store_init(&m);
	struct tv_entry root = empty_stored(&m), a = file_entry("a", 0644, 0), bad = a;
	static const char *const paths[] = {
		"",	"/a",	 "a/",	    "a//b",	     ".", "..", "a/.",
		"../a", ".wh.a", "a/.wh.b", "a/.wh..wh..opq"
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(paths); i++) {
		struct tv_edit edit = SET(paths[i], a);
		assert_int_equal(edit_code(&m, &root, &edit, 1), -EINVAL);
	}
	struct tv_edit below[] = { SET("a", a), SET("a/b", a) };
	assert_int_equal(edit_code(&m, &root, below, 2), -ENOTDIR);
	assert_int_equal(edit_code(&m, &a, below, 1), -ENOTDIR);
	bad.mode = 04755;
	struct tv_edit setuid = SET("a", bad);
	assert_int_equal(edit_code(&m, &root, &setuid, 1), -EINVAL);
	struct tv_edit no_kind = { .path = "a" };
	assert_int_equal(edit_code(&m, &root, &no_kind, 1), -EINVAL);
	struct tv_entry elsewhere = dir_entry(0755, 0);
	elsewhere.addr.b[3] = 1;
	struct tv_edit missing = SET("a", elsewhere);
	assert_int_equal(edit_code(&m, &root, &missing, 1), -TV_E_DAMAGED);
	mem_store_free(&m);
}

/* Any history gives the root that the final set of paths has when built from nothing. */
static void history_does_not_matter(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct model model = { 0 };
	struct random_edits e;
	mem_store_init(&m);
	struct tv_entry root = empty_stored(&m);
	for (int step = 0; step < 1500; step++) {
		random_edits(&e, &rng, 1 + rng_below(&rng, step % 10 ? 3 : 64));
		root = edit_stored(&m, &root, e.v, e.n);
		model_apply(&model, e.v, e.n);
		if (step % 25 == 0 || step < 50) {
			struct tv_entry built = model_build(&model, &m);
			assert_same_root(&root, &built);
		}
	}
	/* and all the way back */
	while (model.len) {
		struct tv_edit gone = REMOVE(model.v[rng_below(&rng, (uint32_t)model.len)].path);
		root = edit_stored(&m, &root, &gone, 1);
		char *path = strdup(gone.path);
		gone.path = path;
		model_apply(&model, &gone, 1);
		free(path);
	}
	struct tv_entry empty = empty_stored(&m);
	assert_same_root(&root, &empty);
	model_free(&model);
	mem_store_free(&m);
}

struct walked {
	const struct model *model;
	size_t at;
};

static int walk_visit(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	struct walked *w = arg;
	(void)err;
	assert_true(w->at < w->model->len);
	const struct tv_edit *want = &w->model->v[w->at++];
	assert_string_equal(path, want->path);
	assert_int_equal(e->kind, want->entry.kind);
	if (e->kind == TV_DIR) {
		assert_int_equal(e->mtime_ns, want->entry.mtime_ns);
		assert_int_equal(e->mode, want->entry.mode);
	} else {
		assert_true(tv_entry_same(e, &want->entry));
	}
	if (e->kind == TV_SYMLINK)
		assert_string_equal(e->target, want->entry.target);
	return 0;
}

static int walk_skip(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	size_t *seen = arg;
	(void)err;
	(void)e;
	assert_null(strchr(path, '/'));
	++*seen;
	return TV_WALK_SKIP;
}

static int walk_stop(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	(void)arg;
	(void)err;
	(void)e;
	return strchr(path, '/') ? 7 : 0;
}

static void walk_and_lookup(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct model model = { 0 };
	struct random_edits e;
	mem_store_init(&m);
	for (int i = 0; i < 60; i++) {
		random_edits(&e, &rng, 64);
		model_apply(&model, e.v, e.n);
	}
	struct tv_entry root = model_build(&model, &m);
	struct walked w = { &model, 0 };
	struct tv_err err = TV_ERR_INIT;
	check(tv_tree_walk(&m.source, &root, walk_visit, &w, &err), &err);
	assert_int_equal(w.at, model.len);
	for (size_t i = 0; i < model.len; i++) {
		struct tv_node *held;
		struct tv_entry got;
		check(tv_tree_lookup(&m.source, &root, model.v[i].path, &got, &held, &err), &err);
		assert_int_equal(got.kind, model.v[i].entry.kind);
		if (got.kind == TV_SYMLINK)
			assert_string_equal(got.target, model.v[i].entry.target);
		tv_node_unref(held);
	}
	size_t top = 0;
	uint64_t count;
	check(tv_tree_walk(&m.source, &root, walk_skip, &top, &err), &err);
	check(tv_dir_count(&m.source, &root.addr, &count, &err), &err);
	assert_int_equal(top, count);
	assert_int_equal(tv_tree_walk(&m.source, &root, walk_stop, NULL, &err), 7);
	model_free(&model);
	mem_store_free(&m);
}

static void cursor_seeks(void **state)
{
	(void)state;
	enum { N = 20000 };
	struct rng rng = rng_new();
	struct mem_store m;
	struct flat f;
	struct tv_dir_cursor c;
	struct tv_entry e;
	struct tv_err err = TV_ERR_INIT;
	const char *name;
	size_t n;
	mem_store_init(&m);
	flat_init(&f, N);
	struct tv_entry root = empty_stored(&m);
	check(tv_dir_cursor_open(&c, &m.source, &root.addr, &err), &err);
	assert_int_equal(tv_dir_cursor_get(&c, &name, &n, &e), 0);
	check(tv_dir_cursor_next(&c, &err), &err);
	check(tv_dir_cursor_seek(&c, 5, &err), &err);
	assert_int_equal(tv_dir_cursor_get(&c, &name, &n, &e), 0);
	tv_dir_cursor_close(&c);

	root = edit_stored(&m, &root, f.edits, f.n);
	check(tv_dir_cursor_open(&c, &m.source, &root.addr, &err), &err);
	for (size_t i = 0; i < N; i++, check(tv_dir_cursor_next(&c, &err), &err)) {
		assert_int_equal(c.position, i);
		assert_int_equal(tv_dir_cursor_get(&c, &name, &n, &e), 1);
		assert_int_equal(n, strlen(f.names[i]));
		assert_memory_equal(name, f.names[i], n);
	}
	assert_int_equal(tv_dir_cursor_get(&c, &name, &n, &e), 0);
	for (int i = 0; i < 2000; i++) {
		size_t at = rng_below(&rng, N + 10);
		m.gets = 0;
		check(tv_dir_cursor_seek(&c, at, &err), &err);
		assert_true(m.gets <= 3);
		for (size_t k = at; k < at + 3; k++, check(tv_dir_cursor_next(&c, &err), &err)) {
			assert_int_equal(tv_dir_cursor_get(&c, &name, &n, &e), k < N);
			assert_int_equal(c.position, k < N ? k : N);
			if (k < N)
				assert_memory_equal(name, f.names[k], n);
		}
	}
	tv_dir_cursor_close(&c);
	assert_int_equal(tv_dir_cursor_get(&c, &name, &n, &e), 0);
	assert_int_equal(tv_dir_cursor_next(&c, NULL), -EBADF);
	tv_dir_cursor_close(&c);
	flat_free(&f);
	mem_store_free(&m);
}

static int count_node(void *arg, struct tv_node *node)
{
	(void)node;
	++*(size_t *)arg;
	return 0;
}

/* Ten edits of a million names: a few nodes read, a few made. */
static void a_million_names(void **state)
{
	(void)state;
	struct rng rng = rng_new();
	struct mem_store m;
	struct flat f;
	struct tv_node_batch *b;
	struct tv_err err = TV_ERR_INIT;
	mem_store_init(&m);
	flat_init(&f, big_count());
	struct tv_entry empty = empty_stored(&m), root, next;

	double t0 = now_s();
	check(tv_node_batch_new(&m.source, &b, &err), &err);
	check(tv_tree_edit(b, &empty, f.edits, f.n, &root, &err), &err);
	double t1 = now_s();
	mem_store_keep(&m, b, &root.addr);
	print_message("%zu names from nothing: %.2f s\n", f.n, t1 - t0);
	tv_node_batch_free(b);

	struct tv_edit edits[10];
	for (size_t i = 0; i < 10; i++) {
		edits[i] = f.edits[rng_below(&rng, (uint32_t)f.n)];
		edits[i].entry.size++;
		edits[i].remove = i % 2;
	}
	size_t made = 0;
	m.gets = 0;
	check(tv_node_batch_new(&m.source, &b, &err), &err);
	t0 = now_s();
	check(tv_tree_edit(b, &root, edits, 10, &next, &err), &err);
	t1 = now_s();
	check(tv_node_batch_each(b, &next.addr, count_node, &made, &err), &err);
	print_message("10 edits: %.2f ms, %" PRIu64 " nodes read, %zu made of %zu\n",
		      (t1 - t0) * 1e3, m.gets, made, m.len);
	assert_in_range(m.gets, 1, 100);
	assert_in_range(made, 1, 100);
	tv_node_batch_free(b);

	struct tv_entry e;
	m.gets = 0;
	t0 = now_s();
	check(tv_dir_lookup(&m.source, &root.addr, f.names[777], strlen(f.names[777]), &e, NULL,
			    &err),
	      &err);
	print_message("look-up, cold: %.0f us, %" PRIu64 " nodes\n", (now_s() - t0) * 1e6, m.gets);
	assert_in_range(m.gets, 1, 6);
	assert_int_equal(e.size, 777);
	flat_free(&f);
	mem_store_free(&m);
}

/* A path as long as a path can be, with the depth that goes with it. */
static void deep_paths(void **state)
{
	(void)state;
	struct mem_store m;
	char path[4096];
	mem_store_init(&m);
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'd';
	path[4095] = '\0'; /* ends "…/d", 2048 names */
	struct tv_entry root = empty_stored(&m), a = file_entry("a", 0644, 1);
	struct tv_entry next = EDIT(&m, &root, SET(path, a));
	struct tv_err err = TV_ERR_INIT;
	assert_int_equal(find(&m, &next, path).size, 1);
	struct model model = { 0 };
	struct walked w = { &model, 0 };
	struct tv_edit edit = SET(path, a);
	model_apply(&model, &edit, 1);
	check(tv_tree_walk(&m.source, &next, walk_visit, &w, &err), &err);
	assert_int_equal(w.at, 2048);
	next = EDIT(&m, &next, REMOVE("d"));
	assert_same_root(&next, &root);
	model_free(&model);
	mem_store_free(&m);
}

/* A source that answers each question for one address with another valid node. */
struct liar {
	struct mem_store *m;
	struct tv_addr asked, given;
};

static int liar_get(void *arg, const struct tv_addr *addr, struct tv_node **out, struct tv_err *err)
{
	struct liar *l = arg;
	const struct tv_addr *from = tv_addr_eq(addr, &l->asked) ? &l->given : addr;
	return l->m->source.get(l->m, from, out, err);
}

static int ignore_entry(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	(void)arg;
	(void)path;
	(void)e;
	(void)err;
	return 0;
}

static void damaged_sources(void **state)
{
	(void)state;
	struct mem_store m;
	struct flat f;
	mem_store_init(&m);
	flat_init(&f, 5000);
	struct tv_entry empty = empty_stored(&m);
	struct tv_entry flat = edit_stored(&m, &empty, f.edits, f.n);
	struct tv_entry root = EDIT(&m, &empty, SET("flat", flat), SET("a", f.edits[0].entry));
	struct tv_node *node;
	struct tv_ref_entry first, second;
	assert_int_equal(m.source.get(&m, &flat.addr, &node, NULL), 0);
	assert_true(tv_node_level(node) > 0);
	tv_node_child(node, 0, &first);
	tv_node_child(node, 1, &second);

	const struct tv_addr gone = { { 9 } };
	struct liar liars[] = {
		{ &m, root.addr, flat.addr },	 { &m, flat.addr, empty.addr },
		{ &m, first.addr, second.addr }, { &m, first.addr, flat.addr },
		{ &m, second.addr, gone },	 { &m, second.addr, empty.addr },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(liars); i++) {
		struct tv_node_source src = { liar_get, &liars[i] };
		assert_int_equal(tv_tree_walk(&src, &root, ignore_entry, NULL, NULL),
				 -TV_E_DAMAGED);
	}
	tv_node_unref(node);
	flat_free(&f);
	mem_store_free(&m);
}

static void batches(void **state)
{
	(void)state;
	struct tv_node_batch *b;
	struct tv_entry root, one, two, a = file_entry("a", 0644, 1);
	struct tv_edit first = SET("d/x", a), second = SET("d/y", a);
	size_t n = 0;
	assert_int_equal(tv_node_batch_new(NULL, &b, NULL), 0);
	assert_int_equal(tv_tree_empty(b, &root, NULL), 0);
	assert_int_equal(tv_tree_edit(b, &root, &first, 1, &one, NULL), 0);
	assert_int_equal(tv_tree_edit(b, &one, &second, 1, &two, NULL), 0);
	/* the root and d; not those of the edit between, nor the empty directory */
	assert_int_equal(tv_node_batch_each(b, &two.addr, count_node, &n, NULL), 0);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(tv_node_batch_each(b, &(struct tv_addr){ { 5 } }, count_node, &n, NULL),
			 0);
	assert_int_equal(n, 0);
	tv_node_batch_free(b);
	tv_node_batch_free(NULL);
}

/* --- golden foundations, and the same folders on disk as the Python script sees them --- */

static void put_file(int root, const char *path, const char *text, mode_t mode)
{
	tv_autoclose int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(tv_io_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

/* One tree, in the store's memory and on disk. */
struct sample {
	struct model model;
	char *folder;
	int fd;
};

static void add_file(struct sample *s, const char *path, const char *text, uint16_t mode)
{
	struct tv_edit edit = SET(path, file_entry(text, mode, 0));
	model_apply(&s->model, &edit, 1);
	put_file(s->fd, path, text, mode);
}

static void add_link(struct sample *s, const char *path, const char *target)
{
	struct tv_edit edit = SET(path, link_entry(target, 0));
	model_apply(&s->model, &edit, 1);
	assert_int_equal(symlinkat(target, s->fd, path), 0);
}

static void add_dir(struct sample *s, const char *path)
{
	struct tv_edit edit = SET(path, dir_entry(0755, 0));
	model_apply(&s->model, &edit, 1);
	assert_int_equal(mkdirat(s->fd, path, 0755), 0);
}

static void make_empty(struct sample *s)
{
	(void)s;
}

static void make_one_file(struct sample *s)
{
	add_file(s, "hello", "hello\n", 0644);
}

/* docs/format.md works this one out: "51" ends a node. */
static void make_two_levels(struct sample *s)
{
	add_file(s, "50", "", 0644);
	add_file(s, "51", "", 0644);
	add_file(s, "52", "", 0644);
}

static void make_kinds(struct sample *s)
{
	add_dir(s, "data");
	add_dir(s, "data/empty");
	add_dir(s, "data/deep");
	add_dir(s, "data/deep/er");
	add_file(s, "data/deep/er/f.json", "{}", 0600);
	add_file(s, "run.sh", "#!/bin/sh\n", 0755);
	add_file(s, "group-exec", "not the owner's bit\n", 0611);
	add_file(s, "zero", "", 0400);
	add_link(s, "to-dir", "data/deep");
	add_link(s, "dangling", "/no/such/\xc3\xa4");
}

static void make_odd_names(struct sample *s)
{
	add_file(s, "a", "1", 0644);
	add_file(s, "a.b", "2", 0644);
	add_dir(s, "a-dir");
	add_file(s, "a-dir/\x01\x02", "3", 0644);
	add_file(s, "new\nline", "4", 0644);
	add_file(s, "not utf-8 \xff\xfe\x80", "5", 0644);
	add_file(s, " leading and trailing ", "6", 0644);
	add_file(s, "\\back", "7", 0644);
	add_file(s, "...", "8", 0644);
	add_file(s, ".wh", "9", 0644);
}

static void make_wide(struct sample *s)
{
	add_dir(s, "candles");
	for (unsigned i = 0; i < 5000; i++) {
		char path[64], text[32];
		snprintf(path, sizeof(path), "candles/SYM%u_1d.parquet", i * 7919 % 5000);
		snprintf(text, sizeof(text), "candles of %u", i * 7919 % 5000);
		add_file(s, path, text, i % 3 ? 0644 : 0755);
	}
}

/* A folder full of what random edits leave. */
static void make_random(struct sample *s)
{
	struct rng rng = rng_new();
	struct random_edits e;
	for (int i = 0; i < 40; i++) {
		random_edits(&e, &rng, 64);
		model_apply(&s->model, e.v, e.n);
	}
	for (size_t i = 0; i < s->model.len; i++) {
		const struct tv_edit *x = &s->model.v[i];
		char text[32];
		if (x->entry.kind == TV_DIR) {
			assert_int_equal(mkdirat(s->fd, x->path, 0755), 0);
			continue;
		}
		if (x->entry.kind == TV_SYMLINK) {
			assert_int_equal(symlinkat(x->entry.target, s->fd, x->path), 0);
			continue;
		}
		/* random_edits writes "text <n>" with n < 50: find which it was */
		for (unsigned n = 0; n < 50; n++) {
			snprintf(text, sizeof(text), "text %u", n);
			struct tv_entry guess = file_entry(text, 0644, 0);
			if (tv_sha_eq(&guess.sha, &x->entry.sha))
				break;
		}
		put_file(s->fd, x->path, text, x->entry.mode);
	}
}

static void sample_open(struct sample *s, void (*make)(struct sample *s))
{
	char template[] = "/tmp/tvfs-unit-tree-XXXXXX";
	*s = (struct sample){ .folder = strdup(mkdtemp(template)) };
	s->fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->fd >= 0);
	make(s);
}

static void sample_close(struct sample *s)
{
	close(s->fd);
	assert_int_equal(tv_io_remove_tree(AT_FDCWD, s->folder, NULL), 0);
	free(s->folder);
	model_free(&s->model);
}

static char *source_path(const char *path)
{
	const char *root = getenv("TVFS_SOURCE_DIR");
	return tv_path_join(root ? root : ".", path);
}

/* What the Python script says of a folder; NULL where there is no Python. */
static char *python_hash(const char *folder)
{
	int p[2];
	char *out = NULL;
	size_t n;
	tv_autofree char *script = source_path("tests/foundation_hash.py");
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(p[1], 1);
		execlp("python3", "python3", script, folder, (char *)NULL);
		_exit(127);
	}
	close(p[1]);
	struct tv_buf b = TV_BUF_INIT;
	assert_int_equal(tv_io_read_to_end(p[0], 4096, &b, NULL), 0);
	close(p[0]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	n = b.len;
	out = tv_buf_steal_str(&b);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		free(out);
		return NULL;
	}
	assert_int_equal(status, 0);
	assert_true(n > 64);
	out[64] = '\0';
	return out;
}

static void golden_foundations(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		void (*make)(struct sample *s);
	} samples[] = {
		{ "empty", make_empty },
		{ "one-file", make_one_file },
		{ "two-levels", make_two_levels },
		{ "kinds", make_kinds },
		{ "odd-names", make_odd_names },
		{ "wide", make_wide },
		{ NULL, make_random },
	};
	tv_autofree char *path = source_path("tests/data/golden-hashes.json");
	tv_autofree char *text = NULL;
	tv_autojson cJSON *golden = NULL;
	size_t n;
	struct tv_err err = TV_ERR_INIT;
	check(tv_io_read_file(AT_FDCWD, path, 1 << 20, &text, &n, &err), &err);
	check(tv_json_parse(text, n, &golden, &err), &err);

	for (size_t i = 0; i < TV_ARRAY_LEN(samples); i++) {
		struct sample s;
		struct mem_store m;
		char hex[TV_SHA_HEX];
		mem_store_init(&m);
		sample_open(&s, samples[i].make);
		struct tv_entry root = model_build(&s.model, &m);
		tv_sha_hex(&root.sha, hex);
		tv_autofree char *python = python_hash(s.folder);
		if (!python)
			print_message("machine cannot: no python3\n");
		else
			assert_string_equal(hex, python);
		if (samples[i].name) {
			print_message("%s: %s\n", samples[i].name, hex);
			assert_string_equal(hex,
					    cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
						    golden, samples[i].name)));
		}
		sample_close(&s);
		mem_store_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_order),
		cmocka_unit_test(edits_do_what_they_say),
		cmocka_unit_test(edits_of_one_path),
		cmocka_unit_test(edits_that_are_refused),
		cmocka_unit_test(history_does_not_matter),
		cmocka_unit_test(walk_and_lookup),
		cmocka_unit_test(cursor_seeks),
		cmocka_unit_test(a_million_names),
		cmocka_unit_test(deep_paths),
		cmocka_unit_test(damaged_sources),
		cmocka_unit_test(batches),
		cmocka_unit_test(golden_foundations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
