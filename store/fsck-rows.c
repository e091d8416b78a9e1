/* Commits and the rows that index them; and whoever points to commits. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/fsck-priv.h"
#include "store/gc-mark.h"
#include "store/lease.h"
#include "store/ref.h"
#include "store/runrec.h"
#include "store/store-priv.h"
#include "store/table-pass.h"
#include "store/worktree-priv.h"

struct get {
	enum tv_table table;
	struct tv_bytes key;
	uint8_t value[64]; /* its beginning */
	size_t len;
};

static int get_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct get *g = arg;
	struct tv_bytes value;
	int res = tv_kv_get(t, g->table, g->key, &value, err);
	if (res == 1) {
		g->len = value.len;
		memcpy(g->value, value.data,
		       value.len < sizeof(g->value) ? value.len : sizeof(g->value));
	}
	return res;
}

/* Whether the row is there and its value is the commit's id. */
static int names_commit(struct tv_fsck_run *run, enum tv_table table, const uint8_t *key, size_t n,
			const struct tv_sha *id, struct tv_err *err)
{
	struct get g = { .table = table, .key = tv_bytes(key, n) };
	int res = tv_kv_read(run->s->kv, get_body, &g, err);
	if (res <= 0)
		return res;
	return g.len == sizeof(id->b) && memcmp(g.value, id->b, sizeof(id->b)) == 0;
}

/* --- commits --------------------------------------------------------------------------------- */

static int commit_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct tv_fsck_run *run = arg;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_err why = TV_ERR_INIT;
	struct tv_sha id;
	(void)value;
	run->figures.commits++;
	if (key.len != sizeof(id.b))
		return tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "a commit row has a malformed key");
	memcpy(id.b, key.data, sizeof(id.b));
	int res = tv_commit_get(run->s, &id, &c, &why);
	if (res == -ENOMEM)
		return tv_err_nomem(err);
	if (res < 0)
		return tv_fsck_tellf(run, TV_DAMAGE, &id, err, "%s", why.text);
	if (run->n_commits == run->cap_commits) {
		size_t cap = run->cap_commits ? run->cap_commits * 2 : 64;
		void *grown = reallocarray(run->commits, cap, sizeof(*run->commits));
		if (!grown)
			return tv_err_nomem(err);
		run->commits = grown;
		run->cap_commits = cap;
	}
	if (tv_map16_put(&run->commit_at, id.b, run->n_commits) < 0)
		return tv_err_nomem(err);
	run->commits[run->n_commits++] = (struct tv_fsck_commit){
		.id = id, .root = c.root, .sequence = c.sequence, .generation = c.generation
	};
	return 0;
}

struct shallow {
	const struct tv_sha *id;
};

static int shallow_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct shallow *s = arg;
	return tv_commit_shallow_is_in(t, s->id, err);
}

/* Its parents: there, or cut off on purpose; and the generation that follows from theirs. */
static int check_parents(struct tv_fsck_run *run, const struct tv_commit *c, struct tv_err *err)
{
	uint64_t newest = 0;
	bool cut = false;
	for (size_t i = 0; i < c->n_parents; i++) {
		const struct tv_fsck_commit *parent = tv_fsck_find_commit(run, &c->parents[i]);
		struct shallow s = { .id = &c->parents[i] };
		char hex[TV_SHA_HEX];
		tv_autocommit struct tv_commit fresh = TV_COMMIT_INIT;
		uint64_t generation = parent ? parent->generation : 0;
		/* Both came after a part of the commits was listed, and the child alone into the rest. */
		if (!parent && tv_commit_get(run->s, &c->parents[i], &fresh, NULL) == 0)
			generation = fresh.generation;
		if (generation) {
			newest = generation > newest ? generation : newest;
			continue;
		}
		int res = tv_kv_read(run->s->kv, shallow_body, &s, err);
		tv_sha_hex(&c->parents[i], hex);
		if (res == 0)
			res = tv_fsck_tellf(run, TV_DAMAGE, &c->id, err, "parent %s is missing",
					    hex);
		if (res < 0)
			return res;
		cut = true;
	}
	if (c->generation == newest + 1 || (cut && c->generation > newest))
		return 0;
	return tv_fsck_tellf(run, TV_DAMAGE, &c->id, err, "a commit's generation is wrong");
}

static int check_index_rows(struct tv_fsck_run *run, const struct tv_fsck_commit *c,
			    struct tv_err *err)
{
	uint8_t key[40];
	memcpy(key, c->root.sha.b, 32);
	tv_be64_put(key + 32, c->sequence);
	int res = names_commit(run, TV_T_FOUNDATIONS, key, 40, &c->id, err);
	if (res == 0)
		res = tv_fsck_tellf(run, TV_DAMAGE, &c->id, err,
				    "a commit is missing from the index of foundations");
	if (res >= 0)
		res = names_commit(run, TV_T_SEQUENCE, key + 32, 8, &c->id, err);
	if (res == 0)
		res = tv_fsck_tellf(run, TV_DAMAGE, &c->id, err,
				    "a commit is missing from the index of sequence numbers");
	return res < 0 ? res : 0;
}

static int check_commit(struct tv_fsck_run *run, const struct tv_fsck_commit *known,
			struct tv_err *err)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_err why = TV_ERR_INIT;
	int res = tv_commit_get(run->s, &known->id, &c, &why);
	if (res == -ENOENT) /* gc or forget took it meanwhile */
		return 0;
	if (res < 0)
		return tv_err_set(err, res, "%s", why.text);
	res = check_parents(run, &c, err);
	if (res == 0)
		res = tv_fsck_check_root(run, &c.root, "a commit", &known->id, err);
	return res < 0 ? res : check_index_rows(run, known, err);
}

/* Sequence rows and foundation rows: value is the id of a commit that has this number. */
static int index_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct tv_fsck_run *run = arg;
	const uint8_t *bytes = key.data;
	const struct tv_fsck_commit *c = NULL;
	struct tv_sha id;
	if (value.len == sizeof(id.b)) {
		memcpy(id.b, value.data, sizeof(id.b));
		c = tv_fsck_find_commit(run, &id);
	}
	bool good = c && ((key.len == 8 && tv_be64_get(bytes) == c->sequence) ||
			  (key.len == 40 && tv_be64_get(bytes + 32) == c->sequence &&
			   memcmp(bytes, c->root.sha.b, 32) == 0));
	/* A commit that came after the others were listed. */
	if (!c && value.len == sizeof(id.b)) {
		tv_autocommit struct tv_commit fresh = TV_COMMIT_INIT;
		good = tv_commit_get(run->s, &id, &fresh, NULL) == 0;
	}
	return good ? 0
		    : tv_fsck_tellf(run, TV_DAMAGE, NULL, err,
				    "an index row names no commit, or another one");
}

static int check_counter(struct tv_fsck_run *run, struct tv_err *err)
{
	struct get g = { .table = TV_T_META, .key = tv_bytes("sequence", 8) };
	uint64_t newest = 0;
	for (size_t i = 0; i < run->n_commits; i++)
		newest = run->commits[i].sequence > newest ? run->commits[i].sequence : newest;
	int res = tv_kv_read(run->s->kv, get_body, &g, err);
	if (res < 0)
		return res;
	if (res == 0 ? newest == 0 : g.len == 8 && tv_be64_get(g.value) >= newest)
		return 0;
	return tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "the counter of commits is behind them");
}

int tv_fsck_commits(struct tv_fsck_run *run, struct tv_err *err)
{
	int res = tv_table_pass(run->s->kv, TV_T_COMMITS, commit_row, run, err);
	for (size_t i = 0; res == 0 && i < run->n_commits; i++) {
		res = check_commit(run, &run->commits[i], err);
		if (res == 0)
			res = tv_fsck_step(run, "commits", i, run->n_commits, err);
	}
	if (res == 0)
		res = tv_table_pass(run->s->kv, TV_T_SEQUENCE, index_row, run, err);
	if (res == 0)
		res = tv_table_pass(run->s->kv, TV_T_FOUNDATIONS, index_row, run, err);
	return res < 0 ? res : check_counter(run, err);
}

/* --- who points to commits ------------------------------------------------------------------- */

/* Tells when a commit that somebody points to is not there. */
static int check_pointer(struct tv_fsck_run *run, const struct tv_sha *id, struct tv_err *err,
			 const char *who, const char *name)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	if (tv_fsck_find_commit(run, id) || tv_commit_get(run->s, id, &c, NULL) == 0)
		return 0;
	return tv_fsck_tellf(run, TV_DAMAGE, id, err,
			     "%s '%s' points to a commit that is not there", who, name);
}

static int ref_visit(void *arg, const struct tv_ref *r, struct tv_err *err)
{
	return check_pointer(arg, &r->commit, err, "ref", r->name);
}

static int lease_visit(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err)
{
	if (alive)
		return check_pointer(arg, &l->commit, err, "lease", l->id);
	return tv_fsck_tellf(arg, TV_NOTE, &l->commit, err,
			     "lease '%s' of process %d, which is gone: prune removes it", l->id,
			     (int)l->owner.pid);
}

static int run_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct tv_fsck_run *run = arg;
	tv_autojson cJSON *doc = NULL;
	struct tv_sha commit, foundation;
	char id[256];
	uint8_t index[32 + TV_RUN_ID_MAX];
	snprintf(id, sizeof(id), "%.*s", (int)(key.len < 255 ? key.len : 255),
		 (const char *)key.data);
	if (key.len > TV_RUN_ID_MAX || tv_json_parse(value.data, value.len, &doc, NULL) < 0)
		return tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "the record of run '%s' is damaged",
				     id);
	const char *hex = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, "commit"));
	const char *root =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, "foundation_hash"));
	if (!hex || !root || !tv_sha_from_hex(hex, &commit) || !tv_sha_from_hex(root, &foundation))
		return tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "the record of run '%s' is damaged",
				     id);
	int res = check_pointer(run, &commit, err, "run", id);
	if (res < 0)
		return res;
	memcpy(index, foundation.b, 32);
	memcpy(index + 32, key.data, key.len);
	struct get g = { .table = TV_T_RUN_BY_FOUNDATION, .key = tv_bytes(index, 32 + key.len) };
	res = tv_kv_read(run->s->kv, get_body, &g, err);
	if (res == 0)
		res = tv_fsck_tellf(run, TV_DAMAGE, &commit, err,
				    "run '%s' is missing from the index of runs", id);
	return res < 0 ? res : 0;
}

static int run_index_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct tv_fsck_run *run = arg;
	(void)value;
	int res = 0;
	if (key.len > 32) {
		struct get g = { .table = TV_T_RUNS,
				 .key = tv_bytes((const uint8_t *)key.data + 32, key.len - 32) };
		res = tv_kv_read(run->s->kv, get_body, &g, err);
	}
	if (res == 0)
		res = tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "the index of runs names no run");
	return res < 0 ? res : 0;
}

static int folder_row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct tv_fsck_run *run = arg;
	struct tv_worktree_row row;
	struct tv_err why = TV_ERR_INIT;
	(void)key;
	if (tv_worktree_row_decode(value, &row, &why) < 0)
		return tv_fsck_tellf(run, TV_DAMAGE, NULL, err, "%s", why.text);
	int res = 0;
	if (row.has_base)
		res = check_pointer(run, &row.base, err, "live folder", row.path);
	if (res == 0 && row.has_base)
		res = tv_fsck_check_root(run, &row.base_root, "the base of a live folder",
					 &row.base, err);
	if (res == 0 && row.has_pending) {
		res = check_pointer(run, &row.pending, err, "live folder", row.path);
		if (res == 0)
			res = tv_fsck_tellf(run, TV_NOTE, &row.pending, err,
					    "a sync of '%s' is running or was killed: repeat it",
					    row.path);
	}
	return res;
}

int tv_fsck_users(struct tv_fsck_run *run, struct tv_err *err)
{
	struct tv_kv *kv = run->s->kv;
	struct tv_err why = TV_ERR_INIT;
	int res = tv_ref_each(run->s, ref_visit, run, &why);
	if (res == -TV_E_DAMAGED)
		res = tv_fsck_tellf(run, TV_DAMAGE, NULL, &why, "%s", why.text);
	if (res == 0) {
		res = tv_lease_each(run->s, lease_visit, run, &why);
		if (res == -TV_E_DAMAGED)
			res = tv_fsck_tellf(run, TV_DAMAGE, NULL, &why, "%s", why.text);
	}
	if (res < 0)
		return tv_err_set(err, res, "%s", why.text);
	res = tv_table_pass(kv, TV_T_RUNS, run_row, run, err);
	if (res == 0)
		res = tv_table_pass(kv, TV_T_RUN_BY_FOUNDATION, run_index_row, run, err);
	return res < 0 ? res : tv_table_pass(kv, TV_T_WORKTREES, folder_row, run, err);
}
