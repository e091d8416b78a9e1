/* What the parts of cli.c share. */
#ifndef TV_TOOLS_CLI_PRIVATE_H
#define TV_TOOLS_CLI_PRIVATE_H

#include "tools/cli.h"

struct tv_value {
	const struct tv_option *option;
	const char *value;
};

/* The options that every command has; ends with name NULL. */
const struct tv_option *tv_cli_common_options(void);

/* Sorts the words behind the command's name into options and arguments. Afterwards --json, --quiet
 * and --store are in their fields. -TV_E_USAGE. */
int tv_cli_parse(struct tv_cli *cli, int argc, char **argv);

/* Checks the number of arguments. */
int tv_cli_check_args(struct tv_cli *cli);

/* The command of that name, or NULL. */
const struct tv_command *tv_cli_find(const char *name);

/* Takes the bar off the screen; forgets it. */
void tv_cli_progress_clear(struct tv_cli *cli);
void tv_cli_progress_free(struct tv_cli *cli);

#endif
