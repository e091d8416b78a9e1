/*
 * What lives: one entry a live run or mount, in .tvfs/live/<session id>.{json,sock,log}.
 *
 *	.json	who serves it since when, for `ps` and `prune`; written by rename, not synced: it means
 *		nothing after a crash of the machine
 *	.sock	a connection gets the daemon's figures as one JSON document
 *	.log	what the daemon's libraries say on stderr
 *
 * An entry belongs to the process named as its owner; only that one, or prune when it is dead,
 * removes it. Names are session ids (UUIDs), so they are short whatever a run is called.
 */
#ifndef TV_TOOLS_RUN_REGISTRY_H
#define TV_TOOLS_RUN_REGISTRY_H

#include <cjson/cJSON.h>

#include "tools/run/processes.h"

/* Writes or replaces an entry. doc stays the caller's. */
int tv_registry_put(struct tv_store *s, const char *id, const cJSON *doc, struct tv_err *err);

/* Removes an entry with its socket and log; absent is fine. */
void tv_registry_remove(struct tv_store *s, const char *id);

/* Calls visit for each entry; `alive` tells about its owner. */
int tv_registry_each(struct tv_store *s,
		     int (*visit)(void *arg, const char *id, const cJSON *doc, bool alive,
				  struct tv_err *err),
		     void *arg, struct tv_err *err);

/* Removes sockets and logs without an entry that are older than a minute; how many. */
int tv_registry_sweep(struct tv_store *s, struct tv_err *err);

/* A listening socket / an open log for a new entry; the caller closes. */
int tv_registry_listen(struct tv_store *s, const char *id, struct tv_err *err);
int tv_registry_log(struct tv_store *s, const char *id, struct tv_err *err);

/* How long a daemon may take to answer. */
#define TV_REGISTRY_PATIENCE_NS ((int64_t)1000000000)

/* Asks an entry's daemon for its figures: a socket to take the answer from, the caller's. Several may
 * be asked before the first answer is read. -ECONNREFUSED, -ENOENT: it has ended; -ETIMEDOUT. */
int tv_registry_ask(struct tv_store *s, const char *id, struct tv_err *err);
/* Takes the answer, at the latest at `until` (tv_boottime_ns): -ETIMEDOUT. -ECONNRESET: it ended
 * meanwhile. *out is the caller's. */
int tv_registry_answer(int sock, int64_t until, cJSON **out, struct tv_err *err);
/* Both. */
int tv_registry_figures(struct tv_store *s, const char *id, cJSON **out, struct tv_err *err);

#endif
