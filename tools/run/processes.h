/*
 * Which processes belong to a run, and how they are ended.
 *
 * No PID namespace and no cgroup is used, so membership is told by the mounts: a process is the
 * run's when it is in the run's mount namespace, or in one made from it (a container, a nested run),
 * which shows in its mountinfo as the run's FUSE superblock. Processes of other users cannot always
 * be looked at; they cannot be in the run's namespace either, except as root's children.
 */
#ifndef TV_TOOLS_RUN_PROCESSES_H
#define TV_TOOLS_RUN_PROCESSES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/lease.h"

/*
 * Where a run's processes live. The kernel gives the numbers away again once namespace and superblock
 * are gone: who keeps them alive (the supervisor holds the namespace open) may go by them. Everybody
 * else gives `path`, too: then only those are meant who see the superblock mounted there, and the
 * path holds the run's id.
 */
struct tv_scope {
	ino_t mount_ns; /* inode number of the mount namespace; 0: nobody, unless there is a path */
	dev_t device;	/* of the FUSE superblock; 0: not known */
	const char *path; /* the run's data folder, or NULL */
};

#define TV_COMMAND_TEXT 256

struct tv_member {
	struct tv_process process;
	char command[TV_COMMAND_TEXT]; /* its words joined by spaces, cut to fit */
};

/* Calls visit for each process in the place, ourselves left out. visit's non-zero return ends and is
 * returned. A process that ends meanwhile is no error. */
int tv_members_each(const struct tv_scope *where,
		    int (*visit)(void *arg, const struct tv_member *m, struct tv_err *err),
		    void *arg, struct tv_err *err);

/* How many there are; -errno. */
int tv_members_count(const struct tv_scope *where, struct tv_err *err);

/* Ends all of them: SIGTERM, and SIGKILL to those still there after grace_ms. 0 when none is left,
 * -ETIMEDOUT when some cannot be killed (they hang in the kernel). */
int tv_members_end(const struct tv_scope *where, unsigned grace_ms, struct tv_err *err);

/* Waits up to wait_ms for the place to become empty by itself: 1 when it did, 0 when not. */
int tv_members_wait(const struct tv_scope *where, unsigned wait_ms, struct tv_err *err);

/* Sends a signal to exactly this process, if it is still the same. */
void tv_process_signal(const struct tv_process *p, int signal_number);

/* Waits until this process has ended: 1, or 0 after wait_ms (-1: for ever). */
int tv_process_wait(const struct tv_process *p, int wait_ms);

/* A descriptor that becomes readable when the process ends; -errno (-ESRCH: it is gone). */
int tv_process_open(const struct tv_process *p);

/* The words of a process, as in struct tv_member; "" when it is gone. */
void tv_process_command(pid_t pid, char out[TV_COMMAND_TEXT]);

/* {"pid", "start_ticks", "boot_id"} and back; false when the object is no such thing. */
cJSON *tv_process_json(const struct tv_process *p);
bool tv_process_from_json(const cJSON *doc, struct tv_process *out);

#endif
