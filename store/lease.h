/*
 * Leases: what keeps a commit from gc while a process uses it. A lease belongs to a process (pid,
 * its start time, the boot): when that is gone the lease is stale, gc ignores it and prune removes
 * it.
 */
#ifndef TV_STORE_LEASE_H
#define TV_STORE_LEASE_H

#include <sys/types.h>

#include "store/store.h"

/* Which process, for good: pids are used again, (boot, pid, start) are not. */
struct tv_process {
	pid_t pid;
	uint64_t start_ticks; /* /proc/PID/stat, field 22 */
	char boot_id[37];
};

int tv_process_self(struct tv_process *out, struct tv_err *err);
int tv_process_of(pid_t pid, struct tv_process *out, struct tv_err *err);
bool tv_process_alive(const struct tv_process *p);

struct tv_lease {
	char id[TV_SHA_HEX]; /* text, unique */
	char kind[16];	     /* "mount", "run", "checkout", "import", "reader" */
	char run_id[256];    /* or "" */
	struct tv_sha commit;
	struct tv_process owner;
	int64_t time_ns;
};

/* Takes a lease for this process (owner NULL) or another. -ENOENT when the commit is gone. */
int tv_lease_take(struct tv_store *s, const struct tv_sha *commit, const char *kind,
		  const char *run_id, const struct tv_process *owner, struct tv_lease *out,
		  struct tv_err *err);
int tv_lease_drop(struct tv_store *s, const char *id, struct tv_err *err); /* absent is fine */
int tv_lease_each(struct tv_store *s,
		  int (*visit)(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err),
		  void *arg, struct tv_err *err);
/* Removes stale leases; *dropped counts them. */
int tv_lease_prune(struct tv_store *s, unsigned *dropped, struct tv_err *err);

#endif
