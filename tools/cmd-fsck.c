#include <inttypes.h>
#include <string.h>

#include "store/base/json.h"
#include "store/fsck.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/render.h"

struct found {
	struct tv_cli *cli;
	cJSON *list;
};

static int on_finding(void *arg, const struct tv_finding *f)
{
	struct found *found = arg;
	const char *severity = f->severity == TV_DAMAGE ? "damage" : "note";
	if (found->list) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "severity", severity);
		tv_json_add_bytes(o, "what", f->what, strlen(f->what));
		if (f->path)
			tv_json_path(o, f->path);
		if (f->foundation)
			tv_json_sha(o, "foundation_hash", f->foundation);
		if (f->commit)
			tv_json_sha(o, "commit", f->commit);
		cJSON_AddItemToArray(found->list, o);
		return 0;
	}
	char id[TV_SHORT_HEX];
	FILE *out = tv_cli_out(found->cli);
	fprintf(out, "%s: ", severity);
	tv_cli_put_name(out, f->what);
	if (f->path) {
		fputs(": ", out);
		tv_cli_put_name(out, f->path);
	}
	if (f->foundation) {
		tv_render_short(f->foundation, id);
		fprintf(out, " (foundation %s)", id);
	}
	if (f->commit) {
		tv_render_short(f->commit, id);
		fprintf(out, " (commit %s)", id);
	}
	putc('\n', out);
	return 0;
}

static void add_figures(cJSON *doc, const struct tv_fsck_figures *f)
{
	tv_json_add_u64(doc, "commits", f->commits);
	tv_json_add_u64(doc, "nodes", f->nodes);
	tv_json_add_u64(doc, "blobs", f->blobs);
	tv_json_add_u64(doc, "bytes_read", f->bytes_read);
	tv_json_add_u64(doc, "notes", f->notes);
	tv_json_add_u64(doc, "damages", f->damages);
}

static void put_figures(struct tv_cli *cli, const struct tv_fsck *how,
			const struct tv_fsck_figures *f)
{
	char bytes[16];
	tv_cli_size(f->bytes_read, bytes);
	FILE *out = tv_cli_out(cli);
	fprintf(out,
		"checked %" PRIu64 " commits, %" PRIu64 " nodes, %" PRIu64
		" blobs (%s read): %" PRIu64 " damaged, %" PRIu64 " leftovers\n",
		f->commits, f->nodes, f->blobs, bytes, f->damages, f->notes);
	if (!how->read_data && !f->damages)
		fputs("the bytes of blobs were not read; 'tvfs fsck --read-data' does\n", out);
}

int tv_cmd_fsck(struct tv_cli *cli)
{
	struct tv_fsck_figures figures = { 0 };
	struct found found = { .cli = cli };
	int r = tv_cli_open(cli);
	if (r < 0)
		return r;
	/* With damage the findings stand in the same document as the error. */
	if (cli->json) {
		cli->details = cJSON_CreateObject();
		found.list = cJSON_AddArrayToObject(cli->details, "findings");
	}
	struct tv_fsck how = {
		.read_data = tv_cli_has(cli, "read-data"),
		.progress = tv_cli_progress(cli),
		.found = on_finding,
		.arg = &found,
	};
	r = tv_fsck(cli->store, &how, &figures, &cli->err);
	if (cli->json)
		add_figures(cli->details, &figures);
	else if (r == 0 || r == -TV_E_DAMAGED)
		put_figures(cli, &how, &figures);
	if (r < 0 || !cli->json)
		return r;
	cJSON *doc = cli->details;
	cli->details = NULL;
	return tv_cli_json(cli, doc);
}
