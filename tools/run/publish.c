#include "tools/run/publish.h"

#include <stdio.h>
#include <string.h>

#include "fs/overlay.h"
#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/filecheck.h"
#include "store/publish.h"
#include "store/scan.h"
#include "tools/cli.h"
#include "tools/run/record.h"

#define ATTEMPTS 8

/* One attempt's work. */
struct attempt {
	struct tv_store *store;
	const struct tv_plan *plan;
	struct tv_blobs *blobs;
	struct tv_node_batch *nodes;
	struct tv_overlay_edits edits;
	struct tv_conflicts conflicts;
	cJSON *result; /* borrowed */
};

static void attempt_clear(struct attempt *a)
{
	tv_overlay_edits_free(&a->edits);
	tv_conflicts_free(&a->conflicts);
	tv_node_batch_free(a->nodes);
	tv_blobs_free(a->blobs);
}

/* Names that are routed are the run's, not the lakehouse's. */
static const char **routed_names(const struct tv_plan *p, size_t *n)
{
	*n = p->profile->routes ? p->settings->n_routes : 0;
	const char **names = calloc(*n + 1, sizeof(*names));
	for (size_t i = 0; names && i < *n; i++)
		names[i] = p->settings->routes[i].name;
	return names;
}

static int add_refused(cJSON *result, const char *path, const char *reason, struct tv_err *err)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(result, "refused");
	tv_autojson cJSON *one = cJSON_CreateObject();
	if (!list)
		list = cJSON_AddArrayToObject(result, "refused");
	if (!list || !one || !tv_json_add_bytes(one, "path", path, strlen(path)) ||
	    !cJSON_AddStringToObject(one, "reason", reason) || !cJSON_AddItemToArray(list, one))
		return tv_err_nomem(err);
	tv_steal_ptr(&one);
	return 0;
}

/* The checks of an import: a file that no script could read is refused by name. */
static int check_files(struct attempt *a, struct tv_err *err)
{
	unsigned refused = 0;
	struct tv_err first = TV_ERR_INIT;
	for (size_t i = 0; i < a->edits.len; i++) {
		const struct tv_edit *e = &a->edits.edits[i];
		struct tv_err why = TV_ERR_INIT;
		const char *name = tv_path_base(e->path);
		if (e->remove || e->entry.kind != TV_FILE || !tv_filecheck_wants(name))
			continue;
		tv_autoclose int fd = tv_blob_open(a->store, &e->entry.addr, err);
		if (fd < 0)
			return fd;
		int r = tv_filecheck_fd(name, fd, e->entry.size, &why);
		if (r == 0)
			continue;
		if (r != -TV_E_GATE)
			return tv_err_set(err, r, "%s: %s", e->path, why.text);
		r = add_refused(a->result, e->path, why.text, err);
		if (r < 0)
			return r;
		if (!refused++)
			tv_err_set(&first, r, "'%s' %s", e->path, why.text);
	}
	if (!refused)
		return 0;
	return tv_err_set(err, -TV_E_GATE, "%s%s; nothing was published", first.text,
			  refused > 1 ? " (and others, see the run's record)" : "");
}

/* Ignored by itself, or in a folder that is. */
static bool is_ignored(const struct tv_settings *s, const char *path)
{
	tv_autofree char *copy = strdup(path);
	for (char *slash = copy; slash; slash = strchr(slash + 1, '/')) {
		char was = *slash;
		if (slash > copy)
			*slash = '\0';
		bool ignored = slash > copy && tv_scan_ignored((const char *const *)s->ignore.items,
							       s->ignore.len, copy);
		*slash = was;
		if (ignored)
			return true;
	}
	return tv_scan_ignored((const char *const *)s->ignore.items, s->ignore.len, path);
}

/* What a commit passes over is not published either: locks and temporary files of scripts. */
static void drop_ignored(const struct tv_settings *s, struct tv_overlay_edits *e)
{
	size_t kept = 0;
	for (size_t i = 0; i < e->len; i++) {
		if (!is_ignored(s, e->edits[i].path)) {
			e->edits[kept++] = e->edits[i];
			continue;
		}
		free((void *)(uintptr_t)e->edits[i].path);
		free((void *)(uintptr_t)e->edits[i].entry.target);
	}
	e->len = kept;
}

/* Blobs are placed before they are checked: what was refused stays without a row, and gc takes it. */
static int import_overlay(struct attempt *a, int overlay_fd, struct tv_entry *ours,
			  struct tv_err *err)
{
	const struct tv_node_source *stored = tv_store_nodes(a->store);
	size_t n_names;
	tv_autofree const char **names = routed_names(a->plan, &n_names);
	if (!names)
		return tv_err_nomem(err);
	int r = tv_blobs_begin(a->store, &a->blobs, err);
	if (r == 0)
		r = tv_node_batch_new(stored, &a->nodes, err);
	if (r == 0)
		r = tv_overlay_edits(overlay_fd, stored, &a->plan->commit.root, names, n_names,
				     a->blobs, &a->edits, err);
	if (r == 0)
		drop_ignored(a->plan->settings, &a->edits);
	if (r == 0)
		r = tv_blobs_place(a->blobs, err);
	if (r == 0)
		r = check_files(a, err);
	if (r == 0)
		r = tv_tree_edit(a->nodes, &a->plan->commit.root, a->edits.edits, a->edits.len,
				 ours, err);
	return r;
}

static char *commit_meta(const struct tv_plan *p)
{
	tv_autojson cJSON *meta = cJSON_CreateObject();
	if (!meta || !cJSON_AddStringToObject(meta, "run_id", p->run_id) ||
	    !cJSON_AddStringToObject(meta, "tvfs_version", TVFS_VERSION) ||
	    (*p->settings->engine_version &&
	     !cJSON_AddStringToObject(meta, "engine_version", p->settings->engine_version)))
		return NULL;
	return cJSON_PrintUnformatted(meta);
}

/* The profile's gates on what would be published: a job may have removed what they ask for. */
static int judge(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		 struct tv_err *err)
{
	const struct attempt *a = arg;
	struct tv_err why = TV_ERR_INIT;
	int r = tv_plan_gates(nodes, merged, a->plan, &why);
	if (r < 0)
		tv_err_set(err, r == -TV_E_MISSING ? -TV_E_GATE : r, "%s", why.text);
	return r == -TV_E_MISSING ? -TV_E_GATE : r;
}

static int attempt_publish(struct attempt *a, int overlay_fd, struct tv_published *done,
			   struct tv_err *err)
{
	const struct tv_plan *p = a->plan;
	struct tv_entry ours;
	char who[300], message[300];
	tv_autofree char *meta = commit_meta(p);
	int r = meta ? tv_cli_who(who, sizeof(who), err) : tv_err_nomem(err);
	if (r == 0)
		r = import_overlay(a, overlay_fd, &ours, err);
	if (r < 0)
		return r;
	snprintf(message, sizeof(message), "run %s", p->run_id);
	struct tv_publish how = {
		.ref = p->request.publish,
		.ref_kind = TV_REF_BRANCH,
		.base = &p->commit.id,
		.ours = &ours,
		.nodes = a->nodes,
		.blobs = a->blobs,
		.author = who,
		.message = p->request.message ? p->request.message : message,
		.trace_id = p->trace_id,
		.meta = meta,
		.gate = judge,
		.gate_arg = a,
	};
	return tv_publish(a->store, &how, done, &a->conflicts, err);
}

static bool describe(cJSON *result, int r, const struct tv_published *done,
		     const struct tv_conflicts *conflicts)
{
	char commit[TV_SHA_HEX], foundation[TV_SHA_HEX];
	const char *status = r == 0		   ? (done->unchanged ? "unchanged" : "published")
			     : r == -TV_E_CONFLICT ? "conflict"
			     : r == -TV_E_GATE	   ? "refused"
						   : "failed";
	if (!tv_record_set(result, "status", cJSON_CreateString(status)))
		return false;
	cJSON *list = conflicts->len ? cJSON_AddArrayToObject(result, "conflicts") : NULL;
	for (size_t i = 0; i < conflicts->len; i++) {
		cJSON *path = tv_record_string(conflicts->paths[i]);
		if (!path || !cJSON_AddItemToArray(list, path))
			return false;
	}
	if (r < 0)
		return true;
	tv_sha_hex(&done->commit, commit);
	tv_sha_hex(&done->foundation, foundation);
	return tv_record_set(result, "commit", cJSON_CreateString(commit)) &&
	       tv_record_set(result, "foundation_hash", cJSON_CreateString(foundation)) &&
	       tv_record_set(result, "merged", cJSON_CreateBool(done->merged));
}

int tv_run_publish(struct tv_store *s, const struct tv_plan *p, int overlay_fd, cJSON **result,
		   struct tv_err *err)
{
	struct tv_published done;
	int r = -EAGAIN;
	tv_autojson cJSON *doc = NULL;

	/* -EAGAIN: gc took something in between that the commit would rely on. */
	for (int i = 0; r == -EAGAIN && i < ATTEMPTS; i++) {
		cJSON_Delete(doc);
		doc = cJSON_CreateObject();
		if (!doc || !cJSON_AddStringToObject(doc, "ref", p->request.publish))
			return tv_err_nomem(err);
		struct attempt a = { .store = s, .plan = p, .result = doc };
		tv_err_clear(err);
		r = attempt_publish(&a, overlay_fd, &done, err);
		bool ok = describe(doc, r, &done, &a.conflicts);
		attempt_clear(&a);
		if (!ok)
			return tv_err_nomem(err);
	}
	*result = tv_steal_ptr(&doc);
	return r;
}

struct counts {
	double added, changed, removed;
};

static int count_change(void *arg, const struct tv_overlay_change *c, struct tv_err *err)
{
	struct counts *n = arg;
	(void)err;
	n->added += c->change == TV_ADDED;
	n->changed += c->change == TV_CHANGED;
	n->removed += c->change == TV_REMOVED;
	return 0;
}

int tv_run_overlay_summary(struct tv_store *s, const struct tv_plan *p, int overlay_fd, cJSON **out,
			   struct tv_err *err)
{
	struct counts n = { 0 };
	size_t n_names;
	tv_autofree const char **names = routed_names(p, &n_names);
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (!names || !doc)
		return tv_err_nomem(err);
	int r = tv_overlay_walk(overlay_fd, tv_store_nodes(s), &p->commit.root, names, n_names,
				count_change, &n, err);
	if (r < 0)
		return r;
	if (!cJSON_AddNumberToObject(doc, "added", n.added) ||
	    !cJSON_AddNumberToObject(doc, "changed", n.changed) ||
	    !cJSON_AddNumberToObject(doc, "removed", n.removed))
		return tv_err_nomem(err);
	*out = tv_steal_ptr(&doc);
	return 0;
}
