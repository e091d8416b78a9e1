/*
 * Editing: the old directory is walked together with the sorted edits, and its entries and, where
 * nothing changes, its whole nodes go into a new chain of builders. Since a name's rank alone ends
 * nodes, the builders are back at the old boundaries soon after each edit, whatever it was.
 */
#include <stdlib.h>

#include "store/base/cleanup.h"
#include "store/tree-priv.h"

struct job {
	struct tv_node_batch *batch;
	const struct tv_node_source *src;
	const struct tv_edit **edits; /* sorted, one a path */
};

/* The edits of a directory that are for one of its names, or below it. */
struct group {
	const char *name; /* NULL: no more */
	size_t n;
	size_t lo, hi;
};

/* The edit of one directory. */
struct dir_edit {
	const struct job *job;
	struct tv_dir_build build;
	size_t off;	    /* where this directory's names begin in the edits' paths */
	size_t hi;	    /* end of this directory's edits */
	struct group group; /* the next to be applied */
};

static bool in_group(const struct dir_edit *de, size_t i)
{
	const char *name = de->job->edits[i]->path + de->off;
	const struct group *g = &de->group;
	return strncmp(name, g->name, g->n) == 0 && (name[g->n] == '/' || name[g->n] == '\0');
}

static void next_group(struct dir_edit *de)
{
	struct group *g = &de->group;
	g->lo = g->hi;
	g->name = NULL;
	if (g->lo == de->hi)
		return;
	g->name = de->job->edits[g->lo]->path + de->off;
	g->n = strcspn(g->name, "/");
	while (g->hi < de->hi && in_group(de, g->hi))
		g->hi++;
}

static int apply_dir(const struct job *job, const struct tv_entry *base, size_t lo, size_t hi,
		     size_t off, struct tv_entry *out, struct tv_err *err);

/* A directory entry that is what its root node says. */
static int adopt_dir(const struct job *job, const struct tv_addr *addr, struct tv_entry *out,
		     struct tv_err *err)
{
	tv_autonode struct tv_node *root = NULL;
	int r = job->src->get(job->src->arg, addr, &root, err);
	if (r < 0)
		return r;
	const struct tv_ref_entry *self = tv_node_self(root);
	*out = (struct tv_entry){ .kind = TV_DIR,
				  .size = self->size,
				  .files = self->files,
				  .addr = self->addr,
				  .sha = self->sha };
	return 0;
}

/* What setting a directory makes of what stood there. */
static int set_dir(const struct job *job, const struct tv_entry *set, struct tv_entry *at,
		   struct tv_err *err)
{
	const struct tv_entry fresh = { .kind = TV_DIR };
	int r = 0;
	if (!tv_addr_is_zero(&set->addr))
		r = adopt_dir(job, &set->addr, at, err);
	else if (at->kind != TV_DIR)
		r = apply_dir(job, &fresh, 0, 0, 0, at, err);
	at->mode = set->mode;
	at->mtime_ns = set->mtime_ns;
	return r;
}

/* What an edit of the path itself makes of what stood there. */
static int set_own(const struct job *job, const struct tv_edit *edit, struct tv_entry *at,
		   struct tv_err *err)
{
	if (!edit->remove && edit->entry.kind == TV_DIR)
		return set_dir(job, &edit->entry, at, err);
	*at = edit->remove ? (struct tv_entry){ 0 } : edit->entry;
	return 0;
}

/* The newest of the entries that are set; false when there are only removals. */
static bool newest_set(const struct job *job, size_t lo, size_t hi, int64_t *mtime)
{
	bool any = false;
	for (size_t i = lo; i < hi; i++) {
		const struct tv_edit *e = job->edits[i];
		if (e->remove)
			continue;
		if (!any || e->entry.mtime_ns > *mtime)
			*mtime = e->entry.mtime_ns;
		any = true;
	}
	return any;
}

/* Applies the edits lo..hi below a name, at which `at` stands (kind 0: nothing). */
static int edit_below(const struct dir_edit *de, size_t lo, size_t hi, bool own_set,
		      struct tv_entry *at, struct tv_err *err)
{
	int64_t mtime = 0;
	if (lo == hi)
		return 0;
	if (at->kind != TV_DIR) {
		if (!newest_set(de->job, lo, hi, &mtime))
			return 0;
		if (own_set)
			return tv_err_set(err, -ENOTDIR,
					  "'%s' is to be set below what is set as a file",
					  de->job->edits[hi - 1]->path);
		*at = (struct tv_entry){ .kind = TV_DIR, .mode = 0755, .mtime_ns = mtime };
	}
	return apply_dir(de->job, at, lo, hi, de->off + de->group.n + 1, at, err);
}

/* Applies the current group to what stands at its name (kind 0: nothing), and goes on to the next. */
static int apply_group(struct dir_edit *de, struct tv_entry at, struct tv_err *err)
{
	const struct group *g = &de->group;
	const struct tv_edit *first = de->job->edits[g->lo];
	const struct tv_edit *own = first->path[de->off + g->n] == '\0' ? first : NULL;
	size_t below = g->lo + (own != NULL);
	int r = 0;
	if (own)
		r = set_own(de->job, own, &at, err);
	if (r == 0)
		r = edit_below(de, below, g->hi, own && !own->remove, &at, err);
	if (r == 0 && at.kind)
		r = tv_dir_build_entry(&de->build, g->name, g->n, &at, err);
	next_group(de);
	return r;
}

/* How the next group's name compares with this one; positive when there is no group. */
static int group_cmp(const struct dir_edit *de, const char *name, size_t n)
{
	return de->group.name ? tv_name_cmp(de->group.name, de->group.n, name, n) : 1;
}

static int edit_entries(struct dir_edit *de, const struct tv_node *node, struct tv_err *err)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < tv_node_len(node); i++) {
		size_t n;
		const char *name = tv_node_name(node, i, &n);
		struct tv_entry e;
		tv_node_entry(node, i, &e);
		while (r == 0 && group_cmp(de, name, n) < 0)
			r = apply_group(de, (struct tv_entry){ 0 }, err);
		if (r == 0 && group_cmp(de, name, n) == 0)
			r = apply_group(de, e, err);
		else if (r == 0)
			r = tv_dir_build_entry(&de->build, name, n, &e, err);
	}
	return r;
}

static int edit_node(struct dir_edit *de, const struct tv_node *node, bool rightmost,
		     struct tv_err *err);

static int edit_child(struct dir_edit *de, const struct tv_node *node, uint32_t i, bool rightmost,
		      struct tv_err *err)
{
	unsigned level = tv_node_level(node) - 1;
	size_t n;
	const char *last = tv_node_name(node, i, &n);
	/* The rightmost child also takes what comes behind its last name; so when it is left
	 * alone nothing follows, and it need not be one that its last name ends. */
	bool touched = de->group.name && (rightmost || group_cmp(de, last, n) <= 0);
	if (!touched && tv_dir_build_at_boundary(&de->build, level)) {
		struct tv_ref_entry ref;
		tv_node_child(node, i, &ref);
		return tv_dir_build_node(&de->build, level, last, n, &ref, err);
	}
	tv_autonode struct tv_node *child = NULL;
	int r = tv_tree_child(de->job->src, node, i, &child, err);
	return r < 0 ? r : edit_node(de, child, rightmost, err);
}

static int edit_node(struct dir_edit *de, const struct tv_node *node, bool rightmost,
		     struct tv_err *err)
{
	int r = 0;
	if (tv_node_level(node) == 0)
		return edit_entries(de, node, err);
	for (uint32_t i = 0; r == 0 && i < tv_node_len(node); i++)
		r = edit_child(de, node, i, rightmost && i + 1 == tv_node_len(node), err);
	return r;
}

static int build_dir(struct dir_edit *de, const struct tv_entry *base, struct tv_node **root,
		     struct tv_err *err)
{
	int r = 0;
	if (!tv_addr_is_zero(&base->addr)) {
		tv_autonode struct tv_node *old = NULL;
		r = tv_tree_root(de->job->src, base, &old, err);
		if (r == 0)
			r = edit_node(de, old, true, err);
	}
	while (r == 0 && de->group.name)
		r = apply_group(de, (struct tv_entry){ 0 }, err);
	return r < 0 ? r : tv_dir_build_finish(&de->build, root, err);
}

/* Applies the edits lo..hi, whose paths have this directory's path and a slash as their first `off`
 * bytes, to a directory (zero address: a new one). */
static int apply_dir(const struct job *job, const struct tv_entry *base, size_t lo, size_t hi,
		     size_t off, struct tv_entry *out, struct tv_err *err)
{
	struct dir_edit de = { .job = job, .off = off, .hi = hi, .group = { .hi = lo } };
	tv_autonode struct tv_node *root = NULL;
	tv_dir_build_init(&de.build, job->batch);
	next_group(&de);
	int r = build_dir(&de, base, &root, err);
	tv_dir_build_free(&de.build);
	if (r < 0)
		return r;
	const struct tv_ref_entry *self = tv_node_self(root);
	*out = *base;
	out->addr = self->addr;
	out->sha = self->sha;
	out->size = self->size;
	out->files = self->files;
	return 0;
}

static const char *path_fault(const char *path)
{
	if (strlen(path) >= TV_PATH_MAX)
		return "the path is too long";
	for (;; path++) {
		size_t n = strcspn(path, "/");
		if (!tv_name_ok(path, n))
			return "not a normalised path";
		if (tv_name_reserved(path, n))
			return "names beginning with '.wh.' belong to overlays";
		path += n;
		if (!*path)
			return NULL;
	}
}

static int check_edit(const struct tv_edit *edit, struct tv_err *err)
{
	const char *fault = path_fault(edit->path);
	/* Kind 0 means "nothing" in here; all else about an entry is the node builder's to check. */
	if (!fault && !edit->remove && !edit->entry.kind)
		fault = "an entry without a kind";
	return fault ? tv_err_set(err, -EINVAL, "'%s': %s", edit->path, fault) : 0;
}

/* The order of the array stays among equal paths, so that the last wins. */
static int compare_edits(const void *a, const void *b)
{
	const struct tv_edit *x = *(const struct tv_edit *const *)a;
	const struct tv_edit *y = *(const struct tv_edit *const *)b;
	int c = tv_tree_path_cmp(x->path, y->path);
	return c ? c : (x > y) - (x < y);
}

/* Sorted, and without edits that a later one of the same path replaces. */
static const struct tv_edit **sort_edits(const struct tv_edit *edits, size_t *n)
{
	const struct tv_edit **sorted = calloc(*n + 1, sizeof(struct tv_edit *));
	bool in_order = true;
	size_t kept = 0;
	if (!sorted)
		return NULL;
	for (size_t i = 0; i < *n; i++) {
		sorted[i] = &edits[i];
		in_order = in_order && (!i || compare_edits(&sorted[i - 1], &sorted[i]) < 0);
	}
	if (!in_order)
		qsort(sorted, *n, sizeof(struct tv_edit *), compare_edits);
	for (size_t i = 0; i < *n; i++)
		if (i + 1 == *n || strcmp(sorted[i]->path, sorted[i + 1]->path) != 0)
			sorted[kept++] = sorted[i];
	*n = kept;
	return sorted;
}

int tv_tree_edit(struct tv_node_batch *b, const struct tv_entry *root, const struct tv_edit *edits,
		 size_t n, struct tv_entry *out, struct tv_err *err)
{
	if (root->kind != TV_DIR)
		return tv_err_set(err, -ENOTDIR, "not a directory");
	for (size_t i = 0; i < n; i++) {
		int r = check_edit(&edits[i], err);
		if (r < 0)
			return r;
	}
	tv_autofree const struct tv_edit **sorted = sort_edits(edits, &n);
	if (!sorted)
		return tv_err_nomem(err);
	struct job job = { .batch = b, .src = tv_node_batch_source(b), .edits = sorted };
	return apply_dir(&job, root, 0, n, 0, out, err);
}
