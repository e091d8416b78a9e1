/*
 * The data selector: a run's own copy of what its candidates need, out of its foundation. All candidates
 * are checked first; then all files are copied beside their places, and only when all of them are whole do they
 * take their names, and last the list that names them.
 */
#ifndef TV_INGEST_SELECT_H
#define TV_INGEST_SELECT_H

#include "ingest/candidates.h"
#include "ingest/lakehouse.h"
#include "store/base/progress.h"

#define TV_SELECTED_FILE "selected_assets.json"

struct tv_select_how {
	const struct tv_candidates *candidates;
	const struct tv_sha *foundation;
	int64_t now_s;	 /* Unix seconds */
	int64_t fresh_s; /* an entry of the catalog that is older is stale; 0: none is */
	int data;	 /* the folder that gets the files: a descriptor */
	const struct tv_progress *progress;
};

/* A candidate that cannot be had. */
struct tv_select_fault {
	char *symbol; /* owned */
	char *reason; /* owned */
};

struct tv_selection {
	size_t n, cap;
	struct tv_selected *items; /* by symbol; private */
	size_t n_faults, cap_faults;
	struct tv_select_fault *faults; /* by symbol */
	size_t copied;			/* files that were not there already */
	uint64_t bytes;			/* of all files */
	bool unchanged;			/* everything was there already */
};

#define TV_SELECTION_INIT ((struct tv_selection){ .items = NULL })

void tv_selection_free(struct tv_selection *s); /* empties it; NULL is fine */
#define tv_autoselection __attribute__((cleanup(tv_selection_free)))

/*
 * Selects. -TV_E_MISSING: candidates are missing or stale; out->faults has all of them, and nothing was
 * touched. -TV_E_GATE: the catalog cannot be read. -TV_E_DIGEST: a copy is not what the foundation says;
 * -TV_E_LOCKED: another selection is at work in the folder. After an error the folder is as it was;
 * after a kill the list is missing, or the old one or the new one is true.
 */
int tv_select(struct tv_lakehouse *l, const struct tv_select_how *how, struct tv_selection *out,
	      struct tv_err *err);

#endif
