#include "store/path-index.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/path.h"
#include "store/commit-walk.h"
#include "store/diff.h"

#define PATH_KEY 24  /* hash of the path, sequence */
#define CHUNK_KEY 12 /* sequence, chunk number */
/* Hashes a chunk: what fills four pages of LMDB, with its header. */
#define CHUNK_HASHES 1020
#define ENTRY_BYTES 67
#define FLAG_REMOVED 1

struct path_hash {
	uint8_t b[16];
};

static struct path_hash hash_path(const char *path)
{
	XXH128_canonical_t canonical;
	struct path_hash hash;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(path, strlen(path)));
	memcpy(hash.b, canonical.digest, sizeof(hash.b));
	return hash;
}

static void path_key(const struct path_hash *hash, uint64_t sequence, uint8_t key[PATH_KEY])
{
	memcpy(key, hash->b, 16);
	tv_be64_put(key + 16, sequence);
}

static void chunk_key(uint64_t sequence, uint32_t chunk, uint8_t key[CHUNK_KEY])
{
	uint8_t number[8];
	tv_be64_put(number, chunk);
	tv_be64_put(key, sequence);
	memcpy(key + 8, number + 4, 4);
}

/* --- records --------------------------------------------------------------------------------- */

static void encode(struct tv_buf *b, const char *path, enum tv_change change,
		   const struct tv_entry *e)
{
	tv_buf_add_le16(b, (uint16_t)strlen(path));
	tv_buf_add_str(b, path);
	tv_buf_add_u8(b, (uint8_t)change);
	tv_buf_add_u8(b, e ? 0 : FLAG_REMOVED);
	if (!e)
		return;
	tv_buf_add_u8(b, (uint8_t)e->kind);
	tv_buf_add_le16(b, e->mode);
	tv_buf_add_le64(b, (uint64_t)e->mtime_ns);
	tv_buf_add_le64(b, e->size);
	tv_buf_add(b, e->addr.b, sizeof(e->addr.b));
	tv_buf_add(b, e->sha.b, sizeof(e->sha.b));
}

static void decode_entry(const uint8_t *p, struct tv_entry *e)
{
	*e = (struct tv_entry){ .kind = (enum tv_kind)p[0], .mode = tv_le16(p + 1) };
	e->mtime_ns = (int64_t)tv_le64(p + 3);
	e->size = tv_le64(p + 11);
	memcpy(e->addr.b, p + 19, 16);
	memcpy(e->sha.b, p + 35, 32);
}

/* The length of the record at p, or 0 when it is malformed. */
static size_t record_len(const uint8_t *p, size_t left)
{
	if (left < 4)
		return 0;
	size_t path = tv_le16(p), fixed = 2 + path + 2;
	if (left < fixed)
		return 0;
	size_t len = fixed + (p[fixed - 1] & FLAG_REMOVED ? 0 : ENTRY_BYTES);
	return left < len ? 0 : len;
}

int tv_path_index_decode(struct tv_bytes row, const char *path, struct tv_path_version *out,
			 struct tv_err *err)
{
	const uint8_t *p = row.data;
	size_t n = strlen(path), len;

	for (size_t left = row.len; left; p += len, left -= len) {
		len = record_len(p, left);
		if (!len)
			return tv_err_set(err, -TV_E_DAMAGED,
					  "a path index row is damaged; run tvfs fsck");
		if (tv_le16(p) != n || memcmp(p + 2, path, n) != 0)
			continue;
		*out = (struct tv_path_version){ .change = (char)p[2 + n] };
		out->removed = p[3 + n] & FLAG_REMOVED;
		if (!out->removed)
			decode_entry(p + 4 + n, &out->entry);
		return 1;
	}
	return 0;
}

/* --- adding ---------------------------------------------------------------------------------- */

struct rows {
	struct row {
		struct path_hash hash;
		size_t at, len; /* of the record, in records */
	} * rows;
	size_t len, cap;
	struct tv_buf records;
};

static void rows_free(struct rows *r)
{
	free(r->rows);
	tv_buf_free(&r->records);
}

static int collect(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct rows *rows = arg;
	const struct tv_entry *after =
		item->after && item->after->kind != TV_DIR ? item->after : NULL;
	if (!after && (!item->before || item->before->kind == TV_DIR))
		return 0;
	if (rows->len == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 64;
		struct row *grown = realloc(rows->rows, cap * sizeof(*grown));
		if (!grown)
			return tv_err_nomem(err);
		rows->rows = grown;
		rows->cap = cap;
	}
	size_t at = rows->records.len;
	encode(&rows->records, item->path, after ? item->change : TV_REMOVED, after);
	rows->rows[rows->len++] = (struct row){ hash_path(item->path), at, rows->records.len - at };
	return rows->records.failed ? tv_err_nomem(err) : 0;
}

static int by_hash(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int c = memcmp(x->hash.b, y->hash.b, sizeof(x->hash.b));
	return c ? c : (x->at > y->at) - (x->at < y->at);
}

/* Rows with one hash become one: only colliding paths do that. */
static int put_rows(struct tv_kv_txn *t, const struct rows *rows, uint64_t sequence,
		    struct tv_err *err)
{
	uint8_t key[PATH_KEY];
	for (size_t i = 0, next; i < rows->len; i = next) {
		const struct row *row = &rows->rows[i];
		struct tv_bytes value = tv_bytes(rows->records.data + row->at, row->len);
		tv_autobuf struct tv_buf joined = TV_BUF_INIT;
		for (next = i + 1; next < rows->len; next++) {
			const struct row *other = &rows->rows[next];
			if (memcmp(other->hash.b, row->hash.b, sizeof(row->hash.b)) != 0)
				break;
			if (next == i + 1)
				tv_buf_add(&joined, value.data, value.len);
			tv_buf_add(&joined, rows->records.data + other->at, other->len);
		}
		if (joined.failed)
			return tv_err_nomem(err);
		if (joined.len)
			value = tv_bytes(joined.data, joined.len);
		path_key(&row->hash, sequence, key);
		int r = tv_kv_put(t, TV_T_PATHS, tv_bytes(key, PATH_KEY), value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_chunks(struct tv_kv_txn *t, const struct rows *rows, uint64_t sequence,
		      struct tv_err *err)
{
	uint8_t hashes[CHUNK_HASHES][16], key[CHUNK_KEY];
	uint32_t chunk = 0;
	for (size_t i = 0; i < rows->len;) {
		size_t n = 0;
		for (; n < CHUNK_HASHES && i < rows->len; i++)
			memcpy(hashes[n++], rows->rows[i].hash.b, 16);
		chunk_key(sequence, chunk++, key);
		int r = tv_kv_put(t, TV_T_PATHS, tv_bytes(key, CHUNK_KEY), tv_bytes(hashes, n * 16),
				  err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Compares against an empty directory when there is no parent. */
static int diff(const struct tv_node_source *nodes, const struct tv_entry *before,
		const struct tv_entry *after, struct rows *rows, struct tv_err *err)
{
	struct tv_node_batch *batch = NULL;
	struct tv_entry empty;
	int r = 0;
	if (!before) {
		r = tv_node_batch_new(nodes, &batch, err);
		if (r == 0)
			r = tv_tree_empty(batch, &empty, err);
		if (r == 0)
			nodes = tv_node_batch_source(batch);
		before = &empty;
	}
	if (r == 0)
		r = tv_tree_diff(nodes, before, after, TV_DIFF_TOUCHED, collect, rows, err);
	tv_node_batch_free(batch);
	return r;
}

int tv_path_index_add(struct tv_kv_txn *t, const struct tv_node_source *nodes,
		      const struct tv_entry *before, const struct tv_entry *after,
		      uint64_t sequence, struct tv_err *err)
{
	tv_auto(rows_free) struct rows rows = { .rows = NULL };
	int r = diff(nodes, before, after, &rows, err);
	if (r < 0)
		return r;
	/* In order of keys: a million rows in random order would cost several times as much. */
	if (rows.len)
		qsort(rows.rows, rows.len, sizeof(*rows.rows), by_hash);
	r = put_rows(t, &rows, sequence, err);
	return r == 0 ? put_chunks(t, &rows, sequence, err) : r;
}

/* --- removing -------------------------------------------------------------------------------- */

static int del_hashes(struct tv_kv_txn *t, struct tv_bytes chunk, uint64_t sequence,
		      struct tv_err *err)
{
	uint8_t key[PATH_KEY];
	struct path_hash hash;
	int r = 0;
	/* A copy: the first deletion may move what chunk points to. */
	tv_autofree uint8_t *copy = malloc(chunk.len + 1);
	if (!copy)
		return tv_err_nomem(err);
	memcpy(copy, chunk.data, chunk.len);
	for (size_t at = 0; r >= 0 && at + 16 <= chunk.len; at += 16) {
		memcpy(hash.b, copy + at, 16);
		path_key(&hash, sequence, key);
		r = tv_kv_del(t, TV_T_PATHS, tv_bytes(key, PATH_KEY), err);
	}
	return r;
}

int tv_path_index_del(struct tv_kv_txn *t, uint64_t sequence, struct tv_err *err)
{
	uint8_t key[CHUNK_KEY];
	struct tv_bytes chunk;
	for (uint32_t i = 0;; i++) {
		chunk_key(sequence, i, key);
		int r = tv_kv_get(t, TV_T_PATHS, tv_bytes(key, CHUNK_KEY), &chunk, err);
		if (r <= 0)
			return r;
		r = del_hashes(t, chunk, sequence, err);
		if (r >= 0)
			r = tv_kv_del(t, TV_T_PATHS, tv_bytes(key, CHUNK_KEY), err);
		if (r < 0)
			return r;
	}
}

/* --- looking --------------------------------------------------------------------------------- */

/* The newest version with a smaller sequence than `before`. */
struct step {
	const char *path;
	struct path_hash hash;
	uint64_t before;
	struct tv_path_version version;
};

enum { STEP_END = 2 }; /* no more rows under this hash */

/* 1 when the row holds a version of the path, 0 when not (a collision), STEP_END, -errno. */
static int decode_if_same(struct tv_bytes key, struct tv_bytes row, struct step *s,
			  struct tv_err *err)
{
	if (memcmp(key.data, s->hash.b, sizeof(s->hash.b)) != 0)
		return STEP_END;
	int r = tv_path_index_decode(row, s->path, &s->version, err);
	if (r == 1)
		s->version.sequence = tv_be64_get((const uint8_t *)key.data + 16);
	return r;
}

/* 1 found, 0 there is none, -errno. */
static int step_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct step *s = arg;
	struct tv_kv_cursor *c;
	struct tv_bytes key, row;
	uint8_t bound[PATH_KEY];

	int r = tv_kv_cursor_open(t, TV_T_PATHS, &c, err);
	if (r < 0)
		return r;
	path_key(&s->hash, s->before, bound);
	r = tv_kv_cursor_before(c, tv_bytes(bound, PATH_KEY), &key, &row, err);
	while (r == 1) {
		if (key.len == PATH_KEY) {
			r = decode_if_same(key, row, s, err);
			if (r != 0)
				break;
		}
		r = tv_kv_cursor_prev(c, &key, &row, err);
	}
	tv_kv_cursor_close(c);
	return r == STEP_END ? 0 : r;
}

/* Goes on in history down to a sequence: 1 when its commit is there, 0 when not, or at the end. */
static int walk_to(struct tv_commit_walk *w, struct tv_commit *at, uint64_t sequence,
		   struct tv_err *err)
{
	while (at->sequence > sequence) {
		tv_commit_free(at);
		int r = tv_commit_walk_next(w, at, err);
		if (r <= 0)
			return r;
	}
	return at->sequence == sequence;
}

int tv_commit_path_log(struct tv_store *s, const struct tv_sha *from, const char *path,
		       int (*visit)(void *arg, const struct tv_path_version *v, struct tv_err *err),
		       void *arg, struct tv_err *err)
{
	tv_autowalk struct tv_commit_walk w = { .store = NULL };
	tv_autocommit struct tv_commit at = TV_COMMIT_INIT;
	struct step step = { .path = path, .hash = hash_path(path), .before = UINT64_MAX };

	at.sequence = UINT64_MAX; /* in front of the first */
	int r = tv_commit_walk_open(&w, s, from, 0, err);
	while (r == 0) {
		r = tv_kv_read(tv_store_kv(s), step_body, &step, err);
		if (r <= 0)
			return r;
		step.before = step.version.sequence;
		r = walk_to(&w, &at, step.version.sequence, err);
		if (r < 0 || at.sequence == 0)
			return r;
		if (r == 0)
			continue;
		step.version.commit = at.id;
		r = visit(arg, &step.version, err);
	}
	return r;
}
