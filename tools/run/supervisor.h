/*
 * The supervisor of a run: the process that owns everything that has to be given back.
 *
 * In a session of its own, so that neither the terminal nor the end of a process group reaches it.
 * It registers the run, takes the lease, starts the daemon, brings daemon and runner together, and
 * whatever way the command ends: ends what is left of it, sees the mount gone, publishes, seals,
 * writes the record, gives back lease and entry.
 */
#ifndef TV_TOOLS_RUN_SUPERVISOR_H
#define TV_TOOLS_RUN_SUPERVISOR_H

#include "tools/run/plan.h"

/*
 * Never returns; to be called in a fresh fork. Messages to the front process: "registered"; "note"
 * {text}; "stop" {text}: end the command; "done" {ran, status, code, text}, the last. From it:
 * "ended" {status}, "hurry": the user wants an end. The end of the connection means that it died.
 */
_Noreturn void tv_supervise(const struct tv_plan *p, int front, int runner, pid_t front_pid);

#endif
