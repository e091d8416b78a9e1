/*
 * Both sides' changes since the base are listed in path order and joined: what only ours changed is
 * applied to theirs, what both changed is decided path by path. So the cost is that of the changes,
 * whatever the size of the trees.
 */
#include "store/merge.h"

#include <stdlib.h>

#include "store/base/cleanup.h"
#include "store/diff.h"
#include "store/tree-priv.h"

#define NAMED_CONFLICTS 3 /* that many stand in the error message */

void tv_conflicts_free(struct tv_conflicts *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->len; i++)
		free(c->paths[i]);
	free(c->paths);
	*c = (struct tv_conflicts){ NULL, 0 };
}

/* One change of one side; kind 0 stands for no entry. */
struct change {
	char *path; /* owned; the target of `after` is in the same allocation */
	enum tv_change what;
	struct tv_entry before, after;
};

struct changes {
	struct change *v;
	size_t len, cap;
	const char *gone; /* while joining: the directory that this side did away with last */
};

static void changes_free(struct changes *c)
{
	for (size_t i = 0; i < c->len; i++)
		free(c->v[i].path);
	free(c->v);
}

/* The next place of a growing array, or NULL without memory. */
static void *grow(void **v, size_t *cap, size_t len, size_t size)
{
	if (len == *cap) {
		size_t want = *cap ? *cap * 2 : 16;
		void *grown = reallocarray(*v, want, size);
		if (!grown)
			return NULL;
		*v = grown;
		*cap = want;
	}
	return (char *)*v + len * size;
}

static int keep_change(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct changes *c = arg;
	void *v = c->v;
	struct change *change = grow(&v, &c->cap, c->len, sizeof(*change));
	c->v = v;
	if (!change)
		return tv_err_nomem(err);
	const char *target = item->after ? item->after->target : NULL;
	size_t path_size = strlen(item->path) + 1;
	size_t target_size = target ? strlen(target) + 1 : 0;
	*change = (struct change){ .path = malloc(path_size + target_size), .what = item->change };
	if (!change->path)
		return tv_err_nomem(err);
	memcpy(change->path, item->path, path_size);
	if (item->before) {
		change->before = *item->before;
		change->before.target = NULL;
	}
	if (item->after)
		change->after = *item->after;
	if (target) {
		memcpy(change->path + path_size, target, target_size);
		change->after.target = change->path + path_size;
	}
	c->len++;
	return 0;
}

struct join {
	struct changes ours, theirs;
	struct tv_edit *edits; /* to theirs; paths and targets are those of the changes */
	size_t edits_len, edits_cap;
	struct tv_conflicts conflicts;
	size_t conflicts_cap;
};

static int add_edit(struct join *j, const struct change *c, const struct tv_entry *set,
		    struct tv_err *err)
{
	void *v = j->edits;
	struct tv_edit *edit = grow(&v, &j->edits_cap, j->edits_len, sizeof(*edit));
	j->edits = v;
	if (!edit)
		return tv_err_nomem(err);
	*edit = (struct tv_edit){ .path = c->path, .remove = !set->kind, .entry = *set };
	/* A directory's contents are merged by the changes below it. */
	if (set->kind == TV_DIR)
		edit->entry.addr = (struct tv_addr){ { 0 } };
	j->edits_len++;
	return 0;
}

static int add_conflict(struct join *j, const char *path, struct tv_err *err)
{
	void *v = j->conflicts.paths;
	char **place = grow(&v, &j->conflicts_cap, j->conflicts.len, sizeof(*place));
	j->conflicts.paths = v;
	if (!place)
		return tv_err_nomem(err);
	*place = strdup(path);
	if (!*place)
		return tv_err_nomem(err);
	j->conflicts.len++;
	return 0;
}

/* Two entries of the same content: mtime and mode are those of the side that changed them, and
 * the newer ones where both did. base NULL: both did. */
static struct tv_entry merge_times(const struct tv_entry *base, const struct tv_entry *ours,
				   const struct tv_entry *theirs)
{
	struct tv_entry e = *theirs;
	if (ours->mtime_ns == theirs->mtime_ns)
		e.mode = ours->mode > theirs->mode ? ours->mode : theirs->mode;
	else if (ours->mtime_ns > theirs->mtime_ns)
		e.mode = ours->mode;
	if (ours->mtime_ns > theirs->mtime_ns)
		e.mtime_ns = ours->mtime_ns;
	if (base && base->mode == theirs->mode)
		e.mode = ours->mode;
	else if (base && base->mode == ours->mode)
		e.mode = theirs->mode;
	if (base && base->mtime_ns == theirs->mtime_ns)
		e.mtime_ns = ours->mtime_ns;
	else if (base && base->mtime_ns == ours->mtime_ns)
		e.mtime_ns = theirs->mtime_ns;
	return e;
}

/* Directories agree as such; what is in them is decided below. */
static bool agree(const struct tv_entry *a, const struct tv_entry *b)
{
	return a->kind == TV_DIR ? b->kind == TV_DIR : tv_entry_same_content(a, b);
}

/* Both sides changed one path. */
static int join_both(struct join *j, const struct change *o, const struct change *t,
		     struct tv_err *err)
{
	bool gone = o->what == TV_REMOVED || t->what == TV_REMOVED;
	if (o->what != TV_TOUCHED && t->what == TV_TOUCHED)
		return add_edit(j, o, &o->after, err);
	if (o->what == TV_TOUCHED && t->what != TV_TOUCHED)
		return 0;
	if (gone && o->what == t->what)
		return 0;
	if (gone || !agree(&o->after, &t->after))
		return add_conflict(j, o->path, err);

	const struct tv_entry *base = o->what == TV_TOUCHED ? &o->before : NULL;
	struct tv_entry merged = merge_times(base, &o->after, &t->after);
	return add_edit(j, t, &merged, err);
}

/* One side changed a path: a conflict when it is content below a directory the other did away with
 * (that side then has no change at the path only where the path is new). */
static int join_one(struct join *j, const struct change *c, bool is_ours, struct tv_err *err)
{
	const char *gone = is_ours ? j->theirs.gone : j->ours.gone;
	if ((c->what == TV_ADDED || c->what == TV_CHANGED) && gone && tv_path_under(c->path, gone))
		return add_conflict(j, c->path, err);
	return is_ours ? add_edit(j, c, &c->after, err) : 0;
}

/* Remembers the topmost directory that is no more; the changes below it come next. */
static void note_gone(struct changes *side, const struct change *c)
{
	if (c->before.kind == TV_DIR && c->after.kind != TV_DIR &&
	    !(side->gone && tv_path_under(c->path, side->gone)))
		side->gone = c->path;
}

static int join_all(struct join *j, struct tv_err *err)
{
	size_t i = 0, k = 0;
	int r = 0;
	while (r == 0 && (i < j->ours.len || k < j->theirs.len)) {
		const struct change *o = i < j->ours.len ? &j->ours.v[i] : NULL;
		const struct change *t = k < j->theirs.len ? &j->theirs.v[k] : NULL;
		int c = !o ? 1 : !t ? -1 : tv_tree_path_cmp(o->path, t->path);
		/* What comes first in path order: one of them, or both. */
		o = c <= 0 ? o : NULL;
		t = c >= 0 ? t : NULL;
		if (o)
			note_gone(&j->ours, o);
		if (t)
			note_gone(&j->theirs, t);
		if (o && t)
			r = join_both(j, o, t, err);
		else if (o)
			r = join_one(j, o, true, err);
		else if (t)
			r = join_one(j, t, false, err);
		i += o != NULL;
		k += t != NULL;
	}
	return r;
}

static int conflict_error(const struct tv_conflicts *c, struct tv_err *err)
{
	tv_autobuf struct tv_buf list = TV_BUF_INIT;
	for (size_t i = 0; i < c->len && i < NAMED_CONFLICTS; i++)
		tv_buf_addf(&list, "%s'%s'", i ? ", " : "", c->paths[i]);
	if (c->len > NAMED_CONFLICTS)
		tv_buf_addf(&list, " and %zu more", c->len - NAMED_CONFLICTS);
	tv_buf_add_u8(&list, '\0');
	return tv_err_set(err, -TV_E_CONFLICT, "both sides changed %s",
			  list.failed ? "the same paths" : (const char *)list.data);
}

static void join_free(struct join *j)
{
	changes_free(&j->ours);
	changes_free(&j->theirs);
	free(j->edits);
	tv_conflicts_free(&j->conflicts);
}

static int merge_changes(struct tv_node_batch *b, const struct tv_entry *base,
			 const struct tv_entry *ours, const struct tv_entry *theirs,
			 struct tv_entry *out, struct tv_conflicts *conflicts, struct tv_err *err)
{
	const struct tv_node_source *src = tv_node_batch_source(b);
	const unsigned flags = TV_DIFF_TOUCHED | TV_DIFF_DIRS;
	tv_auto(join_free) struct join j = { 0 };
	int r = tv_tree_diff(src, base, ours, flags, keep_change, &j.ours, err);
	if (r == 0)
		r = tv_tree_diff(src, base, theirs, flags, keep_change, &j.theirs, err);
	if (r == 0)
		r = join_all(&j, err);
	if (r < 0)
		return r;
	if (j.conflicts.len) {
		r = conflict_error(&j.conflicts, err);
		if (conflicts) {
			*conflicts = j.conflicts;
			j.conflicts = (struct tv_conflicts){ NULL, 0 };
		}
		return r;
	}
	struct tv_entry root = merge_times(base, ours, theirs);
	return tv_tree_edit(b, &root, j.edits, j.edits_len, out, err);
}

int tv_tree_merge(struct tv_node_batch *b, const struct tv_entry *base, const struct tv_entry *ours,
		  const struct tv_entry *theirs, struct tv_entry *out,
		  struct tv_conflicts *conflicts, struct tv_err *err)
{
	if (tv_entry_same(base, theirs) || tv_entry_same(ours, theirs)) {
		*out = *ours;
		return 0;
	}
	if (tv_entry_same(base, ours)) {
		*out = *theirs;
		return 0;
	}
	return merge_changes(b, base, ours, theirs, out, conflicts, err);
}
