/*
 * Importing the live folder, and comparing it with its base.
 *
 * "Ours" is the base tree with the scan's edits. It is merged with the ref as it stands here, with
 * the live folder's own base, and then published with the ref's commit as base: publish.h knows
 * commits, and the live folder's base need not be the tree of one. When the ref moves meanwhile, publish
 * merges once more, from that commit on.
 *
 * Two imports of one folder may run at once. Each moves the base, in its own transaction, by its own
 * edits: to "ours" when the record is as it was found, else by applying the same edits to the base that
 * is there now. docs/notes-import-gc.md says why nothing gets lost.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/worktree-priv.h"

#define ATTEMPTS 8

/* One attempt. */
struct import {
	const struct tv_import *how;
	struct tv_worktree_work work;
	struct tv_scan scan;
	struct tv_blobs *blobs;
	struct tv_edit *edits, *times; /* owned; `times`: only folder times */
	size_t n_edits, n_times;
	struct tv_entry ours;
	bool on_base; /* "ours" is published as it is: its nodes may be the base's alone */
};

int tv_scan_edits(const struct tv_scan *scan, bool soft, struct tv_edit **out, size_t *n,
		  struct tv_err *err)
{
	struct tv_edit *edits = calloc(scan->len + 1, sizeof(*edits));
	size_t len = 0;
	if (!edits)
		return tv_err_nomem(err);
	for (size_t i = 0; i < scan->len; i++) {
		const struct tv_scan_item *item = &scan->items[i];
		if ((item->what == TV_SCAN_TIME) != soft)
			continue;
		edits[len++] = (struct tv_edit){ .path = item->path,
						 .remove = item->what == TV_SCAN_REMOVE,
						 .entry = item->entry };
	}
	*out = edits;
	*n = len;
	return 0;
}

static void import_free(struct import *im)
{
	tv_scan_free(&im->scan);
	tv_blobs_free(im->blobs);
	free(im->edits);
	free(im->times);
	tv_worktree_end(&im->work);
}

static int pass_over(void *arg, const char *path, const char *reason, struct tv_err *err)
{
	return tv_refused_add(arg, path, reason, err);
}

/* With `bad` what cannot be imported is put there and passed over. */
static int import_begin(struct import *im, struct tv_store *s, struct tv_worktree *w,
			struct tv_refused *bad, struct tv_err *err)
{
	int res = tv_worktree_begin(s, w, false, &im->work, err);
	if (res < 0)
		return res;
	tv_worktree_scan(&im->work, &im->scan);
	im->scan.ignore = im->how->ignore;
	im->scan.n_ignore = im->how->n_ignore;
	im->scan.progress = im->how->progress;
	im->scan.bad = bad ? pass_over : NULL;
	im->scan.bad_arg = bad;
	return tv_scan_run(&im->scan, im->how->paths, im->how->n_paths, err);
}

/* base + edits. Without any real edit this is the base; else folder times ride along. */
static int apply(struct import *im, const struct tv_node_batch *nodes, const struct tv_entry *base,
		 struct tv_entry *out, struct tv_err *err)
{
	struct tv_node_batch *batch = (struct tv_node_batch *)(uintptr_t)nodes;
	struct tv_entry ours;
	int res = tv_tree_edit(batch, base, im->edits, im->n_edits, &ours, err);
	if (res < 0)
		return res;
	if (tv_addr_eq(&ours.addr, &base->addr)) {
		*out = *base;
		return 0;
	}
	if (im->n_times)
		res = tv_tree_edit(batch, &ours, im->times, im->n_times, &ours, err);
	if (res < 0)
		return res;
	if (im->scan.whole) {
		ours.mode = im->scan.root.mode;
		ours.mtime_ns = im->scan.root.mtime_ns;
	}
	*out = ours;
	return 0;
}

static int make_ours(struct import *im, struct tv_err *err)
{
	int res = tv_scan_edits(&im->scan, false, &im->edits, &im->n_edits, err);
	if (res == 0)
		res = tv_scan_edits(&im->scan, true, &im->times, &im->n_times, err);
	return res < 0 ? res : apply(im, im->work.nodes, &im->work.base, &im->ours, err);
}

/* Files that the cache knows but the tree does not have: their blobs may have gone. */
static int rely_on_cached(struct import *im, struct tv_err *err)
{
	for (size_t i = 0; i < im->scan.len; i++) {
		struct tv_scan_item *item = &im->scan.items[i];
		if (item->what != TV_SCAN_SET || item->entry.kind != TV_FILE)
			continue;
		int res = tv_blobs_rely(im->blobs, &item->entry.addr, err);
		if (res < 0)
			return res;
		if (res == 0)
			item->what = TV_SCAN_READ;
	}
	return 0;
}

static int refused_error(const struct tv_refused *r, struct tv_err *err)
{
	return tv_err_set(err, -TV_E_GATE,
			  "'%s' %s%s: nothing was imported; repair or remove "
			  "what is named, or use --force",
			  r->files[0].path, r->files[0].reason, r->len > 1 ? " (and others)" : "");
}

static int refused_cmp(const void *a, const void *b)
{
	const struct tv_refused_file *x = a, *y = b;
	return tv_tree_path_cmp(x->path, y->path);
}

static int read_files(struct import *im, struct tv_refused *refused, struct tv_err *err)
{
	struct tv_refused own = { .files = NULL };
	struct tv_refused *list = refused ? refused : &own;
	const struct tv_reading r = {
		.dirfd = im->work.w->dirfd,
		.blobs = im->blobs,
		.check = !im->how->force,
		.refused = list,
		.progress = im->how->progress,
	};
	int res = rely_on_cached(im, err);
	if (res == 0)
		res = tv_reading_run(&r, &im->scan, err);
	if (res == 0)
		res = tv_reading_settle(&r, &im->scan, im->how->settle_ns, err);
	if (res == 0 && list->len) {
		qsort(list->files, list->len, sizeof(*list->files), refused_cmp);
		res = refused_error(list, err);
	}
	tv_refused_free(&own);
	return res;
}

/* The base that the folder has from now on, and the nodes of it that no commit brings. */
static int move_base(struct import *im, struct tv_kv_txn *t, const struct tv_commit *c,
		     struct tv_worktree_row *row, bool same, struct tv_err *err)
{
	struct tv_worktree_work *work = &im->work;
	if (same || !row->has_base) {
		row->base_root = im->ours;
		if (tv_addr_eq(&im->ours.addr, &c->root.addr))
			return 0;
	}
	/* Publishing registers the blobs of what it publishes; the base may hold others. */
	int res = tv_blobs_register(im->blobs, t, err);
	if (res < 0)
		return res;
	if (same || !row->has_base)
		return tv_store_put_nodes(work->s, t, work->nodes, &im->ours.addr, err);
	struct tv_node_source nodes = tv_txn_nodes(t);
	struct tv_node_batch *batch;
	res = tv_node_batch_new(&nodes, &batch, err);
	if (res < 0)
		return res;
	res = apply(im, batch, &row->base_root, &row->base_root, err);
	if (res == 0)
		res = tv_store_put_nodes(work->s, t, batch, &row->base_root.addr, err);
	tv_node_batch_free(batch);
	return res;
}

/* Runs in the transaction that moves the ref. */
static int also(void *arg, struct tv_kv_txn *t, const struct tv_commit *c, struct tv_err *err)
{
	struct import *im = arg;
	const struct tv_worktree_work *work = &im->work;
	struct tv_worktree_row row = work->row;
	tv_autobuf struct tv_buf raw = TV_BUF_INIT;

	int res = tv_worktree_row_get(t, work->w->id, &row, &raw, err);
	if (res < 0)
		return res;
	bool same = raw.len == work->raw.len &&
		    (!raw.len || memcmp(raw.data, work->raw.data, raw.len) == 0);
	if (res == 1 && !same && !row.has_base)
		/* A first sync began and was killed; only a new look tells what it did. */
		return tv_err_set(err, -EAGAIN, "a sync began meanwhile");
	if (res == 0 && work->raw.len)
		return tv_err_set(err, -EAGAIN, "the record of the live folder went away");
	if (!same && im->on_base)
		/* The old base was gc's from then on: what is published may lack its nodes. */
		return tv_err_set(err, -EAGAIN, "the base of the live folder moved meanwhile");
	res = move_base(im, t, c, &row, same, err);
	if (res < 0)
		return res;
	row.has_base = true;
	row.base = c->id;
	res = tv_worktree_row_put(t, work->w->id, &row, err);
	return res < 0 ? res : tv_worktree_put_cache(t, work->w->id, &im->scan, err);
}

/* "Ours" merged with where the ref stands. *theirs is that commit; 1 when there is one, 0 when the
 * ref does not exist yet. */
static int merge_with_ref(struct import *im, struct tv_commit *theirs, struct tv_entry *out,
			  bool *merged, struct tv_conflicts *conflicts, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_ref ref;
	int res = tv_ref_get(im->work.s, im->how->ref, &ref, &why);
	if (res == -ENOENT) {
		*out = im->ours;
		im->on_base = im->work.row.has_base;
		return 0;
	}
	if (res < 0)
		return tv_err_set(err, res, "%s", why.text);
	res = tv_commit_get(im->work.s, &ref.commit, theirs, err);
	if (res < 0)
		return res;
	*merged = !tv_entry_same(&theirs->root, &im->work.base);
	if (!*merged)
		*out = im->ours;
	else
		res = tv_tree_merge(im->work.nodes, &im->work.base, &im->ours, &theirs->root, out,
				    conflicts, err);
	return res < 0 ? res : 1;
}

static int publish(struct import *im, struct tv_published *out, struct tv_conflicts *conflicts,
		   struct tv_err *err)
{
	tv_autocommit struct tv_commit theirs = TV_COMMIT_INIT;
	struct tv_entry tree;
	bool merged = false;

	int res = tv_blobs_place(im->blobs, err);
	if (res == 0)
		res = merge_with_ref(im, &theirs, &tree, &merged, conflicts, err);
	if (res < 0)
		return res;
	const struct tv_publish p = {
		.ref = im->how->ref,
		.ref_kind = strncmp(im->how->ref, "draft/", 6) == 0 ? TV_REF_DRAFT : TV_REF_BRANCH,
		.base = res == 1		? &theirs.id
			: im->work.row.has_base ? &im->work.row.base
						: NULL,
		.ours = &tree,
		.nodes = im->work.nodes,
		.blobs = im->blobs,
		.author = im->how->author,
		.message = im->how->message,
		.trace_id = im->how->trace_id,
		.gate = im->how->gate,
		.gate_arg = im->how->gate_arg,
		.also = also,
		.also_arg = im,
	};
	res = tv_publish(im->work.s, &p, out, conflicts, err);
	if (res == 0)
		out->merged |= merged;
	/* The commit that the ref stood at went to gc, so the ref has left it: begin anew. */
	return res == -ENOENT ? -EAGAIN : res;
}

static int cache_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct import *im = arg;
	return tv_worktree_put_cache(t, im->work.w->id, &im->scan, err);
}

/* Nothing changed: no commit, but what was looked at is remembered. 1 when this was so; 0 when the ref
 * does not exist yet, which publishing then makes. */
static int finish_unchanged(struct import *im, struct tv_published *out, struct tv_err *err)
{
	tv_autocommit struct tv_commit tip = TV_COMMIT_INIT;
	struct tv_err why = TV_ERR_INIT;
	struct tv_ref ref;
	bool to_write = im->scan.stale.len;
	int res = tv_ref_get(im->work.s, im->how->ref, &ref, &why);
	if (res < 0)
		return res == -ENOENT ? 0 : tv_err_set(err, res, "%s", why.text);
	res = tv_commit_get(im->work.s, &ref.commit, &tip, err);
	for (size_t i = 0; i < im->scan.len; i++)
		to_write |= im->scan.items[i].read;
	if (res == 0 && to_write)
		res = tv_kv_write(tv_store_kv(im->work.s), cache_body, im, err);
	if (res < 0)
		return res;
	*out = (struct tv_published){ .commit = tip.id,
				      .foundation = tip.root.sha,
				      .previous = tip.id,
				      .root = tip.root,
				      .unchanged = true };
	return 1;
}

/* An empty folder where there were files is more often a disk that is not mounted than a decision. */
static int check_emptied(const struct import *im, struct tv_err *err)
{
	if (im->how->force || im->how->n_paths || !im->work.base.files || im->ours.files)
		return 0;
	return tv_err_set(
		err, -TV_E_GATE,
		"the live folder is empty, and had %" PRIu64 " files when it was last synced: is "
		"its disk mounted? 'tvfs sync --force' brings them back, --force publishes that "
		"they are gone",
		im->work.base.files);
}

static int attempt(struct import *im, struct tv_store *s, struct tv_worktree *w,
		   struct tv_published *out, struct tv_conflicts *conflicts,
		   struct tv_refused *refused, struct tv_err *err)
{
	int res = import_begin(im, s, w, NULL, err);
	if (res == 0)
		res = tv_blobs_begin(s, &im->blobs, err);
	if (res == 0)
		res = read_files(im, refused, err);
	if (res == 0)
		res = make_ours(im, err);
	if (res == 0)
		res = check_emptied(im, err);
	if (res < 0)
		return res;
	if (im->work.row.has_base && tv_entry_same(&im->ours, &im->work.base)) {
		res = finish_unchanged(im, out, err);
		if (res != 0)
			return res < 0 ? res : 0;
	}
	return publish(im, out, conflicts, err);
}

/* The base is a gc root only while it is recorded. When another import has moved it meanwhile and gc ran,
 * nodes that this one wanted may be missing: not damage, but a reason to begin anew. The same goes
 * for a commit that the ref has left. */
static bool begin_anew(struct import *im, int res)
{
	if (res == -EAGAIN)
		return true;
	if ((res != -TV_E_DAMAGED && res != -ENOENT) || !im->work.s)
		return false;
	return tv_worktree_unmoved(&im->work, NULL) == 0;
}

/* Others are as busy: each waits a little, and not all the same. */
static void pause_before(unsigned n)
{
	int64_t jitter = tv_boottime_ns() / 64 % 8 + 1;
	nanosleep(&(struct timespec){ .tv_nsec = jitter * 1000000 * n }, NULL);
}

int tv_worktree_import(struct tv_store *s, struct tv_worktree *w, const struct tv_import *how,
		       struct tv_published *out, struct tv_conflicts *conflicts,
		       struct tv_refused *refused, struct tv_err *err)
{
	struct tv_published published;
	for (unsigned n = 1;; n++) {
		struct import im = { .how = how, .work.lock = -1 };
		struct tv_err why = TV_ERR_INIT;
		int res = attempt(&im, s, w, &published, conflicts, refused, &why);
		bool again = res < 0 && n < ATTEMPTS && begin_anew(&im, res);
		import_free(&im);
		if (again) {
			pause_before(n);
			continue;
		}
		if (res < 0)
			return tv_err_set(err, res == -EAGAIN ? -EBUSY : res, "%s", why.text);
		*out = published;
		return tv_worktree_load(s, w, err);
	}
}

/* What changes does once: as an attempt, but nothing is stored. */
static int compare(struct import *im, struct tv_store *s, struct tv_worktree *w,
		   int (*visit)(void *arg, const struct tv_diff_item *item, struct tv_err *err),
		   void *arg, struct tv_refused *bad, struct tv_err *err)
{
	int res = import_begin(im, s, w, bad, err);
	if (res < 0)
		return res;
	const struct tv_reading r = { .dirfd = w->dirfd, .progress = im->how->progress };
	res = tv_reading_run(&r, &im->scan, err);
	if (res == 0)
		res = make_ours(im, err);
	if (res < 0)
		return res;
	return tv_tree_diff(tv_node_batch_source(im->work.nodes), &im->work.base, &im->ours,
			    TV_DIFF_TOUCHED, visit, arg, err);
}

int tv_worktree_changes(struct tv_store *s, struct tv_worktree *w, const struct tv_import *how,
			int (*visit)(void *arg, const struct tv_diff_item *item,
				     struct tv_err *err),
			void *arg, struct tv_refused *refused, struct tv_err *err)
{
	for (unsigned n = 1;; n++) {
		struct import im = { .how = how, .work.lock = -1 };
		struct tv_err why = TV_ERR_INIT;
		if (refused)
			tv_refused_free(refused); /* of an attempt before */
		int res = compare(&im, s, w, visit, arg, refused, &why);
		bool again = res == -EAGAIN && n < ATTEMPTS;
		import_free(&im);
		if (again) {
			pause_before(n);
			continue;
		}
		return res == 0 ? 0
				: tv_err_set(err, res == -EAGAIN ? -EBUSY : res, "%s", why.text);
	}
}
