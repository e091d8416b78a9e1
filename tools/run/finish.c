/* The second half of the supervisor: what happens when the command has ended, or will never start. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/figures.h"
#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/runrec.h"
#include "tools/run/publish.h"
#include "tools/run/registry.h"
#include "tools/run/rundir.h"
#include "tools/run/supervisor-priv.h"

#define SETTLE_MS 200	      /* background processes that are ending anyway */
#define GRACE_MS 3000	      /* between SIGTERM and SIGKILL */
#define UNMOUNT_WAIT_MS 15000 /* until the daemon is asked, then made, to end */
#define LEFTOVERS_LISTED 100

/* What finishing gathers for the record. */
struct ending {
	struct tv_supervisor *s;
	cJSON *leftovers, *overlay, *outputs, *publish; /* owned; NULL: nothing to say */
	const char *state, *how;
	int status;
};

/* --- joined commands ---------------------------------------------------------------------------- */

struct door {
	unsigned waiting;
	char who[TV_COMMAND_TEXT + 32];
};

static int count_joined(void *arg, cJSON *session)
{
	struct door *d = arg;
	struct tv_process front;
	if (!tv_record_flag(session, "joined") ||
	    !tv_process_from_json(cJSON_GetObjectItemCaseSensitive(session, "front"), &front) ||
	    !tv_process_alive(&front))
		return 0;
	if (!d->waiting++) {
		char words[TV_COMMAND_TEXT];
		tv_process_command(front.pid, words);
		snprintf(d->who, sizeof(d->who), "pid %d: %s", (int)front.pid, words);
	}
	return 0;
}

/* In one transaction: nobody is in any more, so nobody comes in any more. */
static int close_door(void *arg, cJSON *doc, struct tv_err *err)
{
	struct door *d = arg;
	d->waiting = 0;
	tv_record_each_open_session(doc, count_joined, d);
	if (!d->waiting && !tv_record_set(doc, "state", cJSON_CreateString("ending")))
		return tv_err_nomem(err);
	return 0;
}

static void wait_joined(struct tv_supervisor *s)
{
	struct door d = { 0 };
	bool told = false;
	for (;;) {
		int r = tv_record_change(s->store, s->plan->run_id, NULL, close_door, &d, NULL);
		if (r < 0 || !d.waiting || s->hurry || s->front_gone || s->daemon_gone)
			return;
		if (!told)
			tv_supervisor_note(s, "waiting for %u joined command%s (%s)", d.waiting,
					   d.waiting > 1 ? "s" : "", d.who);
		told = true;
		tv_supervisor_pump(s, 100);
	}
}

/* --- processes and mount ------------------------------------------------------------------------ */

static int list_leftover(void *arg, const struct tv_member *m, struct tv_err *err)
{
	struct ending *e = arg;
	(void)err;
	if (!e->leftovers)
		e->leftovers = cJSON_CreateArray();
	cJSON *one = cJSON_CreateObject();
	if (cJSON_GetArraySize(e->leftovers) < LEFTOVERS_LISTED && one &&
	    cJSON_AddNumberToObject(one, "pid", m->process.pid) &&
	    tv_json_add_bytes(one, "command", m->command, strlen(m->command)) &&
	    cJSON_AddItemToArray(e->leftovers, one))
		return 0;
	cJSON_Delete(one);
	return 0;
}

static void end_leftovers(struct ending *e)
{
	struct tv_supervisor *s = e->s;
	struct tv_err err = TV_ERR_INIT;
	if (tv_members_wait(&s->scope, s->front_gone ? 0 : SETTLE_MS, NULL) > 0)
		return;
	tv_members_each(&s->scope, list_leftover, e, NULL);
	int n = cJSON_GetArraySize(e->leftovers);
	if (n && !s->front_gone)
		tv_supervisor_note(s, "ending %d process%s that the command left behind", n,
				   n > 1 ? "es" : "");
	/* A command without its front process is told by nobody to stop: it gets the same grace. */
	if (tv_members_end(&s->scope, GRACE_MS, &err) < 0)
		tv_supervisor_fail(s, err.code, "%s", err.text);
}

/* Whether the daemon has served the command to its end. One that died took writes with it, and the
 * command need not have noticed (`[ -e FILE ]` is false on a dead mount): only an answer tells. */
static void ask_daemon(struct tv_supervisor *s)
{
	struct tv_err err = TV_ERR_INIT;
	if (s->daemon_gone)
		return;
	int r = tv_registry_figures(s->store, s->plan->session, &s->figures_doc, &err);
	tv_figures_shorten(s->figures_doc);
	if (r < 0 && r != -ETIMEDOUT)
		tv_supervisor_lost_daemon(s, err.text);
}

/* The last reference to the mount is let go; the daemon ends by itself when the kernel has written
 * everything back. */
static void end_mount(struct tv_supervisor *s)
{
	struct tv_err err = TV_ERR_INIT;
	int status = 0;
	ask_daemon(s);
	s->closing = true;
	tv_namespaces_close(&s->ns);
	int64_t until = tv_boottime_ns() + UNMOUNT_WAIT_MS * (int64_t)1000000;
	for (int step = 0; s->daemon_fd >= 0;) {
		tv_supervisor_pump(s, 100);
		if (s->daemon_fd < 0 || tv_boottime_ns() < until)
			continue;
		tv_process_signal(&s->who.daemon, step++ ? SIGKILL : SIGTERM);
		tv_err_set(
			&err, -EBUSY,
			"the view was still in use after the command had ended; it was taken away");
		until = tv_boottime_ns() + 3 * (int64_t)1000000000;
	}
	bool reaped = waitpid(s->who.daemon.pid, &status, 0) == s->who.daemon.pid;
	if (err.code)
		tv_supervisor_note(s, "%s", err.text);
	if (reaped && status)
		tv_supervisor_lost_daemon(s, WIFSIGNALED(status)
						     ? "killed while it wrote everything back"
						     : "it could not end as it should");
}

/* --- results ------------------------------------------------------------------------------------ */

static bool command_succeeded(const struct tv_supervisor *s)
{
	return s->ended && WIFEXITED(s->wait_status) && WEXITSTATUS(s->wait_status) == 0;
}

static int publish(struct ending *e, struct tv_err *err)
{
	struct tv_supervisor *s = e->s;
	const char *ref = s->plan->request.publish;
	if (!command_succeeded(s)) {
		e->publish = cJSON_CreateObject();
		tv_supervisor_note(s, "the command failed: nothing was published on %s", ref);
		if (!e->publish || !cJSON_AddStringToObject(e->publish, "ref", ref) ||
		    !cJSON_AddStringToObject(e->publish, "status", "skipped"))
			return tv_err_nomem(err);
		return 0;
	}
	int r = tv_run_publish(s->store, s->plan, s->overlay, &e->publish, err);
	if (r < 0)
		return tv_err_wrap(err, r, "not published on %s (the run's writes are kept in %s)",
				   ref, s->plan->overlay_dir);
	const char *status = tv_record_text(e->publish, "status");
	tv_supervisor_note(s, "%s %s: foundation %s (commit %.12s)", status, ref,
			   tv_record_text(e->publish, "foundation_hash"),
			   tv_record_text(e->publish, "commit"));
	return 0;
}

static int gather(struct ending *e, struct tv_err *err)
{
	struct tv_supervisor *s = e->s;
	int r = tv_run_overlay_summary(s->store, s->plan, s->overlay, &e->overlay, err);
	return r < 0 ? r : tv_rundir_outputs(s->plan->run_dir, &e->outputs, err);
}

static int end_open(void *arg, cJSON *session)
{
	(void)arg;
	char id[TV_UUID_TEXT];
	snprintf(id, sizeof(id), "%s", tv_record_text(session, "id"));
	return tv_record_set(session, "end", tv_record_time(tv_now_ns())) &&
			       tv_record_set(session, "exit_status", cJSON_CreateNull()) &&
			       tv_record_set(session, "how", cJSON_CreateString("front killed"))
		       ? 0
		       : -ENOMEM;
}

static bool move_into(cJSON *doc, const char *key, cJSON *const *item)
{
	return !*item || tv_record_set(doc, key, cJSON_Duplicate(*item, true));
}

static int write_ending(void *arg, cJSON *doc, struct tv_err *err)
{
	struct ending *e = arg;
	struct tv_supervisor *s = e->s;
	int wait_status = s->ended ? s->wait_status : -1;
	cJSON *session = tv_record_session(doc, s->plan->session);
	cJSON_DeleteItemFromObjectCaseSensitive(doc, "namespace_fds");
	bool ok = tv_record_end_session(doc, s->plan->session, wait_status, e->how) &&
		  tv_record_each_open_session(doc, end_open, NULL) == 0 &&
		  (!session || move_into(session, "leftovers", &e->leftovers)) &&
		  tv_record_set(doc, "state", cJSON_CreateString(e->state)) &&
		  tv_record_set(doc, "end", tv_record_time(tv_now_ns())) &&
		  tv_record_set(doc, "exit_status",
				e->status >= 0 ? cJSON_CreateNumber(e->status)
					       : cJSON_CreateNull()) &&
		  (!s->failure.text[0] ||
		   tv_record_set(doc, "failure", tv_record_string(s->failure.text))) &&
		  move_into(doc, "route_misses", &s->route_misses) &&
		  move_into(doc, "mount", &s->figures_doc) &&
		  move_into(doc, "overlay", &e->overlay) &&
		  move_into(doc, "outputs", &e->outputs) && move_into(doc, "publish", &e->publish);
	const cJSON *passthrough = cJSON_GetObjectItemCaseSensitive(s->figures_doc, "passthrough");
	if (ok && passthrough)
		ok = tv_record_set(doc, "passthrough", cJSON_Duplicate(passthrough, true));
	return ok ? 0 : tv_err_nomem(err);
}

/* How the session ended, in a word. */
static const char *how_ended(const struct tv_supervisor *s)
{
	return s->front_gone		     ? "front killed"
	       : s->daemon_lost		     ? "daemon died"
	       : s->failure.text[0]	     ? "stopped"
	       : WIFSIGNALED(s->wait_status) ? "signal"
					     : "exited";
}

/* What the run is from now on. */
static void judge(struct ending *e)
{
	struct tv_supervisor *s = e->s;
	const struct tv_request *q = &s->plan->request;
	/* A command that was killed left things as they happened to be: that is not a result. */
	if (s->failure.text[0] || s->front_gone || WIFSIGNALED(s->wait_status))
		e->state = "failed";
	else if (q->keep_open)
		e->state = "open";
	else
		e->state = q->publish && command_succeeded(s) ? "published" : "sealed";
	if (s->ended)
		e->status = WIFSIGNALED(s->wait_status) ? 128 + WTERMSIG(s->wait_status)
							: WEXITSTATUS(s->wait_status);
}

void tv_supervisor_finish(struct tv_supervisor *s, int *status, struct tv_err *err)
{
	struct ending e = { .s = s, .status = -1 };
	struct tv_err why = TV_ERR_INIT;
	int r = 0;

	tv_close_p(&s->reserve);
	s->reserve = -1;
	if (!s->failure.text[0] && !s->front_gone)
		wait_joined(s);
	end_leftovers(&e);
	/* A daemon that dies from here on until the mount is gone took writes with it. */
	end_mount(s);
	if (s->front_gone && !s->failure.text[0])
		tv_supervisor_fail(s, -EIO, "the front process was killed");
	e.how = how_ended(s);
	if (!s->failure.text[0] && s->plan->request.publish)
		r = publish(&e, &why);
	if (r < 0) {
		*status = r == -TV_E_CONFLICT || r == -TV_E_GATE ? tv_err_exit_code(r) : 125;
		tv_supervisor_fail(s, r, "%s", why.text);
	} else if (s->failure.text[0]) {
		*status = 125;
	}
	judge(&e);
	if (gather(&e, &why) < 0)
		tv_supervisor_fail(s, why.code, "%s", why.text);
	if (strcmp(e.state, "sealed") == 0 || strcmp(e.state, "published") == 0)
		if (tv_rundir_seal(s->plan->run_dir, &why) < 0)
			tv_supervisor_note(s, "%s", why.text);
	r = tv_record_change(s->store, s->plan->run_id, s->plan->run_dir, write_ending, &e, &why);
	if (r < 0)
		tv_supervisor_fail(s, r, "the record could not be written: %s", why.text);
	tv_lease_drop(s->store, s->lease.id, NULL);
	tv_registry_remove(s->store, s->plan->session);
	if (s->failure.text[0] && *status < 0)
		*status = 125;
	*err = s->failure;
	cJSON_Delete(e.leftovers);
	cJSON_Delete(e.overlay);
	cJSON_Delete(e.outputs);
	cJSON_Delete(e.publish);
	cJSON_Delete(s->route_misses);
	cJSON_Delete(s->figures_doc);
}

/* The session never ran: it leaves no trace, and the run is open again. */
static int withdraw(void *arg, cJSON *doc, struct tv_err *err)
{
	struct tv_supervisor *s = arg;
	cJSON *all = cJSON_GetObjectItemCaseSensitive(doc, "sessions"), *one;
	int at = 0;
	cJSON_ArrayForEach(one, all) {
		if (strcmp(tv_record_text(one, "id"), s->plan->session) == 0)
			break;
		at++;
	}
	if (one)
		cJSON_DeleteItemFromArray(all, at);
	return tv_record_set(doc, "state", cJSON_CreateString("open")) ? 0 : tv_err_nomem(err);
}

void tv_supervisor_withdraw(struct tv_supervisor *s, struct tv_err *err)
{
	tv_record_change(s->store, s->plan->run_id, s->plan->run_dir, withdraw, s, err);
}
