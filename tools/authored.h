/* Who publishes, why, and for what: the options that commit and revert share. */
#ifndef TV_TOOLS_AUTHORED_H
#define TV_TOOLS_AUTHORED_H

#include "tools/cli.h"

struct tv_authored {
	const char *author, *message, *trace_id; /* live as long as this and the cli */
	char who[400], uuid[40];
};

/* --author, --message, --trace-id, with their defaults; -TV_E_USAGE when they are not UTF-8. */
int tv_authored(struct tv_cli *cli, const char *default_message, struct tv_authored *out);

#endif
