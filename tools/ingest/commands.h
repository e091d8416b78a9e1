/* The commands of tvfs-ingest-tool: one function each, in cmd-<name>.c, listed in main.c. */
#ifndef TV_TOOLS_INGEST_COMMANDS_H
#define TV_TOOLS_INGEST_COMMANDS_H

#include "tools/cli.h"

int tv_cmd_audit(struct tv_cli *cli);
int tv_cmd_features(struct tv_cli *cli);
int tv_cmd_matrix(struct tv_cli *cli);
int tv_cmd_ingest(struct tv_cli *cli);
int tv_cmd_repair(struct tv_cli *cli);
int tv_cmd_schema(struct tv_cli *cli);
int tv_cmd_select(struct tv_cli *cli);
int tv_cmd_validate(struct tv_cli *cli);

#endif
