#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/io.h"
#include "store/base/path.h"
#include "tools/commands.h"
#include "tools/flow.h"
#include "tools/installed.h"
#include "tools/refs.h"
#include "tools/render.h"

static const char *end_text(const struct tv_flow_run *run, size_t i)
{
	static const char *const texts[] = { "not reached", "done",   "partial",
					     "refused",	    "failed", "left out" };
	return run->steps[i].earlier ? "earlier" : texts[run->steps[i].end];
}

static void tell(struct tv_flow_run *run, size_t step)
{
	if (!run->cli->quiet)
		fprintf(tv_cli_errors(run->cli), "[%zu/%zu] %s\n", step + 1, run->n_steps,
			run->flow->steps[step].name);
}

/* --- the report -------------------------------------------------------------------------------- */

static const char *trace_of(const struct tv_flow_run *run)
{
	return *run->draft.trace_id ? run->draft.trace_id : run->by.trace_id;
}

static cJSON *report_json(const struct tv_flow_run *run)
{
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "flow", run->flow->name);
	cJSON *steps = cJSON_AddArrayToObject(doc, "steps");
	for (size_t i = 0; i < run->n_steps; i++) {
		cJSON *step = cJSON_CreateObject();
		cJSON_AddStringToObject(step, "step", run->flow->steps[i].name);
		cJSON_AddStringToObject(step, "outcome", end_text(run, i));
		cJSON_AddNumberToObject(step, "seconds", run->steps[i].seconds);
		cJSON_AddNumberToObject(step, "exit", run->steps[i].exit);
		if (run->steps[i].report)
			cJSON_AddItemToObject(step, "report",
					      cJSON_Duplicate(run->steps[i].report, true));
		cJSON_AddItemToArray(steps, step);
	}
	cJSON_AddBoolToObject(doc, "resumed", run->resumed);
	cJSON_AddStringToObject(doc, "trace_id", trace_of(run));
	if (run->folder)
		cJSON_AddStringToObject(doc, "folder", run->folder);
	else
		cJSON_AddStringToObject(doc, "ref", run->target);
	if (!run->flow->publishes || run->folder)
		return doc;
	cJSON_AddBoolToObject(doc, "published", run->published);
	if (*run->draft.ref)
		cJSON_AddStringToObject(doc, "draft", run->draft.ref);
	if (run->published) {
		cJSON_AddBoolToObject(doc, "unchanged", run->done.unchanged);
		cJSON_AddBoolToObject(doc, "merged", run->done.merged);
		tv_json_sha(doc, "foundation_hash", &run->done.foundation);
		tv_json_sha(doc, "commit", &run->done.commit);
	}
	return doc;
}

static void print_report(const struct tv_flow_run *run)
{
	FILE *out = tv_cli_out(run->cli);
	char hex[TV_SHA_HEX];
	for (size_t i = 0; i < run->n_steps; i++) {
		fprintf(out, "  %-13s %-11s", run->flow->steps[i].name, end_text(run, i));
		if (run->steps[i].end != TV_FLOW_WAITING && run->steps[i].end != TV_FLOW_LEFT_OUT)
			fprintf(out, " %7.1f s  exit %d", run->steps[i].seconds,
				run->steps[i].exit);
		fputc('\n', out);
	}
	if (!run->published) {
		if (*run->draft.ref)
			fprintf(out, "draft      %s\n", run->draft.ref);
		return;
	}
	if (run->done.unchanged)
		fputs("nothing changed\n", out);
	tv_sha_hex(&run->done.foundation, hex);
	fprintf(out, "foundation %s\n", hex);
	tv_sha_hex(&run->done.commit, hex);
	fprintf(out, "commit     %s on %s\n", hex, run->target);
}

static int report(struct tv_flow_run *run, int r)
{
	struct tv_cli *cli = run->cli;
	if (!run->n_steps)
		return r;
	if (!cli->json) {
		if (run->published || run->steps[0].end != TV_FLOW_WAITING)
			print_report(run);
		return r;
	}
	cJSON *doc = report_json(run);
	if (r == 0)
		return tv_cli_json(cli, doc);
	cli->details = doc;
	return r;
}

/* --- where it works ---------------------------------------------------------------------------- */

/* In a run the store is hidden: the run is the transaction, and the flow works on its view. */
static int open_place(struct tv_flow_run *run)
{
	struct tv_cli *cli = run->cli;
	const char *onto = tv_cli_option(cli, "onto"), *run_id = getenv("TV_RUN_ID"),
		   *view = getenv("TV_LAKEHOUSE_DIR");
	run->folder = tv_cli_option(cli, "folder");
	if (run->folder && onto)
		return tv_cli_usage(cli, "--folder and --onto exclude each other");
	int r = run->folder ? 0 : tv_cli_open(cli);
	if (r == -TV_E_NOSTORE && run_id && *run_id && view && *view) {
		if (onto)
			return tv_cli_usage(cli,
					    "--onto: within a run, what is written is published "
					    "by the run (tvfs run --publish)");
		tv_err_clear(&cli->err);
		tv_cli_note(cli, "working on the view of run %s", run_id);
		run->folder = view;
		run->in_run = true;
		r = 0;
	}
	if (r == 0 && run->folder)
		r = tv_settings_load(".", &cli->settings, &cli->err);
	if (r < 0 || run->folder)
		return r;
	run->target = onto ? onto : cli->settings->ref;
	return onto ? tv_refs_begin(cli, onto) : 0;
}

/* The empty folder that ingestions leave would be published with the view, which nobody else writes to. */
static void tidy_view(const struct tv_flow_run *run)
{
	tv_autofree char *spool = tv_path_join(run->folder, ".tvfs-spool");
	if (spool)
		rmdir(spool);
}

/* Beside the folder of the runs: artifacts/summaries/audit-2026-01-19.html. */
static int find_page(struct tv_flow_run *run, char **out)
{
	struct tv_cli *cli = run->cli;
	char now[32];
	tv_autofree char *runs = NULL;
	tv_render_seconds(tv_now_ns(), now);
	int r = tv_settings_inside(cli->settings, cli->settings->runs, &runs, &cli->err);
	char *slash = r == 0 ? strrchr(runs, '/') : NULL;
	if (slash)
		*slash = '\0';
	if (r == 0)
		r = tv_io_mkdirs(AT_FDCWD, runs, 0777, &cli->err);
	if (r == 0 && asprintf(out, "%s/audit-%.10s.html", runs, now) < 0)
		r = tv_err_nomem(&cli->err);
	return r;
}

static int run_flow(struct tv_cli *cli, const struct tv_flow *flow)
{
	tv_autofree char *page = NULL;
	tv_auto(tv_flow_run_free) struct tv_flow_run run = {
		.cli = cli,
		.flow = flow,
		.by = { .trace_id = "" },
		.restart = tv_cli_has(cli, "restart"),
		.tell = tell,
	};
	char message[64];
	snprintf(message, sizeof(message), "flow %s", flow->name);
	const char *trace_id = getenv("TV_TRACE_ID");
	int r = tv_authored(cli, message, &run.by);
	if (r == 0 && trace_id && *trace_id && !tv_cli_has(cli, "trace-id"))
		run.by.trace_id = trace_id;
	if (r == 0)
		r = open_place(&run);
	if (r == 0 && flow->steps[0].takes & TV_STEP_PAGE)
		r = find_page(&run, &page);
	run.page = page;
	if (r < 0)
		return r;
	r = tv_flow_run(&run, &cli->err);
	if (run.in_run)
		tidy_view(&run);
	return report(&run, r);
}

/* --- the command ------------------------------------------------------------------------------- */

static int list_flows(struct tv_cli *cli)
{
	cJSON *doc = cli->json ? cJSON_CreateObject() : NULL;
	cJSON *list = cJSON_AddArrayToObject(doc, "flows");
	for (const struct tv_flow *f = tv_flows(); f->name; f++) {
		if (!doc) {
			fprintf(tv_cli_out(cli), "  %-11s %s\n", f->name, f->summary);
			continue;
		}
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "flow", f->name);
		cJSON_AddStringToObject(o, "summary", f->summary);
		cJSON *steps = cJSON_AddArrayToObject(o, "steps");
		for (size_t i = 0; f->steps[i].name; i++)
			cJSON_AddItemToArray(steps, cJSON_CreateString(f->steps[i].name));
		cJSON_AddItemToArray(list, o);
	}
	return doc ? tv_cli_json(cli, doc) : 0;
}

static int print_makefile(struct tv_cli *cli)
{
	char *path = NULL;
	int r = tv_installed_path(TVFS_FROM_BIN_TO_DATA "/tvfs.mk", &path, &cli->err);
	if (r < 0)
		return r;
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		tv_json_path(doc, path);
		free(path);
		return tv_cli_json(cli, doc);
	}
	fprintf(tv_cli_out(cli), "%s\n", path);
	free(path);
	return 0;
}

int tv_cmd_flow(struct tv_cli *cli)
{
	if (tv_cli_has(cli, "makefile"))
		return cli->n_args ? tv_cli_usage(cli, "--makefile goes alone")
				   : print_makefile(cli);
	if (!cli->n_args)
		return list_flows(cli);
	const struct tv_flow *flow = tv_flow_find(cli->args[0]);
	if (!flow)
		return tv_cli_usage(cli,
				    "there is no flow '%s'; there are data, production, repair "
				    "and audit",
				    cli->args[0]);
	int n = cli->n_args - 1;
	if (n < flow->min_candidates)
		return tv_cli_usage(cli, "flow %s takes lists of candidates, or symbols",
				    flow->name);
	if (flow->max_candidates >= 0 && n > flow->max_candidates)
		return tv_cli_usage(cli, "flow %s takes no candidates", flow->name);
	return run_flow(cli, flow);
}
