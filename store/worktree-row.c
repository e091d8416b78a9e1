/* The record of a live folder in the store: its bytes (worktree-priv.h), and what goes with it. */
#include <string.h>

#include "store/worktree-priv.h"

#define ROW_VERSION 1
#define FLAG_BASE 1
#define FLAG_PENDING 2
#define ROOT_BYTES 74

static void add_root(struct tv_buf *out, const struct tv_sha *commit, const struct tv_entry *root)
{
	tv_buf_add(out, commit->b, sizeof(commit->b));
	tv_buf_add_le16(out, root->mode);
	tv_buf_add_le64(out, (uint64_t)root->mtime_ns);
	tv_buf_add_le64(out, root->size);
	tv_buf_add_le64(out, root->files);
	tv_buf_add(out, root->addr.b, sizeof(root->addr.b));
	tv_buf_add(out, root->sha.b, sizeof(root->sha.b));
}

static const uint8_t *get_root(const uint8_t *p, struct tv_sha *commit, struct tv_entry *root)
{
	memcpy(commit->b, p, 32);
	p += 32;
	*root = (struct tv_entry){
		.kind = TV_DIR,
		.mode = tv_le16(p),
		.mtime_ns = (int64_t)tv_le64(p + 2),
		.size = tv_le64(p + 10),
		.files = tv_le64(p + 18),
	};
	memcpy(root->addr.b, p + 26, 16);
	memcpy(root->sha.b, p + 42, 32);
	return p + ROOT_BYTES;
}

void tv_worktree_row_encode(const struct tv_worktree_row *row, struct tv_buf *out)
{
	size_t n = strlen(row->path);
	tv_buf_add_u8(out, ROW_VERSION);
	tv_buf_add_u8(out, (uint8_t)((row->has_base ? FLAG_BASE : 0) |
				     (row->has_pending ? FLAG_PENDING : 0)));
	if (row->has_base)
		add_root(out, &row->base, &row->base_root);
	if (row->has_pending)
		add_root(out, &row->pending, &row->pending_root);
	tv_buf_add_le16(out, (uint16_t)n);
	tv_buf_add(out, row->path, n);
}

int tv_worktree_row_decode(struct tv_bytes value, struct tv_worktree_row *out, struct tv_err *err)
{
	const uint8_t *p = value.data, *end = p + value.len;
	struct tv_worktree_row row = { .has_base = false };

	if (value.len < 4 || p[0] != ROW_VERSION || p[1] > (FLAG_BASE | FLAG_PENDING))
		goto damaged;
	row.has_base = p[1] & FLAG_BASE;
	row.has_pending = p[1] & FLAG_PENDING;
	p += 2;
	if ((size_t)(end - p) < (size_t)(row.has_base + row.has_pending) * (32 + ROOT_BYTES) + 2)
		goto damaged;
	if (row.has_base)
		p = get_root(p, &row.base, &row.base_root);
	if (row.has_pending)
		p = get_root(p, &row.pending, &row.pending_root);
	size_t n = tv_le16(p);
	p += 2;
	if ((size_t)(end - p) != n || n >= sizeof(row.path))
		goto damaged;
	memcpy(row.path, p, n);
	row.path[n] = 0;
	*out = row;
	return 0;
damaged:
	return tv_err_set(err, -TV_E_DAMAGED, "the record of a live folder is damaged");
}

int tv_worktree_row_get(struct tv_kv_txn *t, const uint8_t id[16], struct tv_worktree_row *out,
			struct tv_buf *raw, struct tv_err *err)
{
	struct tv_bytes value;
	int res = tv_kv_get(t, TV_T_WORKTREES, tv_bytes(id, 16), &value, err);
	if (res != 1)
		return res;
	res = tv_worktree_row_decode(value, out, err);
	if (res < 0)
		return res;
	if (raw) {
		tv_buf_clear(raw);
		tv_buf_add(raw, value.data, value.len);
		if (raw->failed)
			return tv_err_nomem(err);
	}
	return 1;
}

int tv_worktree_row_put(struct tv_kv_txn *t, const uint8_t id[16],
			const struct tv_worktree_row *row, struct tv_err *err)
{
	tv_autobuf struct tv_buf bytes = TV_BUF_INIT;
	tv_worktree_row_encode(row, &bytes);
	if (bytes.failed)
		return tv_err_nomem(err);
	return tv_kv_put(t, TV_T_WORKTREES, tv_bytes(id, 16), tv_bytes(bytes.data, bytes.len), err);
}

int tv_worktree_put_row(struct tv_kv_txn *t, const uint8_t id[16], const char *path,
			const struct tv_seen *seen, const struct tv_entry *e, int64_t looked_ns,
			struct tv_err *err)
{
	uint8_t key[TV_CACHE_KEY_MAX], value[TV_CACHE_ROW];
	size_t n = tv_cache_key(id, path, key);
	struct tv_cache_row row = {
		.size = seen->size,
		.ino = seen->ino,
		.mtime_ns = seen->mtime_ns,
		.ctime_ns = seen->ctime_ns,
		.looked_ns = looked_ns,
		.addr = e->addr,
		.sha = e->sha,
	};
	tv_cache_row_encode(&row, value);
	return tv_kv_put(t, TV_T_IMPORT, tv_bytes(key, n), tv_bytes(value, sizeof(value)), err);
}

int tv_worktree_del_row(struct tv_kv_txn *t, const uint8_t id[16], const char *path,
			struct tv_err *err)
{
	uint8_t key[TV_CACHE_KEY_MAX];
	size_t n = tv_cache_key(id, path, key);
	int res = tv_kv_del(t, TV_T_IMPORT, tv_bytes(key, n), err);
	return res < 0 ? res : 0;
}

int tv_worktree_put_cache(struct tv_kv_txn *t, const uint8_t id[16], const struct tv_scan *scan,
			  struct tv_err *err)
{
	/* Stale rows first: a row may have gone stale and been made anew. */
	for (size_t at = 0; at < scan->stale.len;) {
		const uint8_t *p = scan->stale.data + at;
		int res = tv_kv_del(t, TV_T_IMPORT, tv_bytes(p + 2, tv_le16(p)), err);
		if (res < 0)
			return res;
		at += 2u + tv_le16(p);
	}
	for (size_t i = 0; i < scan->len; i++) {
		const struct tv_scan_item *item = &scan->items[i];
		if (!item->read || item->what == TV_SCAN_REMOVE)
			continue;
		int res = tv_worktree_put_row(t, id, item->path, &item->seen, &item->entry,
					      item->looked_ns, err);
		if (res < 0)
			return res;
	}
	return 0;
}
