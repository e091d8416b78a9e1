/* tvfs umount [--lazy] MOUNTPOINT */
#include "store/base/cleanup.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/commands.h"
#include "tools/run/mounting.h"

const struct tv_option tv_umount_options[] = {
	{ "lazy", 'l', NULL, "take it away now, let what uses it go on", false },
	{ NULL, 0, NULL, NULL, false },
};

int tv_cmd_umount(struct tv_cli *cli)
{
	/* The store only helps to find the daemon; a mount can be unmounted from anywhere. */
	if (tv_cli_open(cli) < 0)
		tv_err_clear(&cli->err);
	int r = tv_mounting_end(cli->store, cli->args[0], tv_cli_has(cli, "lazy"), &cli->err);
	if (r < 0 || !cli->json)
		return r;
	cJSON *doc = cJSON_CreateObject();
	if (!doc || !cJSON_AddBoolToObject(doc, "unmounted", true)) {
		cJSON_Delete(doc);
		return tv_err_nomem(&cli->err);
	}
	return tv_cli_json(cli, doc);
}
