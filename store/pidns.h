/*
 * Which boot and PID namespace uses a store.
 *
 * LMDB and leases tell the living from the dead by pid, which means something only inside one PID
 * namespace of one boot. Every handle holds a shared flock on .tvfs/pidns, whose contents name the
 * namespace of its holders; they can only be changed while nobody holds it.
 */
#ifndef TV_STORE_PIDNS_H
#define TV_STORE_PIDNS_H

#include <sys/types.h>

#include "store/base/err.h"

/* Room for "<boot id> <inode number>\n". */
#define TV_PIDNS_TEXT 64

/* What names the caller's own boot and namespace. */
int tv_pidns_self(char out[TV_PIDNS_TEXT], struct tv_err *err);

/* Takes the lock; *fd is the descriptor that holds it. -TV_E_LOCKED while processes of another
 * namespace hold it. */
int tv_pidns_enter(int dirfd, mode_t mode, int *fd, struct tv_err *err);

#endif
