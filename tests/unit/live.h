/* What the tests of live folders share: a folder beside the store, files in it, import and sync. */
#ifndef TV_TESTS_UNIT_LIVE_H
#define TV_TESTS_UNIT_LIVE_H

#include "support.h"

#include "store/fsck.h"
#include "store/gc.h"
#include "store/ref.h"
#include "store/worktree.h"

struct live {
	struct fixture *f;
	char dir[96];
	struct tv_worktree w;
};

static inline void live_open(struct live *l, struct fixture *f)
{
	struct tv_err err = TV_ERR_INIT;
	l->f = f;
	snprintf(l->dir, sizeof(l->dir), "%s/live", f->dir);
	mkdir(l->dir, 0755);
	ok(tv_worktree_open(f->store, l->dir, &l->w, &err));
}

static inline void live_path(const struct live *l, const char *path, char out[512])
{
	snprintf(out, 512, "%s/%s", l->dir, path);
}

/* Writes a file (its folders too), old enough not to be racy unless it is written again. */
static inline void put(const struct live *l, const char *path, const char *text)
{
	char whole[512];
	struct tv_err err = TV_ERR_INIT;
	live_path(l, path, whole);
	char *slash = strrchr(whole, '/');
	*slash = 0;
	ok(tv_io_mkdirs(AT_FDCWD, whole, 0755, &err));
	*slash = '/';
	int fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	is(fd >= 0);
	is(tv_io_write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

static inline void drop(const struct live *l, const char *path)
{
	struct tv_err err = TV_ERR_INIT;
	char whole[512];
	live_path(l, path, whole);
	ok(tv_io_remove_tree(AT_FDCWD, whole, &err));
}

/* True when the file holds just this text; NULL: is absent. */
static inline bool holds(const struct live *l, const char *path, const char *text)
{
	char whole[512];
	tv_autofree char *bytes = NULL;
	size_t n;
	live_path(l, path, whole);
	int r = tv_io_read_file(AT_FDCWD, whole, 1 << 20, &bytes, &n, NULL);
	if (!text)
		return r == -ENOENT;
	return r == 0 && n == strlen(text) && memcmp(bytes, text, n) == 0;
}

static const char *const live_ignore[] = { "*.lock", "*.tmp" };

static inline struct tv_import how_to_import(void)
{
	return (struct tv_import){
		.ref = "main", .author = "a", .message = "m", .ignore = live_ignore, .n_ignore = 2
	};
}

static inline int import_paths(struct live *l, const char *const *paths, size_t n,
			       struct tv_published *out, struct tv_conflicts *conflicts,
			       struct tv_refused *refused, struct tv_err *err)
{
	struct tv_import how = how_to_import();
	how.paths = paths;
	how.n_paths = n;
	return tv_worktree_import(l->f->store, &l->w, &how, out, conflicts, refused, err);
}

static inline struct tv_published import_all(struct live *l)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	memset(&out, 0, sizeof(out));
	ok(import_paths(l, NULL, 0, &out, NULL, NULL, &err));
	return out;
}

static inline struct tv_published import_one(struct live *l, const char *path)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_published out;
	memset(&out, 0, sizeof(out));
	ok(import_paths(l, &path, 1, &out, NULL, NULL, &err));
	return out;
}

static inline struct tv_sha tip_of(struct tv_store *s, const char *ref)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_ref r;
	memset(&r, 0, sizeof(r));
	ok(tv_ref_get(s, ref, &r, &err));
	return r.commit;
}

static inline int sync_main(struct live *l, bool force, struct tv_conflicts *conflicts,
			    struct tv_err *err)
{
	struct tv_sync how = { .ignore = live_ignore, .n_ignore = 2, .force = force };
	struct tv_sha tip = tip_of(l->f->store, "main");
	return tv_worktree_sync(l->f->store, &l->w, &tip, &how, conflicts, err);
}

/* True when main holds just this text at the path; NULL: nothing. */
static inline bool main_has(struct tv_store *s, const char *path, const char *text)
{
	struct tv_err err = TV_ERR_INIT;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_entry e;
	struct tv_sha tip = tip_of(s, "main"), want;
	ok(tv_commit_get(s, &tip, &c, &err));
	int r = tv_tree_lookup(tv_store_nodes(s), &c.root, path, &e, NULL, &err);
	if (r == -ENOENT || r == -ENOTDIR)
		return !text;
	is(r == 0);
	ok(tv_sha_of(text ? text : "", text ? strlen(text) : 0, &want, &err));
	return text && e.kind == TV_FILE && tv_sha_eq(&e.sha, &want);
}

/* Publishes on main, on top of it, as somebody else would. */
static inline void publish_more(struct tv_store *s, const char *path, const char *text)
{
	struct tv_sha tip = tip_of(s, "main");
	publish_one(s, &tip, path, text);
}

static inline int print_finding(void *arg, const struct tv_finding *f)
{
	unsigned *damages = arg;
	if (f->severity == TV_DAMAGE) {
		print_message("damage: %s (%s)\n", f->what, f->path ? f->path : "-");
		++*damages;
	}
	return 0;
}

static inline void fsck_is_clean(struct tv_store *s)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_fsck_figures figures;
	unsigned damages = 0;
	struct tv_fsck how = { .read_data = true, .found = print_finding, .arg = &damages };
	ok(tv_fsck(s, &how, &figures, &err));
	is(damages == 0);
}

static inline struct tv_gc_figures gc_now(struct tv_store *s)
{
	struct tv_err err = TV_ERR_INIT;
	struct tv_gc how = { .delete_ = true };
	struct tv_gc_figures figures;
	memset(&figures, 0, sizeof(figures));
	ok(tv_gc(s, &how, &figures, &err));
	return figures;
}

/* Waits until files written by now are not racy any more. */
static inline void settle(void)
{
	usleep(30000);
}

#endif
