/*
 * The record of a run: one JSON document in the store (store/runrec.h), and a copy of it in the run
 * directory as config/run.json. docs/notes-run.md lists its keys.
 *
 * Several processes write it: the run's supervisor, the front processes of joined commands, prune.
 * So every change is a read-change-write in one transaction of the store, and run.json is written
 * from what came out of it.
 */
#ifndef TV_TOOLS_RUN_RECORD_H
#define TV_TOOLS_RUN_RECORD_H

#include <cjson/cJSON.h>

#include "tools/run/plan.h"
#include "tools/run/processes.h"

const char *tv_record_text(const cJSON *doc, const char *key); /* "" when absent */
bool tv_record_flag(const cJSON *doc, const char *key);

/* Replaces or adds a member; takes the item. False when out of memory (also when item is NULL). */
bool tv_record_set(cJSON *doc, const char *key, cJSON *item);

/* True while the supervisor (or the daemon of a mount) named in the record lives. */
bool tv_record_alive(const cJSON *doc);
/* True when what is live is a mount (tvfs mount --run-id), not a command. */
bool tv_record_mounted(const cJSON *doc);
/* A process of the record: "front", "supervisor", "daemon", "command". False when not known. */
bool tv_record_process(const cJSON *doc, const char *who, struct tv_process *out);

/* The processes that a record names; pid 0: not known. */
struct tv_record_processes {
	struct tv_process front, supervisor, daemon;
};

/* Registers the plan's run as live with a first session, or a new session of a run that is open
 * already: then *created is false. Errors as tv_plan_admit. */
int tv_record_register(struct tv_store *s, const struct tv_plan *p,
		       const struct tv_record_processes *who, bool *created, struct tv_err *err);

/* Changes the record and writes run.json anew (run_dir NULL: not). */
int tv_record_change(struct tv_store *s, const char *run_id, const char *run_dir,
		     int (*change)(void *arg, cJSON *doc, struct tv_err *err), void *arg,
		     struct tv_err *err);

/* One session: a command that was started in the run. */
struct tv_session {
	const char *id;
	char *const *argv;
	const char *cwd;
	struct tv_process front; /* who waits for the command */
	bool joined;
};
/* Appends it to doc's "sessions" with its start time. False when out of memory. */
bool tv_record_add_session(cJSON *doc, const struct tv_session *session);

/* Ends a session: its wait status (-1: not known) and how it ended, a word or two. */
bool tv_record_end_session(cJSON *doc, const char *id, int wait_status, const char *how);

/* The session of that id, or NULL. */
cJSON *tv_record_session(const cJSON *doc, const char *id);

/* Calls visit for each session that has not ended. Non-zero ends and is returned. */
int tv_record_each_open_session(const cJSON *doc, int (*visit)(void *arg, cJSON *session),
				void *arg);

/* A string array of an argument list; bytes that are not UTF-8 become '?'. NULL: no memory. */
cJSON *tv_record_words(char *const *words);

/* Text that may not be UTF-8, as a JSON string. NULL: no memory. */
cJSON *tv_record_string(const char *bytes);

/* A time as text. NULL: no memory. */
cJSON *tv_record_time(int64_t ns);

/* Members that tell who did it and where: user, host. False when out of memory. */
bool tv_record_add_who(cJSON *doc);

#endif
