#include "store/import-cache.h"

#include <string.h>

#include "store/base/path.h"

#define CHUNK_ROWS 4096 /* one transaction's worth: short enough to hold no pages back */

void tv_cache_prefix(const uint8_t worktree[16], const char *folder, uint8_t out[TV_CACHE_PREFIX])
{
	struct tv_addr hash = tv_addr_of(folder, strlen(folder));
	memcpy(out, worktree, 16);
	memcpy(out + 16, hash.b, 16);
}

size_t tv_cache_key(const uint8_t worktree[16], const char *path, uint8_t out[TV_CACHE_KEY_MAX])
{
	const char *name = tv_path_base(path);
	size_t dir_len = name > path ? (size_t)(name - path) - 1 : 0;
	struct tv_addr hash = tv_addr_of(path, dir_len);
	size_t n = strnlen(name, 255);
	memcpy(out, worktree, 16);
	memcpy(out + 16, hash.b, 16);
	memcpy(out + TV_CACHE_PREFIX, name, n);
	return TV_CACHE_PREFIX + n;
}

static uint8_t *put64(uint8_t *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	return p + 8;
}

void tv_cache_row_encode(const struct tv_cache_row *row, uint8_t out[TV_CACHE_ROW])
{
	uint8_t *p = put64(out, row->size);
	p = put64(p, row->ino);
	p = put64(p, (uint64_t)row->mtime_ns);
	p = put64(p, (uint64_t)row->ctime_ns);
	p = put64(p, (uint64_t)row->looked_ns);
	memcpy(p, row->addr.b, 16);
	memcpy(p + 16, row->sha.b, 32);
}

bool tv_cache_row_decode(struct tv_bytes value, struct tv_cache_row *out)
{
	const uint8_t *p = value.data;
	if (value.len != TV_CACHE_ROW)
		return false;
	out->size = tv_le64(p);
	out->ino = tv_le64(p + 8);
	out->mtime_ns = (int64_t)tv_le64(p + 16);
	out->ctime_ns = (int64_t)tv_le64(p + 24);
	out->looked_ns = (int64_t)tv_le64(p + 32);
	memcpy(out->addr.b, p + 40, 16);
	memcpy(out->sha.b, p + 56, 32);
	return true;
}

bool tv_cache_row_holds(const struct tv_cache_row *row, const struct tv_seen *seen)
{
	const int64_t second = 1000000000;
	if (seen->kind != TV_FILE || row->size != seen->size || row->ino != seen->ino ||
	    row->mtime_ns != seen->mtime_ns || row->ctime_ns != seen->ctime_ns)
		return false;
	bool coarse = row->mtime_ns % second == 0 && row->ctime_ns % second == 0;
	int64_t settled = row->looked_ns - (coarse ? TV_CACHE_GRAIN_COARSE_NS : TV_CACHE_GRAIN_NS);
	return tv_seen_written_ns(seen, row->looked_ns) < settled && row->ctime_ns < settled;
}

struct get_one {
	struct tv_bytes key;
	struct tv_cache_row *out;
};

static int get_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct get_one *g = arg;
	struct tv_bytes value;
	int res = tv_kv_get(t, TV_T_IMPORT, g->key, &value, err);
	return res == 1 ? tv_cache_row_decode(value, g->out) : res;
}

int tv_cache_get(struct tv_kv *kv, const uint8_t worktree[16], const char *path,
		 struct tv_cache_row *out, struct tv_err *err)
{
	uint8_t key[TV_CACHE_KEY_MAX];
	size_t n = tv_cache_key(worktree, path, key);
	struct get_one g = { .key = tv_bytes(key, n), .out = out };
	return tv_kv_read(kv, get_body, &g, err);
}

void tv_cache_reader_init(struct tv_cache_reader *r, struct tv_kv *kv)
{
	memset(r, 0, sizeof(*r));
	r->kv = kv;
}

void tv_cache_reader_free(struct tv_cache_reader *r)
{
	tv_buf_free(&r->chunk);
}

static bool in_folder(const struct tv_cache_reader *r, struct tv_bytes key)
{
	return key.len > TV_CACHE_PREFIX && key.len <= TV_CACHE_KEY_MAX &&
	       memcmp(key.data, r->prefix, TV_CACHE_PREFIX) == 0;
}

static void keep_row(struct tv_cache_reader *r, struct tv_bytes key, struct tv_bytes value)
{
	const char *name = (const char *)key.data + TV_CACHE_PREFIX;
	size_t n = key.len - TV_CACHE_PREFIX;
	memcpy(r->resume, name, n);
	r->resume_len = n;
	tv_buf_add_le16(&r->chunk, (uint16_t)n);
	tv_buf_add(&r->chunk, name, n);
	/* A row of another length is kept as zeroes, which hold for no file. */
	static const uint8_t none[TV_CACHE_ROW];
	tv_buf_add(&r->chunk, value.len == TV_CACHE_ROW ? value.data : none, TV_CACHE_ROW);
}

static int chunk_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct tv_cache_reader *r = arg;
	struct tv_kv_cursor *c = NULL;
	struct tv_bytes key, value;
	uint8_t from[TV_CACHE_KEY_MAX + 1] = { 0 };
	size_t n = TV_CACHE_PREFIX;

	memcpy(from, r->prefix, TV_CACHE_PREFIX);
	if (r->resume_len) {
		/* The first key behind the last one: it with a zero byte appended. */
		memcpy(from + n, r->resume, r->resume_len);
		n += r->resume_len + 1;
	}
	tv_buf_clear(&r->chunk);
	r->at = 0;
	int res = tv_kv_cursor_open(t, TV_T_IMPORT, &c, err);
	if (res < 0)
		return res;
	res = tv_kv_cursor_from(c, tv_bytes(from, n), &key, &value, err);
	unsigned rows = 0;
	while (res == 1 && in_folder(r, key) && rows++ < CHUNK_ROWS) {
		keep_row(r, key, value);
		res = tv_kv_cursor_next(c, &key, &value, err);
	}
	r->last = rows <= CHUNK_ROWS;
	tv_kv_cursor_close(c);
	if (res >= 0 && r->chunk.failed)
		return tv_err_nomem(err);
	return res < 0 ? res : 0;
}

int tv_cache_reader_open(struct tv_cache_reader *r, const uint8_t worktree[16], const char *folder,
			 struct tv_err *err)
{
	tv_cache_prefix(worktree, folder, r->prefix);
	r->resume_len = 0;
	r->last = false;
	return tv_kv_read(r->kv, chunk_body, r, err);
}

int tv_cache_reader_get(const struct tv_cache_reader *r, const char **name, size_t *n,
			struct tv_bytes *row)
{
	if (r->at >= r->chunk.len)
		return 0;
	const uint8_t *p = r->chunk.data + r->at;
	*n = tv_le16(p);
	*name = (const char *)p + 2;
	*row = tv_bytes(p + 2 + *n, TV_CACHE_ROW);
	return 1;
}

int tv_cache_reader_next(struct tv_cache_reader *r, struct tv_err *err)
{
	r->at += 2u + tv_le16(r->chunk.data + r->at) + TV_CACHE_ROW;
	if (r->at < r->chunk.len || r->last)
		return 0;
	return tv_kv_read(r->kv, chunk_body, r, err);
}
