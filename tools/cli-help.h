/* The help texts, made from the table of commands. */
#ifndef TV_TOOLS_CLI_HELP_H
#define TV_TOOLS_CLI_HELP_H

#include <stdio.h>

#include "tools/cli.h"

void tv_cli_help_command(FILE *out, const struct tv_command *c);
void tv_cli_help_all(FILE *out);

#endif
