#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/commit-walk.h"
#include "tools/authored.h"
#include "tools/changes.h"
#include "tools/commands.h"
#include "tools/live.h"
#include "tools/render.h"

#define SHOWN 10
#define SHOWN_JSON 1000

struct paths {
	char **items;
	size_t len;
};

static void paths_free_p(struct paths *p)
{
	for (size_t i = 0; i < p->len; i++)
		free(p->items[i]);
	free(p->items);
}

static int resolve_paths(struct tv_cli *cli, struct paths *out)
{
	out->items = calloc((size_t)cli->n_args + 1, sizeof(*out->items));
	if (!out->items)
		return tv_err_nomem(&cli->err);
	for (int i = 0; i < cli->n_args; i++) {
		int r = tv_live_path(cli, cli->args[i], &out->items[out->len]);
		if (r < 0)
			return r;
		/* The lakehouse itself was named: everything. */
		if (!*out->items[out->len++]) {
			while (out->len)
				free(out->items[--out->len]);
			return 0;
		}
	}
	return 0;
}

static void show_refused(struct tv_cli *cli, const struct tv_refused *refused)
{
	if (!cli->json) {
		tv_live_refused_text(tv_cli_errors(cli), "  refused: ", refused);
		return;
	}
	if (!cli->details)
		cli->details = cJSON_CreateObject();
	tv_live_refused_json(cli->details, refused);
}

static bool has_previous(const struct tv_published *p)
{
	static const struct tv_sha zero;
	return !tv_sha_eq(&p->previous, &zero);
}

/* The commit that the folder equals, when nothing is to be imported and yet the ref lacks it: it was
 * published on another ref. */
static bool is_elsewhere(struct tv_cli *cli, const struct tv_worktree *live,
			 const struct tv_published *p)
{
	return p->unchanged && live->has_base &&
	       tv_commit_is_in(cli->store, &live->base, &p->commit, NULL) == 0;
}

static cJSON *document(const char *ref, const struct tv_published *p, const char *trace_id)
{
	cJSON *doc = cJSON_CreateObject();
	tv_json_sha(doc, "foundation_hash", &p->foundation);
	tv_json_sha(doc, "commit", &p->commit);
	cJSON_AddStringToObject(doc, "ref", ref);
	cJSON_AddBoolToObject(doc, "unchanged", p->unchanged);
	cJSON_AddBoolToObject(doc, "merged", p->merged);
	if (!p->unchanged)
		cJSON_AddStringToObject(doc, "trace_id", trace_id);
	tv_json_add_u64(doc, "files", p->root.files);
	tv_json_add_u64(doc, "size", p->root.size);
	return doc;
}

static int report_json(struct tv_cli *cli, const char *ref, const struct tv_published *p,
		       const char *trace_id, const struct tv_sha *elsewhere)
{
	tv_autojson cJSON *doc = document(ref, p, trace_id);
	if (elsewhere)
		tv_json_sha(doc, "elsewhere", elsewhere);
	struct tv_changes changes = { .cli = cli, .print = SHOWN_JSON };
	changes.list = cJSON_AddArrayToObject(doc, "changes");
	int r = p->unchanged ? 0
			     : tv_changes_between(&changes, has_previous(p) ? &p->previous : NULL,
						  &p->commit);
	if (r < 0)
		return r;
	tv_changes_json(&changes, doc);
	return tv_cli_json(cli, tv_steal_ptr(&doc));
}

/* The ids first, then what changed. */
static int report(struct tv_cli *cli, const char *ref, const struct tv_published *p,
		  const struct tv_sha *elsewhere)
{
	char foundation[TV_SHA_HEX], commit[TV_SHA_HEX], counts[96], size[16];
	struct tv_changes changes = { .cli = cli, .indent = "  ", .print = SHOWN };
	FILE *out = tv_cli_out(cli);
	tv_sha_hex(&p->foundation, foundation);
	tv_sha_hex(&p->commit, commit);
	if (p->unchanged)
		fputs("nothing changed\n", out);
	fprintf(out, "foundation %s\ncommit     %s\n", foundation, commit);
	if (elsewhere) {
		tv_sha_hex(elsewhere, commit);
		tv_cli_note(
			cli,
			"the folder was published on another ref as commit %.12s, which '%s' does not "
			"have; 'tvfs diff %s %.12s' shows what differs, 'tvfs branch --force %s %.12s' "
			"takes it there",
			commit, ref, ref, commit, ref, commit);
	}
	if (p->unchanged)
		return 0;
	int r = tv_changes_between(&changes, has_previous(p) ? &p->previous : NULL, &p->commit);
	if (r < 0)
		return r;
	tv_changes_more(&changes, "see 'tvfs show'");
	tv_changes_text(&changes, counts);
	tv_cli_size(p->root.size, size);
	fprintf(out, "%s: %s (%" PRIu64 " files, %s)%s\n", ref, counts, p->root.files, size,
		p->merged ? ", merged with what others published" : "");
	return 0;
}

int tv_cmd_commit(struct tv_cli *cli)
{
	tv_auto(paths_free_p) struct paths paths = { NULL, 0 };
	tv_autoworktree struct tv_worktree live = TV_WORKTREE_CLOSED;
	struct tv_authored by;
	struct tv_conflicts conflicts = { NULL, 0 };
	struct tv_refused refused = { NULL, 0 };
	struct tv_import how = { 0 };
	struct tv_published done;

	int r = tv_authored(cli, "", &by);
	if (r == 0)
		r = tv_cli_open(cli);
	if (r == 0)
		r = resolve_paths(cli, &paths);
	if (r == 0)
		r = tv_live_open(cli, false, &live);
	if (r < 0)
		return r;
	tv_live_import(cli, &how);
	if (tv_cli_has(cli, "ref"))
		how.ref = tv_cli_option(cli, "ref");
	how.paths = (const char *const *)paths.items;
	how.n_paths = paths.len;
	how.force = tv_cli_has(cli, "force");
	how.author = by.author;
	how.message = by.message;
	how.trace_id = by.trace_id;
	how.progress = tv_cli_progress(cli);
	r = tv_worktree_import(cli->store, &live, &how, &done, &conflicts, &refused, &cli->err);
	if (conflicts.len)
		tv_live_conflicts(cli, &conflicts);
	if (refused.len)
		show_refused(cli, &refused);
	tv_conflicts_free(&conflicts);
	tv_refused_free(&refused);
	if (r < 0)
		return r;
	const struct tv_sha *elsewhere = is_elsewhere(cli, &live, &done) ? &live.base : NULL;
	return cli->json ? report_json(cli, how.ref, &done, by.trace_id, elsewhere)
			 : report(cli, how.ref, &done, elsewhere);
}
