/* Option values that several commands take. */
#ifndef TV_TOOLS_OPTIONS_H
#define TV_TOOLS_OPTIONS_H

#include "tools/cli.h"

/* --NAME as a number, or a duration in nanoseconds; `absent` when it is not given. -TV_E_USAGE. */
int tv_option_number(struct tv_cli *cli, const char *name, uint64_t absent, uint64_t max,
		     uint64_t *out);
int tv_option_duration(struct tv_cli *cli, const char *name, int64_t absent, int64_t *out);

#endif
