/*
 * Bringing the live folder to a commit: the plan.
 *
 * For each path that differs between base and target, what stands in the folder decides: it is the
 * base's (then the target's may replace it), or the target's already (nothing to do: this is what
 * makes a killed sync repeatable), or something local (a conflict). All conflicts are found before
 * anything is changed. The rules are those of merge.h, with the folder as one side: a content change beats
 * a metadata change; folder times are never a conflict.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/sync-priv.h"

#define NAMED_CONFLICTS 5

struct planning {
	struct tv_worktree_work *work;
	const struct tv_sync *how;
	struct tv_sync_plan *plan;
	struct tv_conflicts conflicts;
	const char *going; /* the last folder that gives way to a file; a step's path */
	uint64_t done;
};

static void step_free(struct tv_step *step)
{
	free(step->path);
	free((char *)step->after.target);
}

static void plan_free(struct tv_sync_plan *plan)
{
	for (size_t i = 0; i < plan->len; i++)
		step_free(&plan->steps[i]);
	free(plan->steps);
}

static int add_conflict(struct tv_conflicts *c, const char *path, struct tv_err *err)
{
	void *grown = reallocarray(c->paths, c->len + 1, sizeof(*c->paths));
	if (!grown)
		return tv_err_nomem(err);
	c->paths = grown;
	c->paths[c->len] = strdup(path);
	if (!c->paths[c->len])
		return tv_err_nomem(err);
	c->len++;
	return 0;
}

static int add_step(struct tv_sync_plan *plan, const struct tv_diff_item *item,
		    const struct tv_step *like, struct tv_err *err)
{
	if (plan->len == plan->cap) {
		size_t cap = plan->cap ? plan->cap * 2 : 64;
		void *grown = reallocarray(plan->steps, cap, sizeof(*plan->steps));
		if (!grown)
			return tv_err_nomem(err);
		plan->steps = grown;
		plan->cap = cap;
	}
	struct tv_step step = *like;
	step.change = item->change;
	step.path = strdup(item->path);
	if (item->after) {
		step.after = *item->after;
		step.after.target = item->after->target ? strdup(item->after->target) : NULL;
	}
	if (!step.path || (item->after && item->after->target && !step.after.target)) {
		step_free(&step);
		return tv_err_nomem(err);
	}
	plan->steps[plan->len++] = step;
	return 0;
}

/* Whether the folder that holds the path is in the base and has gone from the live folder. */
static int parent_gone(struct planning *p, const char *path, struct tv_err *err)
{
	struct tv_entry base;
	struct tv_seen seen;
	struct tv_err why = TV_ERR_INIT;
	const char *slash = strrchr(path, '/');
	if (!slash)
		return 0;
	tv_autofree char *dir = strndup(path, (size_t)(slash - path));
	if (!dir)
		return tv_err_nomem(err);
	int res = tv_beneath_stat_path(p->work->w->dirfd, dir, 0, &seen);
	if (res == 0 && seen.kind == TV_DIR)
		return 0;
	res = tv_tree_lookup(tv_node_batch_source(p->work->nodes), &p->work->base, dir, &base, NULL,
			     &why);
	if (res == -ENOENT || res == -ENOTDIR)
		return 0;
	return res < 0 ? tv_err_set(err, res, "%s", why.text) : base.kind == TV_DIR;
}

/* Whether a live folder that must give way to a file holds anything that the base does not. What the base
 * has is judged path by path. */
static int holds_extra(struct planning *p, const char *path, struct tv_err *err)
{
	struct tv_scan scan;
	tv_worktree_scan(p->work, &scan);
	int res = tv_scan_run(&scan, &path, 1, err);
	if (res == -EINVAL || res == -EAGAIN) { /* a fifo, or somebody is at work there */
		tv_err_clear(err);
		res = 1;
	}
	for (size_t i = 0; res == 0 && i < scan.len; i++)
		res = !scan.items[i].in_base;
	tv_scan_free(&scan);
	return res;
}

enum verdict { GO, CONFLICT };

/* The target has a directory here. */
static int judge_dir(const struct tv_diff_item *item, const struct tv_entry *now,
		     struct tv_step *step)
{
	const struct tv_entry *before = item->before;
	if (now->kind == TV_DIR)
		return GO;
	if (!now->kind && !step->seen.ino) {
		/* Removed locally: its contents, if the target changed any, are conflicts. */
		if (!before || before->kind != TV_DIR)
			step->kind = TV_STEP_MKDIR;
		return GO;
	}
	step->kind = TV_STEP_MKDIR;
	step->clear = true;
	return before && now->kind && tv_entry_same_content(now, before) ? GO : CONFLICT;
}

/* The target has a file or symlink here. */
static int judge_file(struct planning *p, const struct tv_diff_item *item,
		      const struct tv_entry *now, struct tv_step *step, struct tv_err *err)
{
	const struct tv_entry *before = item->before, *after = item->after;
	if (now->kind && tv_entry_same_content(now, after)) {
		bool same = now->mode == after->mode && now->mtime_ns == after->mtime_ns;
		step->kind = same ? TV_STEP_NONE : TV_STEP_TOUCH;
		return GO;
	}
	if (item->change == TV_TOUCHED) /* content was changed locally: that stays */
		return GO;
	step->kind = TV_STEP_WRITE;
	step->clear = now->kind == TV_DIR || (!now->kind && step->seen.ino);
	if (!now->kind && !step->seen.ino) {
		/* An empty directory in the base: a killed sync took what was in it. */
		if (before && (before->kind != TV_DIR || before->files))
			return CONFLICT;
		return parent_gone(p, item->path, err);
	}
	if (!before || !now->kind)
		return CONFLICT;
	if (before->kind == TV_DIR)
		return now->kind == TV_DIR ? holds_extra(p, item->path, err) : CONFLICT;
	return tv_entry_same_content(now, before) ? GO : CONFLICT;
}

/* The target has nothing here. */
static int judge_removed(const struct tv_diff_item *item, const struct tv_entry *now,
			 struct tv_step *step)
{
	if (!now->kind && !step->seen.ino)
		return GO;
	step->kind = TV_STEP_REMOVE;
	if (item->before->kind == TV_DIR)
		return now->kind == TV_DIR ? GO : CONFLICT;
	return now->kind && tv_entry_same_content(now, item->before) ? GO : CONFLICT;
}

static int plan_visit(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct planning *p = arg;
	struct tv_step step = { .kind = TV_STEP_NONE };
	struct tv_entry now;
	/* Ignored names are left alone, but not where their folder goes: then they are judged, too. */
	if (tv_scan_ignored(p->how->ignore, p->how->n_ignore, item->path) &&
	    !(p->going && tv_path_under(item->path, p->going)))
		return 0;
	if (++p->done % 64 == 0 &&
	    tv_progress_step(p->how->progress, "checking", p->done, 0, "files"))
		return tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
	int res = tv_worktree_state(p->work, item->path, &now, &step.seen, err);
	if (res < 0)
		return res;
	if (!item->after)
		res = judge_removed(item, &now, &step);
	else if (item->after->kind == TV_DIR)
		res = judge_dir(item, &now, &step);
	else
		res = judge_file(p, item, &now, &step, err);
	free((char *)now.target);
	if (res == CONFLICT && !p->how->force)
		return add_conflict(&p->conflicts, item->path, err);
	if (res == CONFLICT && step.seen.mount_point)
		return tv_err_set(err, -EBUSY,
				  "'%s' is a mount point: unmount it; nothing was changed",
				  item->path);
	if (res >= 0)
		res = add_step(p->plan, item, &step, err);
	if (res == 0 && step.clear && step.seen.kind == TV_DIR)
		p->going = p->plan->steps[p->plan->len - 1].path;
	return res;
}

static int conflict_error(const struct tv_conflicts *c, struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	for (size_t i = 0; i < c->len && i < NAMED_CONFLICTS; i++)
		tv_buf_addf(&text, "%s'%s'", i ? ", " : "", c->paths[i]);
	if (c->len > NAMED_CONFLICTS)
		tv_buf_addf(&text, " and %zu more", c->len - NAMED_CONFLICTS);
	return tv_err_set(
		err, -TV_E_CONFLICT,
		"changed in the folder and in the commit: %.*s; nothing was changed: commit "
		"or undo these, or use --force",
		(int)text.len, text.data);
}

static int make_plan(struct tv_worktree_work *work, const struct tv_sync *how,
		     struct tv_sync_plan *plan, struct tv_conflicts *conflicts, struct tv_err *err)
{
	struct planning p = { .work = work, .how = how, .plan = plan };
	int res = tv_tree_diff(tv_node_batch_source(work->nodes), &work->base, &plan->target,
			       TV_DIFF_TOUCHED | TV_DIFF_DIRS, plan_visit, &p, err);
	if (res == 0 && p.conflicts.len)
		res = conflict_error(&p.conflicts, err);
	if (res == -TV_E_CONFLICT && conflicts) {
		*conflicts = p.conflicts;
		return res;
	}
	tv_conflicts_free(&p.conflicts);
	return res;
}

/* The two transactions of a sync. */
struct record {
	struct tv_worktree_work *work;
	const struct tv_sha *commit;
	const struct tv_sync_plan *plan;
};

static int begin_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct record *r = arg;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_worktree_row row = r->work->row;
	int res = tv_commit_get_in(t, r->commit, &c, err);
	if (res < 0)
		return res;
	row.has_pending = true;
	row.pending = *r->commit;
	row.pending_root = r->plan->target;
	return tv_worktree_row_put(t, r->work->w->id, &row, err);
}

static int end_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct record *r = arg;
	const uint8_t *id = r->work->w->id;
	struct tv_worktree_row row = r->work->row;
	row.has_pending = false;
	row.has_base = true;
	row.base = *r->commit;
	row.base_root = r->plan->target;
	int res = tv_worktree_row_put(t, id, &row, err);
	for (size_t i = 0; res == 0 && i < r->plan->len; i++) {
		const struct tv_step *step = &r->plan->steps[i];
		if (step->written)
			res = tv_worktree_put_row(t, id, step->path, &step->seen, &step->after,
						  step->looked_ns, err);
		else if (step->kind == TV_STEP_REMOVE || step->kind == TV_STEP_WRITE)
			res = tv_worktree_del_row(t, id, step->path, err);
	}
	return res;
}

static bool has_steps(const struct tv_sync_plan *plan)
{
	for (size_t i = 0; i < plan->len; i++)
		if (plan->steps[i].kind != TV_STEP_NONE || plan->steps[i].after.kind == TV_DIR)
			return true;
	return false;
}

static int sync_locked(struct tv_worktree_work *work, const struct tv_sha *commit,
		       const struct tv_sync *how, struct tv_conflicts *conflicts,
		       struct tv_err *err)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_sync_plan plan = { .steps = NULL };
	struct record r = { .work = work, .commit = commit, .plan = &plan };
	struct tv_kv *kv = tv_store_kv(work->s);

	int res = tv_commit_get(work->s, commit, &c, err);
	if (res < 0)
		return res;
	plan.target = c.root;
	res = make_plan(work, how, &plan, conflicts, err);
	/* Recorded before the first change: a killed sync is then known, and gc keeps its commit. */
	if (res == 0 && has_steps(&plan)) {
		res = tv_kv_write(kv, begin_body, &r, err);
		if (res == 0)
			res = tv_sync_apply(work, &plan, how, err);
	}
	if (res == 0)
		res = tv_kv_write(kv, end_body, &r, err);
	plan_free(&plan);
	return res;
}

int tv_worktree_sync(struct tv_store *s, struct tv_worktree *w, const struct tv_sha *commit,
		     const struct tv_sync *how, struct tv_conflicts *conflicts, struct tv_err *err)
{
	struct tv_worktree_work work;
	struct tv_ref ref = { .commit = *commit };
	int res = tv_worktree_begin(s, w, true, &work, err);
	if (res < 0)
		return res;
	if (how->ref)
		res = tv_ref_get(s, how->ref, &ref, err);
	if (res == 0)
		res = sync_locked(&work, &ref.commit, how, conflicts, err);
	if (res == 0 && how->at)
		*how->at = ref.commit;
	tv_worktree_end(&work);
	return res < 0 ? res : tv_worktree_load(s, w, err);
}
