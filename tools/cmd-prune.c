/* tvfs prune: cleans up after runs and mounts whose processes were killed. */
#include "store/base/cleanup.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/run/prune.h"

static void tell_note(void *arg, const char *text)
{
	tv_cli_note(arg, "%s", text);
}

int tv_cmd_prune(struct tv_cli *cli)
{
	struct tv_pruned n = { .runs = 0 };
	int r = tv_cli_open(cli);
	if (r == 0)
		r = tv_prune(cli->store, tell_note, cli, &n, &cli->err);
	if (r < 0)
		return r;
	const struct {
		const char *key, *one;
		unsigned n;
	} rows[] = {
		{ "runs", "runs set to failed", n.runs },
		{ "processes", "processes of dead runs ended", n.processes },
		{ "mounts", "dead mounts taken away", n.mounts },
		{ "leases", "stale leases dropped", n.leases },
		{ "entries", "entries of dead runs and mounts removed", n.entries },
		{ "leftovers", "old sockets and logs removed", n.leftovers },
	};
	cJSON *doc = cli->json ? cJSON_CreateObject() : NULL;
	unsigned all = 0;
	for (size_t i = 0; i < TV_ARRAY_LEN(rows); i++) {
		all += rows[i].n;
		if (doc)
			cJSON_AddNumberToObject(doc, rows[i].key, rows[i].n);
		else if (!cli->json && rows[i].n)
			fprintf(tv_cli_out(cli), "%u %s\n", rows[i].n, rows[i].one);
	}
	if (cli->json)
		return doc ? tv_cli_json(cli, doc) : tv_err_nomem(&cli->err);
	if (!all)
		fprintf(tv_cli_out(cli), "nothing to clean up\n");
	return 0;
}
