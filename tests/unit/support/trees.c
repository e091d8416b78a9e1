#include "tests/unit/support/trees.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"

struct rng rng_new(void)
{
	const char *given = getenv("TV_SEED");
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	struct rng r = { given ? strtoull(given, NULL, 10) : (uint64_t)ts.tv_nsec | 1 };
	print_message("TV_SEED=%" PRIu64 "\n", r.state);
	return r;
}

/* splitmix64 */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(rng_next(r) >> 32) % n;
}

void check_result(int r, const struct tv_err *err, const char *expr, const char *file, int line)
{
	if (r < 0)
		print_error("%s: %d %s\n", expr, r, err->text);
	_assert_true(r >= 0, expr, file, line);
}

double now_s(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int mem_get(void *arg, const struct tv_addr *addr, struct tv_node **out, struct tv_err *err)
{
	struct mem_store *m = arg;
	const uint64_t *at = tv_map16_get(&m->index, addr->b);
	const void *bytes;
	if (!at)
		return tv_err_set(err, -TV_E_DAMAGED, "node is missing");
	m->gets++;
	size_t n = tv_node_bytes(m->nodes[*at], &bytes);
	return tv_node_load(bytes, n, addr, out, err); /* as the store reads */
}

void mem_store_init(struct mem_store *m)
{
	*m = (struct mem_store){ .source = { mem_get, m } };
}

void mem_store_free(struct mem_store *m)
{
	for (size_t i = 0; i < m->len; i++)
		tv_node_unref(m->nodes[i]);
	free(m->nodes);
	tv_map16_free(&m->index);
}

static int keep_node(void *arg, struct tv_node *node)
{
	struct mem_store *m = arg;
	if (tv_map16_get(&m->index, tv_node_addr(node)->b))
		return 0;
	if ((m->len & (m->len - 1)) == 0)
		m->nodes = realloc(m->nodes, (m->len ? m->len * 2 : 1) * sizeof(struct tv_node *));
	assert_non_null(m->nodes);
	assert_true(tv_map16_put(&m->index, tv_node_addr(node)->b, m->len) == 1);
	m->nodes[m->len++] = tv_node_ref(node);
	return 0;
}

void mem_store_keep(struct mem_store *m, const struct tv_node_batch *b, const struct tv_addr *root)
{
	struct tv_err err = TV_ERR_INIT;
	check(tv_node_batch_each(b, root, keep_node, m, &err), &err);
}

struct tv_entry edit_stored(struct mem_store *m, const struct tv_entry *root,
			    const struct tv_edit *edits, size_t n)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_node_batch *b;
	struct tv_entry out;
	check(tv_node_batch_new(&m->source, &b, &err), &err);
	check(tv_tree_edit(b, root, edits, n, &out, &err), &err);
	mem_store_keep(m, b, &out.addr);
	tv_node_batch_free(b);
	return out;
}

struct tv_entry empty_stored(struct mem_store *m)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_node_batch *b;
	struct tv_entry root;
	check(tv_node_batch_new(NULL, &b, &err), &err);
	check(tv_tree_empty(b, &root, &err), &err);
	mem_store_keep(m, b, &root.addr);
	tv_node_batch_free(b);
	return root;
}

struct tv_entry file_entry(const char *text, uint16_t mode, int64_t mtime)
{
	struct tv_entry e = {
		.kind = TV_FILE, .mode = mode, .mtime_ns = mtime, .size = strlen(text)
	};
	e.addr = tv_addr_of(text, strlen(text));
	assert_int_equal(tv_sha_of(text, strlen(text), &e.sha, NULL), 0);
	return e;
}

struct tv_entry link_entry(const char *target, int64_t mtime)
{
	struct tv_entry e = file_entry(target, 0777, mtime);
	e.kind = TV_SYMLINK;
	e.addr = (struct tv_addr){ { 0 } };
	e.target = target;
	return e;
}

struct tv_entry dir_entry(uint16_t mode, int64_t mtime)
{
	return (struct tv_entry){ .kind = TV_DIR, .mode = mode, .mtime_ns = mtime };
}

static void free_edit(struct tv_edit *e)
{
	free((char *)e->path);
	free((char *)e->entry.target);
}

void model_free(struct model *m)
{
	for (size_t i = 0; i < m->len; i++)
		free_edit(&m->v[i]);
	free(m->v);
	*m = (struct model){ 0 };
}

/* The first place whose path is not below the given one. */
static size_t model_place(const struct model *m, const char *path)
{
	size_t lo = 0, hi = m->len;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (tv_tree_path_cmp(m->v[mid].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct tv_edit *model_find(const struct model *m, const char *path)
{
	size_t i = model_place(m, path);
	return i < m->len && strcmp(m->v[i].path, path) == 0 ? &m->v[i] : NULL;
}

static void model_remove(struct model *m, const char *path)
{
	size_t from = model_place(m, path), to = from;
	while (to < m->len && tv_path_under(m->v[to].path, path))
		free_edit(&m->v[to++]);
	if (to == from) /* nothing there; an empty model has no memory either */
		return;
	memmove(m->v + from, m->v + to, (m->len - to) * sizeof(*m->v));
	m->len -= to - from;
}

static void model_put(struct model *m, const char *path, const struct tv_entry *e)
{
	const struct tv_edit *old = model_find(m, path);
	if (old && !(old->entry.kind == TV_DIR && e->kind == TV_DIR))
		model_remove(m, path);
	size_t i = model_place(m, path);
	if (i < m->len && strcmp(m->v[i].path, path) == 0) {
		m->v[i].entry = *e;
		return;
	}
	if (m->len == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->v = realloc(m->v, m->cap * sizeof(*m->v));
		assert_non_null(m->v);
	}
	memmove(m->v + i + 1, m->v + i, (m->len - i) * sizeof(*m->v));
	m->v[i] = (struct tv_edit){ .path = strdup(path), .entry = *e };
	if (e->target)
		m->v[i].entry.target = strdup(e->target);
	m->len++;
}

static void model_set(struct model *m, const char *path, const struct tv_entry *e)
{
	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		char *parent = strndup(path, (size_t)(p - path));
		const struct tv_edit *have = model_find(m, parent);
		struct tv_entry made = dir_entry(0755, e->mtime_ns);
		if (!have || have->entry.kind != TV_DIR)
			model_put(m, parent, &made);
		free(parent);
	}
	model_put(m, path, e);
}

static int compare_edits(const void *a, const void *b)
{
	const struct tv_edit *x = *(const struct tv_edit *const *)a;
	const struct tv_edit *y = *(const struct tv_edit *const *)b;
	int c = tv_tree_path_cmp(x->path, y->path);
	return c ? c : (x > y) - (x < y);
}

void model_apply(struct model *m, const struct tv_edit *edits, size_t n)
{
	const struct tv_edit **sorted = calloc(n + 1, sizeof(struct tv_edit *));
	for (size_t i = 0; i < n; i++)
		sorted[i] = &edits[i];
	qsort(sorted, n, sizeof(struct tv_edit *), compare_edits);
	for (size_t i = 0; i < n; i++) {
		const struct tv_edit *e = sorted[i];
		if (i + 1 < n && strcmp(e->path, sorted[i + 1]->path) == 0)
			continue;
		if (e->remove)
			model_remove(m, e->path);
		else
			model_set(m, e->path, &e->entry);
	}
	free(sorted);
}

void model_copy(const struct model *from, struct model *to)
{
	*to = (struct model){ 0 };
	for (size_t i = 0; i < from->len; i++)
		model_put(to, from->v[i].path, &from->v[i].entry);
}

struct tv_entry model_build(const struct model *m, struct mem_store *store)
{
	struct tv_entry root = empty_stored(store);
	return edit_stored(store, &root, m->v, m->len);
}

/* Half of the paths are in one wide directory, the rest in a deep, narrow tree. */
static void random_path(struct rng *r, char *out, size_t size)
{
	static const char *const odd[] = { "a", "a.b", "a\x01", "\xff\xfe", "b c", "\n",
					   "A", "aa",  "-",	"d0",	    "d1",  "d2" };
	if (rng_below(r, 2)) {
		snprintf(out, size, "wide/s%04u", rng_below(r, 3000));
		return;
	}
	size_t used = 0;
	for (uint32_t depth = 1 + rng_below(r, 4); depth; depth--)
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "/" : "",
					 odd[rng_below(r, TV_ARRAY_LEN(odd))]);
}

/* True when a set of `path` would be below what the list sets to something else than a directory,
 * or the other way round. */
static bool contradicts(const struct random_edits *e, const char *path, bool is_dir)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct tv_edit *x = &e->v[i];
		if (x->remove || strcmp(x->path, path) == 0)
			continue;
		if (tv_path_under(path, x->path) && x->entry.kind != TV_DIR)
			return true;
		if (tv_path_under(x->path, path) && !is_dir)
			return true;
	}
	return false;
}

void random_edits(struct random_edits *e, struct rng *r, size_t n)
{
	static const uint16_t modes[] = { 0644, 0755, 0600, 0444, 0777 };
	e->n = 0;
	/* One time a call: the model need not work out what is the newest below a parent. */
	int64_t mtime = (int64_t)rng_below(r, 1000) - 100;
	for (size_t i = 0; i < n && i < TV_ARRAY_LEN(e->v); i++) {
		char *path = e->paths[e->n], *target = e->targets[e->n];
		uint32_t what = rng_below(r, 20);
		uint16_t mode = modes[rng_below(r, TV_ARRAY_LEN(modes))];
		random_path(r, path, sizeof(e->paths[0]));
		snprintf(target, sizeof(e->targets[0]), "text %u", rng_below(r, 50));
		if (what >= 6 && contradicts(e, path, what < 9))
			continue;
		struct tv_edit *x = &e->v[e->n++];
		*x = (struct tv_edit){ .path = path, .remove = what < 6 };
		if (what >= 6)
			x->entry = what < 9    ? dir_entry(mode, mtime)
				   : what < 11 ? link_entry(target, mtime)
					       : file_entry(target, mode, mtime);
	}
}

void assert_same_root(const struct tv_entry *a, const struct tv_entry *b)
{
	assert_memory_equal(a->sha.b, b->sha.b, sizeof(a->sha.b));
	assert_memory_equal(a->addr.b, b->addr.b, sizeof(a->addr.b));
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->files, b->files);
}

void flat_init(struct flat *f, size_t n)
{
	f->edits = calloc(n, sizeof(*f->edits));
	f->names = calloc(n, sizeof(*f->names));
	f->n = n;
	assert_non_null(f->edits);
	assert_non_null(f->names);
	for (size_t i = 0; i < n; i++) {
		snprintf(f->names[i], sizeof(f->names[i]), "SYM%08u.parquet", (unsigned)i);
		struct tv_edit *e = &f->edits[i];
		*e = (struct tv_edit){ .path = f->names[i] };
		e->entry = (struct tv_entry){ .kind = TV_FILE, .mode = 0644, .size = i };
		memcpy(e->entry.addr.b, &i, sizeof(i));
		memcpy(e->entry.sha.b, &i, sizeof(i));
	}
}

void flat_free(struct flat *f)
{
	free(f->edits);
	free(f->names);
}

size_t big_count(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 100000;
#else
	return 1000000;
#endif
}
