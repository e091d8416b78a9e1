/*
 * Makes large foundations for the benchmarks through the store's API: a flat directory of COUNT
 * names that all hold the same few bytes, published on a ref; then, when CHANGED is not 0, a second
 * commit in which CHANGED of them hold something else. No file but two blobs is written.
 *
 * With LIVE that folder counts as synced with the last of them, though nothing is written into it: then
 * a commit of a path in it costs what it would cost were all files there.
 *
 * Usage: helper-make-large-tree STORE REF COUNT CHANGED [LIVE]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/publish.h"
#include "store/worktree-priv.h"

struct maker {
	struct tv_store *store;
	const char *ref, *live;
	struct tv_blob blobs[2];
};

static int add_blobs(struct maker *m, struct tv_blobs *batch, struct tv_err *err)
{
	int r = tv_blobs_add_bytes(batch, "first", 5, &m->blobs[0], err);
	if (r == 0)
		r = tv_blobs_add_bytes(batch, "second", 6, &m->blobs[1], err);
	return r < 0 ? r : tv_blobs_place(batch, err);
}

/* `count` edits, `stride` apart, that set files to blob `which`. */
static struct tv_edit *make_edits(const struct maker *m, uint64_t count, uint64_t stride, int which)
{
	struct tv_edit *edits = calloc(count, sizeof(*edits));
	for (uint64_t i = 0; edits && i < count; i++) {
		char *name = NULL;
		if (asprintf(&name, "EXCHANGE_SYM%07" PRIu64 "_1d.parquet", i * stride) < 0)
			return NULL;
		edits[i].path = name;
		edits[i].entry = (struct tv_entry){
			.kind = TV_FILE,
			.mode = 0644,
			.mtime_ns = INT64_C(1700000000) * 1000000000,
			.size = m->blobs[which].size,
			.addr = m->blobs[which].addr,
			.sha = m->blobs[which].sha,
		};
	}
	return edits;
}

static void free_edits(struct tv_edit *edits, uint64_t count)
{
	for (uint64_t i = 0; edits && i < count; i++)
		free((void *)(uintptr_t)edits[i].path);
	free(edits);
}

static int publish(struct maker *m, const struct tv_published *before, const struct tv_edit *edits,
		   uint64_t count, struct tv_published *out, struct tv_err *err)
{
	struct tv_node_batch *nodes = NULL;
	struct tv_blobs *blobs = NULL;
	struct tv_entry root = before->root, edited;
	int r = tv_node_batch_new(tv_store_nodes(m->store), &nodes, err);
	if (r == 0)
		r = tv_blobs_begin(m->store, &blobs, err);
	if (r == 0)
		r = add_blobs(m, blobs, err);
	if (r == 0 && !root.kind)
		r = tv_tree_empty(nodes, &root, err);
	if (r == 0)
		r = tv_tree_edit(nodes, &root, edits, count, &edited, err);
	if (r == 0) {
		struct tv_publish p = {
			.ref = m->ref,
			.ref_kind = TV_REF_BRANCH,
			.base = before->root.kind ? &before->commit : NULL,
			.ours = &edited,
			.nodes = nodes,
			.blobs = blobs,
			.author = "bench",
			.message = "large tree",
		};
		r = tv_publish(m->store, &p, out, NULL, err);
	}
	tv_blobs_free(blobs);
	tv_node_batch_free(nodes);
	return r;
}

struct recording {
	struct tv_worktree live;
	struct tv_worktree_row row;
};

static int record_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct recording *r = arg;
	return tv_worktree_row_put(t, r->live.id, &r->row, err);
}

static int record_live(struct maker *m, const struct tv_published *last, struct tv_err *err)
{
	struct recording rec = {
		.row = { .has_base = true, .base = last->commit, .base_root = last->root }
	};
	if (!m->live)
		return 0;
	int r = tv_worktree_open(m->store, m->live, &rec.live, err);
	if (r < 0)
		return r;
	snprintf(rec.row.path, sizeof(rec.row.path), "%s", rec.live.path);
	r = tv_kv_write(tv_store_kv(m->store), record_body, &rec, err);
	tv_worktree_close(&rec.live);
	return r;
}

static int make(struct maker *m, uint64_t count, uint64_t changed, struct tv_err *err)
{
	struct tv_published none = { 0 }, first = { 0 }, second = { 0 };
	tv_autobuf struct tv_buf unused = TV_BUF_INIT;
	struct tv_blobs *batch = NULL;
	int r = tv_blobs_begin(m->store, &batch, err);
	if (r == 0)
		r = add_blobs(m, batch, err);
	tv_blobs_free(batch);
	if (r < 0)
		return r;
	struct tv_edit *edits = make_edits(m, count, 1, 0);
	r = edits ? publish(m, &none, edits, count, &first, err) : tv_err_nomem(err);
	free_edits(edits, count);
	if (r == 0 && changed) {
		edits = make_edits(m, changed, count / changed, 1);
		r = edits ? publish(m, &first, edits, changed, &second, err) : tv_err_nomem(err);
		free_edits(edits, changed);
	}
	return r < 0 ? r : record_live(m, changed ? &second : &first, err);
}

int main(int argc, char **argv)
{
	struct tv_err err = TV_ERR_INIT;
	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: %s STORE REF COUNT CHANGED [LIVE]\n", argv[0]);
		return 2;
	}
	struct maker m = { .ref = argv[2], .live = argv[5] };
	int r = tv_store_open(argv[1], &m.store, &err);
	if (r == 0)
		r = make(&m, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), &err);
	tv_store_close(m.store);
	if (r < 0)
		fprintf(stderr, "make-large-tree: %s\n", err.text);
	return r < 0;
}
