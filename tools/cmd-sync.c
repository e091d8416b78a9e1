#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tools/changes.h"
#include "tools/commands.h"
#include "tools/live.h"
#include "tools/render.h"

#define SHOWN 20
#define SHOWN_JSON 1000

static void on_change(void *arg, const char *path, enum tv_change change)
{
	tv_changes_note(arg, path, change);
}

static int report(struct tv_cli *cli, const struct tv_rev *rev, struct tv_changes *changes,
		  cJSON **doc)
{
	char counts[96], hex[TV_SHA_HEX];
	if (cli->json) {
		tv_json_sha(*doc, "foundation_hash", &rev->foundation);
		tv_json_sha(*doc, "commit", &rev->commit);
		tv_changes_json(changes, *doc);
		return tv_cli_json(cli, tv_steal_ptr(doc));
	}
	tv_changes_more(changes, "");
	tv_changes_text(changes, counts);
	tv_sha_hex(&rev->foundation, hex);
	FILE *out = tv_cli_out(cli);
	fprintf(out, "foundation %s\n", hex);
	tv_sha_hex(&rev->commit, hex);
	fprintf(out, "commit     %s\n%s: %s\n", hex, cli->settings->lakehouse, counts);
	return 0;
}

/* The ref's name when that is what was asked for, else NULL. */
static const char *ref_asked_for(struct tv_cli *cli)
{
	const char *name = cli->n_args ? cli->args[0] : cli->settings->ref;
	struct tv_ref ref;
	return tv_ref_get(cli->store, name, &ref, NULL) == 0 ? name : NULL;
}

/* It may have moved while the sync waited for the folder. */
static int look_again(struct tv_cli *cli, struct tv_rev *rev)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	int r = tv_commit_get(cli->store, &rev->commit, &c, &cli->err);
	if (r == 0)
		rev->foundation = c.root.sha;
	return r;
}

int tv_cmd_sync(struct tv_cli *cli)
{
	tv_autoworktree struct tv_worktree live = TV_WORKTREE_CLOSED;
	struct tv_conflicts conflicts = { NULL, 0 };
	struct tv_rev rev;

	int r = tv_cli_open(cli);
	if (r == 0)
		r = tv_cli_rev(cli, cli->n_args ? cli->args[0] : NULL, &rev);
	if (r == 0)
		r = tv_live_open(cli, true, &live);
	if (r < 0)
		return r;
	tv_autojson cJSON *doc = cli->json ? cJSON_CreateObject() : NULL;
	struct tv_changes changes = {
		.cli = cli, .indent = "  ", .touched = true, .print = cli->json ? SHOWN_JSON : SHOWN
	};
	changes.list = cli->json ? cJSON_AddArrayToObject(doc, "changes") : NULL;
	struct tv_sync how = {
		.ref = ref_asked_for(cli),
		.at = &rev.commit,
		.ignore = (const char *const *)cli->settings->ignore.items,
		.n_ignore = cli->settings->ignore.len,
		.force = tv_cli_has(cli, "force"),
		.progress = tv_cli_progress(cli),
		.changed = on_change,
		.arg = &changes,
	};
	r = tv_worktree_sync(cli->store, &live, &rev.commit, &how, &conflicts, &cli->err);
	if (r == 0)
		r = look_again(cli, &rev);
	if (conflicts.len)
		tv_live_conflicts(cli, &conflicts);
	tv_conflicts_free(&conflicts);
	return r < 0 ? r : report(cli, &rev, &changes, &doc);
}
