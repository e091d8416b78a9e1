#include "store/publish.h"

#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"

/* Lost races before the merge happens with the write lock held. */
#define RACES_MAX 5
/* With a gate, which may take long, that is no way out; so many losses are somebody's mistake. */
#define GATED_RACES_MAX 1000

/* Where the ref stands. */
struct tip {
	bool exists;
	struct tv_ref ref;
	struct tv_commit commit;
};

struct job {
	struct tv_store *store;
	const struct tv_publish *p;
	struct tv_conflicts *conflicts; /* nullable */
	struct tv_entry base, empty;
	struct tip tip;
	struct tv_entry root; /* what is to be published on this tip */
	bool judged;	      /* the gate has seen `seen` and let it pass */
	struct tv_entry seen;
	bool merge_inside, lost_race;
	struct tv_commit commit; /* as it was written */
	struct tv_published out;
};

static void job_free(struct job *j)
{
	tv_commit_free(&j->tip.commit);
	tv_commit_free(&j->commit);
}

/* --- reading --------------------------------------------------------------------------------- */

static int read_tip_in(struct tv_kv_txn *t, struct job *j, struct tv_err *err)
{
	struct tip tip = { .exists = true };
	int r = tv_ref_get_in(t, j->p->ref, &tip.ref, err);
	if (r == -ENOENT) {
		tv_err_clear(err);
		tip.exists = false;
	} else if (r < 0) {
		return r;
	} else if (tip.ref.kind == TV_REF_TAG) {
		return tv_err_set(err, -EEXIST, "'%s' is a tag; tags do not move", j->p->ref);
	} else {
		r = tv_commit_get_in(t, &tip.ref.commit, &tip.commit, err);
		if (r < 0)
			return tv_err_wrap(err, r, "ref '%s'", j->p->ref);
	}
	tv_commit_free(&j->tip.commit);
	j->tip = tip;
	return 0;
}

static int read_tip(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	return read_tip_in(t, arg, err);
}

static int read_base(struct job *j, struct tv_err *err)
{
	int r = tv_tree_empty(j->p->nodes, &j->empty, err);
	j->base = j->empty;
	if (r < 0 || !j->p->base)
		return r;
	tv_autocommit struct tv_commit base = TV_COMMIT_INIT;
	r = tv_commit_get(j->store, j->p->base, &base, err);
	if (r == 0)
		j->base = base.root;
	return r < 0 ? tv_err_wrap(err, r, "base") : 0;
}

/* --- deciding -------------------------------------------------------------------------------- */

static bool moved_since_base(const struct job *j)
{
	return j->tip.exists && !(j->p->base && tv_sha_eq(j->p->base, &j->tip.commit.id));
}

static bool unchanged(const struct job *j)
{
	return j->tip.exists && !j->p->always && tv_entry_same(&j->root, &j->tip.commit.root);
}

/* Sets j->root for the tip as it was read. */
static int merge(struct job *j, struct tv_err *err)
{
	struct tv_conflicts found = { .paths = NULL };
	j->root = *j->p->ours;
	j->root.target = NULL;
	if (!moved_since_base(j))
		return 0;
	int r = tv_tree_merge(j->p->nodes, &j->base, j->p->ours, &j->tip.commit.root, &j->root,
			      &found, err);
	if (r == -TV_E_CONFLICT && j->conflicts) {
		tv_conflicts_free(j->conflicts);
		*j->conflicts = found;
	} else {
		tv_conflicts_free(&found);
	}
	return r < 0 ? tv_err_wrap(err, r, "ref '%s' has moved", j->p->ref) : 0;
}

static int judge(struct job *j, struct tv_err *err)
{
	if (!j->p->gate || unchanged(j) || (j->judged && tv_entry_same(&j->seen, &j->root)))
		return 0;
	int r = j->p->gate(j->p->gate_arg, tv_node_batch_source(j->p->nodes), &j->root, err);
	j->judged = r == 0;
	j->seen = j->root;
	return r;
}

/* --- writing --------------------------------------------------------------------------------- */

/* A commit on the tip; the first one of a new ref stands on the base its tree was made from. */
static int fill_commit(struct job *j, struct tv_err *err)
{
	const struct tv_publish *p = j->p;
	const struct tv_sha *parent = j->tip.exists ? &j->tip.commit.id : p->base;
	struct tv_commit *c = &j->commit;

	tv_commit_free(c);
	c->root = j->root;
	c->time_ns = tv_now_ns();
	c->parents = malloc(sizeof(*c->parents));
	c->author = strdup(p->author ? p->author : "");
	c->message = strdup(p->message ? p->message : "");
	c->trace_id = strdup(p->trace_id ? p->trace_id : "");
	c->meta = strdup(p->meta ? p->meta : "{}");
	if (!c->parents || !c->author || !c->message || !c->trace_id || !c->meta)
		return tv_err_nomem(err);
	if (parent)
		c->parents[c->n_parents++] = *parent;
	return 0;
}

/* The trees may share nodes with the base: it must not have gone to gc meanwhile. */
static int check_base(struct job *j, struct tv_kv_txn *t, struct tv_err *err)
{
	if (!j->p->base)
		return 0;
	int r = tv_kv_get(t, TV_T_COMMITS, tv_bytes(j->p->base->b, sizeof(j->p->base->b)), NULL,
			  err);
	if (r == 0)
		return tv_err_set(err, -EAGAIN, "gc removed the base commit meanwhile; try again");
	return r < 0 ? r : 0;
}

static int write_rows(struct job *j, struct tv_kv_txn *t, struct tv_err *err)
{
	const struct tv_publish *p = j->p;
	int r = p->blobs ? tv_blobs_register(p->blobs, t, err) : 0;
	if (r == 0)
		r = check_base(j, t, err);
	if (r == 0)
		r = tv_store_put_nodes(j->store, t, p->nodes, &j->root.addr, err);
	if (r == 0)
		r = fill_commit(j, err);
	if (r == 0)
		r = tv_commit_put(j->store, t, tv_node_batch_source(p->nodes), &j->commit, err);
	if (r == 0)
		r = tv_ref_move_in(t, p->ref, j->tip.exists ? j->tip.ref.kind : p->ref_kind,
				   j->tip.exists ? &j->tip.commit.id : NULL, &j->commit.id,
				   p->author, p->message, err);
	return r;
}

/* Does the ref still stand where the merge took it to stand? */
static int check_race(struct job *j, struct tv_kv_txn *t, struct tv_err *err)
{
	struct tv_ref now;
	int r = tv_ref_get_in(t, j->p->ref, &now, err);
	if (r < 0 && r != -ENOENT)
		return r;
	bool exists = r == 0;
	j->lost_race =
		exists != j->tip.exists || (exists && !tv_sha_eq(&now.commit, &j->tip.commit.id));
	return j->lost_race ? tv_err_set(err, -EAGAIN, "ref '%s' has moved", j->p->ref) : 0;
}

static int write_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct job *j = arg;
	int r = j->merge_inside ? read_tip_in(t, j, err) : check_race(j, t, err);
	if (r == 0 && j->merge_inside)
		r = merge(j, err);
	if (r == 0 && !unchanged(j))
		r = write_rows(j, t, err);
	if (r == 0 && j->p->also)
		r = j->p->also(j->p->also_arg, t, unchanged(j) ? &j->tip.commit : &j->commit, err);
	return r;
}

static void report(struct job *j, struct tv_published *out)
{
	const struct tv_commit *c = unchanged(j) ? &j->tip.commit : &j->commit;
	*out = (struct tv_published){
		.commit = c->id,
		.foundation = c->root.sha,
		.root = c->root,
		.unchanged = unchanged(j),
		.merged = moved_since_base(j),
	};
	if (j->tip.exists)
		out->previous = j->tip.commit.id;
}

/* One attempt. lost_race tells whether another is worth while. */
static int attempt(struct job *j, struct tv_err *err)
{
	j->lost_race = false;
	int r = tv_kv_read(tv_store_kv(j->store), read_tip, j, err);
	if (r == 0)
		r = merge(j, err);
	if (r == 0)
		r = judge(j, err);
	return r != 0 ? r : tv_kv_write(tv_store_kv(j->store), write_body, j, err);
}

int tv_publish(struct tv_store *s, const struct tv_publish *p, struct tv_published *out,
	       struct tv_conflicts *conflicts, struct tv_err *err)
{
	tv_auto(job_free) struct job j = {
		.store = s,
		.p = p,
		.conflicts = conflicts,
	};
	int r = tv_ref_name_check(p->ref, err);
	if (r == 0)
		r = read_base(&j, err);
	for (unsigned races = 0; r == 0; races++) {
		j.merge_inside = !p->gate && races >= RACES_MAX;
		r = attempt(&j, err);
		if (!j.lost_race)
			break;
		tv_err_clear(err);
		r = races < GATED_RACES_MAX
			    ? 0
			    : tv_err_set(err, -TV_E_LOCKED,
					 "others keep moving ref '%s'; try again later", p->ref);
	}
	if (r == 0)
		report(&j, out);
	return r;
}
