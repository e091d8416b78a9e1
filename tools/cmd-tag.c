#include "tools/commands.h"
#include "tools/refs.h"

int tv_cmd_tag(struct tv_cli *cli)
{
	return tv_refs_command(cli, TV_REF_TAG, "tag");
}
