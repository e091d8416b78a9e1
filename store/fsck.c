/*
 * Checking a store. Each node is decoded twice whatever the number of commits: once to learn what it
 * says of itself, once to compare that with what its parents say of it. Sums that agree with every
 * child's sums agree with the whole tree. Damage in nodes and blobs is collected first; only when
 * there is some are the trees walked, to name the paths.
 */
#include "store/fsck.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/fsck-priv.h"
#include "store/gc-files.h"
#include "store/txn-nodes.h"

int tv_fsck_tell(struct tv_fsck_run *run, const struct tv_finding *f, struct tv_err *err)
{
	if (f->severity == TV_DAMAGE)
		run->figures.damages++;
	else
		run->figures.notes++;
	if (run->how->found && run->how->found(run->how->arg, f))
		return tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
	return 0;
}

int tv_fsck_tellf(struct tv_fsck_run *run, enum tv_severity severity, const struct tv_sha *commit,
		  struct tv_err *err, const char *fmt, ...)
{
	char text[TV_ERR_TEXT];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	const struct tv_finding f = { .severity = severity, .what = text, .commit = commit };
	return tv_fsck_tell(run, &f, err);
}

int tv_fsck_step(struct tv_fsck_run *run, const char *phase, uint64_t done, uint64_t total,
		 struct tv_err *err)
{
	if (done % 256 || !tv_progress_step(run->how->progress, phase, done, total, "rows"))
		return 0;
	return tv_err_set(err, -TV_E_INTERRUPTED, "interrupted");
}

int tv_fsck_add_bad(struct tv_fsck_run *run, const struct tv_addr *addr, struct tv_err *err,
		    const char *fmt, ...)
{
	if (tv_map16_get(&run->bad_at, addr->b))
		return 0;
	if (run->n_bad == run->cap_bad) {
		size_t cap = run->cap_bad ? run->cap_bad * 2 : 16;
		void *grown = reallocarray(run->bad, cap, sizeof(*run->bad));
		if (!grown)
			return tv_err_nomem(err);
		run->bad = grown;
		run->cap_bad = cap;
	}
	char text[TV_ERR_TEXT];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	struct tv_fsck_bad bad = { .addr = *addr, .what = strdup(text) };
	if (!bad.what || tv_map16_put(&run->bad_at, addr->b, run->n_bad) < 0) {
		free(bad.what);
		return tv_err_nomem(err);
	}
	run->bad[run->n_bad++] = bad;
	return 0;
}

const struct tv_fsck_commit *tv_fsck_find_commit(const struct tv_fsck_run *run,
						 const struct tv_sha *id)
{
	const uint64_t *at = tv_map16_get(&run->commit_at, id->b);
	return at && tv_sha_eq(&run->commits[*at].id, id) ? &run->commits[*at] : NULL;
}

struct node_read {
	const struct tv_addr *addr;
	struct tv_node *node;
};

static int read_body(struct tv_kv_txn *t, void *arg, struct tv_err *err)
{
	struct node_read *r = arg;
	struct tv_node_source nodes = tv_txn_nodes(t);
	return nodes.get(nodes.arg, r->addr, &r->node, err);
}

int tv_fsck_read_node(struct tv_fsck_run *run, const struct tv_addr *addr, struct tv_node **out)
{
	struct node_read r = { .addr = addr };
	int res = tv_kv_read(tv_store_kv(run->s), read_body, &r, NULL);
	if (res == 0)
		*out = r.node;
	return res;
}

int tv_fsck_find_node(struct tv_fsck_run *run, const struct tv_addr *addr, struct tv_fsck_node *out,
		      struct tv_err *err)
{
	const uint64_t *at = tv_map16_get(&run->node_at, addr->b);
	struct tv_node *node = NULL;
	if (at) {
		*out = run->nodes[*at];
		return 1;
	}
	if (tv_map16_get(&run->bad_at, addr->b))
		return 0;
	int res = tv_fsck_read_node(run, addr, &node);
	if (res == -ENOMEM)
		return tv_err_nomem(err);
	if (res < 0)
		return 0;
	out->self = *tv_node_self(node);
	out->level = tv_node_level(node);
	tv_node_unref(node);
	return 1;
}

int tv_fsck_check_root(struct tv_fsck_run *run, const struct tv_entry *root, const char *whose,
		       const struct tv_sha *commit, struct tv_err *err)
{
	struct tv_fsck_node node;
	int found = tv_fsck_find_node(run, &root->addr, &node, err);
	if (found < 0)
		return found;
	if (!found) {
		char hex[TV_ADDR_HEX];
		tv_addr_hex(&root->addr, hex);
		return tv_fsck_add_bad(run, &root->addr, err, "tree node %s is missing", hex);
	}
	if (!tv_sha_eq(&node.self.sha, &root->sha) || node.self.size != root->size ||
	    node.self.files != root->files)
		return tv_fsck_tellf(run, TV_DAMAGE, commit, err, "%s does not agree with its tree",
				     whose);
	return 0;
}

static int orphan_visit(void *arg, const char *path, int64_t ctime_ns, struct tv_err *err)
{
	(void)ctime_ns;
	return tv_fsck_tellf(
		arg, TV_NOTE, NULL, err,
		"file 'blobs/%s' has no row: left by a crash, or of a commit on its way", path);
}

static int temp_visit(void *arg, const char *name, struct tv_err *err)
{
	return tv_fsck_tellf(arg, TV_NOTE, NULL, err,
			     "temp file 'tmp/%s' of a process that is gone", name);
}

static int leftovers(struct tv_fsck_run *run, struct tv_err *err)
{
	int res = tv_orphans_each(run->s, orphan_visit, run, err);
	return res < 0 ? res : tv_temps_each(run->s, temp_visit, run, err);
}

typedef int part_fn(struct tv_fsck_run *run, struct tv_err *err);

static int check_all(struct tv_fsck_run *run, struct tv_err *err)
{
	static part_fn *const parts[] = {
		tv_fsck_nodes, tv_fsck_blobs, tv_fsck_commits, tv_fsck_users,
		tv_fsck_paths, tv_fsck_hits,  leftovers,
	};
	int res = 0;
	for (size_t i = 0; res == 0 && i < TV_ARRAY_LEN(parts); i++)
		res = parts[i](run, err);
	return res;
}

static void run_free(struct tv_fsck_run *run)
{
	for (size_t i = 0; i < run->n_bad; i++) {
		for (unsigned k = 0; k < run->bad[i].n_hits; k++)
			free(run->bad[i].hits[k].path);
		free(run->bad[i].what);
	}
	free(run->bad);
	free(run->nodes);
	free(run->commits);
	tv_map16_free(&run->node_at);
	tv_map16_free(&run->bad_at);
	tv_map16_free(&run->commit_at);
}

int tv_fsck(struct tv_store *s, const struct tv_fsck *how, struct tv_fsck_figures *out,
	    struct tv_err *err)
{
	struct tv_fsck_run run = { .s = s, .how = how };
	int res = check_all(&run, err);
	run_free(&run);
	if (res < 0)
		return res;
	*out = run.figures;
	if (run.figures.damages)
		return tv_err_set(err, -TV_E_DAMAGED, "the store is damaged in %llu places",
				  (unsigned long long)run.figures.damages);
	return 0;
}
