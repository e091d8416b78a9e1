/*
 * Forgetting: which runs and commits are no longer wanted.
 *
 * Runs: their records go; what only they kept is then gc's. Commits: history is cut. The parents of kept
 * commits that are not kept themselves lose their rows and are marked shallow, in one transaction;
 * what lies behind them is no longer reachable, and gc takes it in its own time. Not cut off, whatever the
 * rules say: what another branch has in its history, and the commits (not their histories) that tags, leases,
 * run records and live folders name.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/map16.h"
#include "store/commit.h"
#include "store/gc-files.h"
#include "store/gc-mark.h"
#include "store/gc.h"
#include "store/lease.h"
#include "store/lockfile.h"
#include "store/ref.h"
#include "store/runrec.h"

typedef int visit_fn(void *arg, const char *what, struct tv_err *err);

/* --- runs ------------------------------------------------------------------------------------ */

struct run {
	char *id; /* owned */
	int64_t time_ns;
	struct tv_sha commit;
	bool keep;
};

struct runs {
	struct run *list;
	size_t len, cap;
};

static void runs_free(struct runs *r)
{
	for (size_t i = 0; i < r->len; i++)
		free(r->list[i].id);
	free(r->list);
}

/* When the run was last at work; one that does not say counts as of now. */
static int64_t run_time(const cJSON *doc)
{
	static const char *const keys[] = { "end", "start", "created" };
	for (size_t i = 0; i < TV_ARRAY_LEN(keys); i++) {
		int64_t ns;
		const char *text =
			cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, keys[i]));
		if (text && tv_time_parse(text, &ns, NULL) == 0)
			return ns;
	}
	return tv_now_ns();
}

static int run_visit(void *arg, const cJSON *doc, struct tv_err *err)
{
	struct runs *r = arg;
	struct run run = { .time_ns = run_time(doc) };
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, "run_id"));
	const char *hex = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, "commit"));
	if (!id || !hex || !tv_sha_from_hex(hex, &run.commit))
		return tv_err_set(err, -TV_E_DAMAGED, "a run record is damaged; run tvfs fsck");
	if (r->len == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		void *grown = reallocarray(r->list, cap, sizeof(*r->list));
		if (!grown)
			return tv_err_nomem(err);
		r->list = grown;
		r->cap = cap;
	}
	run.id = strdup(id);
	if (!run.id)
		return tv_err_nomem(err);
	r->list[r->len++] = run;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	if (x->time_ns != y->time_ns)
		return x->time_ns > y->time_ns ? -1 : 1;
	return strcmp(x->id, y->id);
}

static int keep_live(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err)
{
	struct runs *r = arg;
	(void)err;
	for (size_t i = 0; alive && i < r->len; i++)
		if (strcmp(r->list[i].id, l->run_id) == 0)
			r->list[i].keep = true;
	return 0;
}

static int keep_tagged(void *arg, const struct tv_ref *ref, struct tv_err *err)
{
	struct runs *r = arg;
	(void)err;
	for (size_t i = 0; ref->kind == TV_REF_TAG && i < r->len; i++)
		if (tv_sha_eq(&r->list[i].commit, &ref->commit))
			r->list[i].keep = true;
	return 0;
}

/* A run may have got a new session since the leases were listed. */
struct forget_one {
	struct tv_store *s;
	struct run *run;
};

static int forget_one_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct forget_one *one = arg;
	struct runs r = { .list = one->run, .len = 1 };
	int res = tv_lease_each(one->s, keep_live, &r, err);
	return res < 0 || one->run->keep ? res : tv_run_forget_in(t, one->run->id, err);
}

static int forget_runs(struct tv_store *s, const struct tv_forget *how, visit_fn *visit, void *arg,
		       struct tv_err *err)
{
	tv_auto(runs_free) struct runs r = { .list = NULL };
	int64_t since = tv_now_ns() - how->keep_within_ns;
	int res = tv_run_each(s, run_visit, &r, err);
	if (res == 0 && r.len)
		qsort(r.list, r.len, sizeof(*r.list), newest_first);
	if (res == 0)
		res = tv_lease_each(s, keep_live, &r, err);
	if (res == 0 && how->keep_tagged)
		res = tv_ref_each(s, keep_tagged, &r, err);
	for (size_t i = 0; res == 0 && i < r.len; i++) {
		if (r.list[i].keep || i < how->keep_last ||
		    (how->keep_within_ns && r.list[i].time_ns >= since))
			continue;
		struct forget_one one = { .s = s, .run = &r.list[i] };
		if (!how->dry_run)
			res = tv_kv_write(tv_store_kv(s), forget_one_body, &one, err);
		if (res == 0 && visit && !r.list[i].keep)
			res = visit(arg, r.list[i].id, err);
	}
	return res;
}

/* --- commits --------------------------------------------------------------------------------- */

/* Commit ids in a list, and for look-ups in a map by their first halves. */
struct ids {
	struct tv_sha *list;
	size_t len, cap;
	struct tv_map16 map;
};

static void ids_free(struct ids *ids)
{
	free(ids->list);
	tv_map16_free(&ids->map);
	memset(ids, 0, sizeof(*ids));
}

static bool ids_have(const struct ids *ids, const struct tv_sha *id)
{
	return tv_map16_get(&ids->map, id->b) != NULL;
}

static int ids_add(struct ids *ids, const struct tv_sha *id, struct tv_err *err)
{
	if (ids->len == ids->cap) {
		size_t cap = ids->cap ? ids->cap * 2 : 64;
		void *grown = reallocarray(ids->list, cap, sizeof(*ids->list));
		if (!grown)
			return tv_err_nomem(err);
		ids->list = grown;
		ids->cap = cap;
	}
	int fresh = tv_map16_put(&ids->map, id->b, 0);
	if (fresh < 0)
		return tv_err_nomem(err);
	if (fresh)
		ids->list[ids->len++] = *id;
	return 0;
}

struct cut {
	struct tv_store *s;
	const struct tv_forget *how;
	int64_t since;
	uint64_t seen;	   /* of the ref's history */
	struct ids kept;   /* by a rule, or named by a root */
	struct ids others; /* in the history of another branch */
	struct ids doomed; /* of the ref's history, and neither of both; newest first */
	struct ids ends;   /* those of the doomed that are parents of kept commits */
};

static void cut_clear(struct cut *c)
{
	ids_free(&c->kept);
	ids_free(&c->others);
	ids_free(&c->doomed);
	ids_free(&c->ends);
	c->seen = 0;
}

static int other_visit(void *arg, const struct tv_commit *commit, struct tv_err *err)
{
	struct cut *c = arg;
	return ids_add(&c->others, &commit->id, err);
}

static int root_visit(void *arg, const struct tv_root *root, struct tv_err *err)
{
	struct cut *c = arg;
	if (root->kind != TV_ROOT_BRANCH)
		return ids_add(&c->kept, root->commit, err);
	if (strcmp(root->name, c->how->ref) == 0 || ids_have(&c->others, root->commit))
		return 0;
	return tv_commit_log(c->s, root->commit, other_visit, c, err);
}

/* Whether a rule keeps it. The newest always stays: the ref stands there. */
static bool kept_by_rule(const struct cut *c, const struct tv_commit *commit)
{
	return c->seen == 0 || c->seen < c->how->keep_last ||
	       (c->how->keep_within_ns && commit->time_ns >= c->since);
}

static int log_visit(void *arg, const struct tv_commit *commit, struct tv_err *err)
{
	struct cut *c = arg;
	bool keep = kept_by_rule(c, commit);
	c->seen++;
	if (keep)
		return ids_add(&c->kept, &commit->id, err);
	if (ids_have(&c->kept, &commit->id) || ids_have(&c->others, &commit->id))
		return 0;
	return ids_add(&c->doomed, &commit->id, err);
}

static int find_ends(struct cut *c, struct tv_err *err)
{
	int res = 0;
	for (size_t i = 0; res == 0 && i < c->kept.len; i++) {
		tv_autocommit struct tv_commit commit = TV_COMMIT_INIT;
		res = tv_commit_get(c->s, &c->kept.list[i], &commit, err);
		for (size_t k = 0; res == 0 && k < commit.n_parents; k++)
			if (ids_have(&c->doomed, &commit.parents[k]))
				res = ids_add(&c->ends, &commit.parents[k], err);
	}
	return res;
}

/* Decides everything, as the store is now: in a transaction, nobody can change it meanwhile. */
static int decide(struct cut *c, struct tv_err *err)
{
	struct tv_ref ref;
	cut_clear(c);
	int res = tv_ref_get(c->s, c->how->ref, &ref, err);
	if (res == 0)
		res = tv_roots_each(c->s, NULL, root_visit, c, err);
	if (res == 0)
		res = tv_commit_log(c->s, &ref.commit, log_visit, c, err);
	return res < 0 ? res : find_ends(c, err);
}

static int cut_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct cut *c = arg;
	int res = decide(c, err);
	for (size_t i = 0; res == 0 && i < c->ends.len; i++) {
		res = tv_commit_shallow_mark_in(t, &c->ends.list[i], err);
		if (res == 0)
			res = tv_commit_del(c->s, t, &c->ends.list[i], err);
	}
	return res;
}

static int forget_commits(struct tv_store *s, const struct tv_forget *how, visit_fn *visit,
			  void *arg, struct tv_err *err)
{
	char hex[TV_SHA_HEX];
	struct cut c = { .s = s, .how = how, .since = tv_now_ns() - how->keep_within_ns };
	int res = how->dry_run ? decide(&c, err) : tv_kv_write(tv_store_kv(s), cut_body, &c, err);
	for (size_t i = 0; res == 0 && visit && i < c.doomed.len; i++) {
		tv_sha_hex(&c.doomed.list[i], hex);
		res = visit(arg, hex, err);
	}
	cut_clear(&c);
	return res;
}

int tv_forget(struct tv_store *s, const struct tv_forget *how, visit_fn *visit, void *arg,
	      struct tv_err *err)
{
	if (!how->keep_last && !how->keep_within_ns && !how->keep_tagged)
		return tv_err_set(err, -EINVAL, "forgetting needs a rule that says what to keep");
	if (!how->runs && !how->ref)
		return tv_err_set(err, -EINVAL, "forgetting commits needs a ref");
	/* gc reads what is cut here. */
	tv_autoclose int lock =
		tv_lockfile_take(s, TV_GC_LOCK, true, 0, "another gc or forget is running", err);
	if (lock < 0)
		return lock;
	return how->runs ? forget_runs(s, how, visit, arg, err)
			 : forget_commits(s, how, visit, arg, err);
}
