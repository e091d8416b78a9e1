#include <stdint.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"
#include "tools/changes.h"
#include "tools/commands.h"
#include "tools/live.h"
#include "tools/render.h"

static int report_stat(struct tv_cli *cli, const struct tv_changes *changes, const struct tv_rev *a,
		       const struct tv_rev *b)
{
	char counts[96];
	if (!cli->json) {
		tv_changes_text(changes, counts);
		fprintf(tv_cli_out(cli), "%s\n", counts);
		return 0;
	}
	cJSON *doc = cJSON_CreateObject();
	tv_json_sha(doc, "from_commit", &a->commit);
	tv_json_sha(doc, "from_foundation_hash", &a->foundation);
	tv_json_sha(doc, "commit", &b->commit);
	tv_json_sha(doc, "foundation_hash", &b->foundation);
	tv_changes_json(changes, doc);
	return tv_cli_json(cli, doc);
}

int tv_cmd_diff(struct tv_cli *cli)
{
	tv_autofree char *path = NULL;
	bool stat = tv_cli_has(cli, "stat");
	struct tv_changes changes = {
		.cli = cli,
		.print = stat ? 0 : UINT64_MAX,
		.stream = cli->json && !stat,
		.touched = tv_cli_has(cli, "touched"),
	};
	struct tv_rev a, b;

	int r = tv_cli_open(cli);
	if (r == 0)
		r = tv_cli_rev(cli, cli->args[0], &a);
	if (r == 0)
		r = tv_cli_rev(cli, cli->n_args > 1 ? cli->args[1] : NULL, &b);
	if (r == 0 && cli->n_args > 2)
		r = tv_live_path(cli, cli->args[2], &path);
	if (r < 0)
		return r;
	changes.under = path;
	r = tv_changes_between(&changes, &a.commit, &b.commit);
	return r == 0 && stat ? report_stat(cli, &changes, &a, &b) : r;
}
