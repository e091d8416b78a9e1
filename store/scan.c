#include "store/scan.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"
#include "store/listing.h"
#include "store/store.h"

/* A folder that waits for its turn. Folders are opened by path when their turn comes, so that a
 * deep tree does not hold a descriptor a level. */
struct folder {
	char *path; /* owned */
	bool in_base;
	struct tv_addr base;
	size_t item; /* its place among the items, from 1, when it is a new one; or 0 */
};

/* What a scan needs while it runs. */
struct walk {
	struct tv_scan *scan;
	uint64_t dev;	     /* of the live folder */
	uint64_t looked;     /* names, for progress */
	size_t owner;	     /* `item` of the folder at hand */
	struct folder *todo; /* a stack */
	size_t len, cap;
	struct tv_listing names;
	struct tv_cache_reader rows;
};

bool tv_scan_ignored(const char *const *ignore, size_t n_ignore, const char *path)
{
	const char *name = tv_path_base(path);
	if (strncmp(name, TV_SYNC_TEMP, strlen(TV_SYNC_TEMP)) == 0 ||
	    strcmp(name, TV_STORE_FOLDER) == 0)
		return true;
	for (size_t i = 0; i < n_ignore; i++)
		if (tv_path_matches(ignore[i], path))
			return true;
	return false;
}

static void item_free(struct tv_scan_item *item)
{
	free(item->path);
	free((char *)item->entry.target);
}

void tv_scan_free(struct tv_scan *scan)
{
	for (size_t i = 0; i < scan->len; i++)
		item_free(&scan->items[i]);
	free(scan->items);
	tv_buf_free(&scan->stale);
	scan->items = NULL;
	scan->len = scan->cap = 0;
}

/* Adds an item; takes path over, also when it fails. */
static int add_item(struct tv_scan *scan, char *path, enum tv_scan_kind what, bool in_base,
		    struct tv_scan_item **out, struct tv_err *err)
{
	if (scan->len == scan->cap) {
		size_t cap = scan->cap ? scan->cap * 2 : 64;
		void *grown = reallocarray(scan->items, cap, sizeof(*scan->items));
		if (!grown) {
			free(path);
			return tv_err_nomem(err);
		}
		scan->items = grown;
		scan->cap = cap;
	}
	*out = &scan->items[scan->len++];
	**out = (struct tv_scan_item){ .path = path, .what = what, .in_base = in_base };
	return 0;
}

static int push_folder(struct walk *w, const char *path, const struct tv_entry *base,
		       struct tv_err *err)
{
	if (w->len == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 64;
		void *grown = reallocarray(w->todo, cap, sizeof(*w->todo));
		if (!grown)
			return tv_err_nomem(err);
		w->todo = grown;
		w->cap = cap;
	}
	struct folder f = { .path = strdup(path) };
	if (!f.path)
		return tv_err_nomem(err);
	if (base && base->kind == TV_DIR) {
		f.in_base = true;
		f.base = base->addr;
	}
	w->todo[w->len++] = f;
	return 0;
}

/* Something is in the folder at hand that is imported. */
static void not_hollow(struct walk *w)
{
	struct tv_scan_item *items = w->scan->items;
	for (size_t at = w->owner; at && items[at - 1].hollow; at = items[at - 1].parent)
		items[at - 1].hollow = false;
}

static void drop_hollow(struct tv_scan *scan)
{
	size_t kept = 0;
	for (size_t i = 0; i < scan->len; i++) {
		if (scan->items[i].hollow)
			item_free(&scan->items[i]);
		else
			scan->items[kept++] = scan->items[i];
	}
	scan->len = kept;
}

/* Notes that the row of a path has no file any more. */
static void add_stale(struct tv_scan *scan, const char *path)
{
	uint8_t key[TV_CACHE_KEY_MAX];
	size_t n = tv_cache_key(scan->worktree, path, key);
	tv_buf_add_le16(&scan->stale, (uint16_t)n);
	tv_buf_add(&scan->stale, key, n);
}

struct stale_walk {
	struct tv_scan *scan;
	const char *top;
};

static int stale_visit(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	const struct stale_walk *s = arg;
	if (e->kind != TV_FILE)
		return 0;
	tv_autofree char *whole = tv_path_join(s->top, path);
	if (!whole)
		return tv_err_nomem(err);
	add_stale(s->scan, whole);
	return 0;
}

/* What stands in the tree at path has gone from the folder (or is no folder any more). */
static int forget_rows(struct tv_scan *scan, const char *path, const struct tv_entry *base,
		       struct tv_err *err)
{
	struct stale_walk s = { .scan = scan, .top = path };
	if (base->kind == TV_FILE)
		add_stale(scan, path);
	if (base->kind != TV_DIR)
		return 0;
	return tv_tree_walk(scan->nodes, base, stale_visit, &s, err);
}

static int add_removal(struct tv_scan *scan, char *path, const struct tv_entry *base,
		       struct tv_err *err)
{
	struct tv_scan_item *item = NULL;
	int res = add_item(scan, path, TV_SCAN_REMOVE, true, &item, err);
	return res < 0 ? res : forget_rows(scan, item->path, base, err);
}

/* A folder: its mode and mtime are entries of the tree, its contents wait for their turn. */
static int take_folder(struct walk *w, char *path, const struct tv_seen *seen,
		       const struct tv_entry *base, struct tv_err *err)
{
	bool known = base && base->kind == TV_DIR;
	struct tv_scan_item *item = NULL;
	int res = push_folder(w, path, base, err);
	if (res < 0 || (known && base->mode == seen->mode && base->mtime_ns == seen->mtime_ns)) {
		free(path);
		return res;
	}
	bool only_time = known && base->mode == seen->mode;
	res = add_item(w->scan, path, only_time ? TV_SCAN_TIME : TV_SCAN_SET, base, &item, err);
	if (res < 0)
		return res;
	item->entry =
		(struct tv_entry){ .kind = TV_DIR, .mode = seen->mode, .mtime_ns = seen->mtime_ns };
	if (!base) {
		item->hollow = true;
		item->parent = w->owner;
		w->todo[w->len - 1].item = w->scan->len;
	} else if (!known) {
		not_hollow(w);
	}
	return 0;
}

static int take_symlink(struct walk *w, int dirfd, char *path, const struct tv_seen *seen,
			const struct tv_entry *base, struct tv_err *err)
{
	tv_autofree char *owned = path;
	char target[TV_PATH_MAX];
	struct tv_scan_item *item = NULL;
	struct tv_entry e = { .kind = TV_SYMLINK, .mode = 0777, .mtime_ns = seen->mtime_ns };

	ssize_t n = readlinkat(dirfd, tv_path_base(path), target, sizeof(target));
	if (n <= 0 || n == sizeof(target))
		return tv_err_sys(err, n < 0 ? -errno : -ENAMETOOLONG, "cannot read the link '%s'",
				  path);
	e.size = (uint64_t)n;
	int res = tv_sha_of(target, (size_t)n, &e.sha, err);
	if (res < 0 || (base && tv_entry_same(base, &e)))
		return res;
	char *copy = strndup(target, (size_t)n);
	if (!copy)
		return tv_err_nomem(err);
	res = add_item(w->scan, tv_steal_ptr(&owned), TV_SCAN_SET, base, &item, err);
	if (res < 0) {
		free(copy);
		return res;
	}
	item->entry = e;
	item->entry.target = copy;
	not_hollow(w);
	return 0;
}

/* A file that is not what the tree and the cache say together. */
static int take_file(struct walk *w, char *path, const struct tv_seen *seen,
		     const struct tv_cache_row *row, const struct tv_entry *base,
		     struct tv_err *err)
{
	struct tv_scan_item *item = NULL;
	int res = add_item(w->scan, path, row ? TV_SCAN_SET : TV_SCAN_READ, base, &item, err);
	if (res < 0)
		return res;
	item->seen = *seen;
	item->entry = (struct tv_entry){
		.kind = TV_FILE, .mode = seen->mode, .mtime_ns = seen->mtime_ns, .size = seen->size
	};
	if (row) {
		item->entry.addr = row->addr;
		item->entry.sha = row->sha;
	}
	not_hollow(w);
	return 0;
}

/* True when the file is exactly what the tree holds: the case that a scan is made of. */
static bool unchanged(const struct tv_seen *seen, const struct tv_cache_row *row,
		      const struct tv_entry *base)
{
	return base && row && base->kind == TV_FILE && base->mode == seen->mode &&
	       base->mtime_ns == seen->mtime_ns && base->size == seen->size &&
	       tv_addr_eq(&base->addr, &row->addr) && tv_sha_eq(&base->sha, &row->sha);
}

static int take_bad(struct walk *w, const char *path, const char *reason, struct tv_err *err)
{
	if (w->scan->bad)
		return w->scan->bad(w->scan->bad_arg, path, reason, err);
	return tv_err_set(err, -EINVAL, "'%s' %s", path, reason);
}

/* Looks at one name that is there. base and row are what the tree and the cache know, or NULL. */
static int take(struct walk *w, int dirfd, const char *folder, const char *name, size_t n,
		const struct tv_entry *base, struct tv_bytes row_bytes, struct tv_err *err)
{
	struct tv_seen seen;
	struct tv_cache_row row;
	bool have_row = false;

	int res = tv_beneath_stat(dirfd, name, w->dev, &seen);
	if (res == 0 && seen.kind == TV_FILE) {
		w->scan->files++;
		have_row = row_bytes.len && tv_cache_row_decode(row_bytes, &row) &&
			   tv_cache_row_holds(&row, &seen);
		if (have_row && !seen.mount_point && unchanged(&seen, &row, base))
			return 0;
	}
	tv_autofree char *path = tv_path_join(folder, name);
	if (!path)
		return tv_err_nomem(err);
	if (tv_scan_ignored(w->scan->ignore, w->scan->n_ignore, path))
		return 0;
	if (res == -ENOENT) /* it went between listing and stat */
		return base ? add_removal(w->scan, tv_steal_ptr(&path), base, err) : 0;
	if (res < 0)
		return tv_err_sys(err, res, "cannot stat '%s'", path);
	if (seen.mount_point)
		return take_bad(w, path, "is a mount point: unmount it, or ignore it", err);
	if (tv_name_reserved(name, n))
		return take_bad(w, path,
				"begins with .wh., as overlays' marks do: rename it, or ignore it",
				err);
	if (!seen.kind)
		return take_bad(w, path, "is a fifo, socket or device: remove it, or ignore it",
				err);
	if (base && base->kind != seen.kind) {
		res = forget_rows(w->scan, path, base, err);
		if (res < 0)
			return res;
	}
	switch (seen.kind) {
	case TV_DIR:
		return take_folder(w, tv_steal_ptr(&path), &seen, base, err);
	case TV_SYMLINK:
		return take_symlink(w, dirfd, tv_steal_ptr(&path), &seen, base, err);
	case TV_FILE:
		break;
	}
	return take_file(w, tv_steal_ptr(&path), &seen, have_row ? &row : NULL, base, err);
}

/* A name that only the tree has. */
static int take_gone(struct walk *w, const char *folder, const char *name,
		     const struct tv_entry *base, struct tv_err *err)
{
	char *path = tv_path_join(folder, name);
	if (!path)
		return tv_err_nomem(err);
	if (tv_scan_ignored(w->scan->ignore, w->scan->n_ignore, path)) {
		free(path);
		return 0;
	}
	return add_removal(w->scan, path, base, err);
}

static int name_cmp(const char *a, size_t an, const char *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);
	return c ? c : (an > bn) - (an < bn);
}

/* Drops the cache rows before the name; 1 and *row when one has just this name. */
static int match_row(struct walk *w, const char *folder, const char *name, size_t n,
		     struct tv_bytes *row, struct tv_err *err)
{
	const char *row_name;
	size_t row_len;
	*row = tv_bytes(NULL, 0);
	while (tv_cache_reader_get(&w->rows, &row_name, &row_len, row)) {
		int c = name ? name_cmp(row_name, row_len, name, n) : -1;
		if (c > 0)
			break;
		if (c == 0)
			return 1;
		char text[TV_NAME_MAX + 1];
		memcpy(text, row_name, row_len);
		text[row_len] = 0;
		tv_autofree char *path = tv_path_join(folder, text);
		if (!path)
			return tv_err_nomem(err);
		add_stale(w->scan, path);
		int res = tv_cache_reader_next(&w->rows, err);
		if (res < 0)
			return res;
	}
	*row = tv_bytes(NULL, 0);
	return 0;
}

/* A name that the tree has and the listing has not. Only a stat tells that it has gone: while others
 * rename files over each other a listing may miss names that are there all the time (Btrfs leaves
 * out what was renamed since the folder was opened). */
static int take_unlisted(struct walk *w, int dirfd, const char *folder, const char *name, size_t n,
			 const struct tv_entry *base, struct tv_err *err)
{
	char text[TV_NAME_MAX + 1];
	struct tv_seen seen;
	struct tv_bytes row;
	memcpy(text, name, n);
	text[n] = 0;
	if (tv_beneath_stat(dirfd, text, w->dev, &seen) == -ENOENT)
		return take_gone(w, folder, text, base, err);
	int have_row = match_row(w, folder, text, n, &row, err);
	int res = have_row < 0 ? have_row : take(w, dirfd, folder, text, n, base, row, err);
	return res == 0 && have_row ? tv_cache_reader_next(&w->rows, err) : res;
}

/* One name of the folder: first what the tree has before it, then it. name NULL: the end. */
static int join_name(struct walk *w, int dirfd, const char *folder, const char *name, size_t n,
		     struct tv_dir_cursor *base, struct tv_err *err)
{
	const char *base_name;
	size_t base_len;
	struct tv_entry e;
	struct tv_bytes row;
	int res, c = 1;

	while (base && tv_dir_cursor_get(base, &base_name, &base_len, &e) == 1) {
		c = name ? name_cmp(base_name, base_len, name, n) : -1;
		if (c >= 0)
			break;
		res = take_unlisted(w, dirfd, folder, base_name, base_len, &e, err);
		if (res == 0)
			res = tv_dir_cursor_next(base, err);
		if (res < 0)
			return res;
		c = 1;
	}
	bool have_row = (res = match_row(w, folder, name, n, &row, err)) == 1;
	if (res < 0 || !name)
		return res;
	res = take(w, dirfd, folder, name, n, c == 0 ? &e : NULL, row, err);
	if (res == 0 && have_row)
		res = tv_cache_reader_next(&w->rows, err);
	if (res == 0 && c == 0)
		res = tv_dir_cursor_next(base, err);
	return res;
}

static int join_folder(struct walk *w, const struct folder *f, int dirfd,
		       struct tv_dir_cursor *base, struct tv_err *err)
{
	int res = tv_listing_read(&w->names, dirfd, err);
	if (res < 0)
		return tv_err_wrap(err, res, "'%s'", f->path);
	w->owner = f->item;
	if (!w->names.len)
		not_hollow(w);
	res = tv_cache_reader_open(&w->rows, w->scan->worktree, f->path, err);
	for (size_t i = 0; res == 0 && i < w->names.len; i++) {
		res = join_name(w, dirfd, f->path, tv_listing_name(&w->names, i),
				w->names.names[i].len, base, err);
		if (res == 0 && ++w->looked % 1024 == 0 &&
		    tv_progress_step(w->scan->progress, "scanning", w->scan->files, 0, "files"))
			res = tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
	}
	return res < 0 ? res : join_name(w, dirfd, f->path, NULL, 0, base, err);
}

static int scan_folder(struct walk *w, const struct folder *f, struct tv_err *err)
{
	struct tv_dir_cursor base;
	tv_autoclose int fd = tv_beneath_open_dir(w->scan->dirfd, f->path);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return tv_err_set(err, -EAGAIN, "the folder '%s' went away during the scan",
				  f->path);
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open '%s'", f->path);
	if (!f->in_base)
		return join_folder(w, f, fd, NULL, err);
	int res = tv_dir_cursor_open(&base, w->scan->nodes, &f->base, err);
	if (res < 0)
		return res;
	res = join_folder(w, f, fd, &base, err);
	tv_dir_cursor_close(&base);
	return res;
}

static int scan_todo(struct walk *w, struct tv_err *err)
{
	int res = 0;
	while (res == 0 && w->len) {
		struct folder f = w->todo[--w->len];
		res = scan_folder(w, &f, err);
		free(f.path);
	}
	return res;
}

static int scan_whole(struct walk *w, struct tv_err *err)
{
	w->scan->whole = true;
	int res = push_folder(w, "", w->scan->base, err);
	return res < 0 ? res : scan_todo(w, err);
}

/* Looks a path up in the tree. 1, 0 not there, -errno. The entry's target is not kept. */
static int find_base(const struct tv_scan *scan, const char *path, struct tv_entry *out,
		     struct tv_err *err)
{
	struct tv_err lost = TV_ERR_INIT;
	int res = tv_tree_lookup(scan->nodes, scan->base, path, out, NULL, &lost);
	if (res == -ENOENT || res == -ENOTDIR)
		return 0;
	if (res < 0)
		return tv_err_set(err, res, "%s", lost.text);
	return 1;
}

/* The folders above a path. 0; 1 when the path cannot be there, since one of them is not. */
static int take_parents(struct walk *w, const char *path, struct tv_err *err)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct tv_seen seen;
		struct tv_entry base;
		struct tv_scan_item *item = NULL;
		tv_autofree char *dir = strndup(path, (size_t)(slash - path));
		if (!dir)
			return tv_err_nomem(err);
		int res = tv_beneath_stat_path(w->scan->dirfd, dir, w->dev, &seen);
		if (res == -ENOENT || (res == 0 && seen.kind == TV_FILE))
			return 1;
		if (res < 0)
			return tv_err_sys(err, res, "cannot stat '%s'", dir);
		if (seen.kind != TV_DIR || seen.mount_point)
			return tv_err_set(err, -EINVAL, "'%s' is a %s: '%s' lies outside", dir,
					  seen.mount_point ? "mount point" : "symbolic link", path);
		res = find_base(w->scan, dir, &base, err);
		if (res < 0)
			return res;
		if (res == 1 && base.kind == TV_DIR)
			continue;
		res = add_item(w->scan, tv_steal_ptr(&dir), TV_SCAN_SET, res == 1, &item, err);
		if (res < 0)
			return res;
		item->entry = (struct tv_entry){ .kind = TV_DIR,
						 .mode = seen.mode,
						 .mtime_ns = seen.mtime_ns };
	}
	return 0;
}

static int take_missing(struct walk *w, const char *path, const struct tv_entry *base,
			struct tv_err *err)
{
	if (!base)
		return tv_err_set(err, -ENOENT, "'%s' is neither in the folder nor in its base",
				  path);
	if (tv_scan_ignored(w->scan->ignore, w->scan->n_ignore, path))
		return 0;
	char *copy = strdup(path);
	return copy ? add_removal(w->scan, copy, base, err) : tv_err_nomem(err);
}

/* One given path: it, or what is left of it, and all below. */
static int scan_path(struct walk *w, const char *path, struct tv_err *err)
{
	struct tv_seen seen;
	struct tv_entry base;
	const char *name;
	uint8_t row_bytes[TV_CACHE_ROW];
	struct tv_cache_row row;

	w->owner = 0;
	int in_base = find_base(w->scan, path, &base, err);
	if (in_base < 0)
		return in_base;
	int res = take_parents(w, path, err);
	if (res < 0)
		return res;
	if (res == 0)
		res = tv_beneath_stat_path(w->scan->dirfd, path, w->dev, &seen);
	if (res == 1 || res == -ENOENT)
		return take_missing(w, path, in_base ? &base : NULL, err);
	if (res < 0)
		return tv_err_sys(err, res, "cannot stat '%s'", path);
	tv_autoclose int fd = tv_beneath_open_parent(w->scan->dirfd, path, &name);
	if (fd < 0)
		return tv_err_sys(err, fd, "cannot open the folder of '%s'", path);
	int have_row = tv_cache_get(w->scan->kv, w->scan->worktree, path, &row, err);
	if (have_row < 0)
		return have_row;
	tv_cache_row_encode(&row, row_bytes);
	tv_autofree char *folder =
		name > path ? strndup(path, (size_t)(name - path) - 1) : strdup("");
	if (!folder)
		return tv_err_nomem(err);
	res = take(w, fd, folder, name, strlen(name), in_base ? &base : NULL,
		   tv_bytes(row_bytes, have_row ? sizeof(row_bytes) : 0), err);
	return res < 0 ? res : scan_todo(w, err);
}

/* True when another of the paths holds this one (of two equal ones, the first does). */
static bool covered(const char *const *paths, size_t n, size_t i)
{
	for (size_t k = 0; k < n; k++)
		if (k != i && tv_path_under(paths[i], paths[k]) &&
		    (strcmp(paths[i], paths[k]) != 0 || k < i))
			return true;
	return false;
}

int tv_scan_run(struct tv_scan *scan, const char *const *paths, size_t n_paths, struct tv_err *err)
{
	struct walk w = { .scan = scan, .names = TV_LISTING_INIT };
	bool whole = n_paths == 0;
	int res = tv_beneath_fstat(scan->dirfd, &scan->root);
	if (res < 0)
		return tv_err_sys(err, res, "cannot stat the live folder");
	w.dev = scan->root.dev;
	tv_cache_reader_init(&w.rows, scan->kv);
	for (size_t i = 0; i < n_paths; i++)
		whole |= paths[i][0] == 0;
	if (whole)
		res = scan_whole(&w, err);
	for (size_t i = 0; !whole && res == 0 && i < n_paths; i++)
		if (!covered(paths, n_paths, i))
			res = scan_path(&w, paths[i], err);
	while (w.len)
		free(w.todo[--w.len].path);
	free(w.todo);
	tv_listing_free(&w.names);
	tv_cache_reader_free(&w.rows);
	drop_hollow(scan);
	if (res == 0 && scan->stale.failed)
		res = tv_err_nomem(err);
	return res;
}
