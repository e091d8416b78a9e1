#include "store/tvfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"
#include "store/blob.h"
#include "store/commit.h"
#include "store/lease.h"
#include "store/rev.h"

struct tvfs_store {
	struct tv_store *s;
};

struct tvfs_snapshot {
	struct tv_store *s; /* borrowed */
	struct tv_commit commit;
	struct tv_lease lease;
	char id[TV_SHA_HEX], foundation[TV_SHA_HEX];
};

/* The caller's form of an error. */
static int tell(int code, const struct tv_err *why, struct tvfs_error *err)
{
	if (code < 0 && err)
		snprintf(err->text, sizeof(err->text), "%s", why->text);
	return code;
}

const char *tvfs_version(void)
{
	return TVFS_VERSION;
}

/* A folder that is itself a store, or the one that is found upwards from it. */
static int open_store(const char *folder, struct tv_store **out, struct tv_err *err)
{
	tv_autofree char *format = tv_path_join(folder, "format"), *found = NULL;
	if (!format)
		return tv_err_nomem(err);
	if (access(format, F_OK) == 0 && tv_store_open(folder, out, NULL) == 0)
		return 0;
	int r = tv_store_find(folder, &found, err);
	return r < 0 ? r : tv_store_open(found, out, err);
}

int tvfs_store_open(const char *folder, struct tvfs_store **out, struct tvfs_error *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tvfs_store *store = calloc(1, sizeof(*store));
	int r = store ? open_store(folder, &store->s, &why) : tv_err_nomem(&why);
	if (r < 0)
		free(store);
	else
		*out = store;
	return tell(r, &why, err);
}

void tvfs_store_close(struct tvfs_store *store)
{
	if (store)
		tv_store_close(store->s);
	free(store);
}

/* The lease comes first: what it protects is then read. */
static int open_snapshot(struct tvfs_snapshot *p, const char *revision, struct tv_err *err)
{
	struct tv_rev rev;
	int r = tv_rev_resolve(p->s, revision, &rev, err);
	if (r == 0)
		r = tv_lease_take(p->s, &rev.commit, "reader", "", NULL, &p->lease, err);
	if (r < 0)
		return r;
	r = tv_commit_get(p->s, &rev.commit, &p->commit, err);
	if (r < 0)
		tv_lease_drop(p->s, p->lease.id, NULL);
	return r;
}

int tvfs_snapshot_open(struct tvfs_store *store, const char *revision, struct tvfs_snapshot **out,
		       struct tvfs_error *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tvfs_snapshot *p = calloc(1, sizeof(*p));
	if (!p)
		return tell(-ENOMEM, &why, err);
	p->s = store->s;
	int r = open_snapshot(p, revision, &why);
	if (r < 0) {
		free(p);
		return tell(r, &why, err);
	}
	tv_sha_hex(&p->commit.id, p->id);
	tv_sha_hex(&p->commit.root.sha, p->foundation);
	*out = p;
	return 0;
}

void tvfs_snapshot_close(struct tvfs_snapshot *snapshot)
{
	if (!snapshot)
		return;
	tv_lease_drop(snapshot->s, snapshot->lease.id, NULL);
	tv_commit_free(&snapshot->commit);
	free(snapshot);
}

const char *tvfs_snapshot_foundation(const struct tvfs_snapshot *snapshot)
{
	return snapshot->foundation;
}

const char *tvfs_snapshot_commit(const struct tvfs_snapshot *snapshot)
{
	return snapshot->id;
}

static void fill(struct tvfs_entry *out, const struct tv_entry *e)
{
	*out = (struct tvfs_entry){
		.kind = (enum tvfs_kind)e->kind,
		.mode = e->mode,
		.mtime_ns = e->mtime_ns,
		.size = e->size,
		.files = e->files,
	};
	tv_sha_hex(&e->sha, out->sha256);
	if (e->kind == TV_FILE)
		tv_addr_hex(&e->addr, out->blob);
}

/* node: to be held while a symlink's target is used; NULL when it is not. */
static int look_up(struct tvfs_snapshot *p, const char *path, struct tv_entry *e,
		   struct tv_node **node, struct tv_err *err)
{
	tv_autofree char *clean = NULL;
	int r = *path ? tv_path_normalise(path, &clean, err) : 0;
	if (r < 0)
		return r;
	return tv_tree_lookup(tv_store_nodes(p->s), &p->commit.root, clean ? clean : "", e, node,
			      err);
}

int tvfs_stat(struct tvfs_snapshot *snapshot, const char *path, struct tvfs_entry *out,
	      struct tvfs_error *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_entry e;
	int r = look_up(snapshot, path, &e, NULL, &why);
	if (r == 0)
		fill(out, &e);
	return tell(r, &why, err);
}

static int list(struct tvfs_snapshot *p, const char *folder,
		int (*visit)(void *arg, const char *name, const struct tvfs_entry *entry),
		void *arg, struct tv_err *err)
{
	struct tv_dir_cursor cursor;
	struct tvfs_entry shown;
	struct tv_entry e;
	const char *name;
	char text[256];
	size_t n;

	int r = look_up(p, folder, &e, NULL, err);
	if (r == 0 && e.kind != TV_DIR)
		r = tv_err_set(err, -ENOTDIR, "'%s' is not a folder", folder);
	if (r == 0)
		r = tv_dir_cursor_open(&cursor, tv_store_nodes(p->s), &e.addr, err);
	if (r < 0)
		return r;
	while (r == 0 && tv_dir_cursor_get(&cursor, &name, &n, &e) == 1) {
		snprintf(text, sizeof(text), "%.*s", (int)n, name);
		fill(&shown, &e);
		r = visit(arg, text, &shown);
		if (r == 0)
			r = tv_dir_cursor_next(&cursor, err);
	}
	tv_dir_cursor_close(&cursor);
	return r;
}

int tvfs_list(struct tvfs_snapshot *snapshot, const char *folder,
	      int (*visit)(void *arg, const char *name, const struct tvfs_entry *entry), void *arg,
	      struct tvfs_error *err)
{
	struct tv_err why = TV_ERR_INIT;
	return tell(list(snapshot, folder, visit, arg, &why), &why, err);
}

static int open_file(struct tvfs_snapshot *p, const char *path, struct tv_err *err)
{
	struct tv_entry e;
	struct stat st;
	int r = look_up(p, path, &e, NULL, err);
	if (r == 0 && e.kind != TV_FILE)
		r = tv_err_set(err, e.kind == TV_DIR ? -EISDIR : -ELOOP, "'%s' is no file", path);
	if (r < 0)
		return r;
	tv_autoclose int fd = tv_blob_open(p->s, &e.addr, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return tv_err_sys(err, -errno, "cannot stat the blob of '%s'", path);
	if ((uint64_t)st.st_size != e.size)
		return tv_err_set(err, -TV_E_DAMAGED, "the blob of '%s' has another size: run fsck",
				  path);
	return tv_steal_fd(&fd);
}

int tvfs_open(struct tvfs_snapshot *snapshot, const char *path, struct tvfs_error *err)
{
	struct tv_err why = TV_ERR_INIT;
	return tell(open_file(snapshot, path, &why), &why, err);
}

int tvfs_readlink(struct tvfs_snapshot *snapshot, const char *path, char *target, size_t size,
		  struct tvfs_error *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_node *node = NULL;
	struct tv_entry e;
	int r = look_up(snapshot, path, &e, &node, &why);
	if (r == 0 && e.kind != TV_SYMLINK)
		r = tv_err_set(&why, -EINVAL, "'%s' is no symbolic link", path);
	else if (r == 0 && e.size >= size)
		r = tv_err_set(&why, -ERANGE, "the target of '%s' is longer", path);
	else if (r == 0)
		memcpy(target, e.target, e.size + 1);
	tv_node_unref(node);
	return tell(r, &why, err);
}
