/*
 * The daemon: the process that serves one view through FUSE.
 *
 * `tvfs serve LABEL`, a hidden command, started by a run's supervisor or by `tvfs mount`, with one
 * socket as descriptor 3. It stays in the outer namespaces, where the store is, and never touches a
 * path in its own mount. It is told everything by messages; nothing secret is in its words.
 *
 *	to it	"configure" {the members below} with descriptors; for a run then "serve" {device}
 *		with the mounted FUSE device
 *	from it	"ready"; "misses" {list}; "error"
 *
 * A run's daemon ends with its supervisor, and then also ends what is left in the run's namespace. A
 * mount's daemon gives back lease, entry and record itself.
 */
#ifndef TV_TOOLS_RUN_DAEMON_H
#define TV_TOOLS_RUN_DAEMON_H

#include "store/lease.h"
#include "tools/run/plan.h"

/* What to serve. Strings are borrowed; NULL or "" where there is none. */
struct tv_serve {
	const char *store;
	struct tv_sha commit;
	const char *mountpoint;		  /* NULL: a run; the mounted device comes later */
	const struct tv_settings *routes; /* whose routes to show; NULL: none */
	bool route_fallback, deny_lakehouse_writes, allow_other;
	enum tv_passthrough passthrough;
	int overlay, data, figures; /* descriptors; -1: none. They stay the caller's */
	const char *data_dir;	    /* a run's: where its superblock is mounted */
	/* A mount's daemon gives these back at its end. */
	const char *lease, *session, *run_id, *run_dir;
};

/* The same as a message's document, for tv_daemon_serve and over a socket. NULL: no memory. */
cJSON *tv_daemon_config(const struct tv_serve *how);

/* Starts it with `log` as its stderr, in a session of its own. *sock is the caller's. The store may
 * be open: the child only executes. */
int tv_daemon_start(const char *label, int log, int *sock, struct tv_process *out,
		    struct tv_err *err);

/* Sends the configuration with its descriptors. */
int tv_daemon_configure(int sock, const struct tv_serve *how, struct tv_err *err);

/*
 * Serves in this process until the end, as the daemon does: opens the store (so it must not be open
 * here), takes the descriptors' ownership. sock -1: nobody listens; ready(arg) is called instead.
 */
struct tv_daemon_fds {
	int overlay, data, figures;
};
int tv_daemon_serve(const cJSON *config, struct tv_daemon_fds *fds, int sock,
		    void (*ready)(void *arg), void *arg, struct tv_err *err);

#endif
