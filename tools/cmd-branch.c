#include "tools/commands.h"
#include "tools/refs.h"

int tv_cmd_branch(struct tv_cli *cli)
{
	return tv_refs_command(cli, TV_REF_BRANCH, "branch");
}
