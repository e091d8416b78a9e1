/*
 * Revisions: what users write to name a commit.
 *
 *	main, v1, draft/x	a ref or tag
 *	1f3a9c02…	8-64 digits of a foundation hash or commit id; unambiguous. A foundation that
 *			several commits have means the newest of them
 *	REV~N		N first parents back (REV~ is REV~1)
 *	REF@{TIME}	where the ref stood then, by its history (RFC 3339)
 *	REV:PATH	a path in it (tv_rev_split)
 */
#ifndef TV_STORE_REV_H
#define TV_STORE_REV_H

#include "store/commit.h"

struct tv_rev {
	struct tv_sha commit, foundation;
	char ref[201];	     /* the ref or tag it began with, or "" */
	bool was_foundation; /* a foundation hash was given: of its commits the newest was taken */
};

/* -ENOENT unknown (the message says what there is), -TV_E_AMBIGUOUS (the message lists up to 8
 * candidates), -EINVAL not a revision, -TV_E_MISSING a ref that did not exist at that time. */
int tv_rev_resolve(struct tv_store *s, const char *text, struct tv_rev *out, struct tv_err *err);

/* Splits "REV:PATH" at the first ':' outside of "@{…}". *path is NULL when there is no ':'. Both
 * are owned by the caller; an empty REV becomes "main". */
int tv_rev_split(const char *text, char **rev, char **path, struct tv_err *err);

#endif
