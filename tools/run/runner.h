/* From a fork to the command: what the child of the front process does before it executes. */
#ifndef TV_TOOLS_RUN_RUNNER_H
#define TV_TOOLS_RUN_RUNNER_H

#include <signal.h>

#include "tools/run/namespace.h"
#include "tools/run/plan.h"

struct tv_runner {
	const struct tv_plan *plan;
	int sock;			  /* to the supervisor */
	sigset_t mask;			  /* the command's signal mask */
	pid_t front;			  /* our parent: with it dies the command */
	const struct tv_namespaces *join; /* of a live run, to enter; NULL: make new ones */
};

/*
 * Never returns. Messages on the socket, to the supervisor: "mounted" {user, net, device} with
 * descriptors of the FUSE device and the namespaces; "exec" {process}; "error". From it: "go",
 * "ready". Joining: only "exec" and "error". The socket closes with the exec. Exit status 125 for an
 * error before the exec, 126 and 127 as env(1).
 */
_Noreturn void tv_runner_start(const struct tv_runner *how);

#endif
