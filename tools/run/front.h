/*
 * The front process of a run: the one the user, make or Ray started, and whose end they wait for.
 *
 * It forks the supervisor and the command, and waits for both. The command is its child in its own
 * process group and terminal, so job control and Ctrl-C reach the command as if tvfs were not there;
 * what kill(2) sends to the front process alone is passed on.
 */
#ifndef TV_TOOLS_RUN_FRONT_H
#define TV_TOOLS_RUN_FRONT_H

#include "store/lease.h"
#include "tools/run/plan.h"

struct tv_outcome {
	bool ran; /* the command was executed and ended with wait_status */
	int wait_status;
	int status;	   /* exit status that tvfs asks for instead; -1: the command's own */
	struct tv_err err; /* why; text "" when there is nothing to say */
};

struct tv_front {
	const struct tv_plan *plan;
	/* Told once when the run is registered and the command about to start. */
	void (*registered)(void *arg);
	/* A line for the user. */
	void (*note)(void *arg, const char *text);
	void *arg;
};

/* Runs the plan to its end. The store must be closed: processes are forked. The process must be
 * single-threaded. */
void tv_front_run(const struct tv_front *f, struct tv_outcome *out);

/* Starts the plan's command inside a live run, whose supervisor is given with the descriptors it
 * keeps of the namespaces (-1: none). */
struct tv_front_target {
	struct tv_process supervisor;
	int user_fd, mount_fd, net_fd; /* numbers in the supervisor's /proc/PID/fd */
};
void tv_front_join(const struct tv_front *f, const struct tv_front_target *target,
		   struct tv_outcome *out);

/* Ends this process as the command ended: with its status, or by its signal (without a second core
 * dump), so that the caller sees what it would have seen without tvfs. Returns the status to exit
 * with when the signal does not end it. */
int tv_front_exit_status(int wait_status);

#endif
