/*
 * Run records: one JSON document a RUN_ID, in the store. The rows are written here; what stands in
 * the document beyond the fields below is the tools' business (docs/format.md lists the keys).
 */
#ifndef TV_STORE_RUNREC_H
#define TV_STORE_RUNREC_H

#include <cjson/cJSON.h>

#include "store/store.h"

#define TV_RUN_ID_MAX 200

/* A run id: 1-200 bytes of [A-Za-z0-9._+:@=-], not beginning with '.' or '-'. Parts joined by '/'
 * are for children ("parent/worker-1") and only allowed when `child_ok`. -EINVAL. */
int tv_run_id_check(const char *id, bool child_ok, struct tv_err *err);

/* Registers a run, locked to a commit for good: the document gets run_id, commit,
 * foundation_hash. -EEXIST when the id is known (then *out has the existing document, if out). */
int tv_run_create(struct tv_store *s, const char *id, const struct tv_sha *commit,
		  const struct tv_sha *foundation, const cJSON *doc, cJSON **out,
		  struct tv_err *err);

/* The document, owned by the caller (cJSON_Delete). -ENOENT. */
int tv_run_get(struct tv_store *s, const char *id, cJSON **out, struct tv_err *err);

/* Reads, lets change() edit, and writes back in one transaction. run_id, commit and
 * foundation_hash cannot be changed. */
int tv_run_update(struct tv_store *s, const char *id,
		  int (*change)(void *arg, cJSON *doc, struct tv_err *err), void *arg,
		  struct tv_err *err);

int tv_run_each(struct tv_store *s, int (*visit)(void *arg, const cJSON *doc, struct tv_err *err),
		void *arg, struct tv_err *err);
int tv_run_forget(struct tv_store *s, const char *id, struct tv_err *err);
int tv_run_forget_in(struct tv_kv_txn *t, const char *id, struct tv_err *err);
/* Ids of the runs on a foundation. */
int tv_run_each_of(struct tv_store *s, const struct tv_sha *foundation,
		   int (*visit)(void *arg, const char *id, struct tv_err *err), void *arg,
		   struct tv_err *err);

#endif
