#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/diff.h"
#include "tools/flow.h"
#include "tools/render.h"

#define PREFIX "draft/flow-"

void tv_flow_draft_free(struct tv_flow_draft *draft)
{
	cJSON_Delete(draft->reports);
	*draft = (struct tv_flow_draft){ .ref = "" };
}

/* --- what a commit on the draft tells ---------------------------------------------------------- */

static const char *text_in(const cJSON *doc, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(doc, name));
	return text ? text : "";
}

static int begin_meta(const struct tv_flow *flow, const struct tv_flow_draft *draft,
		      const char *target, char **out, struct tv_err *err)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "kind", "flow");
	cJSON_AddStringToObject(doc, "event", "begin");
	cJSON_AddStringToObject(doc, "flow", flow->name);
	cJSON_AddStringToObject(doc, "target", target);
	cJSON_AddStringToObject(doc, "asked", draft->asked);
	*out = doc ? cJSON_PrintUnformatted(doc) : NULL;
	return *out ? 0 : tv_err_nomem(err);
}

static int step_meta(const struct tv_flow *flow, size_t step, const struct tv_flow_done *how,
		     bool passed, char **out, struct tv_err *err)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "kind", "flow");
	cJSON_AddStringToObject(doc, "event", "step");
	cJSON_AddStringToObject(doc, "flow", flow->name);
	cJSON_AddStringToObject(doc, "step", flow->steps[step].name);
	cJSON_AddBoolToObject(doc, "passed", passed);
	cJSON_AddNumberToObject(doc, "exit", how->exit);
	cJSON_AddNumberToObject(doc, "seconds", how->seconds);
	*out = doc ? cJSON_PrintUnformatted(doc) : NULL;
	return *out ? 0 : tv_err_nomem(err);
}

struct reading {
	const struct tv_flow *flow;
	struct tv_flow_draft *draft;
	bool begun;
};

static void read_step(struct reading *reading, const cJSON *doc)
{
	struct tv_flow_draft *draft = reading->draft;
	const cJSON *exit = cJSON_GetObjectItemCaseSensitive(doc, "exit"),
		    *seconds = cJSON_GetObjectItemCaseSensitive(doc, "seconds");
	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "passed")))
		draft->ended = true;
	for (size_t i = 0; reading->flow->steps[i].name; i++)
		if (strcmp(reading->flow->steps[i].name, text_in(doc, "step")) == 0)
			draft->steps[i] = (struct tv_flow_done){
				true, cJSON_IsNumber(exit) ? exit->valueint : 0,
				cJSON_IsNumber(seconds) ? seconds->valuedouble : 0
			};
}

static void read_begin(struct tv_flow_draft *draft, const struct tv_commit *c, const cJSON *doc)
{
	draft->has_base = c->n_parents > 0;
	if (draft->has_base)
		draft->base = c->parents[0];
	draft->begun_ns = c->time_ns;
	snprintf(draft->asked, sizeof(draft->asked), "%s", text_in(doc, "asked"));
	snprintf(draft->trace_id, sizeof(draft->trace_id), "%s", c->trace_id);
}

/* Newest first. 1 ends at the beginning. */
static int on_commit(void *arg, const struct tv_commit *c, struct tv_err *err)
{
	struct reading *reading = arg;
	cJSON *doc = NULL;
	int r = tv_json_parse(c->meta, strlen(c->meta), &doc, err);
	if (r < 0)
		return r;
	if (strcmp(text_in(doc, "kind"), "flow") != 0) {
		if (doc->child && cJSON_InsertItemInArray(reading->draft->reports, 0, doc))
			doc = NULL;
	} else if (strcmp(text_in(doc, "event"), "begin") == 0) {
		read_begin(reading->draft, c, doc);
		reading->begun = true;
	} else {
		read_step(reading, doc);
	}
	cJSON_Delete(doc);
	return reading->begun;
}

static int read_draft(struct tv_store *s, const struct tv_flow *flow, const struct tv_ref *ref,
		      struct tv_flow_draft *out, struct tv_err *err)
{
	struct tv_flow_draft draft = { .tip = ref->commit, .reports = cJSON_CreateArray() };
	struct reading reading = { .flow = flow, .draft = &draft };
	snprintf(draft.ref, sizeof(draft.ref), "%s", ref->name);
	int r = draft.reports ? tv_commit_log(s, &ref->commit, on_commit, &reading, err)
			      : tv_err_nomem(err);
	if (r >= 0 && !reading.begun)
		r = tv_err_set(
			err, -EEXIST,
			"'%s' is not a flow's draft; take it away with 'tvfs branch --delete'",
			ref->name);
	if (r < 0) {
		tv_flow_draft_free(&draft);
		return r;
	}
	tv_flow_draft_free(out);
	*out = draft;
	return 0;
}

/* --- finding and making ------------------------------------------------------------------------ */

struct search {
	char prefix[64];
	bool found;
	struct tv_ref ref;
};

static int on_ref(void *arg, const struct tv_ref *ref, struct tv_err *err)
{
	struct search *search = arg;
	(void)err;
	bool is = ref->kind == TV_REF_DRAFT &&
		  strncmp(ref->name, search->prefix, strlen(search->prefix)) == 0;
	if (is && (!search->found || ref->time_ns > search->ref.time_ns)) {
		search->found = true;
		search->ref = *ref;
	}
	return 0;
}

int tv_flow_draft_find(struct tv_store *s, const struct tv_flow *flow, struct tv_flow_draft *out,
		       struct tv_err *err)
{
	struct search search = { .found = false };
	snprintf(search.prefix, sizeof(search.prefix), PREFIX "%s-", flow->name);
	int r = tv_ref_each(s, on_ref, &search, err);
	if (r < 0 || !search.found)
		return r;
	return read_draft(s, flow, &search.ref, out, err);
}

/* A commit of this tree on the draft. */
static int put(struct tv_store *s, struct tv_flow_draft *draft, const struct tv_sha *base,
	       const struct tv_entry *root, const struct tv_authored *by, const char *message,
	       const char *meta, struct tv_err *err)
{
	struct tv_published done;
	struct tv_node_batch *nodes;
	struct tv_entry empty;
	int r = tv_node_batch_new(tv_store_nodes(s), &nodes, err);
	if (r < 0)
		return r;
	const struct tv_publish p = {
		.ref = draft->ref,
		.ref_kind = TV_REF_DRAFT,
		.base = base,
		.ours = root ? root : &empty,
		.nodes = nodes,
		.author = by->author,
		.message = message,
		.trace_id = draft->trace_id,
		.meta = meta,
		.always = true,
	};
	if (!root)
		r = tv_tree_empty(nodes, &empty, err);
	if (r == 0)
		r = tv_publish(s, &p, &done, NULL, err);
	tv_node_batch_free(nodes);
	if (r == 0)
		draft->tip = done.commit;
	return r;
}

/* Where a ref stands: 1, or 0 when it does not exist. */
static int stands(struct tv_store *s, const char *name, struct tv_commit *out, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	struct tv_ref ref;
	int r = tv_ref_get(s, name, &ref, &why);
	if (r == -ENOENT)
		return 0;
	r = r < 0 ? tv_err_set(err, r, "%s", why.text) : tv_commit_get(s, &ref.commit, out, err);
	return r < 0 ? r : 1;
}

int tv_flow_draft_begin(struct tv_store *s, const struct tv_flow *flow, const char *target,
			const char *asked, const struct tv_authored *by, struct tv_flow_draft *out,
			struct tv_err *err)
{
	tv_autocommit struct tv_commit base = TV_COMMIT_INIT;
	tv_autofree char *meta = NULL;
	char id[9], message[64];
	struct tv_flow_draft draft = { .begun_ns = tv_now_ns() };
	int there = stands(s, target, &base, err);
	int r = there < 0 ? there : tv_random_hex(id, 4, err);
	if (r < 0)
		return r;
	draft.has_base = there;
	if (there)
		draft.base = base.id;
	snprintf(draft.ref, sizeof(draft.ref), PREFIX "%s-%s", flow->name, id);
	snprintf(draft.asked, sizeof(draft.asked), "%s", asked);
	snprintf(draft.trace_id, sizeof(draft.trace_id), "%s", by->trace_id);
	snprintf(message, sizeof(message), "flow %s begins", flow->name);
	r = begin_meta(flow, &draft, target, &meta, err);
	if (r == 0)
		r = put(s, &draft, there ? &base.id : NULL, there ? &base.root : NULL, by, message,
			meta, err);
	if (r == 0) {
		tv_flow_draft_free(out);
		*out = draft;
	}
	return r;
}

int tv_flow_draft_note(struct tv_store *s, const struct tv_flow *flow, struct tv_flow_draft *draft,
		       size_t step, const struct tv_flow_done *how, bool passed, bool looked,
		       const struct tv_authored *by, struct tv_err *err)
{
	tv_autocommit struct tv_commit now = TV_COMMIT_INIT;
	tv_autofree char *meta = NULL;
	char message[96];
	int r = stands(s, draft->ref, &now, err);
	if (r == 0 || (r == 1 && looked && !tv_sha_eq(&now.id, &draft->tip)))
		return tv_err_set(err, -TV_E_CONFLICT, "somebody else changed '%s'", draft->ref);
	if (r < 0)
		return r;
	snprintf(message, sizeof(message), "flow %s: %s %s", flow->name, flow->steps[step].name,
		 passed ? "done" : "refused");
	r = step_meta(flow, step, how, passed, &meta, err);
	if (r == 0)
		r = put(s, draft, &now.id, &now.root, by, message, meta, err);
	if (r < 0)
		return r;
	draft->steps[step] = *how;
	draft->steps[step].done = true;
	draft->ended = !passed;
	return 0;
}

int tv_flow_draft_drop(struct tv_store *s, struct tv_flow_draft *draft, const char *who,
		       struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	int r = tv_ref_delete(s, draft->ref, who, &why);
	if (r < 0 && r != -ENOENT)
		return tv_err_set(err, r, "%s", why.text);
	tv_flow_draft_free(draft);
	return 0;
}

/* --- publishing -------------------------------------------------------------------------------- */

/* What steps read or write: nobody else's version of these may get between the steps and what is
 * published. */
static bool of_the_cycle(const char *path)
{
	static const char *const files[] = {
		"catalog.json",	     "foundation_health.json",	"symbols.parquet",
		"exchanges.parquet", "features_matrix.parquet", "returns_matrix.parquet"
	};
	static const char bars[] = "_1d.parquet";
	size_t n = strlen(path);
	for (size_t i = 0; i < TV_ARRAY_LEN(files); i++)
		if (strcmp(path, files[i]) == 0)
			return true;
	return tv_path_under(path, "features") || tv_path_under(path, "quarantine") ||
	       (n > sizeof(bars) && strcmp(path + n - sizeof(bars) + 1, bars) == 0);
}

static int on_change(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	(void)arg;
	return of_the_cycle(item->path)
		       ? tv_err_set(err, -TV_E_CONFLICT, "somebody else published '%s' meanwhile",
				    item->path)
		       : 0;
}

static int judge(void *arg, const struct tv_node_source *nodes, const struct tv_entry *merged,
		 struct tv_err *err)
{
	return tv_tree_diff(nodes, arg, merged, 0, on_change, NULL, err);
}

int tv_flow_draft_left(struct tv_store *s, const char *target, const struct tv_flow_draft *draft,
		       struct tv_err *err)
{
	tv_autocommit struct tv_commit now = TV_COMMIT_INIT, base = TV_COMMIT_INIT;
	struct tv_err what = TV_ERR_INIT;
	int there = stands(s, target, &now, err);
	if (there < 0 || !there || !draft->has_base)
		return there < 0 ? there : (there == 1) != draft->has_base;
	int r = tv_commit_get(s, &draft->base, &base, err);
	if (r < 0)
		return r;
	r = tv_tree_diff(tv_store_nodes(s), &base.root, &now.root, 0, on_change, NULL, &what);
	if (r == -TV_E_CONFLICT)
		return 1;
	return r < 0 ? tv_err_set(err, r, "%s", what.text) : 0;
}

static int report_meta(const struct tv_flow *flow, const struct tv_flow_draft *draft, char **out,
		       struct tv_err *err)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "kind", "flow");
	cJSON_AddStringToObject(doc, "flow", flow->name);
	cJSON *steps = cJSON_AddArrayToObject(doc, "steps");
	for (size_t i = 0; flow->steps[i].name && steps; i++) {
		cJSON *step = cJSON_CreateObject();
		cJSON_AddStringToObject(step, "step", flow->steps[i].name);
		cJSON_AddNumberToObject(step, "exit", draft->steps[i].exit);
		cJSON_AddNumberToObject(step, "seconds", draft->steps[i].seconds);
		cJSON_AddItemToArray(steps, step);
	}
	if (draft->reports)
		cJSON_AddItemToObject(doc, "reports", cJSON_Duplicate(draft->reports, true));
	*out = doc ? cJSON_PrintUnformatted(doc) : NULL;
	return *out ? 0 : tv_err_nomem(err);
}

struct ending {
	const struct tv_flow_draft *draft;
	const char *who;
};

static int delete_draft(void *arg, struct tv_kv_txn *t, const struct tv_commit *c,
			struct tv_err *err)
{
	const struct ending *ending = arg;
	(void)c;
	return tv_ref_delete_in(t, ending->draft->ref, &ending->draft->tip, ending->who,
				"published", err);
}

static int publish_tree(struct tv_store *s, const char *target, struct ending *ending,
			struct tv_entry *root, const char *meta, const struct tv_authored *by,
			struct tv_published *out, struct tv_err *err)
{
	struct tv_node_batch *nodes;
	const struct tv_flow_draft *draft = ending->draft;
	int r = tv_node_batch_new(tv_store_nodes(s), &nodes, err);
	if (r < 0)
		return r;
	const struct tv_publish p = {
		.ref = target,
		.ref_kind = strncmp(target, "draft/", 6) == 0 ? TV_REF_DRAFT : TV_REF_BRANCH,
		.base = draft->has_base ? &draft->base : NULL,
		.ours = root,
		.nodes = nodes,
		.author = by->author,
		.message = by->message,
		.trace_id = draft->trace_id,
		.meta = meta,
		.gate = judge,
		.gate_arg = root,
		.also = delete_draft,
		.also_arg = ending,
	};
	r = tv_publish(s, &p, out, NULL, err);
	tv_node_batch_free(nodes);
	return r;
}

int tv_flow_draft_publish(struct tv_store *s, const struct tv_flow *flow, const char *target,
			  const struct tv_flow_draft *draft, const struct tv_authored *by,
			  struct tv_published *out, struct tv_err *err)
{
	tv_autocommit struct tv_commit tip = TV_COMMIT_INIT;
	tv_auto(tv_flow_draft_free) struct tv_flow_draft read = { .ref = "" };
	tv_autofree char *meta = NULL;
	struct ending ending = { draft, by->author };
	struct tv_ref ref = { .commit = draft->tip };
	snprintf(ref.name, sizeof(ref.name), "%s", draft->ref);
	int r = tv_commit_get(s, &draft->tip, &tip, err);
	if (r == 0)
		r = read_draft(s, flow, &ref, &read, err); /* with the reports of the steps */
	if (r == 0)
		r = report_meta(flow, &read, &meta, err);
	return r < 0 ? r : publish_tree(s, target, &ending, &tip.root, meta, by, out, err);
}
