/*
 * Garbage collection. blob.h and docs/notes-import-gc.md argue why no commit can lose anything to it.
 *
 * What is unmarked is first listed without any lock on the index; then it is deleted a batch at a
 * time, each in a write transaction that first marks what was published since. So commits beside it
 * wait for one batch at most, and what one of them needs is marked before it could be deleted.
 */
#include "store/gc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/blob.h"
#include "store/commit.h"
#include "store/gc-files.h"
#include "store/gc-mark.h"
#include "store/lockfile.h"
#include "store/store-priv.h"
#include "store/table-pass.h"

#define DELETE_ROWS 1000 /* a write transaction */

/* One run. */
struct gc {
	struct tv_store *s;
	const struct tv_gc *how;
	struct tv_gc_marks marks;
	struct tv_gc_figures figures;
	int64_t now;
};

/* Keys of rows that nothing reaches. */
struct list {
	uint8_t *keys;
	size_t len, cap, key; /* key: its length */
};

static int list_add(struct list *l, const void *key, struct tv_err *err)
{
	if (l->len == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 1024;
		void *grown = reallocarray(l->keys, cap, l->key);
		if (!grown)
			return tv_err_nomem(err);
		l->keys = grown;
		l->cap = cap;
	}
	memcpy(l->keys + l->key * l->len++, key, l->key);
	return 0;
}

/* The pass that lists them. */
struct listing {
	struct gc *gc;
	struct list *out;
};

/* Deleting a list backwards, a batch a transaction. `one` returns 1 when it deleted, 0 when not. */
struct sweep {
	struct gc *gc;
	const struct list *list;
	int (*one)(struct sweep *sw, struct tv_kv_txn *t, const uint8_t *key, struct tv_err *err);
	const char *phase;
	size_t from, to;      /* this batch */
	uint64_t gone, bytes; /* of this batch: the body may run twice */
	bool unlinks;	      /* bump the gc epoch: files may go */
};

static int sweep_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct sweep *sw = arg;
	sw->gone = sw->bytes = 0;
	int res = tv_gc_mark(sw->gc->s, &sw->gc->marks, err);
	if (res == 0 && sw->unlinks)
		res = tv_gc_epoch_bump(t, err);
	for (size_t i = sw->to; res >= 0 && i-- > sw->from;) {
		res = sw->one(sw, t, sw->list->keys + sw->list->key * i, err);
		sw->gone += res == 1;
	}
	return res < 0 ? res : 0;
}

static int run_sweep(struct sweep *sw, uint64_t *gone, uint64_t *bytes, struct tv_err *err)
{
	const struct gc *gc = sw->gc;
	size_t n = sw->list->len;
	for (sw->to = n; sw->to; sw->to = sw->from) {
		sw->from = sw->to > DELETE_ROWS ? sw->to - DELETE_ROWS : 0;
		int res = tv_kv_write(tv_store_kv(gc->s), sweep_body, sw, err);
		if (res < 0)
			return res;
		*gone += sw->gone;
		if (bytes)
			*bytes += sw->bytes;
		if (tv_progress_step(gc->how->progress, sw->phase, n - sw->from, n, "rows"))
			return tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
	}
	return 0;
}

/* Commits: found by sequence, so that going backwards children go before their parents. */
static int commit_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	const struct listing *l = arg;
	struct gc *gc = l->gc;
	struct tv_sha id;
	(void)key;
	if (value.len != sizeof(id.b))
		return tv_err_set(err, -TV_E_DAMAGED, "a sequence row is damaged; run tvfs fsck");
	memcpy(id.b, value.data, sizeof(id.b));
	if (tv_gc_marked_commit(&gc->marks, &id)) {
		gc->figures.kept_commits++;
		return 0;
	}
	return list_add(l->out, id.b, err);
}

static int commit_one(struct sweep *sw, struct tv_kv_txn *t, const uint8_t *key, struct tv_err *err)
{
	struct tv_sha id;
	struct tv_err why = TV_ERR_INIT;
	memcpy(id.b, key, sizeof(id.b));
	if (tv_gc_marked_commit(&sw->gc->marks, &id))
		return 0;
	int res = tv_commit_del(sw->gc->s, t, &id, &why);
	if (res == -ENOENT)
		return 0;
	return res < 0 ? tv_err_set(err, res, "%s", why.text) : 1;
}

static int node_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	const struct listing *l = arg;
	struct gc *gc = l->gc;
	(void)value;
	if (key.len != sizeof(struct tv_addr))
		return tv_err_set(err, -TV_E_DAMAGED, "a node row is damaged; run tvfs fsck");
	if (tv_map16_get(&gc->marks.nodes, key.data)) {
		gc->figures.kept_nodes++;
		return 0;
	}
	return list_add(l->out, key.data, err);
}

static int node_one(struct sweep *sw, struct tv_kv_txn *t, const uint8_t *key, struct tv_err *err)
{
	if (tv_map16_get(&sw->gc->marks.nodes, key))
		return 0;
	return tv_kv_del(t, TV_T_NODES, tv_bytes(key, sizeof(struct tv_addr)), err);
}

static int blob_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	const struct listing *l = arg;
	struct gc *gc = l->gc;
	struct tv_blob_row row;
	if (key.len != sizeof(struct tv_addr))
		return tv_err_set(err, -TV_E_DAMAGED, "a blob row is damaged; run tvfs fsck");
	int res = tv_blob_row_decode(value, &row, err);
	if (res < 0)
		return res;
	if (!tv_map16_get(&gc->marks.blobs, key.data))
		return list_add(l->out, key.data, err);
	gc->figures.kept_blobs++;
	gc->figures.kept_bytes += row.size;
	return 0;
}

static int condemn_one(struct sweep *sw, struct tv_kv_txn *t, const uint8_t *key,
		       struct tv_err *err)
{
	struct tv_addr addr;
	struct tv_blob_row row;
	memcpy(addr.b, key, sizeof(addr.b));
	int res = tv_blob_row_get(t, &addr, &row, err);
	if (res <= 0 || row.condemned_ns || tv_map16_get(&sw->gc->marks.blobs, key))
		return res < 0 ? res : 0;
	row.condemned_ns = sw->gc->now;
	res = tv_blob_row_put(t, &addr, &row, err);
	return res < 0 ? res : 1;
}

/* The file goes before the transaction is durable: a crash between leaves a condemned row without a
 * file, which counts as no blob, as without the row. */
static int unlink_one(struct sweep *sw, struct tv_kv_txn *t, const uint8_t *key, struct tv_err *err)
{
	const struct gc *gc = sw->gc;
	char path[TV_BLOB_PATH];
	struct tv_addr addr;
	struct tv_blob_row row;
	memcpy(addr.b, key, sizeof(addr.b));
	int res = tv_blob_row_get(t, &addr, &row, err);
	if (res <= 0 || !row.condemned_ns || row.condemned_ns > gc->now - gc->how->grace_ns ||
	    tv_map16_get(&gc->marks.blobs, key))
		return res < 0 ? res : 0;
	res = tv_kv_del(t, TV_T_BLOBS, tv_bytes(key, sizeof(addr.b)), err);
	if (res < 0)
		return res;
	tv_blob_path(&addr, path);
	if (unlinkat(gc->s->blobs_fd, path, 0) < 0 && errno != ENOENT)
		return tv_err_sys(err, -errno, "cannot remove blob '%s'", path);
	sw->bytes += row.size;
	return 1;
}

/* The sizes of unmarked blobs, for a dry run. */
static int size_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct sweep *sw = arg;
	for (size_t i = 0; i < sw->list->len; i++) {
		struct tv_addr addr;
		struct tv_blob_row row;
		memcpy(addr.b, sw->list->keys + sw->list->key * i, sizeof(addr.b));
		int res = tv_blob_row_get(t, &addr, &row, err);
		if (res < 0)
			return res;
		sw->bytes += res ? row.size : 0;
	}
	return 0;
}

static int sweep_commits(struct gc *gc, struct tv_err *err)
{
	struct list list = { .key = sizeof(struct tv_sha) };
	struct listing l = { .gc = gc, .out = &list };
	struct sweep sw = { .gc = gc, .list = &list, .one = commit_one, .phase = "commits" };
	int res = tv_table_pass(tv_store_kv(gc->s), TV_T_SEQUENCE, commit_row, &l, err);
	if (res == 0 && gc->how->delete_)
		res = run_sweep(&sw, &gc->figures.commits, NULL, err);
	else
		gc->figures.commits = list.len;
	free(list.keys);
	return res;
}

static int sweep_nodes(struct gc *gc, struct tv_err *err)
{
	struct list list = { .key = sizeof(struct tv_addr) };
	struct listing l = { .gc = gc, .out = &list };
	struct sweep sw = { .gc = gc, .list = &list, .one = node_one, .phase = "nodes" };
	int res = tv_table_pass(tv_store_kv(gc->s), TV_T_NODES, node_row, &l, err);
	if (res == 0 && gc->how->delete_)
		res = run_sweep(&sw, &gc->figures.nodes, NULL, err);
	else
		gc->figures.nodes = list.len;
	free(list.keys);
	return res;
}

static int sweep_blobs(struct gc *gc, struct tv_err *err)
{
	struct list list = { .key = sizeof(struct tv_addr) };
	struct listing l = { .gc = gc, .out = &list };
	struct sweep condemn = { .gc = gc, .list = &list, .one = condemn_one, .phase = "blobs" };
	struct sweep remove = {
		.gc = gc, .list = &list, .one = unlink_one, .phase = "blobs", .unlinks = true
	};
	uint64_t condemned = 0;
	int res = tv_table_pass(tv_store_kv(gc->s), TV_T_BLOBS, blob_row, &l, err);
	if (res == 0 && !gc->how->delete_) {
		gc->figures.blobs = list.len;
		res = tv_kv_read(tv_store_kv(gc->s), size_body, &condemn, err);
		gc->figures.blob_bytes = condemn.bytes;
	} else if (res == 0) {
		res = run_sweep(&condemn, &condemned, NULL, err);
		if (res == 0)
			res = run_sweep(&remove, &gc->figures.blobs, &gc->figures.blob_bytes, err);
	}
	free(list.keys);
	return res;
}

/* Verdicts of blobs that have no row: gone just now, or never published. They are hints, so no mark
 * protects them. */
static int verdict_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	const struct listing *l = arg;
	(void)value;
	if (key.len != l->out->key)
		return 0;
	return list_add(l->out, key.data, err);
}

static int verdict_one(struct sweep *sw, struct tv_kv_txn *t, const uint8_t *key,
		       struct tv_err *err)
{
	struct tv_addr addr;
	struct tv_blob_row row;
	(void)sw;
	memcpy(addr.b, key, sizeof(addr.b));
	int res = tv_blob_row_get(t, &addr, &row, err);
	if (res != 0)
		return res < 0 ? res : 0;
	return tv_kv_del(t, TV_T_VERDICTS, tv_bytes(key, sizeof(addr.b)), err);
}

static int sweep_verdicts(struct gc *gc, struct tv_err *err)
{
	struct list list = { .key = sizeof(struct tv_addr) };
	struct listing l = { .gc = gc, .out = &list };
	struct sweep sw = { .gc = gc, .list = &list, .one = verdict_one, .phase = "verdicts" };
	uint64_t gone = 0;
	int res = tv_table_pass(tv_store_kv(gc->s), TV_T_VERDICTS, verdict_row, &l, err);
	if (res == 0)
		res = run_sweep(&sw, &gone, NULL, err);
	free(list.keys);
	return res;
}

static int collect(struct gc *gc, struct tv_err *err)
{
	int res = tv_gc_mark(gc->s, &gc->marks, err);
	if (res == 0)
		res = sweep_commits(gc, err);
	if (res == 0)
		res = sweep_nodes(gc, err);
	if (res == 0)
		res = sweep_blobs(gc, err);
	if (res == 0 && gc->how->delete_)
		res = sweep_verdicts(gc, err);
	if (res == 0)
		res = tv_gc_temps(gc->s, gc->how->delete_, &gc->figures.temps, err);
	if (res == 0)
		res = tv_gc_orphans(gc->s, gc->how->delete_, &gc->figures.orphans, err);
	return res;
}

int tv_gc(struct tv_store *s, const struct tv_gc *how, struct tv_gc_figures *out,
	  struct tv_err *err)
{
	struct gc gc = { .s = s, .how = how, .marks = TV_GC_MARKS_INIT, .now = tv_now_ns() };
	gc.marks.progress = how->progress;
	tv_autoclose int lock =
		tv_lockfile_take(s, TV_GC_LOCK, true, 0, "another gc or forget is running", err);
	if (lock < 0)
		return lock;
	int res = collect(&gc, err);
	tv_gc_marks_free(&gc.marks);
	if (res == 0)
		*out = gc.figures;
	return res;
}
