#include "tools/changes.h"

#include <inttypes.h>

#include "store/base/path.h"
#include "store/commit.h"
#include "tools/render.h"

static uint64_t *counter(struct tv_changes *c, enum tv_change change)
{
	switch (change) {
	case TV_ADDED:
		return &c->added;
	case TV_REMOVED:
		return &c->removed;
	case TV_CHANGED:
		return &c->changed;
	case TV_TOUCHED:
		break;
	}
	return &c->touches;
}

static uint64_t seen(const struct tv_changes *c)
{
	return c->added + c->removed + c->changed + (c->touched ? c->touches : 0);
}

/* Counts one; true when it is to be shown. */
static bool count(struct tv_changes *c, enum tv_change change)
{
	(*counter(c, change))++;
	return (change != TV_TOUCHED || c->touched) && seen(c) <= c->print;
}

static const char *color_of(enum tv_change change)
{
	return change == TV_ADDED ? "\033[32m" : change == TV_REMOVED ? "\033[31m" : "\033[33m";
}

static void print_line(struct tv_changes *c, const char *path, enum tv_change change)
{
	FILE *out = c->to ? c->to : tv_cli_out(c->cli);
	bool color = c->cli->color;
	fprintf(out, "%s%s%c%s ", c->indent ? c->indent : "", color ? color_of(change) : "", change,
		color ? "\033[0m" : "");
	tv_cli_put_name(out, path);
	putc('\n', out);
}

int tv_changes_visit(void *arg, const struct tv_diff_item *item, struct tv_err *err)
{
	struct tv_changes *c = arg;
	if (c->under && !tv_path_under(item->path, c->under))
		return 0;
	if (!count(c, item->change))
		return 0;
	if (tv_cli_out_failed(c->cli))
		return tv_err_sys(err, -EPIPE, "cannot write the output");
	if (c->stream)
		return tv_cli_json(c->cli, tv_json_change(item));
	if (c->list) {
		cJSON *o = tv_json_change(item);
		if (!o || !cJSON_AddItemToArray(c->list, o))
			return tv_err_nomem(err);
		return 0;
	}
	print_line(c, item->path, item->change);
	return 0;
}

void tv_changes_note(struct tv_changes *c, const char *path, enum tv_change change)
{
	if (!count(c, change))
		return;
	if (!c->list && !c->stream) {
		print_line(c, path, change);
		return;
	}
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "change", tv_render_change(change));
	tv_json_path(o, path);
	if (c->stream)
		tv_cli_json(c->cli, o);
	else
		cJSON_AddItemToArray(c->list, o);
}

int tv_changes_trees(struct tv_changes *c, const struct tv_entry *a, const struct tv_entry *b)
{
	struct tv_err *err = &c->cli->err;
	struct tv_node_batch *batch = NULL;
	struct tv_entry nothing;

	int r = tv_node_batch_new(tv_store_nodes(c->cli->store), &batch, err);
	if (r == 0 && !a)
		r = tv_tree_empty(batch, &nothing, err);
	if (r == 0)
		r = tv_tree_diff(tv_node_batch_source(batch), a ? a : &nothing, b, TV_DIFF_TOUCHED,
				 tv_changes_visit, c, err);
	tv_node_batch_free(batch);
	return r;
}

int tv_changes_between(struct tv_changes *c, const struct tv_sha *a, const struct tv_sha *b)
{
	struct tv_err *err = &c->cli->err;
	tv_autocommit struct tv_commit before = TV_COMMIT_INIT, after = TV_COMMIT_INIT;

	int r = tv_commit_get(c->cli->store, b, &after, err);
	if (r == 0 && a)
		r = tv_commit_get(c->cli->store, a, &before, err);
	return r < 0 ? r : tv_changes_trees(c, a ? &before.root : NULL, &after.root);
}

void tv_changes_text(const struct tv_changes *c, char out[96])
{
	int n = snprintf(out, 96, "+%" PRIu64 " -%" PRIu64 " ~%" PRIu64, c->added, c->removed,
			 c->changed);
	if (c->touches && n > 0)
		snprintf(out + n, 96 - (size_t)n, " .%" PRIu64, c->touches);
}

void tv_changes_json(const struct tv_changes *c, cJSON *object)
{
	cJSON_AddNumberToObject(object, "added", (double)c->added);
	cJSON_AddNumberToObject(object, "removed", (double)c->removed);
	cJSON_AddNumberToObject(object, "changed", (double)c->changed);
	cJSON_AddNumberToObject(object, "touched", (double)c->touches);
}

void tv_changes_more(const struct tv_changes *c, const char *hint)
{
	if (seen(c) <= c->print)
		return;
	FILE *out = c->to ? c->to : tv_cli_out(c->cli);
	fprintf(out, "%s… and %" PRIu64 " more%s%s\n", c->indent ? c->indent : "",
		seen(c) - c->print, *hint ? ": " : "", hint);
}
