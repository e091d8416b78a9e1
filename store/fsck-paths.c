/* The path index: each row belongs to a commit, and each change of a commit has its row. */
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/diff.h"
#include "store/fsck-priv.h"
#include "store/path-index.h"
#include "store/store-priv.h"
#include "store/table-pass.h"

#define PATH_KEY 24
#define CHUNK_KEY 12

struct paths {
	struct tv_fsck_run *run;
	struct tv_map16 sequences; /* of all commits, padded with zeroes */
	uint64_t newest;
	const struct tv_fsck_commit *commit;
	uint64_t missing; /* of this commit */
};

static void pad(uint64_t sequence, uint8_t key[16])
{
	memset(key, 0, 16);
	memcpy(key, &sequence, sizeof(sequence)); /* the map hashes by these bytes */
}

static int sequence_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	uint8_t key[8];
	tv_be64_put(key, *(uint64_t *)arg);
	return tv_kv_get(t, TV_T_SEQUENCE, tv_bytes(key, 8), NULL, err);
}

/* A commit may have come too late for the list that younger ones are in. 1, 0, -errno. */
static int has_commit(const struct paths *p, uint64_t sequence, struct tv_err *err)
{
	uint8_t padded[16];
	pad(sequence, padded);
	if (tv_map16_get(&p->sequences, padded) || sequence > p->newest)
		return 1;
	return tv_kv_read(p->run->s->kv, sequence_body, &sequence, err);
}

static int row(void *arg, struct tv_bytes key, struct tv_bytes value, struct tv_err *err)
{
	struct paths *p = arg;
	const uint8_t *bytes = key.data;
	struct tv_path_version v;
	struct tv_err why = TV_ERR_INIT;
	if (key.len != PATH_KEY && key.len != CHUNK_KEY)
		return tv_fsck_tellf(p->run, TV_DAMAGE, NULL, err,
				     "a path row has a malformed key");
	uint64_t sequence = tv_be64_get(key.len == PATH_KEY ? bytes + 16 : bytes);
	int known = has_commit(p, sequence, err);
	if (known < 0)
		return known;
	if (!known)
		return tv_fsck_tellf(p->run, TV_DAMAGE, NULL, err,
				     "a path row belongs to commit number %llu, which is not there",
				     (unsigned long long)sequence);
	/* The empty path is in no row, so looking for it reads the row to its end. */
	if (key.len == PATH_KEY && tv_path_index_decode(value, "", &v, &why) < 0)
		return tv_fsck_tellf(p->run, TV_DAMAGE, NULL, err, "%s", why.text);
	return 0;
}

struct look {
	uint8_t key[PATH_KEY];
	const char *path;
};

static int look_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	const struct look *l = arg;
	struct tv_path_version v;
	struct tv_bytes value;
	int res = tv_kv_get(t, TV_T_PATHS, tv_bytes(l->key, sizeof(l->key)), &value, err);
	return res == 1 ? tv_path_index_decode(value, l->path, &v, err) : res;
}

static int change_visit(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct paths *p = arg;
	struct look l = { .path = item->path };
	bool dir_after = item->after && item->after->kind == TV_DIR;
	if ((!item->after || dir_after) && (!item->before || item->before->kind == TV_DIR))
		return 0;
	struct tv_addr hash = tv_addr_of(item->path, strlen(item->path));
	memcpy(l.key, hash.b, 16);
	tv_be64_put(l.key + 16, p->commit->sequence);
	struct tv_err why = TV_ERR_INIT;
	int res = tv_kv_read(p->run->s->kv, look_body, &l, &why);
	if (res < 0 && res != -TV_E_DAMAGED)
		return tv_err_set(err, res, "%s", why.text);
	p->missing += res == 0;
	return 0;
}

/* Against an empty tree when it has no parent; not at all when that was cut off. */
static int check_commit(struct paths *p, struct tv_err *err)
{
	const struct tv_fsck_commit *parent = NULL;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_node_batch *batch;
	struct tv_entry before;
	struct tv_err why = TV_ERR_INIT;

	if (tv_commit_get(p->run->s, &p->commit->id, &c, NULL) < 0)
		return 0;
	if (c.n_parents && !(parent = tv_fsck_find_commit(p->run, &c.parents[0])))
		return 0;
	int res = tv_node_batch_new(tv_store_nodes(p->run->s), &batch, err);
	if (res < 0)
		return res;
	res = tv_tree_empty(batch, &before, err);
	if (parent)
		before = parent->root;
	p->missing = 0;
	if (res == 0)
		res = tv_tree_diff(tv_node_batch_source(batch), &before, &c.root, TV_DIFF_TOUCHED,
				   change_visit, p, &why);
	tv_node_batch_free(batch);
	if (res == -TV_E_DAMAGED || res == -TV_E_DIGEST) /* told with the node that is damaged */
		return 0;
	if (res < 0)
		return why.code ? tv_err_set(err, res, "%s", why.text) : res;
	tv_commit_free(&c);
	/* Rows and all may have gone meanwhile, with the commit. */
	if (!p->missing || tv_commit_get(p->run->s, &p->commit->id, &c, NULL) == -ENOENT)
		return 0;
	return tv_fsck_tellf(p->run, TV_DAMAGE, &p->commit->id, err,
			     "%llu changed paths of a commit are missing from the path index",
			     (unsigned long long)p->missing);
}

int tv_fsck_paths(struct tv_fsck_run *run, struct tv_err *err)
{
	struct paths p = { .run = run };
	int res = 0;
	for (size_t i = 0; res == 0 && i < run->n_commits; i++) {
		uint64_t sequence = run->commits[i].sequence;
		uint8_t key[16];
		pad(sequence, key);
		p.newest = sequence > p.newest ? sequence : p.newest;
		if (tv_map16_put(&p.sequences, key, 0) < 0)
			res = tv_err_nomem(err);
	}
	if (res == 0)
		res = tv_table_pass(run->s->kv, TV_T_PATHS, row, &p, err);
	for (size_t i = 0; res == 0 && i < run->n_commits; i++) {
		p.commit = &run->commits[i];
		res = check_commit(&p, err);
		if (res == 0)
			res = tv_fsck_step(run, "paths", i, run->n_commits, err);
	}
	tv_map16_free(&p.sequences);
	return res;
}
