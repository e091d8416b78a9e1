/* Cleaning up after processes that were killed: nothing here touches what is alive. */
#ifndef TV_TOOLS_RUN_PRUNE_H
#define TV_TOOLS_RUN_PRUNE_H

#include "store/store.h"

struct tv_pruned {
	unsigned runs;	    /* records set from live to failed */
	unsigned mounts;    /* dead mount points unmounted */
	unsigned processes; /* ended, because their run had died */
	unsigned entries;   /* of the registry */
	unsigned leases;
	unsigned leftovers; /* sockets and logs */
};

/* Ends what is left in dead runs' namespaces, unmounts dead mounts, drops stale leases, sets the
 * records of dead runs to failed, removes dead entries. note (nullable) is told what cannot be done. */
int tv_prune(struct tv_store *s, void (*note)(void *arg, const char *text), void *arg,
	     struct tv_pruned *out, struct tv_err *err);

#endif
