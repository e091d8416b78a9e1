/*
 * Which paths and foundations a damaged thing hits. The trees of all commits are walked, the newest
 * first, and those of live folders; sub-trees without damage are walked once whatever the number
 * of commits that share them.
 */
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"
#include "store/fsck-priv.h"
#include "store/gc-mark.h"

struct walk {
	struct tv_fsck_run *run;
	const struct tv_fsck_commit *commit; /* NULL: a live folder's tree */
	struct tv_map16 clean;		     /* nodes below which nothing is damaged */
};

static int add_hit(struct walk *w, struct tv_fsck_bad *bad, const char *path, struct tv_err *err)
{
	for (unsigned i = 0; i < bad->n_hits; i++)
		if (strcmp(bad->hits[i].path, path) == 0) {
			bad->hits[i].commits += w->commit != NULL;
			return 0;
		}
	if (bad->n_hits == TV_FSCK_HITS) {
		bad->more++;
		return 0;
	}
	struct tv_fsck_hit *hit = &bad->hits[bad->n_hits];
	memset(hit, 0, sizeof(*hit));
	hit->path = strdup(path);
	if (!hit->path)
		return tv_err_nomem(err);
	if (w->commit) {
		hit->has_commit = true;
		hit->commit = w->commit->id;
		hit->foundation = w->commit->root.sha;
		hit->commits = 1;
	}
	bad->n_hits++;
	return 0;
}

/* 1 when the address is damaged (the hit is noted), 0 when not. */
static int check_address(struct walk *w, const struct tv_addr *addr, const char *path,
			 struct tv_err *err)
{
	const uint64_t *at = tv_map16_get(&w->run->bad_at, addr->b);
	if (!at)
		return 0;
	int res = add_hit(w, &w->run->bad[*at], path, err);
	return res < 0 ? res : 1;
}

static int walk_node(struct walk *w, const struct tv_addr *addr, const char *dir,
		     struct tv_err *err);

/* One entry. 1: there is damage in it or below. */
static int walk_entry(struct walk *w, const struct tv_node *node, uint32_t i, const char *dir,
		      struct tv_err *err)
{
	char name[TV_NAME_MAX + 1];
	struct tv_entry e;
	size_t n;
	const char *p = tv_node_name(node, i, &n);
	tv_node_entry(node, i, &e);
	if (e.kind == TV_SYMLINK || (e.kind == TV_DIR && tv_map16_get(&w->clean, e.addr.b)) ||
	    (e.kind == TV_FILE && !tv_map16_get(&w->run->bad_at, e.addr.b)))
		return 0;
	memcpy(name, p, n);
	name[n] = 0;
	tv_autofree char *path = tv_path_join(dir, name);
	if (!path)
		return tv_err_nomem(err);
	return e.kind == TV_FILE ? check_address(w, &e.addr, path, err)
				 : walk_node(w, &e.addr, path, err);
}

/* 1: this node, or something below it, is damaged. */
static int walk_node(struct walk *w, const struct tv_addr *addr, const char *dir,
		     struct tv_err *err)
{
	struct tv_node *node;
	if (tv_map16_get(&w->clean, addr->b))
		return 0;
	int damaged = check_address(w, addr, dir, err);
	if (damaged < 0)
		return damaged;
	/* A damaged node may still decode: what is below it is damaged or not for itself. */
	if (tv_fsck_read_node(w->run, addr, &node) < 0)
		return damaged;
	int res = 0;
	for (uint32_t i = 0; res >= 0 && i < tv_node_len(node); i++) {
		struct tv_ref_entry child;
		if (tv_node_level(node) > 0) {
			tv_node_child(node, i, &child);
			res = walk_node(w, &child.addr, dir, err);
		} else {
			res = walk_entry(w, node, i, dir, err);
		}
		damaged |= res == 1;
	}
	tv_node_unref(node);
	if (res < 0)
		return res;
	if (!damaged && tv_map16_put(&w->clean, addr->b, 0) < 0)
		return tv_err_nomem(err);
	return damaged;
}

static int folder_visit(void *arg, const struct tv_root *root, struct tv_err *err)
{
	struct walk *w = arg;
	if (!root->tree)
		return 0;
	int res = walk_node(w, &root->tree->addr, "", err);
	return res < 0 ? res : 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct tv_fsck_commit *const *x = a, *const *y = b;
	return ((*x)->sequence < (*y)->sequence) - ((*x)->sequence > (*y)->sequence);
}

static int walk_all(struct walk *w, struct tv_err *err)
{
	struct tv_fsck_run *run = w->run;
	tv_autofree const struct tv_fsck_commit **order =
		calloc(run->n_commits + 1, sizeof(*order));
	int res = 0;
	if (!order)
		return tv_err_nomem(err);
	for (size_t i = 0; i < run->n_commits; i++)
		order[i] = &run->commits[i];
	qsort(order, run->n_commits, sizeof(*order), newest_first);
	for (size_t i = 0; res >= 0 && i < run->n_commits; i++) {
		tv_autocommit struct tv_commit still = TV_COMMIT_INIT;
		if (tv_commit_get(run->s, &order[i]->id, &still, NULL) == -ENOENT)
			continue; /* gc has taken it meanwhile */
		w->commit = order[i];
		res = walk_node(w, &order[i]->root.addr, "", err);
		if (res >= 0)
			res = tv_fsck_step(run, "finding paths", i, run->n_commits, err);
	}
	w->commit = NULL;
	if (res < 0)
		return res;
	/* A damaged record elsewhere was told already; what can be read is walked. */
	struct tv_err why = TV_ERR_INIT;
	res = tv_roots_each(run->s, NULL, folder_visit, w, &why);
	return res < 0 && res != -TV_E_DAMAGED ? tv_err_set(err, res, "%s", why.text) : 0;
}

static int tell_hit(struct tv_fsck_run *run, const struct tv_fsck_bad *bad,
		    const struct tv_fsck_hit *hit, struct tv_err *err)
{
	tv_autobuf struct tv_buf text = TV_BUF_INIT;
	tv_buf_add_str(&text, bad->what);
	if (hit->commits > 1)
		tv_buf_addf(&text, " (in %llu commits, the newest named)",
			    (unsigned long long)hit->commits);
	tv_autofree char *what = tv_buf_steal_str(&text);
	if (!what)
		return tv_err_nomem(err);
	const struct tv_finding f = {
		.severity = TV_DAMAGE,
		.what = what,
		.path = *hit->path ? hit->path : ".",
		.foundation = hit->has_commit ? &hit->foundation : NULL,
		.commit = hit->has_commit ? &hit->commit : NULL,
	};
	return tv_fsck_tell(run, &f, err);
}

static int tell_bad(struct tv_fsck_run *run, const struct tv_fsck_bad *bad, struct tv_err *err)
{
	uint64_t damages = run->figures.damages;
	int res = 0;
	if (!bad->n_hits)
		return tv_fsck_tellf(run, TV_NOTE, NULL, err, "%s, but nothing needs it",
				     bad->what);
	for (unsigned i = 0; res == 0 && i < bad->n_hits; i++)
		res = tell_hit(run, bad, &bad->hits[i], err);
	if (res == 0 && bad->more)
		res = tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "%s: hits %llu more paths",
				    bad->what, (unsigned long long)bad->more);
	/* One damaged thing, however many paths it hits. */
	run->figures.damages = damages + 1;
	return res;
}

int tv_fsck_hits(struct tv_fsck_run *run, struct tv_err *err)
{
	struct walk w = { .run = run };
	if (!run->n_bad)
		return 0;
	int res = walk_all(&w, err);
	tv_map16_free(&w.clean);
	for (size_t i = 0; res == 0 && i < run->n_bad; i++)
		res = tell_bad(run, &run->bad[i], err);
	return res;
}
