#include <inttypes.h>

#include "store/base/json.h"
#include "store/gc.h"
#include "tools/commands.h"
#include "tools/options.h"

static int report_json(struct tv_cli *cli, bool deleted, const struct tv_gc_figures *f)
{
	cJSON *doc = cJSON_CreateObject();
	cJSON_AddBoolToObject(doc, "deleted", deleted);
	const struct {
		const char *key;
		uint64_t value;
	} figures[] = {
		{ "commits", f->commits },
		{ "nodes", f->nodes },
		{ "blobs", f->blobs },
		{ "blob_bytes", f->blob_bytes },
		{ "temps", f->temps },
		{ "orphans", f->orphans },
		{ "kept_commits", f->kept_commits },
		{ "kept_nodes", f->kept_nodes },
		{ "kept_blobs", f->kept_blobs },
		{ "kept_bytes", f->kept_bytes },
	};
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		tv_json_add_u64(doc, figures[i].key, figures[i].value);
	return tv_cli_json(cli, doc);
}

static int report_text(struct tv_cli *cli, bool deleted, const struct tv_gc_figures *f)
{
	char gone[16], kept[16];
	tv_cli_size(f->blob_bytes, gone);
	tv_cli_size(f->kept_bytes, kept);
	FILE *out = tv_cli_out(cli);
	fprintf(out,
		"%-12s %" PRIu64 " commits, %" PRIu64 " nodes, %" PRIu64 " blobs (%s), %" PRIu64
		" temp files, %" PRIu64 " orphans\n",
		deleted ? "removed" : "would remove", f->commits, f->nodes, f->blobs, gone,
		f->temps, f->orphans);
	fprintf(out, "%-12s %" PRIu64 " commits, %" PRIu64 " nodes, %" PRIu64 " blobs (%s)\n",
		"kept", f->kept_commits, f->kept_nodes, f->kept_blobs, kept);
	bool something = f->commits || f->nodes || f->blobs || f->temps || f->orphans;
	if (!deleted && something)
		fputs("nothing was removed; 'tvfs gc --delete' does it\n", out);
	return 0;
}

int tv_cmd_gc(struct tv_cli *cli)
{
	struct tv_gc how = { .delete_ = tv_cli_has(cli, "delete") };
	struct tv_gc_figures figures = { 0 };

	int r = tv_option_duration(cli, "grace", 0, &how.grace_ns);
	if (r == 0)
		r = tv_cli_open(cli);
	if (r < 0)
		return r;
	how.progress = tv_cli_progress(cli);
	r = tv_gc(cli->store, &how, &figures, &cli->err);
	if (r < 0)
		return r;
	return cli->json ? report_json(cli, how.delete_, &figures)
			 : report_text(cli, how.delete_, &figures);
}
