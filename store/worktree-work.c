/* What an import, a sync and a comparison begin and end with: the lock of the live folder, its
 * record, and the repair of what a killed sync left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/hex.h"
#include "store/base/path.h"
#include "store/lockfile.h"
#include "store/worktree-priv.h"

#define LOCK_WAIT_NS (30 * 1000000000LL)

static int take_lock(struct tv_worktree_work *work, bool exclusive, struct tv_err *err)
{
	char hex[33], name[64], why[TV_ERR_TEXT];
	tv_hex_encode(work->w->id, 16, hex);
	snprintf(name, sizeof(name), "sync-%s.lock", hex);
	snprintf(why, sizeof(why), "%s of '%.900s' is running: wait for it",
		 exclusive ? "a commit or sync" : "a sync", work->w->path);
	int fd = tv_lockfile_take(work->s, name, exclusive, LOCK_WAIT_NS, why, err);
	if (fd < 0)
		return fd;
	work->lock = fd;
	return 0;
}

static int read_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct tv_worktree_work *work = arg;
	return tv_worktree_row_get(t, work->w->id, &work->row, &work->raw, err);
}

/* Reads the record; the base becomes the one recorded, or an empty directory. */
static int read_row(struct tv_worktree_work *work, struct tv_err *err)
{
	struct tv_worktree *w = work->w;
	memset(&work->row, 0, sizeof(work->row));
	tv_buf_clear(&work->raw);
	int res = tv_kv_read(tv_store_kv(work->s), read_body, work, err);
	if (res < 0)
		return res;
	snprintf(work->row.path, sizeof(work->row.path), "%s", w->path);
	w->has_base = work->row.has_base;
	if (!w->has_base)
		return tv_tree_empty(work->nodes, &work->base, err);
	w->base = work->row.base;
	w->base_root = work->base = work->row.base_root;
	return 0;
}

/* What a killed sync did: paths at which the folder is what the sync was bringing. */
struct repair {
	struct tv_worktree_work *work;
	struct tv_edit *edits; /* paths and targets owned */
	size_t len, cap;
};

static int repair_add(struct repair *r, const char *path, const struct tv_entry *after,
		      struct tv_err *err)
{
	if (r->len == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		void *grown = reallocarray(r->edits, cap, sizeof(*r->edits));
		if (!grown)
			return tv_err_nomem(err);
		r->edits = grown;
		r->cap = cap;
	}
	struct tv_edit e = { .path = strdup(path), .remove = !after };
	if (after)
		e.entry = *after;
	if (after && after->kind == TV_DIR)
		e.entry.addr = (struct tv_addr){ { 0 } };
	if (after && after->target)
		e.entry.target = strdup(after->target);
	if (!e.path || (after && after->target && !e.entry.target)) {
		free((char *)e.path);
		return tv_err_nomem(err);
	}
	r->edits[r->len++] = e;
	return 0;
}

/* Whether the folder has what a change brings. A directory counts when one is there: what lies below
 * is compared for itself. What was removed counts when nothing is there. */
static bool brought(const struct tv_entry *now, const struct tv_entry *after)
{
	if (!after)
		return !now->kind;
	if (after->kind == TV_DIR)
		return now->kind == TV_DIR;
	return now->kind && tv_entry_same_content(now, after);
}

static int repair_visit(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct repair *r = arg;
	struct tv_entry now;
	struct tv_seen seen;
	int res = tv_worktree_state(r->work, item->path, &now, &seen, err);
	if (res < 0)
		return res;
	tv_autofree char *target = (char *)now.target;
	return brought(&now, item->after) ? repair_add(r, item->path, item->after, err) : 0;
}

static int repair_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct tv_worktree_work *work = arg;
	struct tv_worktree_row now;
	tv_autobuf struct tv_buf raw = TV_BUF_INIT;
	int res = tv_worktree_row_get(t, work->w->id, &now, &raw, err);
	if (res < 0)
		return res;
	/* Somebody else has repaired it meanwhile: theirs stands. */
	if (raw.len != work->raw.len || memcmp(raw.data, work->raw.data, raw.len) != 0)
		return 0;
	res = tv_store_put_nodes(work->s, t, work->nodes, &work->base.addr, err);
	if (res < 0)
		return res;
	now.has_base = true;
	now.base_root = work->base;
	/* Without a base the folder began empty; what it has now is part of the pending commit. */
	now.base = work->row.has_base ? work->row.base : work->row.pending;
	now.has_pending = false;
	return tv_worktree_row_put(t, work->w->id, &now, err);
}

/* Moves the base to what a killed sync brought, and forgets the sync. */
static int repair(struct tv_worktree_work *work, struct tv_err *err)
{
	struct repair r = { .work = work };
	const struct tv_node_source *nodes = tv_node_batch_source(work->nodes);
	int res = tv_tree_diff(nodes, &work->base, &work->row.pending_root, TV_DIFF_DIRS,
			       repair_visit, &r, err);
	if (res == 0)
		res = tv_tree_edit(work->nodes, &work->base, r.edits, r.len, &work->base, err);
	if (res == 0)
		res = tv_kv_write(tv_store_kv(work->s), repair_body, work, err);
	for (size_t i = 0; i < r.len; i++) {
		free((char *)r.edits[i].path);
		free((char *)r.edits[i].entry.target);
	}
	free(r.edits);
	return res < 0 ? res : read_row(work, err);
}

int tv_worktree_begin(struct tv_store *s, struct tv_worktree *w, bool exclusive,
		      struct tv_worktree_work *work, struct tv_err *err)
{
	*work = (struct tv_worktree_work){ .s = s, .w = w, .lock = -1 };
	int res = tv_node_batch_new(tv_store_nodes(s), &work->nodes, err);
	if (res < 0)
		return res;
	res = take_lock(work, exclusive, err);
	if (res == 0)
		res = read_row(work, err);
	if (res == 0 && work->row.has_pending)
		res = repair(work, err);
	if (res < 0)
		tv_worktree_end(work);
	return res;
}

void tv_worktree_end(struct tv_worktree_work *work)
{
	if (work->lock >= 0)
		close(work->lock);
	work->lock = -1;
	tv_node_batch_free(work->nodes);
	work->nodes = NULL;
	tv_buf_free(&work->raw);
}

static int unmoved_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct tv_worktree_work *work = arg;
	struct tv_bytes value;
	int res = tv_kv_get(t, TV_T_WORKTREES, tv_bytes(work->w->id, 16), &value, err);
	if (res < 0)
		return res;
	if (res == 0)
		return work->raw.len == 0;
	return value.len == work->raw.len && memcmp(value.data, work->raw.data, value.len) == 0;
}

int tv_worktree_unmoved(const struct tv_worktree_work *work, struct tv_err *err)
{
	return tv_kv_read(tv_store_kv(work->s), unmoved_body, (void *)(uintptr_t)work, err);
}

void tv_worktree_scan(const struct tv_worktree_work *work, struct tv_scan *out)
{
	*out = (struct tv_scan){
		.kv = tv_store_kv(work->s),
		.worktree = work->w->id,
		.dirfd = work->w->dirfd,
		.nodes = tv_node_batch_source(work->nodes),
		.base = &work->base,
	};
}

static int state_link(int dirfd, const char *path, const struct tv_seen *seen, struct tv_entry *out,
		      struct tv_err *err)
{
	char target[TV_PATH_MAX];
	ssize_t n = readlinkat(dirfd, tv_path_base(path), target, sizeof(target));
	if (n <= 0 || n == sizeof(target))
		return tv_err_sys(err, n < 0 ? -errno : -ENAMETOOLONG, "cannot read the link '%s'",
				  path);
	struct tv_entry e = {
		.kind = TV_SYMLINK, .mode = 0777, .mtime_ns = seen->mtime_ns, .size = (uint64_t)n
	};
	int res = tv_sha_of(target, (size_t)n, &e.sha, err);
	if (res < 0)
		return res;
	char *copy = strndup(target, (size_t)n);
	if (!copy)
		return tv_err_nomem(err);
	e.target = copy;
	*out = e;
	return 0;
}

/* Reads a file that the cache does not know; what it looked like then is in *seen. */
static int state_file(int dirfd, const char *path, struct tv_seen *seen, struct tv_entry *out,
		      struct tv_err *err)
{
	for (unsigned tries = 0; tries < 3; tries++) {
		struct tv_seen before, after;
		struct tv_blob blob;
		tv_autoclose int fd = tv_reading_open(dirfd, tv_path_base(path));
		if (fd < 0)
			return tv_err_sys(err, fd, "cannot open '%s'", path);
		int res = tv_beneath_fstat(fd, &before);
		if (res == 0)
			res = tv_reading_hash(fd, &blob, err);
		if (res == 0)
			res = tv_beneath_fstat(fd, &after);
		if (res != 0)
			return tv_err_wrap(err, res, "'%s'", path);
		if (!tv_seen_same(&before, &after) || blob.size != after.size)
			continue;
		*seen = after;
		*out = (struct tv_entry){ .kind = TV_FILE,
					  .mode = after.mode,
					  .mtime_ns = after.mtime_ns,
					  .size = after.size,
					  .addr = blob.addr,
					  .sha = blob.sha };
		return 0;
	}
	return tv_err_set(err, -EBUSY, "'%s' keeps changing while it is read", path);
}

int tv_worktree_state(const struct tv_worktree_work *work, const char *path, struct tv_entry *out,
		      struct tv_seen *seen, struct tv_err *err)
{
	struct tv_cache_row row;
	const char *name;
	memset(out, 0, sizeof(*out));
	memset(seen, 0, sizeof(*seen));
	tv_autoclose int dirfd = tv_beneath_open_parent(work->w->dirfd, path, &name);
	if (dirfd == -ENOENT || dirfd == -ENOTDIR)
		return 0;
	int res = dirfd < 0 ? dirfd : tv_beneath_stat(dirfd, name, 0, seen);
	if (res == -ENOENT)
		return 0;
	if (res < 0)
		return tv_err_sys(err, res, "cannot stat '%s'", path);
	if (!seen->kind || seen->mount_point)
		return 0;
	if (seen->kind == TV_SYMLINK)
		return state_link(dirfd, path, seen, out, err);
	*out = (struct tv_entry){ .kind = seen->kind,
				  .mode = seen->mode,
				  .mtime_ns = seen->mtime_ns };
	if (seen->kind == TV_DIR)
		return 0;
	res = tv_cache_get(tv_store_kv(work->s), work->w->id, path, &row, err);
	if (res < 0)
		return res;
	if (res == 0 || !tv_cache_row_holds(&row, seen))
		return state_file(dirfd, path, seen, out, err);
	out->size = seen->size;
	out->addr = row.addr;
	out->sha = row.sha;
	return 0;
}
