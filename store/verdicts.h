/*
 * What judges of blobs have found, by blob (table TV_T_VERDICTS), so that nobody judges the same bytes
 * by the same rules twice.
 *
 * A verdict belongs to a blob and to a digest of everything that it follows from besides the bytes: the
 * judge's version, its rules. There is at most one a blob, the last one that was written. Its bytes are
 * the judge's own.
 *
 * Verdicts are hints: all may be deleted at any time, a store may be unable to keep any, and gc takes
 * those of blobs that it removes. Thread-safe as the store is.
 */
#ifndef TV_STORE_VERDICTS_H
#define TV_STORE_VERDICTS_H

#include "store/store.h"

struct tv_verdict_key {
	struct tv_addr blob, rules;
};

/* Tells `found` each of n keys that has a verdict by these rules; the bytes live as long as the call. It
 * must not use the store. */
int tv_verdicts_read(struct tv_store *s, const struct tv_verdict_key *keys, size_t n,
		     int (*found)(void *arg, size_t i, struct tv_bytes verdict, struct tv_err *err),
		     void *arg, struct tv_err *err);

/* Keeps verdicts, in place of those that the blobs have; durable when it returns. What was written before
 * an error stays. -EOPNOTSUPP: this store cannot. */
int tv_verdicts_write(struct tv_store *s, const struct tv_verdict_key *keys,
		      const struct tv_bytes *verdicts, size_t n, struct tv_err *err);

#endif
