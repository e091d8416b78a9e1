/* A process that can reach no network any more. */
#ifndef TV_INGEST_OFFLINE_H
#define TV_INGEST_OFFLINE_H

#include "store/base/err.h"

/*
 * From now on this process, all its threads, and whatever it starts, can make no socket of any kind: a
 * system call filter (seccomp, mode 2) answers socket, socketpair, connect, io_uring_setup and those that
 * take descriptors from other processes with EACCES. There is no way back. Any user may do this. Fails where the kernel cannot:
 * callers must not go on then.
 */
int tv_offline(struct tv_err *err);

#endif
