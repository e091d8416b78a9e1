/*
 * The plan of a run: everything that is decided before anything is done.
 *
 * Made once by the front process, from the words of the call, the settings and the store; then never
 * changed, and inherited by the supervisor and the command's process through fork. All paths are
 * absolute with links resolved, so that they mean the same from every working directory.
 */
#ifndef TV_TOOLS_RUN_PLAN_H
#define TV_TOOLS_RUN_PLAN_H

#include <cjson/cJSON.h>

#include "fs/mount.h"
#include "store/base/clock.h"
#include "store/rev.h"
#include "tools/settings.h"

/* The words of the call; NULL where not given. All borrowed. */
struct tv_request {
	const char *run_id, *profile, *publish, *trace_id, *message;
	bool keep_open;
	bool join;   /* the command goes into the run, which is live */
	int network; /* -1: as the profile says */
	enum tv_passthrough passthrough;
	char *const *argv; /* the command, ending with NULL */
};

/* A folder that is shown at another place, or at its own but read-only. */
struct tv_bind {
	char *from, *to; /* owned */
};

struct tv_plan {
	struct tv_request request;
	const struct tv_settings *settings;	  /* borrowed */
	const struct tv_setting_profile *profile; /* borrowed from the settings */
	struct tv_commit commit;
	char ref[201]; /* the ref that the revision began with, or "" */
	bool known;    /* the run has a record already */
	bool network;
	char session[TV_UUID_TEXT];
	char *run_id, *trace_id; /* owned, as all below */
	char *cwd;
	char *store;	 /* the .tvfs folder */
	char *lakehouse; /* where the view is shown */
	char *run_dir, *data_dir, *overlay_dir;
	char *recorded_dir;	/* where the record of a known run says that it is */
	struct tv_bind *inputs; /* read-only; from and to are the same */
	size_t n_inputs;
	struct tv_bind *redirects;
	size_t n_redirects;
};

/* Makes a plan on the commit of `rev`. A new run id is made when the request has none. Nothing is
 * written. -EINVAL: an id, a profile or a folder that cannot be used; -TV_E_LOCKED, -TV_E_CONFLICT
 * as tv_plan_admit. *out is freed with tv_plan_free. */
int tv_plan_make(struct tv_store *s, const struct tv_settings *settings,
		 const struct tv_request *request, const struct tv_rev *rev, struct tv_plan **out,
		 struct tv_err *err);
void tv_plan_free(struct tv_plan *p);

/* Whether a run that has this record may be started (again) on a commit: its id is locked to one
 * for good (-TV_E_CONFLICT, with both hashes), it must not be live (-TV_E_LOCKED) nor sealed
 * (-EROFS). */
int tv_plan_admit(const cJSON *record, const struct tv_commit *commit, struct tv_err *err);

/* The first of these alone: -TV_E_CONFLICT when the run is locked to another commit. */
int tv_plan_same_commit(const cJSON *record, const struct tv_commit *commit, struct tv_err *err);

/* The gates of the profile, on exactly this tree (the plan's commit at the start, the merged one at a
 * publish): -TV_E_MISSING a file that is not there or
 * too old, -TV_E_GATE something else at its path. */
int tv_plan_gates(const struct tv_node_source *nodes, const struct tv_entry *root,
		  const struct tv_plan *p, struct tv_err *err);

/* <runs>/<run id>, absolute. Owned by the caller. */
int tv_plan_run_dir(const struct tv_settings *settings, const char *run_id, char **out,
		    struct tv_err *err);

/* The words of --passthrough: auto, off, require. -TV_E_USAGE. */
int tv_plan_passthrough(const char *word, enum tv_passthrough *out, struct tv_err *err);

/* "20260119T120000Z-1f3a9c": a new run id for a moment, TV_NEW_RUN_ID bytes. */
#define TV_NEW_RUN_ID 24
int tv_plan_new_id(int64_t now_ns, char out[TV_NEW_RUN_ID], struct tv_err *err);

#endif
