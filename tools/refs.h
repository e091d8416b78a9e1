/* What tag and branch share: list, make, delete. */
#ifndef TV_TOOLS_REFS_H
#define TV_TOOLS_REFS_H

#include "store/ref.h"
#include "tools/cli.h"

/* The whole command for refs of one kind; `noun` is "tag" or "branch". */
int tv_refs_command(struct tv_cli *cli, enum tv_ref_kind kind, const char *noun);

/* A ref to publish on (--onto) that does not exist yet begins where the settings' ref stands; where that
 * does not exist either, with the first commit on it. */
int tv_refs_begin(struct tv_cli *cli, const char *name);

#endif
