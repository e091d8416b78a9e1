#include <inttypes.h>

#include "store/base/json.h"
#include "store/checkout.h"
#include "store/lease.h"
#include "tools/commands.h"
#include "tools/place.h"
#include "tools/render.h"

/* Holds the commit while it is written out, so that a gc beside cannot take it. */
static int check_out_leased(struct tv_cli *cli, const struct tv_place *p, const char *dest)
{
	struct tv_lease lease;
	int r = tv_lease_take(cli->store, &p->rev.commit, "checkout", "", NULL, &lease, &cli->err);
	if (r < 0)
		return r;
	r = tv_checkout(cli->store, &p->entry, dest, tv_cli_progress(cli), &cli->err);
	int dropped = tv_lease_drop(cli->store, lease.id, r == 0 ? &cli->err : NULL);
	return r < 0 ? r : dropped;
}

int tv_cmd_checkout(struct tv_cli *cli)
{
	tv_autoplace struct tv_place p = TV_PLACE_INIT;
	const char *dest = cli->args[1];
	char size[16];

	int r = tv_cli_open(cli);
	if (r == 0)
		r = tv_place_find(cli, cli->args[0], &p);
	if (r == 0 && p.entry.kind != TV_DIR)
		r = tv_err_set(&cli->err, -ENOTDIR,
			       "'%s' is not a folder; for one file use 'tvfs cat'", cli->args[0]);
	if (r == 0)
		r = check_out_leased(cli, &p, dest);
	if (r < 0)
		return r;
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		tv_json_sha(doc, "foundation_hash", &p.rev.foundation);
		tv_json_sha(doc, "commit", &p.rev.commit);
		tv_json_add_bytes(doc, "destination", dest, strlen(dest));
		tv_json_add_u64(doc, "files", p.entry.files);
		tv_json_add_u64(doc, "size", p.entry.size);
		return tv_cli_json(cli, doc);
	}
	tv_cli_size(p.entry.size, size);
	FILE *out = tv_cli_out(cli);
	fprintf(out, "%" PRIu64 " files (%s) written to ", p.entry.files, size);
	tv_cli_put_name(out, dest);
	putc('\n', out);
	return 0;
}
