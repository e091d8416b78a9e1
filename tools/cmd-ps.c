/* tvfs ps: live runs and mounts, and those that died without cleaning up. */
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/lease.h"
#include "store/runrec.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/record.h"
#include "tools/run/registry.h"

struct listing {
	struct tv_cli *cli;
	cJSON *rows; /* owned */
	unsigned dead, stale_leases;
};

static bool has_run(const cJSON *rows, const char *run_id)
{
	const cJSON *row;
	cJSON_ArrayForEach(row, rows)
		if (*run_id && strcmp(tv_record_text(row, "run_id"), run_id) == 0)
			return true;
	return false;
}

/* "on" or "off" by the daemon's own figures; "-" when it does not answer. */
static const char *passthrough_of(struct tv_cli *cli, const char *id, bool alive)
{
	tv_autojson cJSON *figures = NULL;
	if (!alive || tv_registry_figures(cli->store, id, &figures, NULL) < 0)
		return "-";
	return strcmp(tv_record_text(figures, "passthrough"), "on") == 0 ? "on" : "off";
}

static int add_entry(void *arg, const char *id, const cJSON *doc, bool alive, struct tv_err *err)
{
	static const char *const texts[] = { "kind",  "run_id", "foundation_hash", "commit", "user",
					     "since", "path" };
	struct listing *l = arg;
	struct tv_process owner = { .pid = 0 };
	tv_autojson cJSON *row = cJSON_CreateObject();
	bool ok = row && cJSON_AddStringToObject(row, "id", id);
	for (size_t i = 0; ok && i < TV_ARRAY_LEN(texts); i++)
		ok = cJSON_AddStringToObject(row, texts[i], tv_record_text(doc, texts[i]));
	tv_process_from_json(cJSON_GetObjectItemCaseSensitive(doc, "owner"), &owner);
	const char *state = alive ? tv_record_text(doc, "state") : "dead";
	if (!ok || !cJSON_AddNumberToObject(row, "pid", owner.pid) ||
	    !cJSON_AddStringToObject(row, "passthrough", passthrough_of(l->cli, id, alive)) ||
	    !cJSON_AddStringToObject(row, "state", state) || !cJSON_AddItemToArray(l->rows, row))
		return tv_err_nomem(err);
	tv_steal_ptr(&row);
	l->dead += !alive;
	return 0;
}

/* Runs whose record says live, of which nothing else is left. */
static int add_lost_run(void *arg, const cJSON *doc, struct tv_err *err)
{
	struct listing *l = arg;
	const char *state = tv_record_text(doc, "state"), *id = tv_record_text(doc, "run_id");
	bool live = strcmp(state, "live") == 0 || strcmp(state, "ending") == 0;
	if (!live || has_run(l->rows, id) || tv_record_alive(doc))
		return 0;
	tv_autojson cJSON *row = cJSON_CreateObject();
	if (!row || !cJSON_AddStringToObject(row, "id", "") ||
	    !cJSON_AddStringToObject(row, "kind", "run") ||
	    !cJSON_AddStringToObject(row, "run_id", id) ||
	    !cJSON_AddStringToObject(row, "foundation_hash",
				     tv_record_text(doc, "foundation_hash")) ||
	    !cJSON_AddStringToObject(row, "user", tv_record_text(doc, "user")) ||
	    !cJSON_AddStringToObject(row, "since", tv_record_text(doc, "start")) ||
	    !cJSON_AddStringToObject(row, "path", tv_record_text(doc, "run_dir")) ||
	    !cJSON_AddStringToObject(row, "passthrough", "-") ||
	    !cJSON_AddStringToObject(row, "state", "dead") || !cJSON_AddItemToArray(l->rows, row))
		return tv_err_nomem(err);
	tv_steal_ptr(&row);
	l->dead++;
	return 0;
}

static int count_stale(void *arg, const struct tv_lease *lease, bool alive, struct tv_err *err)
{
	struct listing *l = arg;
	(void)lease;
	(void)err;
	l->stale_leases += !alive;
	return 0;
}

static void print_rows(struct listing *l)
{
	FILE *out = tv_cli_out(l->cli);
	const cJSON *row;
	if (cJSON_GetArraySize(l->rows))
		fprintf(out, "%-28s %-5s %-12s %-10s %7s %-20s %-4s %s\n", "RUN OR MOUNT", "KIND",
			"FOUNDATION", "USER", "PID", "SINCE", "PASS", "STATE");
	else
		tv_cli_note(l->cli, "nothing is live");
	cJSON_ArrayForEach(row, l->rows) {
		const char *run = tv_record_text(row, "run_id");
		const cJSON *pid = cJSON_GetObjectItemCaseSensitive(row, "pid");
		bool mount = strcmp(tv_record_text(row, "kind"), "mount") == 0;
		tv_autofree char *name = tv_cli_quote(mount ? tv_record_text(row, "path") : run);
		fprintf(out, "%-28s %-5s %.12s %-10s %7d %.19s%s %-4s %s\n", name ? name : "",
			tv_record_text(row, "kind"), tv_record_text(row, "foundation_hash"),
			tv_record_text(row, "user"), pid ? pid->valueint : 0,
			tv_record_text(row, "since"), "Z", tv_record_text(row, "passthrough"),
			tv_record_text(row, "state"));
	}
	if (l->dead || l->stale_leases)
		tv_cli_note(l->cli, "%u dead, %u stale leases; 'tvfs prune' cleans up", l->dead,
			    l->stale_leases);
}

int tv_cmd_ps(struct tv_cli *cli)
{
	struct listing l = { .cli = cli };
	int r = tv_cli_open(cli);
	if (r < 0)
		return r;
	tv_autojson cJSON *doc = cJSON_CreateObject();
	l.rows = doc ? cJSON_AddArrayToObject(doc, "live") : NULL;
	if (!l.rows)
		return tv_err_nomem(&cli->err);
	r = tv_registry_each(cli->store, add_entry, &l, &cli->err);
	if (r == 0)
		r = tv_run_each(cli->store, add_lost_run, &l, &cli->err);
	if (r == 0)
		r = tv_lease_each(cli->store, count_stale, &l, &cli->err);
	if (r < 0)
		return r;
	if (!cli->json) {
		print_rows(&l);
		return 0;
	}
	if (!cJSON_AddNumberToObject(doc, "dead", l.dead) ||
	    !cJSON_AddNumberToObject(doc, "stale_leases", l.stale_leases))
		return tv_err_nomem(&cli->err);
	return tv_cli_json(cli, tv_steal_ptr(&doc));
}
