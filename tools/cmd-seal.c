/* tvfs seal RUN_ID: ends a run that was kept open; it is never written again. */
#include <string.h>
#include <sys/stat.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/runrec.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/plan.h"
#include "tools/run/record.h"
#include "tools/run/rundir.h"

static int check_state(const cJSON *record, struct tv_err *err)
{
	const char *id = tv_record_text(record, "run_id"), *state = tv_record_text(record, "state");
	if (strcmp(state, "open") == 0 || strcmp(state, "failed") == 0)
		return 0;
	if (strcmp(state, "sealed") == 0 || strcmp(state, "published") == 0)
		return 1;
	return tv_err_set(err, -TV_E_LOCKED,
			  tv_record_alive(record)
				  ? "run '%s' is live; seal it when it has ended"
				  : "run '%s' ended without its supervisor; 'tvfs prune' first",
			  id);
}

struct sealing {
	const cJSON *outputs;
};

/* The state is checked again: a session may have begun since. */
static int seal(void *arg, cJSON *doc, struct tv_err *err)
{
	const struct sealing *s = arg;
	int r = check_state(doc, err);
	if (r)
		return r < 0 ? r : 0;
	if (!tv_record_set(doc, "outputs", cJSON_Duplicate(s->outputs, true)) ||
	    !tv_record_set(doc, "sealed", tv_record_time(tv_now_ns())) ||
	    !tv_record_set(doc, "keep_open", cJSON_CreateFalse()) ||
	    !tv_record_set(doc, "state", cJSON_CreateString("sealed")))
		return tv_err_nomem(err);
	return 0;
}

static int answer(struct tv_cli *cli, const cJSON *record, bool already)
{
	const char *id = tv_record_text(record, "run_id");
	if (!cli->json) {
		fprintf(tv_cli_out(cli), "run %s %s\n", id,
			already ? "was sealed already" : "is sealed");
		return 0;
	}
	cJSON *doc = cJSON_CreateObject();
	if (!doc || !cJSON_AddStringToObject(doc, "run_id", id) ||
	    !cJSON_AddStringToObject(doc, "foundation_hash",
				     tv_record_text(record, "foundation_hash")) ||
	    !cJSON_AddBoolToObject(doc, "already", already)) {
		cJSON_Delete(doc);
		return tv_err_nomem(&cli->err);
	}
	return tv_cli_json(cli, doc);
}

/* Where the run is: where the settings say (the project may have been moved or copied since), or
 * where it was when it began. */
static int find_run_dir(struct tv_cli *cli, const cJSON *record, char **out)
{
	struct stat st;
	tv_autofree char *here = NULL;
	int r = tv_plan_run_dir(cli->settings, tv_record_text(record, "run_id"), &here, &cli->err);
	if (r < 0)
		return r;
	*out = stat(here, &st) == 0 ? tv_steal_ptr(&here)
				    : strdup(tv_record_text(record, "run_dir"));
	return *out ? 0 : tv_err_nomem(&cli->err);
}

int tv_cmd_seal(struct tv_cli *cli)
{
	tv_autojson cJSON *record = NULL, *outputs = NULL;
	tv_autofree char *run_dir = NULL;
	const char *id = cli->args[0];
	int r = tv_cli_open(cli);
	if (r == 0)
		r = tv_run_id_check(id, true, &cli->err);
	if (r < 0)
		return r;
	r = tv_run_get(cli->store, id, &record, NULL);
	if (r == -ENOENT)
		return tv_err_set(&cli->err, r, "there is no run '%s'", id);
	if (r < 0)
		return tv_run_get(cli->store, id, &record, &cli->err);
	r = check_state(record, &cli->err);
	if (r)
		return r < 0 ? r : answer(cli, record, true);
	r = find_run_dir(cli, record, &run_dir);
	if (r == 0)
		r = tv_rundir_outputs(run_dir, &outputs, &cli->err);
	if (r == 0)
		r = tv_record_change(cli->store, id, run_dir, seal, &(struct sealing){ outputs },
				     &cli->err);
	if (r == 0)
		r = tv_rundir_seal(run_dir, &cli->err);
	return r < 0 ? r : answer(cli, record, false);
}
