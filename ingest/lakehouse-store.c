#include <stdlib.h>
#include <string.h>

#include "ingest/lakehouse-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/lease.h"
#include "store/publish.h"

struct lake {
	struct tv_lakehouse common;
	struct tv_store *store;
	char *ref;	      /* NULL: only `at` is read */
	bool exists, existed; /* whether the ref has, and had, a commit: */
	struct tv_commit at, before;
	struct tv_lease lease;	/* on `at`; "" when there is none */
	struct tv_blobs *files; /* of everything that is no table; NULL: none yet */
	bool placed;
};

static struct lake *lake_of(struct tv_lakehouse *l)
{
	return (struct lake *)l;
}

/* --- reading ----------------------------------------------------------------------------------- */

static int find(struct lake *k, bool exists, const struct tv_commit *commit, const char *path,
		struct tv_entry *out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	if (!exists)
		return tv_err_set(err, -ENOENT, "'%s' is not there", path);
	int r = tv_tree_lookup(tv_store_nodes(k->store), &commit->root, path, out, NULL, &why);
	if (r == -ENOENT || r == -ENOTDIR)
		return tv_err_set(err, -ENOENT, "'%s' is not there", path);
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	return out->kind == TV_FILE ? 0 : tv_err_set(err, -EINVAL, "'%s' is not a file", path);
}

static int open_at(struct lake *k, bool exists, const struct tv_commit *commit, const char *path,
		   struct tv_err *err)
{
	struct tv_entry e;
	int r = find(k, exists, commit, path, &e, err);
	return r < 0 ? r : tv_blob_open(k->store, &e.addr, err);
}

static int lake_open(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	struct lake *k = lake_of(l);
	return open_at(k, k->exists, &k->at, path, err);
}

static int lake_open_before(struct tv_lakehouse *l, const char *path, struct tv_err *err)
{
	struct lake *k = lake_of(l);
	return open_at(k, k->existed, &k->before, path, err);
}

static int lake_stat(struct tv_lakehouse *l, const char *path, struct tv_lakehouse_file *out,
		     struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct tv_entry e;
	int r = find(k, k->exists, &k->at, path, &e, err);
	if (r == 0)
		*out = (struct tv_lakehouse_file){ e.size, e.mtime_ns, true, e.addr, e.sha };
	return r;
}

static int lake_sha(struct tv_lakehouse *l, const char *path, struct tv_sha *out,
		    struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct tv_entry e;
	int r = find(k, k->exists, &k->at, path, &e, err);
	if (r == 0)
		*out = e.sha;
	return r;
}

static int lake_each(struct tv_lakehouse *l,
		     int (*visit)(void *arg, const char *name, struct tv_err *err), void *arg,
		     struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct tv_dir_cursor c;
	const char *name;
	struct tv_entry e;
	size_t n;
	if (!k->exists)
		return 0;
	int r = tv_dir_cursor_open(&c, tv_store_nodes(k->store), &k->at.root.addr, err);
	while (r == 0 && tv_dir_cursor_get(&c, &name, &n, &e)) {
		tv_autofree char *text = strndup(name, n);
		r = text ? visit(arg, text, err) : tv_err_nomem(err);
		if (r == 0)
			r = tv_dir_cursor_next(&c, err);
	}
	tv_dir_cursor_close(&c);
	return r;
}

/* --- staging ----------------------------------------------------------------------------------- */

static int lake_take(struct tv_lakehouse *l, int fd, bool ours, struct tv_staged *s,
		     struct tv_err *err)
{
	struct lake *k = lake_of(l);
	int r = k->files ? 0 : tv_blobs_begin(k->store, &k->files, err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = tv_err_sys(err, -errno, "cannot read it from its start");
	if (r == 0)
		r = ours ? tv_blobs_adopt_fd(k->files, fd, &s->blob, err)
			 : tv_blobs_add_fd(k->files, fd, &s->blob, NULL, err);
	if (r == 0)
		s->sha = s->blob.sha;
	return r;
}

/* A blob that nothing refers to in the end is gc's. */
static void lake_leave(struct tv_lakehouse *l, struct tv_staged *s)
{
	(void)l;
	(void)s;
}

/* --- publishing -------------------------------------------------------------------------------- */

/* One attempt, on where the ref was seen last. */
struct attempt {
	struct lake *lake;
	struct tv_node_batch *nodes;
	struct tv_blobs *tables;
	struct tv_edit *edits;
	struct tv_entry ours;
};

static void attempt_free(struct attempt *a)
{
	tv_node_batch_free(a->nodes);
	tv_blobs_free(a->tables);
	free(a->edits);
}

static int edit_of(struct attempt *a, struct tv_staged *s, int64_t now, struct tv_edit *out,
		   struct tv_err *err)
{
	struct lake *k = a->lake;
	struct tv_entry old;
	*out = (struct tv_edit){ .path = s->path, .remove = s->remove };
	if (s->remove)
		return 0;
	if (s->table) {
		int r = tv_blobs_add_bytes(a->tables, s->bytes.data, s->bytes.len, &s->blob, err);
		if (r < 0)
			return r;
	}
	bool had = find(k, k->exists, &k->at, s->path, &old, NULL) == 0;
	out->entry = (struct tv_entry){
		.kind = TV_FILE,
		.mode = had ? old.mode : 0644,
		.mtime_ns = now,
		.size = s->blob.size,
		.addr = s->blob.addr,
		.sha = s->blob.sha,
	};
	return 0;
}

static int make_tree(struct attempt *a, struct tv_err *err)
{
	struct lake *k = a->lake;
	struct tv_lakehouse *l = &k->common;
	struct tv_entry root = k->at.root;
	int64_t now = tv_now_ns();
	a->edits = calloc(l->n_staged, sizeof(*a->edits));
	if (!a->edits)
		return tv_err_nomem(err);
	int r = tv_node_batch_new(tv_store_nodes(k->store), &a->nodes, err);
	if (r == 0)
		r = tv_blobs_begin(k->store, &a->tables, err);
	for (size_t i = 0; i < l->n_staged && r == 0; i++)
		r = edit_of(a, &l->staged[i], now, &a->edits[i], err);
	if (r == 0)
		r = tv_blobs_place(a->tables, err);
	if (r == 0 && !k->exists)
		r = tv_tree_empty(a->nodes, &root, err);
	if (r == 0)
		r = tv_tree_edit(a->nodes, &root, a->edits, l->n_staged, &a->ours, err);
	return r;
}

static int register_files(void *arg, struct tv_kv_txn *t, const struct tv_commit *c,
			  struct tv_err *err)
{
	struct attempt *a = arg;
	(void)c;
	return a->lake->files ? tv_blobs_register(a->lake->files, t, err) : 0;
}

static int attempt(struct lake *k, const struct tv_lakehouse_publish *how, struct tv_published *out,
		   struct tv_conflicts *conflicts, struct tv_err *err)
{
	tv_auto(attempt_free) struct attempt a = { .lake = k };
	int r = make_tree(&a, err);
	if (r < 0)
		return r;
	const struct tv_publish p = {
		.ref = k->ref,
		.ref_kind = strncmp(k->ref, "draft/", 6) == 0 ? TV_REF_DRAFT : TV_REF_BRANCH,
		.base = k->exists ? &k->at.id : NULL,
		.ours = &a.ours,
		.nodes = a.nodes,
		.blobs = a.tables,
		.author = how->author,
		.message = how->message,
		.trace_id = how->trace_id,
		.meta = how->meta,
		.also = register_files,
		.also_arg = &a,
	};
	return tv_publish(k->store, &p, out, conflicts, err);
}

/* Looks where the ref stands now. */
static int look(struct lake *k, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_lease lease = { .id = "" };
	struct tv_ref ref;
	int r = tv_ref_get(k->store, k->ref, &ref, &why);
	if (r < 0 && r != -ENOENT)
		return tv_err_set(err, r, "%s", why.text);
	bool exists = r == 0;
	struct tv_commit now = TV_COMMIT_INIT;
	r = exists ? tv_lease_take(k->store, &ref.commit, "import", "", NULL, &lease, err) : 0;
	if (r == 0 && exists)
		r = tv_commit_get(k->store, &ref.commit, &now, err);
	if (*k->lease.id && r == 0)
		r = tv_lease_drop(k->store, k->lease.id, err);
	if (r < 0) {
		tv_commit_free(&now);
		if (*lease.id)
			tv_lease_drop(k->store, lease.id, NULL);
		return r;
	}
	tv_commit_free(&k->before);
	k->before = k->at;
	k->existed = k->exists;
	k->at = now;
	k->exists = exists;
	k->lease = lease;
	return 0;
}

/* 1: others changed what is staged here, and it was staged anew. */
static int publish_or_rebase(struct lake *k, const struct tv_lakehouse_publish *how,
			     struct tv_published *done, struct tv_err *err)
{
	struct tv_conflicts conflicts = { NULL, 0 };
	struct tv_err why = TV_ERR_INIT;
	int r = attempt(k, how, done, &conflicts, &why);
	if (r == -TV_E_CONFLICT && how->rebase) {
		r = look(k, err);
		if (r == 0)
			r = how->rebase(how->arg, &k->common, conflicts.paths, conflicts.len, err);
		r = r < 0 ? r : 1;
	} else if (r < 0) {
		tv_err_set(err, r, "%s", why.text);
	}
	tv_conflicts_free(&conflicts);
	return r;
}

static int lake_publish(struct tv_lakehouse *l, const struct tv_lakehouse_publish *how,
			struct tv_lakehouse_published *out, struct tv_err *err)
{
	struct lake *k = lake_of(l);
	struct tv_published done = { .unchanged = true };
	unsigned rebases = 0;
	int r = k->ref ? 0 : tv_err_set(err, -EROFS, "a commit cannot be published into");
	if (r == 0 && k->files && !k->placed)
		r = tv_blobs_place(k->files, err);
	k->placed = true;
	while (r == 0 && l->n_staged) {
		r = publish_or_rebase(k, how, &done, err);
		if (r != 1)
			break;
		r = ++rebases < TV_REBASES_MAX
			    ? 0
			    : tv_err_set(err, -TV_E_LOCKED,
					 "others keep publishing to '%s'; try again later", k->ref);
	}
	if (r < 0)
		return r;
	*out = (struct tv_lakehouse_published){
		.unchanged = done.unchanged,
		.merged = done.merged || rebases,
		.commit = l->n_staged ? done.commit : k->at.id,
		.foundation = l->n_staged ? done.foundation : k->at.root.sha,
	};
	return 0;
}

/* --- from start to end ------------------------------------------------------------------------- */

static void lake_free(struct tv_lakehouse *l)
{
	struct lake *k = lake_of(l);
	if (*k->lease.id)
		tv_lease_drop(k->store, k->lease.id, NULL);
	tv_blobs_free(k->files);
	tv_commit_free(&k->at);
	tv_commit_free(&k->before);
	free(k->ref);
	free(k);
}

static const struct tv_lakehouse_kind kind = {
	.open = lake_open,
	.open_table = lake_open,
	.open_before = lake_open_before,
	.sha = lake_sha,
	.stat = lake_stat,
	.each = lake_each,
	.take = lake_take,
	.leave = lake_leave,
	.publish = lake_publish,
	.free = lake_free,
};

static struct lake *lake_new(struct tv_store *store)
{
	struct lake *k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->common.kind = &kind;
	k->store = store;
	k->at = k->before = TV_COMMIT_INIT;
	return k;
}

int tv_lakehouse_of_commit(struct tv_store *store, const struct tv_sha *commit,
			   struct tv_lakehouse **out, struct tv_err *err)
{
	struct lake *k = lake_new(store);
	if (!k)
		return tv_err_nomem(err);
	k->exists = true;
	int r = tv_lease_take(store, commit, "reader", "", NULL, &k->lease, err);
	if (r == 0)
		r = tv_commit_get(store, commit, &k->at, err);
	if (r < 0) {
		lake_free(&k->common);
		return r;
	}
	*out = &k->common;
	return 0;
}

int tv_lakehouse_of_store(struct tv_store *store, const char *ref, struct tv_lakehouse **out,
			  struct tv_err *err)
{
	int r = tv_ref_name_check(ref, err);
	if (r < 0)
		return r;
	struct lake *k = lake_new(store);
	if (!k)
		return tv_err_nomem(err);
	k->ref = strdup(ref);
	r = k->ref ? look(k, err) : tv_err_nomem(err);
	if (r < 0) {
		lake_free(&k->common);
		return r;
	}
	*out = &k->common;
	return 0;
}
