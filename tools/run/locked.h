/* Revisions of runs, for the commands that take --run-id and --foundation. */
#ifndef TV_TOOLS_RUN_LOCKED_H
#define TV_TOOLS_RUN_LOCKED_H

#include "tools/cli.h"

/* The revision a run is to be on: what --foundation says; else, for a run that is known, the commit
 * that it is locked to; else the settings' ref. */
int tv_locked_rev(struct tv_cli *cli, const char *run_id, struct tv_rev *out);

#endif
