/* store/rev.c: the grammar of revisions, prefixes and their ambiguities. */
#include "tests/unit/support.h"

#include "store/base/clock.h"
#include "store/rev.h"

struct history {
	struct tv_sha id[4], foundation[4]; /* of main: 0 is the first */
	char text[4][TV_SHA_HEX], foundation_text[4][TV_SHA_HEX];
	char time[4][TV_TIME_TEXT]; /* just after each was published */
};

static void make_history(struct fixture *f, struct history *h)
{
	struct tv_err err = TV_ERR_INIT;
	for (int i = 0; i < 4; i++) {
		/* the third restores the first's contents, with other mtimes */
		struct file file = { .path = "p",
				     .text = i == 2   ? "0"
					     : i == 0 ? "0"
					     : i == 1 ? "1"
						      : "3" };
		struct tv_published out;
		file.mtime_ns = A_TIME + i;
		ok(publish_files(f->store, "main", i ? &h->id[i - 1] : NULL, &file, 1, &out, &err));
		h->id[i] = out.commit;
		h->foundation[i] = out.foundation;
		tv_sha_hex(&out.commit, h->text[i]);
		tv_sha_hex(&out.foundation, h->foundation_text[i]);
		tv_time_format(tv_now_ns(), h->time[i]);
		usleep(2000);
	}
	ok(tv_ref_move(f->store, "v1", TV_REF_TAG, NULL, &h->id[1], "ann", "", &err));
	ok(tv_ref_move(f->store, "draft/x", TV_REF_DRAFT, NULL, &h->id[0], "ann", "", &err));
}

static struct tv_rev resolve(struct fixture *f, const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_rev rev = { .ref = "?" };
	ok(tv_rev_resolve(f->store, text, &rev, &err));
	return rev;
}

static void expect(struct fixture *f, const struct history *h, const char *text, int commit)
{
	struct tv_rev rev = resolve(f, text);
	if (!tv_sha_eq(&rev.commit, &h->id[commit]) ||
	    !tv_sha_eq(&rev.foundation, &h->foundation[commit]))
		fail_msg("'%s' is not commit %d", text, commit);
}

static void grammar(void **state)
{
	struct fixture *f = *state;
	struct history h;
	char text[128];
	make_history(f, &h);
	static const struct {
		const char *text;
		int commit;
	} good[] = { { "main", 3 },   { "main~", 2 },  { "main~1", 2 },	  { "main~3", 0 },
		     { "main~0", 3 }, { "main~~", 1 }, { "main~1~2", 0 }, { "v1", 1 },
		     { "v1~", 0 },    { "draft/x", 0 } };
	for (size_t i = 0; i < TV_ARRAY_LEN(good); i++)
		expect(f, &h, good[i].text, good[i].commit);
	for (int i = 0; i < 4; i++) {
		expect(f, &h, h.text[i], i);
		snprintf(text, sizeof(text), "%.8s", h.text[i]);
		expect(f, &h, text, i);
		snprintf(text, sizeof(text), "main@{%s}", h.time[i]);
		expect(f, &h, text, i);
	}
	snprintf(text, sizeof(text), "main@{%s}~2", h.time[3]);
	expect(f, &h, text, 1);
	snprintf(text, sizeof(text), "%.20s~", h.text[2]);
	expect(f, &h, text, 1);
	snprintf(text, sizeof(text), "%s", h.text[1]);
	for (char *p = text; *p; p++)
		*p = *p >= 'a' ? (char)(*p - 32) : *p;
	expect(f, &h, text, 1);

	assert_string_equal(resolve(f, "v1~").ref, "v1");
	assert_string_equal(resolve(f, h.text[0]).ref, "");
	snprintf(text, sizeof(text), "main@{%s}", h.time[1]);
	assert_string_equal(resolve(f, text).ref, "main");
}

static void foundations(void **state)
{
	struct fixture *f = *state;
	struct history h;
	char text[32];
	make_history(f, &h);
	assert_true(tv_sha_eq(&h.foundation[0], &h.foundation[2]));
	/* two commits have it: the newest */
	expect(f, &h, h.foundation_text[0], 2);
	snprintf(text, sizeof(text), "%.9s", h.foundation_text[3]);
	expect(f, &h, text, 3);
	assert_true(resolve(f, text).was_foundation);
	assert_false(resolve(f, h.text[3]).was_foundation);
}

static void refused(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_rev rev;
	struct history h;
	char text[128];
	make_history(f, &h);
	static const struct {
		const char *text;
		int code;
	} bad[] = {
		{ "", -EINVAL },
		{ "~", -EINVAL },
		{ "main~x", -EINVAL },
		{ "main^", -EINVAL },
		{ "main~1x", -EINVAL },
		{ "main@{", -EINVAL },
		{ "main@{x}", -EINVAL },
		{ "main@{}", -EINVAL },
		{ "a b", -EINVAL },
		{ "main~99999999999999999999", -EINVAL },
		{ "main~4", -ENOENT },
		{ "v1~2", -ENOENT },
		{ "nope", -ENOENT },
		{ "abc", -ENOENT },
		{ "00000000", -ENOENT },
		{ "nope@{2026-01-01T00:00:00Z}", -ENOENT },
		{ "main@{2001-01-01T00:00:00Z}", -TV_E_MISSING },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(bad); i++)
		fails(bad[i].code, tv_rev_resolve(f->store, bad[i].text, &rev, &err));
	fails(-ENOENT, tv_rev_resolve(f->store, "nope", &rev, &err));
	assert_non_null(strstr(err.text, "draft/x, main, v1"));
	snprintf(text, sizeof(text), "%s@{2026-01-01T00:00:00Z}", h.text[0]);
	fails(-EINVAL, tv_rev_resolve(f->store, text, &rev, &err));
}

static void deleted_refs_have_a_past(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_rev rev;
	struct history h;
	char text[128], before[TV_TIME_TEXT];
	make_history(f, &h);
	tv_time_format(tv_now_ns(), before);
	usleep(2000);
	ok(tv_ref_delete(f->store, "draft/x", "ann", &err));
	fails(-ENOENT, tv_rev_resolve(f->store, "draft/x", &rev, &err));
	snprintf(text, sizeof(text), "draft/x@{%s}", before);
	expect(f, &h, text, 0);
	snprintf(text, sizeof(text), "draft/x@{2099-01-01T00:00:00Z}");
	fails(-TV_E_MISSING, tv_rev_resolve(f->store, text, &rev, &err));
	assert_non_null(strstr(err.text, "deleted"));
}

/* --- ambiguity: rows are planted, as nobody can wait for SHA-256 to collide ------------------- */

struct plant {
	struct tv_sha hash, commit;
	bool foundation;
};

static int plant_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct plant *p = arg;
	uint8_t key[40];
	memcpy(key, p->hash.b, 32);
	tv_be64_put(key + 32, 1);
	return tv_kv_put(t, p->foundation ? TV_T_FOUNDATIONS : TV_T_COMMITS,
			 tv_bytes(key, p->foundation ? 40 : 32), tv_bytes(p->commit.b, 32), err);
}

static void plant(struct fixture *f, struct plant p)
{
	struct tv_err err = TV_ERR_INIT;
	ok(tv_kv_write(tv_store_kv(f->store), plant_body, &p, &err));
}

static void ambiguous(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_rev rev;
	struct history h;
	char text[80], hex[TV_SHA_HEX];
	make_history(f, &h);
	snprintf(text, sizeof(text), "%.10s", h.text[3]);

	/* A foundation with the same beginning that means the same commit is no ambiguity ... */
	struct plant p = { .hash = h.id[3], .commit = h.id[3], .foundation = true };
	p.hash.b[31] ^= 1;
	plant(f, p);
	expect(f, &h, text, 3);
	/* ... one that means another commit is; the full hash is not. */
	p.commit = h.id[0];
	plant(f, p);
	fails(-TV_E_AMBIGUOUS, tv_rev_resolve(f->store, text, &rev, &err));
	tv_sha_hex(&p.hash, hex);
	assert_non_null(strstr(err.text, hex));
	assert_non_null(strstr(err.text, h.text[3]));
	expect(f, &h, h.text[3], 3);
	/* Two commits; and more than can be listed. */
	snprintf(text, sizeof(text), "%.10s", h.text[1]);
	for (unsigned i = 1; i < 12; i++) {
		p = (struct plant){ .hash = h.id[1], .commit = h.id[1] };
		p.hash.b[31] ^= (uint8_t)i;
		plant(f, p);
		fails(-TV_E_AMBIGUOUS, tv_rev_resolve(f->store, text, &rev, &err));
	}
	assert_non_null(strstr(err.text, "..."));
}

static void splitting(void **state)
{
	(void)state;
	struct tv_err err = TV_ERR_INIT;
	static const struct {
		const char *text, *rev, *path;
	} table[] = {
		{ "main", "main", NULL },
		{ "main:a/b", "main", "a/b" },
		{ ":a", "main", "a" },
		{ "main:", "main", "" },
		{ "", "main", NULL },
		{ "main@{2026-01-19T12:00:00Z}:a:b", "main@{2026-01-19T12:00:00Z}", "a:b" },
		{ "main@{2026-01-19T12:00:00Z}", "main@{2026-01-19T12:00:00Z}", NULL },
		{ "main~2:x@{1:2}", "main~2", "x@{1:2}" },
	};
	for (size_t i = 0; i < TV_ARRAY_LEN(table); i++) {
		tv_autofree char *rev = NULL;
		tv_autofree char *path = NULL;
		ok(tv_rev_split(table[i].text, &rev, &path, &err));
		assert_string_equal(rev, table[i].rev);
		assert_true(!path == !table[i].path);
		if (path)
			assert_string_equal(path, table[i].path);
	}
}

static void empty_store(void **state)
{
	struct fixture *f = *state;
	struct tv_err err = TV_ERR_INIT;
	struct tv_rev rev;
	fails(-ENOENT, tv_rev_resolve(f->store, "main", &rev, &err));
	assert_non_null(strstr(err.text, "none yet"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(grammar),	 store_test(foundations),
		store_test(refused),	 store_test(deleted_refs_have_a_past),
		store_test(ambiguous),	 cmocka_unit_test(splitting),
		store_test(empty_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
