/* tvfs stats: what the daemons of live runs and mounts have counted. */
#include "tools/stats.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/mountinfo.h"
#include "tools/run/record.h"
#include "tools/run/registry.h"

struct asking {
	struct tv_cli *cli;
	const char *wanted; /* a run id or a mount point; NULL: all */
	char *path;	    /* the same as an absolute path; or NULL. Owned */
	struct tv_stats_rows rows;
	unsigned dead, ended, silent;
};

static void free_row(struct tv_stats_row *r)
{
	if (!r)
		return;
	cJSON_Delete(r->entry);
	tv_close_p(&r->sock);
	free(r);
}

static void free_row_p(struct tv_stats_row **r)
{
	free_row(*r);
}

static void asking_clear(struct asking *a)
{
	for (size_t i = 0; i < a->rows.len; i++)
		free_row(a->rows.row[i]);
	free(a->rows.row);
	free(a->path);
}

static bool is_wanted(const struct asking *a, const cJSON *doc)
{
	if (!a->wanted || strcmp(tv_record_text(doc, "run_id"), a->wanted) == 0)
		return true;
	return a->path && strcmp(tv_record_text(doc, "kind"), "mount") == 0 &&
	       strcmp(tv_record_text(doc, "path"), a->path) == 0;
}

/* A mount is its daemon's; a run is its supervisor's, who started the daemon. */
static cJSON *entry_of(const char *id, const cJSON *doc)
{
	static const char *const texts[] = { "kind",   "run_id", "foundation_hash",
					     "commit", "user",	 "since",
					     "path",   "state" };
	struct tv_process daemon = { .pid = 0 };
	tv_autojson cJSON *o = cJSON_CreateObject();
	bool ok = o && cJSON_AddStringToObject(o, "id", id);
	for (size_t i = 0; ok && i < TV_ARRAY_LEN(texts); i++)
		ok = cJSON_AddStringToObject(o, texts[i], tv_record_text(doc, texts[i]));
	const cJSON *who = cJSON_GetObjectItemCaseSensitive(doc, "daemon");
	tv_process_from_json(who ? who : cJSON_GetObjectItemCaseSensitive(doc, "owner"), &daemon);
	if (!ok || !cJSON_AddNumberToObject(o, "pid", daemon.pid))
		return NULL;
	return tv_steal_ptr(&o);
}

/* Which end is not an error: what was live a moment ago may end at any time. */
static bool has_ended(int code)
{
	return code == -ECONNREFUSED || code == -ENOENT || code == -ECONNRESET || code == -EPIPE;
}

static int ask(void *arg, const char *id, const cJSON *doc, bool alive, struct tv_err *err)
{
	struct asking *a = arg;
	struct tv_err why = TV_ERR_INIT;
	if (!is_wanted(a, doc))
		return 0;
	if (!alive) {
		a->dead++;
		return 0;
	}
	struct tv_stats_row **grown = reallocarray(a->rows.row, a->rows.len + 1, sizeof(*grown));
	if (!grown)
		return tv_err_nomem(err);
	a->rows.row = grown;
	tv_auto(free_row_p) struct tv_stats_row *r = calloc(1, sizeof(*r));
	if (!r)
		return tv_err_nomem(err);
	r->entry = entry_of(id, doc);
	r->sock = r->entry ? tv_registry_ask(a->cli->store, id, &why) : -1;
	if (!r->entry)
		return tv_err_nomem(err);
	if (r->sock < 0 && has_ended(r->sock)) {
		a->ended++;
		return 0;
	}
	snprintf(r->why_not, sizeof(r->why_not), "%s", why.text);
	a->rows.row[a->rows.len++] = tv_steal_ptr(&r);
	return 0;
}

/* All have been asked before the first answer is waited for, so that one second is enough for all. */
static void take_answers(struct asking *a)
{
	int64_t until = tv_boottime_ns() + TV_REGISTRY_PATIENCE_NS;
	size_t kept = 0;
	for (size_t i = 0; i < a->rows.len; i++) {
		struct tv_stats_row *r = a->rows.row[i];
		struct tv_err why = TV_ERR_INIT;
		cJSON *answer = NULL;
		int code = r->sock < 0 ? 0 : tv_registry_answer(r->sock, until, &answer, &why);
		if (code < 0 && has_ended(code)) {
			a->ended++;
			free_row(r);
			continue;
		}
		if (code < 0)
			snprintf(r->why_not, sizeof(r->why_not), "%s", why.text);
		r->answered = answer;
		if (answer)
			tv_figures_parse(answer, &r->figures);
		if (answer && !cJSON_AddItemToObject(r->entry, "figures", answer))
			cJSON_Delete(answer);
		a->silent += !r->answered;
		a->rows.row[kept++] = r;
	}
	a->rows.len = kept;
}

static int nothing_found(struct asking *a)
{
	struct tv_err *err = &a->cli->err;
	tv_autofree char *name = a->wanted ? tv_cli_quote(a->wanted) : NULL;
	if (!a->wanted) {
		if (!a->cli->json)
			tv_cli_note(a->cli, "nothing is live");
		return 0;
	}
	if (a->ended)
		return tv_err_set(err, -ENOENT, "'%s' has just ended", name ? name : "?");
	if (a->dead)
		return tv_err_set(err, -ENOENT, "'%s' died; 'tvfs prune' cleans up after it",
				  name ? name : "?");
	return tv_err_set(err, -ENOENT,
			  "no live run and no mount is called '%s'; 'tvfs ps' lists them",
			  name ? name : "?");
}

/* Names those that did not answer. */
static int tell_silent(struct asking *a)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	for (size_t i = 0; i < a->rows.len; i++) {
		const struct tv_stats_row *r = a->rows.row[i];
		bool mount = strcmp(tv_record_text(r->entry, "kind"), "mount") == 0;
		tv_autofree char *name =
			tv_cli_quote(tv_record_text(r->entry, mount ? "path" : "run_id"));
		const cJSON *pid = cJSON_GetObjectItemCaseSensitive(r->entry, "pid");
		if (!r->answered)
			tv_buf_addf(&b, "%s%s '%s' (pid %d): %s", b.len ? "; " : "",
				    mount ? "mount" : "run", name ? name : "?",
				    cJSON_IsNumber(pid) ? pid->valueint : 0, r->why_not);
	}
	tv_autofree char *text = tv_buf_steal_str(&b);
	return text ? tv_err_set(&a->cli->err, -ETIMEDOUT, "%s", text) : tv_err_nomem(&a->cli->err);
}

/* Takes the entries away from the rows. NULL: out of memory. */
static cJSON *document(struct asking *a)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	cJSON *live = cJSON_AddArrayToObject(doc, "live");
	cJSON *silent = cJSON_AddArrayToObject(doc, "unanswered");
	for (size_t i = 0; i < a->rows.len; i++) {
		struct tv_stats_row *r = a->rows.row[i];
		if ((!r->answered && !cJSON_AddStringToObject(r->entry, "reason", r->why_not)) ||
		    !cJSON_AddItemToArray(r->answered ? live : silent, r->entry))
			return NULL;
		tv_steal_ptr(&r->entry);
	}
	return silent ? tv_steal_ptr(&doc) : NULL;
}

/* Those that answered are printed also when others did not, and that is an error then. */
static int print(struct asking *a)
{
	struct tv_cli *cli = a->cli;
	int r = a->silent ? tell_silent(a) : 0;
	if (cli->json) {
		cJSON *doc = document(a);
		if (!doc)
			return tv_err_nomem(&cli->err);
		if (r == 0)
			return tv_cli_json(cli, doc);
		cli->details = doc;
		return r;
	}
	if (!tv_cli_has(cli, "prometheus"))
		tv_stats_text(tv_cli_out(cli), &a->rows);
	else if (tv_stats_prometheus(tv_cli_out(cli), &a->rows) < 0)
		return tv_err_nomem(&cli->err);
	return r;
}

int tv_cmd_stats(struct tv_cli *cli)
{
	tv_auto(asking_clear) struct asking a = { .cli = cli,
						  .wanted = cli->n_args ? cli->args[0] : NULL };
	if (cli->json && tv_cli_has(cli, "prometheus"))
		return tv_cli_usage(cli, "--json and --prometheus are two forms of one answer");
	int r = tv_cli_open(cli);
	if (r < 0)
		return r;
	if (a.wanted && tv_mountpoint_real(a.wanted, &a.path, NULL) < 0)
		a.path = NULL; /* then it is no mount point */
	r = tv_registry_each(cli->store, ask, &a, &cli->err);
	if (r < 0)
		return r;
	take_answers(&a);
	r = a.rows.len ? 0 : nothing_found(&a);
	return r < 0 ? r : print(&a);
}
