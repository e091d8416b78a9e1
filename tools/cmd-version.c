#include "fs/mount.h"
#include "tools/cli.h"
#include "tools/commands.h"

int tv_cmd_version(struct tv_cli *cli)
{
	struct tv_mount_abilities can = { 0 };
	tv_mount_abilities(&can);
	const char *libfuse = can.libfuse_version ? can.libfuse_version : "none";
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		cJSON_AddStringToObject(doc, "tvfs_version", TVFS_VERSION);
		cJSON_AddNumberToObject(doc, "store_format", TV_STORE_FORMAT);
		cJSON_AddStringToObject(doc, "libfuse_version", libfuse);
		cJSON_AddBoolToObject(doc, "built_with_passthrough", can.built_with_passthrough);
		return tv_cli_json(cli, doc);
	}
	fprintf(tv_cli_out(cli), "tvfs %s, store format %d, libfuse %s%s\n", TVFS_VERSION,
		TV_STORE_FORMAT, libfuse, can.built_with_passthrough ? " with passthrough" : "");
	return 0;
}
