/*
 * The run directory: artifacts/summaries/runs/<RUN_ID>/{data,reports,config}.
 *
 * tvfs makes it, or takes one that an orchestrator made (config/resolved_manifest.json and the like
 * are never touched). Its own are the overlay (data/lakehouse) and config/run.json.
 */
#ifndef TV_TOOLS_RUN_RUNDIR_H
#define TV_TOOLS_RUN_RUNDIR_H

#include <cjson/cJSON.h>

#include "tools/run/plan.h"

/* Makes what is missing: the run directory, the folders of routes and redirects, and the folders at
 * whose paths something will be shown. For a new run (fresh) an overlay that is not empty, or a
 * run.json, is -EEXIST: they are another run's, and nothing is touched. *touched: there may be something
 * to take back. */
int tv_rundir_make(const struct tv_plan *p, bool fresh, bool *touched, struct tv_err *err);

/* Takes back a directory whose run never started: removes run.json and the folders that are empty. */
void tv_rundir_unmake(const struct tv_plan *p);

/* What the run left in data/ and reports/, the overlay left out: {"count", "bytes", "files": [{"path",
 * "size", "sha256"} or {"path", "error"} when the user may not read it, …], "unlisted": n}. At most
 * TV_OUTPUTS_LISTED files are listed and hashed. */
#define TV_OUTPUTS_LISTED 10000
int tv_rundir_outputs(const char *run_dir, cJSON **out, struct tv_err *err);

/* Takes the write permission from all files below data/ and reports/; folders keep theirs, so that
 * a sealed run can still be moved or deleted. `chmod -R u+w` undoes it. */
int tv_rundir_seal(const char *run_dir, struct tv_err *err);

#endif
