/* tvfs run [OPTION...] [--] COMMAND [ARG...]: a command on a frozen lakehouse. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/runrec.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/commands.h"
#include "tools/run/front.h"
#include "tools/run/locked.h"
#include "tools/run/plan.h"
#include "tools/run/record.h"

#define EXIT_OWN 125

const struct tv_option tv_run_options[] = {
	{ "run-id", 0, "ID", "the run's name (default: time and a random part)", false },
	{ "foundation", 0, "REV", "what is frozen (default: the settings' ref)", false },
	{ "profile", 0, "NAME", "production, development, data, or one of the settings", false },
	{ "publish", 0, "REF", "publish what the command wrote, when it succeeds", false },
	{ "keep-open", 0, NULL, "do not seal the run: more sessions may follow", false },
	{ "join", 0, "RUN_ID", "start the command inside this live run", false },
	{ "trace-id", 0, "ID", "what the run belongs to (default: TV_TRACE_ID or a new UUIDv7)",
	  false },
	{ "message", 'm', "MSG", "with --publish: why", false },
	{ "network", 0, NULL, "leave the network on", false },
	{ "no-network", 0, NULL, "only the loopback interface", false },
	{ "passthrough", 0, "WHEN", "auto, off, or require kernel passthrough", false },
	{ NULL, 0, NULL, NULL, false },
};

/* 125 is tvfs's own failure; a usage error, no store and a gate have codes of their own. */
static int own_failure(struct tv_cli *cli, int r)
{
	if (r != -TV_E_USAGE && r != -TV_E_NOSTORE)
		cli->status = EXIT_OWN;
	return r;
}

static int read_request(struct tv_cli *cli, struct tv_request *q)
{
	*q = (struct tv_request){
		.run_id = tv_cli_option(cli, "run-id"),
		.profile = tv_cli_option(cli, "profile"),
		.publish = tv_cli_option(cli, "publish"),
		.trace_id = tv_cli_option(cli, "trace-id"),
		.message = tv_cli_option(cli, "message"),
		.keep_open = tv_cli_has(cli, "keep-open"),
		.network = tv_cli_has(cli, "network")	   ? 1
			   : tv_cli_has(cli, "no-network") ? 0
							   : -1,
		.argv = cli->args,
	};
	if (tv_cli_has(cli, "network") && tv_cli_has(cli, "no-network"))
		return tv_cli_usage(cli, "--network and --no-network exclude each other");
	if (q->message && !q->publish)
		return tv_cli_usage(cli, "--message goes with --publish");
	return tv_plan_passthrough(tv_cli_option(cli, "passthrough"), &q->passthrough, &cli->err);
}

struct told {
	struct tv_cli *cli;
	const struct tv_plan *plan;
};

/* With --json the line is an object; stdout is the command's. */
static void tell_registered(void *arg)
{
	const struct told *t = arg;
	const struct tv_plan *p = t->plan;
	char commit[TV_SHA_HEX], foundation[TV_SHA_HEX];
	tv_sha_hex(&p->commit.id, commit);
	tv_sha_hex(&p->commit.root.sha, foundation);
	FILE *out = tv_cli_errors(t->cli);
	t->cli->out_given = true;
	if (!t->cli->json) {
		if (!t->cli->quiet)
			fprintf(out, "run %s on foundation %s (commit %.12s)\n", p->run_id,
				foundation, commit);
		return;
	}
	tv_autojson cJSON *doc = cJSON_CreateObject();
	if (doc && cJSON_AddStringToObject(doc, "run_id", p->run_id) &&
	    cJSON_AddStringToObject(doc, "foundation_hash", foundation) &&
	    cJSON_AddStringToObject(doc, "commit", commit) &&
	    cJSON_AddStringToObject(doc, "profile", p->profile->name) &&
	    tv_record_set(doc, "trace_id", tv_record_string(p->trace_id)) &&
	    tv_record_set(doc, "run_dir", tv_record_string(p->run_dir))) {
		tv_autofree char *text = cJSON_PrintUnformatted(doc);
		fprintf(out, "%s\n", text ? text : "");
	}
}

static void tell_note(void *arg, const char *text)
{
	const struct told *t = arg;
	tv_cli_note(t->cli, "%s", text);
}

/* What the outcome means for the caller. */
static int report(struct tv_cli *cli, const struct tv_outcome *out)
{
	fflush(stdout);
	cli->out_given = cli->out_given || out->ran;
	if (out->err.text[0]) {
		cli->err = out->err;
		cli->status = out->status >= 0 ? out->status : EXIT_OWN;
		int code = out->err.code ? out->err.code : -EIO;
		return code == -EPIPE ? -EIO : code; /* -EPIPE would mean: say nothing */
	}
	cli->status = out->status >= 0 ? out->status : tv_front_exit_status(out->wait_status);
	return 0;
}

static int run(struct tv_cli *cli, const struct tv_request *q)
{
	struct tv_rev rev;
	struct tv_plan *plan = NULL;
	struct tv_outcome out;
	int r = tv_locked_rev(cli, q->run_id, &rev);
	if (r == 0)
		r = tv_plan_make(cli->store, cli->settings, q, &rev, &plan, &cli->err);
	if (r < 0)
		return own_failure(cli, r);
	r = tv_plan_gates(tv_store_nodes(cli->store), &plan->commit.root, plan, &cli->err);
	if (r < 0) {
		tv_plan_free(plan);
		return r == -TV_E_GATE || r == -TV_E_MISSING ? r : own_failure(cli, r);
	}
	/* No environment of LMDB may be carried into the processes that are forked now. */
	tv_store_close(tv_steal_ptr(&cli->store));
	tv_front_run(&(struct tv_front){ .plan = plan,
					 .registered = tell_registered,
					 .note = tell_note,
					 .arg = &(struct told){ cli, plan } },
		     &out);
	tv_plan_free(plan);
	return report(cli, &out);
}

/* --- joining ------------------------------------------------------------------------------------ */

struct joining {
	struct tv_plan *plan;
	struct tv_front_target target;
	struct tv_process self;
	int wait_status;
	const char *how;
};

static int fd_number(const cJSON *fds, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(fds, key);
	return cJSON_IsNumber(item) ? item->valueint : -1;
}

/* In one transaction with the check that the run still lets commands in. */
static int enter_session(void *arg, cJSON *doc, struct tv_err *err)
{
	struct joining *j = arg;
	const cJSON *fds = cJSON_GetObjectItemCaseSensitive(doc, "namespace_fds");
	const char *id = tv_record_text(doc, "run_id");
	if (strcmp(tv_record_text(doc, "state"), "live") != 0 || !tv_record_alive(doc))
		return tv_err_set(err, -TV_E_LOCKED, "run '%s' is ending: there is nothing to join",
				  id);
	if (tv_record_mounted(doc))
		return tv_err_set(
			err, -TV_E_LOCKED,
			"run '%s' is mounted ('tvfs ps' tells where), there is no command to join",
			id);
	const cJSON *uid = cJSON_GetObjectItemCaseSensitive(doc, "uid");
	if (cJSON_IsNumber(uid) && (uid_t)uid->valuedouble != geteuid())
		return tv_err_set(err, -EPERM,
				  "run '%s' is %s's, and its view shows itself to nobody else; "
				  "join it as that user",
				  id, tv_record_text(doc, "user"));
	if (fd_number(fds, "mount") < 0 ||
	    !tv_record_process(doc, "supervisor", &j->target.supervisor))
		return tv_err_set(err, -EAGAIN,
				  "run '%s' has not started its command yet; try again", id);
	j->target.user_fd = fd_number(fds, "user");
	j->target.mount_fd = fd_number(fds, "mount");
	j->target.net_fd = fd_number(fds, "net");
	struct tv_session session = { .id = j->plan->session,
				      .argv = j->plan->request.argv,
				      .cwd = j->plan->cwd,
				      .front = j->self,
				      .joined = true };
	return tv_record_add_session(doc, &session) ? 0 : tv_err_nomem(err);
}

static int leave_session(void *arg, cJSON *doc, struct tv_err *err)
{
	const struct joining *j = arg;
	return tv_record_end_session(doc, j->plan->session, j->wait_status, j->how)
		       ? 0
		       : tv_err_nomem(err);
}

/* Ends the session in the record; the run itself may have ended before us, with an error. */
static void note_left(struct tv_cli *cli, struct joining *j, const struct tv_outcome *out)
{
	struct tv_err err = TV_ERR_INIT;
	j->wait_status = out->ran ? out->wait_status : -1;
	j->how = !out->ran ? "not executed" : out->err.text[0] ? "stopped" : "exited";
	int r = tv_store_open(j->plan->store, &cli->store, &err);
	if (r == 0)
		r = tv_record_change(cli->store, j->plan->run_id, j->plan->run_dir, leave_session,
				     j, &err);
	if (r < 0)
		tv_cli_note(cli, "the run's record could not be written: %s", err.text);
}

static int join_plan(struct tv_cli *cli, struct tv_request *q, struct tv_plan **plan)
{
	tv_autojson cJSON *record = NULL;
	struct tv_rev rev;
	int r = tv_run_id_check(q->run_id, false, &cli->err);
	if (r == 0)
		r = tv_run_get(cli->store, q->run_id, &record, NULL);
	if (r == -ENOENT)
		return tv_err_set(&cli->err, r,
				  "there is no run '%s'; 'tvfs ps' lists the live ones", q->run_id);
	if (r == 0)
		r = tv_locked_rev(cli, q->run_id, &rev);
	if (r < 0)
		return r;
	q->profile = tv_record_text(record, "profile");
	q->join = true;
	r = tv_plan_make(cli->store, cli->settings, q, &rev, plan, &cli->err);
	q->profile = NULL;
	return r;
}

static int join(struct tv_cli *cli, struct tv_request *q)
{
	struct joining j = { .plan = NULL };
	struct tv_outcome out;
	int r = join_plan(cli, q, &j.plan);
	if (r == 0)
		r = tv_process_self(&j.self, &cli->err);
	if (r == 0)
		r = tv_record_change(cli->store, j.plan->run_id, NULL, enter_session, &j,
				     &cli->err);
	if (r < 0) {
		tv_plan_free(j.plan);
		return own_failure(cli, r);
	}
	tv_store_close(tv_steal_ptr(&cli->store));
	tv_front_join(&(struct tv_front){ .plan = j.plan }, &j.target, &out);
	note_left(cli, &j, &out);
	tv_plan_free(j.plan);
	tv_store_close(tv_steal_ptr(&cli->store));
	return report(cli, &out);
}

int tv_cmd_run(struct tv_cli *cli)
{
	static const char *const alone[] = {
		"run-id",    "foundation", "profile",	 "publish",
		"keep-open", "network",	   "no-network", "passthrough"
	};
	struct tv_request q;
	int r = read_request(cli, &q);
	if (r < 0)
		return r;
	const char *joined = tv_cli_option(cli, "join");
	for (size_t i = 0; joined && i < TV_ARRAY_LEN(alone); i++)
		if (tv_cli_has(cli, alone[i]))
			return tv_cli_usage(cli, "--join takes the run as it is: --%s has no place",
					    alone[i]);
	r = tv_cli_open(cli);
	if (r < 0)
		return own_failure(cli, r);
	if (!joined)
		return run(cli, &q);
	q.run_id = joined;
	return join(cli, &q);
}
