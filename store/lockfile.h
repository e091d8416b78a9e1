/* Lock files in the store's folder (flock; the kernel drops the lock with the process). */
#ifndef TV_STORE_LOCKFILE_H
#define TV_STORE_LOCKFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/* Opens (makes) .tvfs/<name> and takes it, shared or exclusive, within wait_ns (0: at once). The
 * descriptor holds the lock; the caller closes it. -TV_E_LOCKED with the message given. */
int tv_lockfile_take(struct tv_store *s, const char *name, bool exclusive, int64_t wait_ns,
		     const char *when_taken, struct tv_err *err);

#endif
