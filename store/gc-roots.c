/* The roots of a store: what gc keeps everything for, and what forget and fsck look at. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/gc-mark.h"
#include "store/lease.h"
#include "store/ref.h"
#include "store/worktree-priv.h"

struct each {
	bool (*skip_run)(void *arg, struct tv_bytes id);
	int (*visit)(void *arg, const struct tv_root *root, struct tv_err *err);
	void *arg;
};

static int ref_visit(void *arg, const struct tv_ref *r, struct tv_err *err)
{
	const struct each *e = arg;
	const struct tv_root root = {
		.commit = &r->commit,
		.kind = r->kind == TV_REF_TAG ? TV_ROOT_TAG : TV_ROOT_BRANCH,
		.name = r->name,
	};
	return e->visit(e->arg, &root, err);
}

static int lease_visit(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err)
{
	const struct each *e = arg;
	const struct tv_root root = { .commit = &l->commit, .kind = TV_ROOT_LEASE, .name = l->id };
	return alive ? e->visit(e->arg, &root, err) : 0;
}

/* Only the commit is wanted of a record; the id may not be NUL-terminated. */
static int run_row(const struct each *e, struct tv_bytes key, struct tv_bytes value,
		   struct tv_err *err)
{
	struct tv_sha commit;
	tv_autojson cJSON *doc = NULL;
	char id[512];
	snprintf(id, sizeof(id), "%.*s", (int)key.len, (const char *)key.data);
	int res = tv_json_parse(value.data, value.len, &doc, err);
	if (res == -ENOMEM)
		return res;
	const char *hex = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, "commit"));
	if (res < 0 || !hex || !tv_sha_from_hex(hex, &commit))
		return tv_err_set(err, -TV_E_DAMAGED, "the record of run '%s' is damaged", id);
	const struct tv_root root = { .commit = &commit, .kind = TV_ROOT_RUN, .name = id };
	return e->visit(e->arg, &root, err);
}

static int folder_row(const struct each *e, struct tv_bytes value, struct tv_err *err)
{
	struct tv_worktree_row row;
	int res = tv_worktree_row_decode(value, &row, err);
	struct tv_root root = { .kind = TV_ROOT_FOLDER, .name = row.path };
	if (res == 0 && row.has_base) {
		root.commit = &row.base;
		root.tree = &row.base_root;
		res = e->visit(e->arg, &root, err);
	}
	if (res == 0 && row.has_pending) {
		root.commit = &row.pending;
		root.tree = &row.pending_root;
		res = e->visit(e->arg, &root, err);
	}
	return res;
}

/* Run records and live folders, whose rows are read here: they must be read as they are in the
 * transaction that the caller may be in. */
static int rows_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	static const enum tv_table tables[] = { TV_T_RUNS, TV_T_WORKTREES };
	const struct each *e = arg;
	int res = 0;
	for (size_t i = 0; res >= 0 && i < TV_ARRAY_LEN(tables); i++) {
		struct tv_kv_cursor *c;
		struct tv_bytes key, value;
		res = tv_kv_cursor_open(t, tables[i], &c, err);
		if (res < 0)
			return res;
		res = tv_kv_cursor_from(c, tv_bytes(NULL, 0), &key, &value, err);
		while (res == 1) {
			if (tables[i] == TV_T_WORKTREES)
				res = folder_row(e, value, err);
			else if (!e->skip_run || !e->skip_run(e->arg, key))
				res = run_row(e, key, value, err);
			else
				res = 0;
			if (res == 0)
				res = tv_kv_cursor_next(c, &key, &value, err);
		}
		tv_kv_cursor_close(c);
	}
	return res;
}

int tv_roots_each(struct tv_store *s, bool (*skip_run)(void *arg, struct tv_bytes id),
		  int (*visit)(void *arg, const struct tv_root *root, struct tv_err *err),
		  void *arg, struct tv_err *err)
{
	struct each e = { .skip_run = skip_run, .visit = visit, .arg = arg };
	int res = tv_ref_each(s, ref_visit, &e, err);
	if (res == 0)
		res = tv_lease_each(s, lease_visit, &e, err);
	if (res == 0)
		res = tv_kv_read(tv_store_kv(s), rows_body, &e, err);
	return res;
}
