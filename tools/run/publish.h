/* `--publish`: what a run wrote becomes a commit on a ref, or nothing happens. */
#ifndef TV_TOOLS_RUN_PUBLISH_H
#define TV_TOOLS_RUN_PUBLISH_H

#include <cjson/cJSON.h>

#include "tools/run/plan.h"

/*
 * Publishes the overlay of an ended run on the plan's ref, merged with what others published since
 * the run's commit. *result is what the record says of it, on success and on refusal: {"ref",
 * "status": "published" | "unchanged" | "conflict" | "refused" | "failed", "commit", "foundation_hash",
 * "merged", "conflicts": [path], "refused": [{path, reason}]}.
 * -TV_E_CONFLICT, -TV_E_GATE (a broken file); then nothing is published and the overlay is as it was.
 */
int tv_run_publish(struct tv_store *s, const struct tv_plan *p, int overlay_fd, cJSON **result,
		   struct tv_err *err);

/* {"added", "changed", "removed"}: how an overlay differs from what it lies on. */
int tv_run_overlay_summary(struct tv_store *s, const struct tv_plan *p, int overlay_fd, cJSON **out,
			   struct tv_err *err);

#endif
