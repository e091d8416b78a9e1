#include <limits.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/gc.h"
#include "tools/commands.h"
#include "tools/options.h"

struct forgotten {
	struct tv_cli *cli;
	cJSON *list;
	unsigned long n;
};

static int on_forgotten(void *arg, const char *what, struct tv_err *err)
{
	struct forgotten *f = arg;
	(void)err;
	f->n++;
	if (f->list) {
		cJSON_AddItemToArray(f->list, cJSON_CreateString(what));
		return 0;
	}
	FILE *out = tv_cli_out(f->cli);
	fputs("  ", out);
	tv_cli_put_name(out, what);
	putc('\n', out);
	return 0;
}

static int take_options(struct tv_cli *cli, struct tv_forget *how)
{
	uint64_t last;
	how->runs = tv_cli_has(cli, "runs");
	how->keep_tagged = tv_cli_has(cli, "keep-tagged");
	how->dry_run = !tv_cli_has(cli, "delete");
	if (how->runs == tv_cli_has(cli, "commits"))
		return tv_cli_usage(cli, "say --runs or --commits");
	if (how->runs && tv_cli_has(cli, "ref"))
		return tv_cli_usage(cli, "--ref goes with --commits");
	int r = tv_option_number(cli, "keep-last", 0, UINT_MAX, &last);
	if (r == 0)
		r = tv_option_duration(cli, "keep-within", 0, &how->keep_within_ns);
	if (r < 0)
		return r;
	how->keep_last = (unsigned)last;
	/* Without a rule everything would go: that has to be said in full. */
	if (!last && !how->keep_within_ns)
		return tv_cli_usage(cli,
				    "say what to keep: --keep-last N or --keep-within DURATION");
	return 0;
}

int tv_cmd_forget(struct tv_cli *cli)
{
	struct tv_forget how = { 0 };
	int r = take_options(cli, &how);
	if (r == 0)
		r = tv_cli_open(cli);
	if (r < 0)
		return r;
	const char *ref = tv_cli_option(cli, "ref");
	how.ref = how.runs ? NULL : ref ? ref : cli->settings->ref;
	tv_autojson cJSON *doc = cli->json ? cJSON_CreateObject() : NULL;
	struct forgotten f = { .cli = cli };
	f.list = doc ? cJSON_AddArrayToObject(doc, "forgotten") : NULL;
	r = tv_forget(cli->store, &how, on_forgotten, &f, &cli->err);
	if (r < 0)
		return r;
	if (doc) {
		cJSON_AddBoolToObject(doc, "deleted", !how.dry_run);
		return tv_cli_json(cli, tv_steal_ptr(&doc));
	}
	FILE *out = tv_cli_out(cli);
	const char *what = how.runs ? "runs" : "commits";
	if (how.dry_run)
		fprintf(out, "would forget %lu %s%s\n", f.n, what,
			f.n ? "; add --delete to do it" : "");
	else
		fprintf(out, "forgot %lu %s%s\n", f.n, what,
			f.n ? "; 'tvfs gc --delete' frees their space" : "");
	return 0;
}
