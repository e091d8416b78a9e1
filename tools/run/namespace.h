/*
 * The namespaces of a run's command, from the inside: made by the process that becomes the command.
 *
 * A mount namespace of its own, so that N runs in one working directory each see their own
 * data/lakehouse; for others than root a user namespace around it (the own uid and gid only); with
 * the network off, a network namespace with only `lo`. Never a PID namespace. What is mounted here
 * is gone with the last process in here: nothing needs to be unmounted. Mounts go in from outside
 * (MS_SLAVE), never out.
 *
 * Never half open: a step that fails is an error of the whole.
 */
#ifndef TV_TOOLS_RUN_NAMESPACE_H
#define TV_TOOLS_RUN_NAMESPACE_H

#include "tools/run/plan.h"

/* Open descriptors of namespaces, -1 where it is the outer one. */
struct tv_namespaces {
	int user, mount, net;
};
#define TV_NAMESPACES_NONE ((struct tv_namespaces){ -1, -1, -1 })
void tv_namespaces_close(struct tv_namespaces *n);

/* Moves this (single-threaded) process into new namespaces. *user_made tells whether a user namespace
 * was needed. -EPERM with what to do about it. */
int tv_namespace_enter(bool network, bool *user_made, struct tv_err *err);

/* Opens the namespaces this process is in. */
int tv_namespace_open(bool user_made, bool network, struct tv_namespaces *out, struct tv_err *err);

/* Moves this (single-threaded) process into open ones. */
int tv_namespace_join(const struct tv_namespaces *n, struct tv_err *err);

/* Opens /dev/fuse, as the owner of the namespace that will mount it. */
int tv_namespace_fuse(struct tv_err *err);

/* Mounts inputs, redirects and the FUSE superblock at the plan's paths, in two halves: _before mounts
 * fuse_fd on the data folder (the daemon need not serve yet) and tells the superblock's number;
 * _after, once it serves, binds its two folders at their literal paths and hides the store. */
int tv_namespace_before(const struct tv_plan *p, int fuse_fd, dev_t *device, struct tv_err *err);
int tv_namespace_after(const struct tv_plan *p, dev_t device, struct tv_err *err);

/* "tvfs:<12 digits of the foundation>": the source that mountinfo shows. */
#define TV_SOURCE_TEXT 18
void tv_namespace_source(const struct tv_sha *foundation, char out[TV_SOURCE_TEXT]);

#endif
