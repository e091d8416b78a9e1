/*
 * Refs: movable names (branches, drafts) and tags, with the history of where they stood.
 *
 * Name: 1-200 bytes, parts of [A-Za-z0-9._+-] joined by '/', no part beginning with '.' or '-' or
 * ending in ".lock"; not something that reads as a hash (8-64 hexadecimal digits). Moves are by
 * compare-and-swap inside a write transaction; each leaves a history row.
 */
#ifndef TV_STORE_REF_H
#define TV_STORE_REF_H

#include "store/store.h"

enum tv_ref_kind {
	TV_REF_BRANCH = 1,
	TV_REF_TAG = 2,
	TV_REF_DRAFT = 3,
};

struct tv_ref {
	char name[201];
	enum tv_ref_kind kind;
	struct tv_sha commit;
	int64_t time_ns; /* of the last move */
};

struct tv_ref_move {
	int64_t time_ns;
	bool had_old, has_new; /* false: did not exist before / was deleted */
	struct tv_sha old_commit, new_commit;
	char *who, *why; /* owned by the call-back's caller */
};

int tv_ref_name_check(const char *name, struct tv_err *err); /* 0 or -EINVAL */

int tv_ref_get(struct tv_store *s, const char *name, struct tv_ref *out, struct tv_err *err);
int tv_ref_get_in(struct tv_kv_txn *t, const char *name, struct tv_ref *out, struct tv_err *err);

/* In a write transaction: sets name to `commit` when it stands at *expected (NULL: must not exist).
 * -TV_E_CONFLICT when it does not; -EEXIST for a tag that exists (tags do not move). */
int tv_ref_move_in(struct tv_kv_txn *t, const char *name, enum tv_ref_kind kind,
		   const struct tv_sha *expected, const struct tv_sha *commit, const char *who,
		   const char *why, struct tv_err *err);

/* The same in a transaction of its own. The commit must exist. */
int tv_ref_move(struct tv_store *s, const char *name, enum tv_ref_kind kind,
		const struct tv_sha *expected, const struct tv_sha *commit, const char *who,
		const char *why, struct tv_err *err);

/* Deletes a ref (its history stays). -ENOENT; -EPERM for main. In a write transaction it has to stand at
 * *expected: -TV_E_CONFLICT. */
int tv_ref_delete_in(struct tv_kv_txn *t, const char *name, const struct tv_sha *expected,
		     const char *who, const char *why, struct tv_err *err);
int tv_ref_delete(struct tv_store *s, const char *name, const char *who, struct tv_err *err);

/* All refs in name order / the history of one, newest first. */
int tv_ref_each(struct tv_store *s,
		int (*visit)(void *arg, const struct tv_ref *r, struct tv_err *err), void *arg,
		struct tv_err *err);
int tv_ref_history(struct tv_store *s, const char *name,
		   int (*visit)(void *arg, const struct tv_ref_move *m, struct tv_err *err),
		   void *arg, struct tv_err *err);

#endif
