/* The environment of a run's command. Pure: works on arrays, never on the process' own. */
#ifndef TV_TOOLS_RUN_ENVIRONMENT_H
#define TV_TOOLS_RUN_ENVIRONMENT_H

#include "store/base/err.h"
#include "store/hash.h"
#include "tools/settings.h"

/* What it is made from. */
struct tv_surroundings {
	const struct tv_settings *settings;
	const struct tv_setting_profile *profile;
	const char *run_id, *run_dir, *trace_id, *lakehouse; /* paths absolute */
	struct tv_sha foundation;
};

/*
 * The caller's environment with the run's variables set over it, as a new NULL-terminated array that
 * is freed with tv_environment_free. Every path in it is absolute, so that a worker with another
 * working directory resolves the same files. What could lead back to the store (TVFS_STORE) is taken
 * out. An absolute TV_SCAN_DIR of the caller stays; a relative one is taken as the project's.
 */
int tv_environment_make(char *const *base, const struct tv_surroundings *run, char ***out,
			struct tv_err *err);
void tv_environment_free(char **env);

/* The value of a name, or NULL. */
const char *tv_environment_get(char *const *env, const char *name);

#endif
