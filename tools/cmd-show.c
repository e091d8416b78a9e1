#include <inttypes.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/ref.h"
#include "tools/changes.h"
#include "tools/commands.h"
#include "tools/render.h"

#define SHOWN 50
#define SHOWN_JSON 1000

struct names {
	const struct tv_sha *commit;
	cJSON *list;
	FILE *out;
	unsigned n;
};

static int on_ref(void *arg, const struct tv_ref *ref, struct tv_err *err)
{
	struct names *names = arg;
	(void)err;
	if (!tv_sha_eq(&ref->commit, names->commit))
		return 0;
	if (names->list)
		cJSON_AddItemToArray(names->list, cJSON_CreateString(ref->name));
	else
		fprintf(names->out, "%s%s", names->n++ ? ", " : "refs       ", ref->name);
	return 0;
}

static int show_json(struct tv_cli *cli, const struct tv_commit *c)
{
	tv_autojson cJSON *doc = cJSON_CreateObject();
	tv_json_commit(doc, c);
	struct names names = { .commit = &c->id, .list = cJSON_AddArrayToObject(doc, "refs") };
	struct tv_changes changes = { .cli = cli,
				      .print = SHOWN_JSON,
				      .list = cJSON_AddArrayToObject(doc, "changes") };
	int r = tv_ref_each(cli->store, on_ref, &names, &cli->err);
	if (r == 0)
		r = tv_changes_between(&changes, c->n_parents ? &c->parents[0] : NULL, &c->id);
	if (r < 0)
		return r;
	tv_changes_json(&changes, doc);
	return tv_cli_json(cli, tv_steal_ptr(&doc));
}

static void put_ids(FILE *out, const struct tv_commit *c)
{
	char hex[TV_SHA_HEX], time[32], size[16];
	tv_sha_hex(&c->id, hex);
	fprintf(out, "commit     %s\n", hex);
	tv_sha_hex(&c->root.sha, hex);
	fprintf(out, "foundation %s\n", hex);
	for (size_t i = 0; i < c->n_parents; i++) {
		tv_sha_hex(&c->parents[i], hex);
		fprintf(out, "parent     %s\n", hex);
	}
	tv_render_seconds(c->time_ns, time);
	tv_cli_size(c->root.size, size);
	fprintf(out, "time       %s\nfiles      %" PRIu64 " (%s)\nauthor     ", time, c->root.files,
		size);
	tv_cli_put_name(out, c->author);
	fputs("\ntrace_id   ", out);
	tv_cli_put_name(out, c->trace_id);
	fputs("\nmessage    ", out);
	tv_render_first_line(out, c->message);
	putc('\n', out);
	if (strcmp(c->meta, "{}") != 0)
		fprintf(out, "meta       %s\n", c->meta);
}

static int show_text(struct tv_cli *cli, const struct tv_commit *c)
{
	char counts[96];
	FILE *out = tv_cli_out(cli);
	struct names names = { .commit = &c->id, .out = out };
	struct tv_changes changes = { .cli = cli, .print = SHOWN, .indent = "  " };

	put_ids(out, c);
	int r = tv_ref_each(cli->store, on_ref, &names, &cli->err);
	if (names.n)
		putc('\n', out);
	if (r == 0)
		r = tv_changes_between(&changes, c->n_parents ? &c->parents[0] : NULL, &c->id);
	if (r < 0)
		return r;
	tv_changes_more(&changes, "see 'tvfs diff'");
	tv_changes_text(&changes, counts);
	fprintf(out, "changes    %s\n", counts);
	return 0;
}

int tv_cmd_show(struct tv_cli *cli)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	struct tv_rev rev;
	int r = tv_cli_open(cli);
	if (r == 0)
		r = tv_cli_rev(cli, cli->n_args ? cli->args[0] : NULL, &rev);
	if (r == 0)
		r = tv_commit_get(cli->store, &rev.commit, &c, &cli->err);
	if (r)
		return r;
	return cli->json ? show_json(cli, &c) : show_text(cli, &c);
}
