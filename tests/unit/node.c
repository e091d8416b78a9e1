#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/base/cleanup.h"
#include "store/node.h"
#include "tests/unit/support/trees.h"

/* An encoder that checks nothing: so that a node with a fault has the right hash nevertheless. */
struct raw {
	unsigned level;
	uint32_t count;
	struct tv_buf offsets, records, projection;
};

static void raw_entry(struct raw *r, const char *name, size_t n, const struct tv_entry *e,
		      const char *target, size_t target_len)
{
	tv_buf_add_le32(&r->offsets, (uint32_t)r->records.len);
	tv_buf_add_u8(&r->records, (uint8_t)e->kind);
	tv_buf_add_u8(&r->records, 0);
	tv_buf_add_le16(&r->records, e->mode);
	tv_buf_add_le16(&r->records, (uint16_t)n);
	tv_buf_add_le16(&r->records, (uint16_t)target_len);
	tv_buf_add_le64(&r->records, (uint64_t)e->mtime_ns);
	tv_buf_add_le64(&r->records, e->size);
	tv_buf_add_le64(&r->records, e->files);
	tv_buf_add(&r->records, e->addr.b, 16);
	tv_buf_add(&r->records, e->sha.b, 32);
	tv_buf_add(&r->records, name, n);
	if (target_len)
		tv_buf_add(&r->records, target, target_len + 1);

	tv_buf_add_u8(&r->projection, (uint8_t)e->kind);
	tv_buf_add_u8(&r->projection, e->kind == TV_FILE && (e->mode & 0100));
	tv_buf_add_le16(&r->projection, (uint16_t)n);
	tv_buf_add(&r->projection, name, n);
	tv_buf_add_le64(&r->projection, e->kind == TV_DIR ? 0 : e->size);
	tv_buf_add(&r->projection, e->sha.b, 32);
	r->count++;
}

static void raw_child(struct raw *r, const char *name, const struct tv_ref_entry *ref)
{
	size_t n = strlen(name);
	tv_buf_add_le32(&r->offsets, (uint32_t)r->records.len);
	tv_buf_add_le16(&r->records, (uint16_t)n);
	tv_buf_add_le16(&r->records, 0);
	tv_buf_add_le32(&r->records, 0);
	tv_buf_add_le64(&r->records, ref->count);
	tv_buf_add_le64(&r->records, ref->size);
	tv_buf_add_le64(&r->records, ref->files);
	tv_buf_add(&r->records, ref->addr.b, 16);
	tv_buf_add(&r->records, ref->sha.b, 32);
	tv_buf_add(&r->records, name, n);

	tv_buf_add_le16(&r->projection, (uint16_t)n);
	tv_buf_add(&r->projection, name, n);
	tv_buf_add_le64(&r->projection, ref->count);
	tv_buf_add(&r->projection, ref->sha.b, 32);
	r->count++;
}

/* The bytes; the raw node is empty again. */
static struct tv_buf raw_finish(struct raw *r)
{
	struct tv_buf p = TV_BUF_INIT, out = TV_BUF_INIT;
	struct tv_sha sha;
	tv_buf_add_str(&p, "TVH1");
	tv_buf_add_u8(&p, (uint8_t)r->level);
	tv_buf_add_le32(&p, r->count);
	tv_buf_add(&p, r->projection.data, r->projection.len);
	assert_int_equal(tv_sha_of(p.data, p.len, &sha, NULL), 0);

	uint32_t first = 48 + 4 * r->count;
	tv_buf_add_str(&out, "TVN1");
	tv_buf_add_le32(&out, r->level);
	tv_buf_add_le32(&out, r->count);
	tv_buf_add_le32(&out, first + (uint32_t)r->records.len);
	tv_buf_add(&out, sha.b, 32);
	for (uint32_t i = 0; i < r->count; i++)
		tv_buf_add_le32(&out, first + tv_le32(r->offsets.data + 4 * i));
	tv_buf_add(&out, r->records.data, r->records.len);
	tv_buf_free(&p);
	tv_buf_free(&r->offsets);
	tv_buf_free(&r->records);
	tv_buf_free(&r->projection);
	*r = (struct raw){ 0 };
	return out;
}

static int decode(const void *bytes, size_t n, struct tv_node **out, struct tv_err *err)
{
	struct tv_addr addr = tv_addr_of(bytes, n);
	struct tv_node *loaded = NULL;
	int r = tv_node_decode(bytes, n, &addr, out, err);

	/* What the full check accepts the plain one does too, with the same sums and hash. */
	int plain = tv_node_load(bytes, n, &addr, &loaded, NULL);
	if (r == 0) {
		assert_int_equal(plain, 0);
		assert_true(tv_sha_eq(tv_node_sha(loaded), tv_node_sha(*out)));
		assert_int_equal(tv_node_len(loaded), tv_node_len(*out));
	}
	tv_node_unref(loaded);
	return r;
}

/* Decodes and frees; the code of the decoder. */
static int verdict(struct tv_buf b)
{
	struct tv_node *node = NULL;
	struct tv_err err = TV_ERR_INIT;
	int r = decode(b.data, b.len, &node, &err);
	assert_true(r == 0 || (r == err.code && err.text[0]));
	assert_true((r == 0) == (node != NULL));
	tv_node_unref(node);
	tv_buf_free(&b);
	return r;
}

static int verdict_entry(const char *name, size_t n, struct tv_entry e)
{
	struct raw r = { 0 };
	raw_entry(&r, name, n, &e, e.target, e.target ? strlen(e.target) : 0);
	return verdict(raw_finish(&r));
}

static struct tv_entry some_dir(void)
{
	struct tv_entry e = file_entry("root", 0755, 5);
	e.kind = TV_DIR;
	e.size = 1000;
	e.files = 3;
	return e;
}

static struct tv_node *sample_node(void)
{
	struct tv_node_builder *b;
	struct tv_node *node;
	struct tv_entry dir = some_dir(), exec = file_entry("run", 0755, 1234567890123456789);
	struct tv_entry file = file_entry("abc", 0644, -1), link = link_entry("a/b", 0);
	assert_int_equal(tv_node_builder_new(0, &b, NULL), 0);
	assert_int_equal(tv_node_builder_entry(b, "dir", 3, &dir, NULL), 0);
	assert_int_equal(tv_node_builder_entry(b, "exec", 4, &exec, NULL), 0);
	assert_int_equal(tv_node_builder_entry(b, "file", 4, &file, NULL), 0);
	assert_int_equal(tv_node_builder_entry(b, "link", 4, &link, NULL), 0);
	assert_int_equal(tv_node_builder_len(b), 4);
	assert_int_equal(tv_node_builder_finish(b, &node, NULL, NULL), 0);
	assert_int_equal(tv_node_builder_len(b), 0);
	tv_node_builder_free(b);
	return node;
}

static void encode_and_decode(void **state)
{
	(void)state;
	struct tv_node *made = sample_node(), *read;
	const void *bytes, *again;
	size_t n = tv_node_bytes(made, &bytes);
	assert_int_equal(decode(bytes, n, &read, NULL), 0);
	assert_int_equal(tv_node_bytes(read, &again), n);
	assert_memory_equal(bytes, again, n);
	assert_memory_equal(tv_node_self(made), tv_node_self(read), sizeof(struct tv_ref_entry));
	assert_int_equal(tv_node_self(read)->count, 4);
	assert_int_equal(tv_node_self(read)->size, 1000 + 3 + 3 + 3);
	assert_int_equal(tv_node_self(read)->files, 3 + 3);
	assert_int_equal(tv_node_level(read), 0);

	struct tv_entry e, want = link_entry("a/b", 0);
	tv_node_entry(read, 3, &e);
	assert_string_equal(e.target, "a/b");
	assert_true(tv_entry_same(&e, &want));
	want = file_entry("run", 0755, 1234567890123456789);
	tv_node_entry(read, 1, &e);
	assert_true(tv_entry_same(&e, &want));
	assert_null(e.target);
	assert_true(tv_node_ref(read) == read);
	tv_node_unref(read);
	tv_node_unref(read);
	tv_node_unref(made);
	tv_node_unref(NULL);
}

/* The unchecked encoder of this test and the builder agree byte by byte. */
static void format_is_as_documented(void **state)
{
	(void)state;
	struct raw r = { 0 };
	struct tv_entry dir = some_dir(), exec = file_entry("run", 0755, 1234567890123456789);
	struct tv_entry file = file_entry("abc", 0644, -1), link = link_entry("a/b", 0);
	raw_entry(&r, "dir", 3, &dir, NULL, 0);
	raw_entry(&r, "exec", 4, &exec, NULL, 0);
	raw_entry(&r, "file", 4, &file, NULL, 0);
	raw_entry(&r, "link", 4, &link, "a/b", 3);
	struct tv_buf b = raw_finish(&r);
	struct tv_node *node = sample_node();
	const void *bytes;
	assert_int_equal(tv_node_bytes(node, &bytes), b.len);
	assert_memory_equal(bytes, b.data, b.len);
	tv_node_unref(node);
	tv_buf_free(&b);
}

static void search(void **state)
{
	(void)state;
	struct tv_node *node = sample_node();
	assert_int_equal(tv_node_search(node, "a", 1), 0);
	assert_int_equal(tv_node_search(node, "dir", 3), 0);
	assert_int_equal(tv_node_search(node, "dir\x01", 4), 1);
	assert_int_equal(tv_node_search(node, "exe", 3), 1);
	assert_int_equal(tv_node_search(node, "link", 4), 3);
	assert_int_equal(tv_node_search(node, "\xff", 1), 4);
	tv_node_unref(node);
}

static void comparing_entries(void **state)
{
	(void)state;
	struct tv_entry a = file_entry("x", 0644, 1), b = a;
	b.mtime_ns = 2;
	assert_true(tv_entry_same_content(&a, &b));
	assert_false(tv_entry_same(&a, &b));
	b = a;
	b.mode = 0640;
	assert_true(tv_entry_same_content(&a, &b));
	b.mode = 0744;
	assert_false(tv_entry_same_content(&a, &b));
	struct tv_entry dir = some_dir(), touched = dir;
	touched.addr.b[0] ^= 1;
	touched.mode = 0700;
	assert_true(tv_entry_same_content(&dir, &touched));
	touched.mode = dir.mode;
	assert_false(tv_entry_same(&dir, &touched));
}

/* Finds a name (short, lower case) of this rank. */
static void name_of_rank(unsigned rank, unsigned from, char out[16])
{
	do {
		snprintf(out, 16, "n%08u", from++);
	} while (tv_name_rank(out, strlen(out)) != rank);
}

static void ranks(void **state)
{
	(void)state;
	unsigned seen[3] = { 0 };
	for (unsigned i = 0; i < 64 * 64 * 4; i++) {
		char name[16];
		int n = snprintf(name, sizeof(name), "%u", i);
		unsigned rank = tv_name_rank(name, (size_t)n);
		seen[rank < 2 ? rank : 2]++;
	}
	/* one in 64, and of these one in 64; ten sigmas */
	assert_in_range(seen[1] + seen[2], 100, 420);
	assert_in_range(seen[2], 0, 30);
}

static void hostile_bytes(void **state)
{
	(void)state;
	struct tv_node *node = NULL;
	assert_int_equal(decode("", 0, &node, NULL), -TV_E_DAMAGED);
	assert_int_equal(decode("TVN1", 4, &node, NULL), -TV_E_DAMAGED);
	struct tv_addr wrong = { { 1 } };
	assert_int_equal(tv_node_decode("TVN1", 4, &wrong, &node, NULL), -TV_E_DIGEST);

	struct tv_node *good = sample_node();
	const void *bytes;
	size_t n = tv_node_bytes(good, &bytes);
	for (size_t cut = 0; cut < n; cut++) /* truncated: never accepted */
		assert_int_equal(decode(bytes, cut, &node, NULL), -TV_E_DAMAGED);
	uint8_t *longer = malloc(n + 1);
	memcpy(longer, bytes, n);
	longer[n] = 0;
	assert_int_equal(decode(longer, n + 1, &node, NULL), -TV_E_DAMAGED);
	free(longer);
	assert_null(node);
	tv_node_unref(good);
}

/* A changed byte is refused, or makes a node with another address that encodes to just these
 * bytes; and its hash is another one too, unless the byte is of a mode, an mtime, an address or a
 * directory's sums. */
static void mutations(void **state)
{
	(void)state;
	struct tv_node *good = sample_node();
	const void *bytes, *again;
	size_t n = tv_node_bytes(good, &bytes), accepted = 0;
	uint8_t *copy = malloc(n);
	for (size_t at = 0; at < n; at++) {
		for (unsigned x = 1; x < 256; x++) {
			struct tv_node *node;
			memcpy(copy, bytes, n);
			copy[at] ^= (uint8_t)x;
			if (decode(copy, n, &node, NULL) < 0)
				continue;
			accepted++;
			assert_false(tv_addr_eq(tv_node_addr(node), tv_node_addr(good)));
			assert_int_equal(tv_node_bytes(node, &again), n);
			assert_memory_equal(again, copy, n);
			assert_true(tv_sha_eq(tv_node_sha(node), tv_node_sha(good)));
			tv_node_unref(node);
		}
	}
	assert_in_range(accepted, 4 * 8 * 255, 4 * 48 * 255);
	free(copy);
	tv_node_unref(good);
}

static void hostile_names(void **state)
{
	(void)state;
	char name[300];
	memset(name, 'x', sizeof(name));
	struct tv_entry e = file_entry("x", 0644, 0);
	assert_int_equal(verdict_entry("ok", 2, e), 0);
	assert_int_equal(verdict_entry(name, 255, e), 0);
	assert_int_equal(verdict_entry(name, 256, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry("", 0, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry(".", 1, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry("..", 2, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry("a/b", 3, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry("a\0b", 3, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry(".wh.x", 5, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry(".wh.", 4, e), -TV_E_DAMAGED);
	assert_int_equal(verdict_entry(".wh", 3, e), 0);
	assert_int_equal(verdict_entry("\xff\x01\n", 3, e), 0);
}

static void hostile_entries(void **state)
{
	(void)state;
	static const struct tv_addr zero;
	struct tv_entry good[] = { file_entry("x", 0644, 0), some_dir(), link_entry("t", 0) };
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++) {
		struct tv_entry e = good[i];
		assert_int_equal(verdict_entry("n", 1, e), 0);
		e.mode |= 01000;
		assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
		e = good[i];
		e.kind = 0;
		assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
		e.kind = 4;
		assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
		e = good[i];
		e.size = (uint64_t)INT64_MAX + 1;
		assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
		e = good[i];
		e.files = e.kind == TV_DIR ? UINT64_MAX : 1;
		assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
		e = good[i];
		e.addr = e.kind == TV_SYMLINK ? some_dir().addr : zero;
		assert_int_equal(verdict_entry("n", 1, e), e.kind == TV_FILE ? 0 : -TV_E_DAMAGED);
		e = good[i];
		e.target = e.kind == TV_SYMLINK ? NULL : "x";
		assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
	}
	struct tv_entry e = good[2];
	e.mode = 0755;
	assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
	e = good[2];
	e.sha.b[0] ^= 1;
	assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);
}

static void hostile_targets(void **state)
{
	(void)state;
	static char longest[4097];
	memset(longest, 't', 4096);
	struct tv_entry e = link_entry(longest + 1, 0);
	assert_int_equal(verdict_entry("n", 1, e), 0);
	e = link_entry(longest, 0);
	assert_int_equal(verdict_entry("n", 1, e), -TV_E_DAMAGED);

	struct raw r = { 0 }; /* a NUL inside */
	e.size = 3;
	assert_int_equal(tv_sha_of("a\0b", 3, &e.sha, NULL), 0);
	raw_entry(&r, "n", 1, &e, "a\0b", 3);
	assert_int_equal(verdict(raw_finish(&r)), -TV_E_DAMAGED);
	e = link_entry("ab", 0); /* no NUL behind */
	raw_entry(&r, "n", 1, &e, "abc", 2);
	assert_int_equal(verdict(raw_finish(&r)), -TV_E_DAMAGED);
}

static int verdict_names(const char *a, const char *b)
{
	struct raw r = { 0 };
	struct tv_entry e = file_entry("x", 0644, 0);
	raw_entry(&r, a, strlen(a), &e, NULL, 0);
	raw_entry(&r, b, strlen(b), &e, NULL, 0);
	return verdict(raw_finish(&r));
}

static void hostile_order(void **state)
{
	(void)state;
	assert_int_equal(verdict_names("a", "b"), 0);
	assert_int_equal(verdict_names("a", "a\x01"), 0);
	assert_int_equal(verdict_names("b", "a"), -TV_E_DAMAGED);
	assert_int_equal(verdict_names("a", "a"), -TV_E_DAMAGED);
	assert_int_equal(verdict_names("ab", "a"), -TV_E_DAMAGED);
	assert_int_equal(verdict_names("\xff", "a"), -TV_E_DAMAGED); /* bytes are unsigned */
}

static int verdict_refs(unsigned level, const char *a, const char *b)
{
	struct raw r = { .level = level };
	struct tv_ref_entry ref = { .count = 1, .files = 1, .addr = { { 1 } } };
	raw_child(&r, a, &ref);
	if (b)
		raw_child(&r, b, &ref);
	return verdict(raw_finish(&r));
}

static void hostile_boundaries(void **state)
{
	(void)state;
	char name0[16], name1[16], name2[16], last[16];
	name_of_rank(0, 0, name0);
	name_of_rank(1, 0, name1);
	name_of_rank(2, 0, name2);
	name_of_rank(0, 50000000, last);
	assert_int_equal(verdict_names(name0, last), 0);
	assert_int_equal(verdict_names(name1, last), -TV_E_DAMAGED); /* name1 ends a level-0 node */

	assert_int_equal(verdict_refs(1, name1, last), 0);
	assert_int_equal(verdict_refs(1, name0, last), -TV_E_DAMAGED);
	assert_int_equal(verdict_refs(1, name2, last), -TV_E_DAMAGED);
	assert_int_equal(verdict_refs(2, name2, last), 0);
	assert_int_equal(verdict_refs(1, name2, NULL), 0);
	assert_int_equal(verdict_refs(10, name0, NULL), 0);
	assert_int_equal(verdict_refs(11, name0, NULL), -TV_E_DAMAGED);
}

static void hostile_references(void **state)
{
	(void)state;
	struct raw r = { .level = 1 };
	assert_int_equal(verdict(raw_finish(&r)), -TV_E_DAMAGED); /* no references */
	assert_int_equal(verdict(raw_finish(&r)), 0);		  /* the empty directory */
	struct tv_ref_entry good = { .count = 1, .addr = { { 1 } } }, ref = good;
	ref.count = 0;
	r.level = 1;
	raw_child(&r, "a", &ref);
	assert_int_equal(verdict(raw_finish(&r)), -TV_E_DAMAGED);
	ref = good;
	ref.addr.b[0] = 0;
	r.level = 1;
	raw_child(&r, "a", &ref);
	assert_int_equal(verdict(raw_finish(&r)), -TV_E_DAMAGED);
	ref = good;
	ref.size = UINT64_MAX;
	r.level = 1;
	raw_child(&r, "a", &ref);
	assert_int_equal(verdict(raw_finish(&r)), -TV_E_DAMAGED);
}

static void builder_refuses(void **state)
{
	(void)state;
	struct tv_node_builder *b;
	struct tv_node *node;
	struct tv_entry e = file_entry("x", 0644, 0), big = e;
	struct tv_ref_entry ref = { .count = 1, .addr = { { 1 } } }, self;
	struct tv_err err = TV_ERR_INIT;
	char name1[16];
	name_of_rank(1, 0, name1);
	assert_int_equal(tv_node_builder_new(TV_LEVEL_MAX + 1, &b, NULL), -EOVERFLOW);
	assert_int_equal(tv_node_builder_new(0, &b, NULL), 0);
	assert_int_equal(tv_node_builder_child(b, "a", 1, &ref, NULL), -EINVAL);
	assert_int_equal(tv_node_builder_entry(b, ".wh.a", 5, &e, &err), -EINVAL);
	assert_string_equal(err.text,
			    "'.wh.a': a name begins with '.wh.', which belongs to overlays");
	assert_int_equal(tv_node_builder_entry(b, "a", 1, &e, NULL), 0);
	assert_int_equal(tv_node_builder_entry(b, "a", 1, &e, NULL), -EINVAL);
	big.size = INT64_MAX;
	assert_int_equal(tv_node_builder_entry(b, "b", 1, &big, NULL), -EOVERFLOW);
	assert_false(tv_node_builder_ends(b));
	assert_int_equal(tv_node_builder_entry(b, name1, strlen(name1), &e, NULL), 0);
	assert_true(tv_node_builder_ends(b));
	assert_int_equal(tv_node_builder_entry(b, "z", 1, &e, NULL), -EINVAL);
	assert_int_equal(tv_node_builder_len(b), 2);
	assert_int_equal(tv_node_builder_finish(b, &node, &self, NULL), 0);
	assert_int_equal(self.count, 2);
	tv_node_unref(node);
	tv_node_builder_free(b);

	assert_int_equal(tv_node_builder_new(3, &b, NULL), 0);
	assert_int_equal(tv_node_builder_entry(b, "a", 1, &e, NULL), -EINVAL);
	assert_int_equal(tv_node_builder_finish(b, &node, &self, NULL), -EINVAL);
	tv_node_builder_free(b);
	tv_node_builder_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encode_and_decode),
		cmocka_unit_test(format_is_as_documented),
		cmocka_unit_test(search),
		cmocka_unit_test(comparing_entries),
		cmocka_unit_test(ranks),
		cmocka_unit_test(hostile_bytes),
		cmocka_unit_test(mutations),
		cmocka_unit_test(hostile_names),
		cmocka_unit_test(hostile_entries),
		cmocka_unit_test(hostile_targets),
		cmocka_unit_test(hostile_order),
		cmocka_unit_test(hostile_boundaries),
		cmocka_unit_test(hostile_references),
		cmocka_unit_test(builder_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
