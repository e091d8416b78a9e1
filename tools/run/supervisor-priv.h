/* What the two halves of the supervisor share: supervisor.c starts and watches, finish.c ends. */
#ifndef TV_TOOLS_RUN_SUPERVISOR_PRIV_H
#define TV_TOOLS_RUN_SUPERVISOR_PRIV_H

#include "store/lease.h"
#include "tools/run/namespace.h"
#include "tools/run/plan.h"
#include "tools/run/processes.h"
#include "tools/run/record.h"

struct tv_supervisor {
	const struct tv_plan *plan;
	struct tv_store *store;
	struct tv_lease lease;
	struct tv_record_processes who;
	struct tv_process command;
	struct tv_namespaces ns; /* keep the run's namespaces alive, for commands that join */
	struct tv_scope scope;
	int front, runner, daemon;  /* sockets; -1 when the other side is gone */
	int daemon_fd;		    /* pidfd */
	int signals;		    /* signalfd: TERM and INT ask to end */
	int overlay, data, figures; /* descriptors for the daemon */
	int reserve;		    /* a nameless file that keeps room on the disk; -1: none */
	int wait_status;	    /* of the command, when `ended` */
	int64_t deadline;	    /* boot time by which the mount must stand; 0: no more */
	int exec_status;	    /* 125, or 126 / 127 when the command could not be executed */
	bool leased, registered, created;     /* created: by this session */
	bool touched;			      /* the run directory may have to be taken back */
	bool served;			      /* the daemon answers */
	bool exec_seen, exec_failed, started; /* about to execute; it could not; it did */
	bool ended;			      /* the command has */
	bool front_gone, daemon_gone, hurry;
	bool closing;	       /* the daemon may end now */
	bool daemon_lost;      /* it ended before its time, and that is what failed */
	struct tv_err failure; /* the first thing that went wrong; text "" when nothing did */
	cJSON *route_misses;   /* owned; array, bounded by the daemon */
	cJSON *figures_doc;    /* owned; the daemon's last figures, or NULL */
};

/* Waits for one round of events, at most so long (-1: for ever), and handles them. */
void tv_supervisor_pump(struct tv_supervisor *s, int wait_ms);

/* Notes a failure; the first one stays. */
void tv_supervisor_fail(struct tv_supervisor *s, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a daemon that ended before its time; how: what is known of it, or NULL. */
void tv_supervisor_lost_daemon(struct tv_supervisor *s, const char *how);

/* A line for the user, if there is one. */
void tv_supervisor_note(struct tv_supervisor *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Takes back a run that never started: record, lease, entry, folders. */
void tv_supervisor_abandon(struct tv_supervisor *s);

/* The same for a session of a run that was open before: it is open again. */
void tv_supervisor_withdraw(struct tv_supervisor *s, struct tv_err *err);

/* Ends a run that did start. *status is what the front process shall exit with (-1: as the command);
 * *err says why. */
void tv_supervisor_finish(struct tv_supervisor *s, int *status, struct tv_err *err);

#endif
