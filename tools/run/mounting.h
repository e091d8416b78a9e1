/*
 * Plain mounts: a frozen view at a place of the user's choice, with or without a run's overlay.
 *
 * Without a run it is read-only. With one, writes go to that run's overlay, and the run is live (and
 * so locked for others) until it is unmounted; then it is open again.
 */
#ifndef TV_TOOLS_RUN_MOUNTING_H
#define TV_TOOLS_RUN_MOUNTING_H

#include "tools/run/plan.h"

struct tv_mounting {
	const struct tv_settings *settings;
	const struct tv_rev *rev;
	const char *run_id;	/* or NULL */
	const char *mountpoint; /* as the user wrote it */
	bool read_only, foreground, allow_other;
	enum tv_passthrough passthrough;
	void (*ready)(void *arg, const char *mountpoint); /* told when it can be used */
	void *arg;
};

/* Mounts; returns when the mount is ready, in the foreground when it has ended. Takes the store and
 * closes it (processes are forked, and a daemon opens its own). */
int tv_mounting_start(struct tv_store **store, const struct tv_mounting *m, struct tv_err *err);

/* Unmounts, and, unless lazy, waits until the daemon has given everything back. The store (NULL: not
 * known) helps to find the daemon. */
int tv_mounting_end(struct tv_store *store, const char *mountpoint, bool lazy, struct tv_err *err);

#endif
