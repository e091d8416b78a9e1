#include "store/commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/hex.h"
#include "store/base/json.h"
#include "store/commit-walk.h"
#include "store/path-index.h"

#define MAGIC "TVC1"
#define FIXED 96 /* bytes before the parents */
#define PARENTS_MAX 64
#define TEXT_MAX ((size_t)16 << 20)

void tv_commit_free(struct tv_commit *c)
{
	if (!c)
		return;
	free(c->parents);
	free(c->author);
	free(c->message);
	free(c->trace_id);
	free(c->meta);
	*c = (struct tv_commit)TV_COMMIT_INIT;
}

static struct tv_bytes sha_key(const struct tv_sha *sha)
{
	return tv_bytes(sha->b, sizeof(sha->b));
}

static int not_found(const struct tv_sha *id, struct tv_err *err)
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(id, hex);
	return tv_err_set(err, -ENOENT, "the store has no commit %s", hex);
}

/* --- bytes (docs/format.md) ------------------------------------------------------------------ */

static void add_text(struct tv_buf *b, const char *text)
{
	tv_buf_add_le32(b, (uint32_t)strlen(text));
	tv_buf_add_str(b, text);
}

static void encode(const struct tv_commit *c, struct tv_buf *b)
{
	tv_buf_add(b, MAGIC, 4);
	tv_buf_add_le16(b, c->root.mode);
	tv_buf_add_le16(b, (uint16_t)c->n_parents);
	tv_buf_add_le64(b, (uint64_t)c->root.mtime_ns);
	tv_buf_add_le64(b, c->root.size);
	tv_buf_add_le64(b, c->root.files);
	tv_buf_add(b, c->root.addr.b, sizeof(c->root.addr.b));
	tv_buf_add(b, c->root.sha.b, sizeof(c->root.sha.b));
	tv_buf_add_le64(b, (uint64_t)c->time_ns);
	tv_buf_add_le64(b, c->generation);
	for (size_t i = 0; i < c->n_parents; i++)
		tv_buf_add(b, c->parents[i].b, sizeof(c->parents[i].b));
	add_text(b, c->author);
	add_text(b, c->message);
	add_text(b, c->trace_id);
	add_text(b, c->meta);
}

/* What is left to decode; `bad` once anything was out of bounds. */
struct reader {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct reader *r, size_t n)
{
	static const uint8_t none[FIXED];
	if (r->bad || n > r->left) {
		r->bad = true;
		return none;
	}
	const uint8_t *p = r->p;
	r->p += n;
	r->left -= n;
	return p;
}

/* NULL when malformed (bad is set) or without memory (it is not). */
static char *take_text(struct reader *r)
{
	uint32_t n = tv_le32(take(r, 4));
	if (n > r->left || n > TEXT_MAX)
		r->bad = true;
	if (r->bad)
		return NULL;
	const uint8_t *p = take(r, n);
	if (memchr(p, 0, n) || !tv_utf8_ok((const char *)p, n)) {
		r->bad = true;
		return NULL;
	}
	return strndup((const char *)p, n);
}

static void decode_fixed(const uint8_t *p, struct tv_commit *c)
{
	c->root.kind = TV_DIR;
	c->root.mode = tv_le16(p + 4);
	c->n_parents = tv_le16(p + 6);
	c->root.mtime_ns = (int64_t)tv_le64(p + 8);
	c->root.size = tv_le64(p + 16);
	c->root.files = tv_le64(p + 24);
	memcpy(c->root.addr.b, p + 32, 16);
	memcpy(c->root.sha.b, p + 48, 32);
	c->time_ns = (int64_t)tv_le64(p + 80);
	c->generation = tv_le64(p + 88);
}

/* -EBADMSG malformed, -ENOMEM. *c may hold memory in any case. */
static int decode(const uint8_t *bytes, size_t n, struct tv_commit *c)
{
	struct reader r = { bytes, n, false };
	const uint8_t *fixed = take(&r, FIXED);
	if (r.bad || memcmp(fixed, MAGIC, 4) != 0)
		return -EBADMSG;
	decode_fixed(fixed, c);
	if (c->n_parents > PARENTS_MAX || c->root.mode > 0777)
		return -EBADMSG;
	const uint8_t *parents = take(&r, c->n_parents * sizeof(*c->parents));
	if (r.bad)
		return -EBADMSG;
	c->parents = malloc((c->n_parents + 1) * sizeof(*c->parents));
	if (!c->parents)
		return -ENOMEM;
	memcpy(c->parents, parents, c->n_parents * sizeof(*c->parents));
	char **texts[] = { &c->author, &c->message, &c->trace_id, &c->meta };
	for (size_t i = 0; i < TV_ARRAY_LEN(texts); i++) {
		*texts[i] = take_text(&r);
		if (!*texts[i])
			return r.bad ? -EBADMSG : -ENOMEM;
	}
	return r.left ? -EBADMSG : 0;
}

/* --- rows ------------------------------------------------------------------------------------ */

static int decode_row(struct tv_bytes row, const struct tv_sha *id, struct tv_commit *out,
		      struct tv_err *err)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	const uint8_t *p = row.data;
	char hex[TV_SHA_HEX];
	tv_sha_hex(id, hex);

	if (row.len <= 8)
		return tv_err_set(err, -TV_E_DAMAGED, "commit %s is damaged", hex);
	int r = tv_sha_of(p + 8, row.len - 8, &c.id, err);
	if (r < 0)
		return r;
	if (!tv_sha_eq(&c.id, id))
		return tv_err_set(err, -TV_E_DAMAGED, "commit %s does not match its id", hex);
	r = decode(p + 8, row.len - 8, &c);
	if (r == -ENOMEM)
		return tv_err_nomem(err);
	if (r < 0)
		return tv_err_set(err, -TV_E_DAMAGED, "commit %s is malformed", hex);
	c.sequence = tv_be64_get(p);
	*out = c;
	c = (struct tv_commit)TV_COMMIT_INIT;
	return 0;
}

int tv_commit_get_in(struct tv_kv_txn *t, const struct tv_sha *id, struct tv_commit *out,
		     struct tv_err *err)
{
	struct tv_bytes row;
	int r = tv_kv_get(t, TV_T_COMMITS, sha_key(id), &row, err);
	if (r <= 0)
		return r < 0 ? r : not_found(id, err);
	return decode_row(row, id, out, err);
}

struct get {
	const struct tv_sha *id;
	struct tv_commit *out;
};

static int get_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct get *g = arg;
	return tv_commit_get_in(t, g->id, g->out, err);
}

int tv_commit_get(struct tv_store *s, const struct tv_sha *id, struct tv_commit *out,
		  struct tv_err *err)
{
	struct get g = { id, out };
	return tv_kv_read(tv_store_kv(s), get_body, &g, err);
}

static void foundation_key(const struct tv_sha *foundation, uint64_t sequence, uint8_t key[40])
{
	memcpy(key, foundation->b, 32);
	tv_be64_put(key + 32, sequence);
}

/* --- putting --------------------------------------------------------------------------------- */

static int check_text(char **text, const char *instead, const char *what, struct tv_err *err)
{
	if (!*text && !(*text = strdup(instead)))
		return tv_err_nomem(err);
	size_t n = strlen(*text);
	if (n > TEXT_MAX)
		return tv_err_set(err, -EINVAL, "the commit's %s is over 16 MiB", what);
	if (!tv_utf8_ok(*text, n))
		return tv_err_set(err, -EINVAL, "the commit's %s is not UTF-8", what);
	return 0;
}

static int check_commit(struct tv_commit *c, struct tv_err *err)
{
	if (c->root.kind != TV_DIR || c->root.mode > 0777)
		return tv_err_set(err, -EINVAL, "a commit's root is a directory");
	if (c->n_parents > PARENTS_MAX)
		return tv_err_set(err, -EINVAL, "a commit has at most %d parents", PARENTS_MAX);
	int r = check_text(&c->author, "", "author", err);
	if (r == 0)
		r = check_text(&c->message, "", "message", err);
	if (r == 0)
		r = check_text(&c->trace_id, "", "trace id", err);
	if (r == 0)
		r = check_text(&c->meta, "{}", "meta", err);
	if (r < 0)
		return r;
	tv_autojson cJSON *meta = NULL;
	r = tv_json_parse(c->meta, strlen(c->meta), &meta, err);
	if (r < 0)
		return tv_err_wrap(err, r, "the commit's meta");
	return cJSON_IsObject(meta)
		       ? 0
		       : tv_err_set(err, -EINVAL, "the commit's meta is no JSON object");
}

/* Sets the generation; *first is the first parent's root. */
static int read_parents(struct tv_kv_txn *t, struct tv_commit *c, struct tv_entry *first,
			struct tv_err *err)
{
	c->generation = 1;
	for (size_t i = 0; i < c->n_parents; i++) {
		tv_autocommit struct tv_commit parent = TV_COMMIT_INIT;
		int r = tv_commit_get_in(t, &c->parents[i], &parent, err);
		if (r < 0)
			return tv_err_wrap(err, r, "parent");
		if (parent.generation >= c->generation)
			c->generation = parent.generation + 1;
		if (i == 0)
			*first = parent.root;
	}
	return 0;
}

/* Numbers are never used again, even when their commits are gone. */
static int next_sequence(struct tv_kv_txn *t, uint64_t *out, struct tv_err *err)
{
	struct tv_bytes key = tv_bytes("sequence", 8), value;
	uint8_t bytes[8];
	int r = tv_kv_get(t, TV_T_META, key, &value, err);
	if (r < 0)
		return r;
	if (r && value.len != 8)
		return tv_err_set(err, -TV_E_DAMAGED,
				  "the commit counter is damaged; run tvfs fsck");
	*out = r ? tv_be64_get(value.data) + 1 : 1;
	tv_be64_put(bytes, *out);
	return tv_kv_put(t, TV_T_META, key, tv_bytes(bytes, 8), err);
}

static int put_rows(struct tv_kv_txn *t, const struct tv_commit *c, const struct tv_buf *bytes,
		    struct tv_err *err)
{
	tv_autobuf struct tv_buf row = TV_BUF_INIT;
	uint8_t sequence[8], key[40];

	tv_be64_put(sequence, c->sequence);
	tv_buf_add(&row, sequence, 8);
	tv_buf_add(&row, bytes->data, bytes->len);
	if (row.failed)
		return tv_err_nomem(err);
	foundation_key(&c->root.sha, c->sequence, key);
	int r = tv_kv_put(t, TV_T_COMMITS, sha_key(&c->id), tv_bytes(row.data, row.len), err);
	if (r == 0)
		r = tv_kv_put(t, TV_T_FOUNDATIONS, tv_bytes(key, 40), sha_key(&c->id), err);
	if (r == 0)
		r = tv_kv_put(t, TV_T_SEQUENCE, tv_bytes(sequence, 8), sha_key(&c->id), err);
	return r;
}

int tv_commit_put(struct tv_store *s, struct tv_kv_txn *t, const struct tv_node_source *nodes,
		  struct tv_commit *c, struct tv_err *err)
{
	(void)s;
	tv_autobuf struct tv_buf bytes = TV_BUF_INIT;
	struct tv_entry before = { .kind = TV_DIR };
	struct tv_bytes row = { NULL, 0 };

	int r = check_commit(c, err);
	if (r == 0)
		r = read_parents(t, c, &before, err);
	if (r < 0)
		return r;
	encode(c, &bytes);
	if (bytes.failed)
		return tv_err_nomem(err);
	r = tv_sha_of(bytes.data, bytes.len, &c->id, err);
	if (r == 0)
		r = tv_kv_get(t, TV_T_COMMITS, sha_key(&c->id), &row, err);
	if (r < 0)
		return r;
	if (r == 1 && row.len > 8) {
		c->sequence = tv_be64_get(row.data);
		return 0;
	}
	r = next_sequence(t, &c->sequence, err);
	if (r == 0)
		r = put_rows(t, c, &bytes, err);
	if (r == 0)
		r = tv_path_index_add(t, nodes, c->n_parents ? &before : NULL, &c->root,
				      c->sequence, err);
	return r;
}

int tv_commit_del(struct tv_store *s, struct tv_kv_txn *t, const struct tv_sha *id,
		  struct tv_err *err)
{
	(void)s;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	uint8_t sequence[8], key[40];

	int r = tv_commit_get_in(t, id, &c, err);
	if (r < 0)
		return r;
	tv_be64_put(sequence, c.sequence);
	foundation_key(&c.root.sha, c.sequence, key);
	r = tv_path_index_del(t, c.sequence, err);
	if (r == 0)
		r = tv_kv_del(t, TV_T_COMMITS, sha_key(id), err);
	if (r >= 0)
		r = tv_kv_del(t, TV_T_FOUNDATIONS, tv_bytes(key, 40), err);
	if (r >= 0)
		r = tv_kv_del(t, TV_T_SEQUENCE, tv_bytes(sequence, 8), err);
	return r < 0 ? r : 0;
}

/* --- shallow history ------------------------------------------------------------------------- */

#define SHALLOW_KEY (8 + TV_SHA_HEX)

static struct tv_bytes shallow_key(const struct tv_sha *parent, char key[SHALLOW_KEY])
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(parent, hex);
	snprintf(key, SHALLOW_KEY, "shallow/%s", hex);
	return tv_bytes(key, SHALLOW_KEY - 1);
}

int tv_commit_shallow_mark_in(struct tv_kv_txn *t, const struct tv_sha *parent, struct tv_err *err)
{
	char key[SHALLOW_KEY];
	return tv_kv_put(t, TV_T_META, shallow_key(parent, key), tv_bytes("", 0), err);
}

int tv_commit_shallow_is_in(struct tv_kv_txn *t, const struct tv_sha *parent, struct tv_err *err)
{
	char key[SHALLOW_KEY];
	return tv_kv_get(t, TV_T_META, shallow_key(parent, key), NULL, err);
}

/* --- looking --------------------------------------------------------------------------------- */

struct find {
	const struct tv_sha *foundation;
	struct tv_sha id;
};

static int find_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct find *f = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes key, value;
	uint8_t last[40];

	int r = tv_kv_cursor_open(t, TV_T_FOUNDATIONS, &c, err);
	if (r < 0)
		return r;
	foundation_key(f->foundation, UINT64_MAX, last);
	r = tv_kv_cursor_before(c, tv_bytes(last, 40), &key, &value, err);
	if (r == 1 && (key.len != 40 || memcmp(key.data, last, 32) != 0))
		r = 0;
	if (r == 1 && value.len != 32)
		r = tv_err_set(err, -TV_E_DAMAGED, "a foundation row is damaged; run tvfs fsck");
	if (r == 1)
		memcpy(f->id.b, value.data, 32);
	tv_kv_cursor_close(c);
	return r;
}

int tv_commit_of_foundation(struct tv_store *s, const struct tv_sha *foundation, struct tv_sha *id,
			    struct tv_err *err)
{
	struct find f = { .foundation = foundation };
	int r = tv_kv_read(tv_store_kv(s), find_body, &f, err);
	if (r < 0)
		return r;
	if (r == 0) {
		char hex[TV_SHA_HEX];
		tv_sha_hex(foundation, hex);
		return tv_err_set(err, -ENOENT, "no commit has foundation %s", hex);
	}
	*id = f.id;
	return 0;
}

int tv_commit_log(struct tv_store *s, const struct tv_sha *from,
		  int (*visit)(void *arg, const struct tv_commit *c, struct tv_err *err), void *arg,
		  struct tv_err *err)
{
	tv_autowalk struct tv_commit_walk w = { .store = NULL };
	int r = tv_commit_walk_open(&w, s, from, 0, err);
	if (r < 0)
		return r;
	for (;;) {
		tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
		r = tv_commit_walk_next(&w, &c, err);
		if (r <= 0)
			return r;
		r = visit(arg, &c, err);
		if (r != 0)
			return r;
	}
}

int tv_commit_is_ancestor(struct tv_store *s, const struct tv_sha *ancestor,
			  const struct tv_sha *id, struct tv_err *err)
{
	tv_autocommit struct tv_commit end = TV_COMMIT_INIT;
	tv_autowalk struct tv_commit_walk w = { .store = NULL };
	int r = tv_commit_get(s, ancestor, &end, err);
	if (r == 0)
		r = tv_commit_walk_open(&w, s, id, end.sequence, err);
	while (r == 0) {
		tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
		r = tv_commit_walk_next(&w, &c, err);
		if (r <= 0)
			return r;
		r = tv_sha_eq(&c.id, ancestor);
	}
	return r;
}
