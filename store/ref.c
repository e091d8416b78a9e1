#include "store/ref.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/hex.h"
#include "store/commit.h"

#define NAME_MAX_BYTES 200
#define ROW_BYTES 41
#define MOVE_FIXED 73
#define MOVE_KEY (NAME_MAX_BYTES + 1 + 8)
#define HAD_OLD 1
#define HAS_NEW 2

/* --- names ----------------------------------------------------------------------------------- */

static bool part_ok(const char *part, size_t n)
{
	static const char suffix[] = ".lock";
	size_t suffix_len = sizeof(suffix) - 1;
	if (n == 0 || part[0] == '.' || part[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isascii(part[i]) || (!isalnum(part[i]) && !strchr("._+-", part[i])))
			return false;
	return n < suffix_len || memcmp(part + n - suffix_len, suffix, suffix_len) != 0;
}

static bool reads_as_hash(const char *name)
{
	size_t n = strlen(name);
	return n >= 8 && n <= 64 && strspn(name, "0123456789abcdefABCDEF") == n;
}

int tv_ref_name_check(const char *name, struct tv_err *err)
{
	size_t n = strlen(name);
	if (n == 0 || n > NAME_MAX_BYTES)
		return tv_err_set(err, -EINVAL, "a ref's name has 1 to %d bytes", NAME_MAX_BYTES);
	if (reads_as_hash(name))
		return tv_err_set(err, -EINVAL, "'%s' reads as a hash; choose another ref name",
				  name);
	for (const char *part = name;; part++) {
		size_t len = strcspn(part, "/");
		if (!part_ok(part, len))
			return tv_err_set(
				err, -EINVAL,
				"'%s' is not a ref name: parts of letters, digits and ._+- "
				"joined by '/', none beginning with '.' or '-' or ending in "
				"'.lock'",
				name);
		part += len;
		if (!*part)
			return 0;
	}
}

/* --- rows ------------------------------------------------------------------------------------ */

static int decode_ref(const char *name, size_t n, struct tv_bytes row, struct tv_ref *out,
		      struct tv_err *err)
{
	const uint8_t *p = row.data;
	if (row.len != ROW_BYTES || n > NAME_MAX_BYTES || p[0] < TV_REF_BRANCH ||
	    p[0] > TV_REF_DRAFT)
		return tv_err_set(err, -TV_E_DAMAGED, "ref '%.*s' is damaged; run tvfs fsck",
				  (int)n, name);
	*out = (struct tv_ref){ .kind = (enum tv_ref_kind)p[0] };
	memcpy(out->name, name, n);
	memcpy(out->commit.b, p + 1, 32);
	out->time_ns = (int64_t)tv_le64(p + 33);
	return 0;
}

/* As _get_in, but 1 found, 0 not. */
static int look_up(struct tv_kv_txn *t, const char *name, struct tv_ref *out, struct tv_err *err)
{
	struct tv_bytes row;
	int r = tv_kv_get(t, TV_T_REFS, tv_bytes(name, strlen(name)), &row, err);
	if (r <= 0)
		return r;
	r = decode_ref(name, strlen(name), row, out, err);
	return r < 0 ? r : 1;
}

int tv_ref_get_in(struct tv_kv_txn *t, const char *name, struct tv_ref *out, struct tv_err *err)
{
	int r = tv_ref_name_check(name, err);
	if (r < 0)
		return r;
	r = look_up(t, name, out, err);
	if (r == 0)
		return tv_err_set(err, -ENOENT, "there is no ref '%s'", name);
	return r < 0 ? r : 0;
}

struct get {
	const char *name;
	struct tv_ref *out;
};

static int get_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct get *g = arg;
	return tv_ref_get_in(t, g->name, g->out, err);
}

int tv_ref_get(struct tv_store *s, const char *name, struct tv_ref *out, struct tv_err *err)
{
	struct get g = { name, out };
	return tv_kv_read(tv_store_kv(s), get_body, &g, err);
}

/* --- history --------------------------------------------------------------------------------- */

static struct tv_bytes move_key(const char *name, uint64_t number, uint8_t key[MOVE_KEY])
{
	size_t n = strlen(name);
	memcpy(key, name, n + 1);
	tv_be64_put(key + n + 1, number);
	return tv_bytes(key, n + 1 + 8);
}

static char *text_dup(const uint8_t *p, size_t n)
{
	return strndup((const char *)p, n);
}

static int decode_move(struct tv_bytes row, struct tv_ref_move *out, struct tv_err *err)
{
	const uint8_t *p = row.data;
	size_t who = row.len < MOVE_FIXED + 2 ? SIZE_MAX : tv_le16(p + MOVE_FIXED);
	if (who == SIZE_MAX || row.len - MOVE_FIXED - 2 < who)
		return tv_err_set(err, -TV_E_DAMAGED, "a ref's history is damaged; run tvfs fsck");
	*out = (struct tv_ref_move){ .time_ns = (int64_t)tv_le64(p) };
	out->had_old = p[8] & HAD_OLD;
	out->has_new = p[8] & HAS_NEW;
	memcpy(out->old_commit.b, p + 9, 32);
	memcpy(out->new_commit.b, p + 41, 32);
	p += MOVE_FIXED + 2;
	out->who = text_dup(p, who);
	out->why = text_dup(p + who, row.len - MOVE_FIXED - 2 - who);
	if (out->who && out->why)
		return 0;
	free(out->who);
	free(out->why);
	return tv_err_nomem(err);
}

/* The newest move with a smaller number than *number, which is set to its own. */
struct step {
	const char *name;
	uint64_t number;
	struct tv_ref_move move;
};

static int step_in(struct tv_kv_txn *t, struct step *s, struct tv_err *err)
{
	struct tv_kv_cursor *c;
	struct tv_bytes key, row;
	uint8_t bound[MOVE_KEY];

	int r = tv_kv_cursor_open(t, TV_T_REFLOG, &c, err);
	if (r < 0)
		return r;
	struct tv_bytes before = move_key(s->name, s->number, bound);
	r = tv_kv_cursor_before(c, before, &key, &row, err);
	if (r == 1 && (key.len != before.len || memcmp(key.data, bound, key.len - 8) != 0))
		r = 0;
	if (r == 1) {
		s->number = tv_be64_get((const uint8_t *)key.data + key.len - 8);
		r = decode_move(row, &s->move, err);
		r = r < 0 ? r : 1;
	}
	tv_kv_cursor_close(c);
	return r;
}

static int step_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return step_in(t, arg, err);
}

static void move_free(struct tv_ref_move *m)
{
	free(m->who);
	free(m->why);
}

static void encode_move(struct tv_buf *b, const struct tv_ref_move *m)
{
	size_t who = strnlen(m->who, 1000);
	tv_buf_add_le64(b, (uint64_t)m->time_ns);
	tv_buf_add_u8(b, (uint8_t)((m->had_old ? HAD_OLD : 0) | (m->has_new ? HAS_NEW : 0)));
	tv_buf_add(b, m->old_commit.b, sizeof(m->old_commit.b));
	tv_buf_add(b, m->new_commit.b, sizeof(m->new_commit.b));
	tv_buf_add_le16(b, (uint16_t)who);
	tv_buf_add(b, m->who, who);
	tv_buf_add_str(b, m->why);
}

/* Adds a history row. Times never go back in it, whatever the clock does: so there is one answer to
 * REF@{TIME}. */
static int log_move(struct tv_kv_txn *t, const char *name, struct tv_ref_move *m,
		    struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	struct step last = { .name = name, .number = UINT64_MAX };
	uint8_t key[MOVE_KEY];

	int r = step_in(t, &last, err);
	if (r < 0)
		return r;
	m->time_ns = tv_now_ns();
	if (r == 1) {
		if (last.move.time_ns > m->time_ns)
			m->time_ns = last.move.time_ns;
		move_free(&last.move);
	}
	encode_move(&b, m);
	if (b.failed)
		return tv_err_nomem(err);
	return tv_kv_put(t, TV_T_REFLOG, move_key(name, r ? last.number + 1 : 1, key),
			 tv_bytes(b.data, b.len), err);
}

/* --- moving ---------------------------------------------------------------------------------- */

static int check_expected(const char *name, enum tv_ref_kind kind, const struct tv_ref *old,
			  const struct tv_sha *expected, struct tv_err *err)
{
	if (!old)
		return expected ? tv_err_set(err, -TV_E_CONFLICT, "ref '%s' is gone", name) : 0;
	if (old->kind == TV_REF_TAG)
		return tv_err_set(err, -EEXIST, "tag '%s' exists; tags do not move", name);
	if (!expected)
		return tv_err_set(err, -TV_E_CONFLICT, "ref '%s' exists already", name);
	if (!tv_sha_eq(&old->commit, expected)) {
		char hex[TV_SHA_HEX];
		tv_sha_hex(&old->commit, hex);
		return tv_err_set(err, -TV_E_CONFLICT,
				  "ref '%s' was moved to %.12s by somebody else", name, hex);
	}
	if (old->kind != kind)
		return tv_err_set(err, -EEXIST, "ref '%s' is of another kind", name);
	return 0;
}

static int put_ref(struct tv_kv_txn *t, const char *name, enum tv_ref_kind kind,
		   const struct tv_sha *commit, int64_t time_ns, struct tv_err *err)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	tv_buf_add_u8(&b, (uint8_t)kind);
	tv_buf_add(&b, commit->b, sizeof(commit->b));
	tv_buf_add_le64(&b, (uint64_t)time_ns);
	if (b.failed)
		return tv_err_nomem(err);
	return tv_kv_put(t, TV_T_REFS, tv_bytes(name, strlen(name)), tv_bytes(b.data, b.len), err);
}

/* The text's type in the row has no const, as it is the caller's of a call-back. */
static char *text_of(const char *s)
{
	return (char *)(s ? s : "");
}

int tv_ref_move_in(struct tv_kv_txn *t, const char *name, enum tv_ref_kind kind,
		   const struct tv_sha *expected, const struct tv_sha *commit, const char *who,
		   const char *why, struct tv_err *err)
{
	struct tv_ref old = { .time_ns = 0 };
	int had = tv_ref_name_check(name, err);
	if (had == 0)
		had = look_up(t, name, &old, err);
	if (had < 0)
		return had;
	int r = check_expected(name, kind, had ? &old : NULL, expected, err);
	if (r < 0)
		return r;
	struct tv_ref_move move = { .had_old = had, .has_new = true, .new_commit = *commit };
	if (had)
		move.old_commit = old.commit;
	move.who = text_of(who);
	move.why = text_of(why);
	r = log_move(t, name, &move, err);
	return r < 0 ? r : put_ref(t, name, kind, commit, move.time_ns, err);
}

struct move {
	const char *name, *who, *why;
	enum tv_ref_kind kind;
	const struct tv_sha *expected, *commit;
};

static int move_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct move *m = arg;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	int r = tv_commit_get_in(t, m->commit, &c, err);
	if (r < 0)
		return r;
	return tv_ref_move_in(t, m->name, m->kind, m->expected, m->commit, m->who, m->why, err);
}

int tv_ref_move(struct tv_store *s, const char *name, enum tv_ref_kind kind,
		const struct tv_sha *expected, const struct tv_sha *commit, const char *who,
		const char *why, struct tv_err *err)
{
	struct move m = { name, who, why, kind, expected, commit };
	return tv_kv_write(tv_store_kv(s), move_body, &m, err);
}

static int delete_in(struct tv_kv_txn *t, const char *name, const struct tv_ref *old,
		     const char *who, const char *why, struct tv_err *err)
{
	struct tv_ref_move move = { .had_old = true, .old_commit = old->commit };
	move.who = text_of(who);
	move.why = text_of(why);
	if (strcmp(name, "main") == 0)
		return tv_err_set(err, -EPERM, "'main' cannot be deleted");
	int r = log_move(t, name, &move, err);
	if (r == 0)
		r = tv_kv_del(t, TV_T_REFS, tv_bytes(name, strlen(name)), err);
	return r < 0 ? r : 0;
}

int tv_ref_delete_in(struct tv_kv_txn *t, const char *name, const struct tv_sha *expected,
		     const char *who, const char *why, struct tv_err *err)
{
	struct tv_ref old;
	int r = tv_ref_get_in(t, name, &old, err);
	if (r == 0)
		r = check_expected(name, old.kind, &old, expected, err);
	return r < 0 ? r : delete_in(t, name, &old, who, why, err);
}

static int delete_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct move *m = arg;
	struct tv_ref old;
	int r = tv_ref_get_in(t, m->name, &old, err);
	return r < 0 ? r : delete_in(t, m->name, &old, m->who, "deleted", err);
}

int tv_ref_delete(struct tv_store *s, const char *name, const char *who, struct tv_err *err)
{
	struct move m = { .name = name, .who = who };
	return tv_kv_write(tv_store_kv(s), delete_body, &m, err);
}

/* --- listing --------------------------------------------------------------------------------- */

struct refs {
	struct tv_ref *refs;
	size_t len, cap;
};

static int add_ref(struct refs *all, struct tv_bytes key, struct tv_bytes row, struct tv_err *err)
{
	if (all->len == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 16;
		struct tv_ref *grown = realloc(all->refs, cap * sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		all->refs = grown;
		all->cap = cap;
	}
	int r = decode_ref(key.data, key.len, row, &all->refs[all->len], err);
	if (r == 0)
		all->len++;
	return r;
}

static int each_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct refs *all = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes key, row;

	int r = tv_kv_cursor_open(t, TV_T_REFS, &c, err);
	if (r < 0)
		return r;
	r = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &key, &row, err);
	while (r == 1) {
		r = add_ref(all, key, row, err);
		if (r == 0)
			r = tv_kv_cursor_next(c, &key, &row, err);
	}
	tv_kv_cursor_close(c);
	return r;
}

int tv_ref_each(struct tv_store *s,
		int (*visit)(void *arg, const struct tv_ref *r, struct tv_err *err), void *arg,
		struct tv_err *err)
{
	struct refs all = { .refs = NULL };
	int r = tv_kv_read(tv_store_kv(s), each_body, &all, err);
	for (size_t i = 0; r == 0 && i < all.len; i++)
		r = visit(arg, &all.refs[i], err);
	free(all.refs);
	return r;
}

int tv_ref_history(struct tv_store *s, const char *name,
		   int (*visit)(void *arg, const struct tv_ref_move *m, struct tv_err *err),
		   void *arg, struct tv_err *err)
{
	struct step step = { .name = name, .number = UINT64_MAX };
	int r = tv_ref_name_check(name, err);
	while (r == 0) {
		r = tv_kv_read(tv_store_kv(s), step_body, &step, err);
		if (r <= 0)
			return r;
		r = visit(arg, &step.move, err);
		move_free(&step.move);
	}
	return r;
}
