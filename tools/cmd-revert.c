/*
 * tvfs revert: the tree of an old commit is published as a new one. The lease keeps what the old
 * commit needs until the ref holds it.
 */
#include <stdio.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/lease.h"
#include "store/publish.h"
#include "tools/authored.h"
#include "tools/changes.h"
#include "tools/commands.h"
#include "tools/live.h"
#include "tools/render.h"

static int publish_old(struct tv_cli *cli, const struct tv_commit *old, const char *ref,
		       const struct tv_authored *by, struct tv_published *out)
{
	struct tv_err *err = &cli->err;
	struct tv_conflicts conflicts = { NULL, 0 };
	struct tv_node_batch *nodes = NULL;
	struct tv_ref head;
	char hex[TV_SHA_HEX], meta[128];

	int r = tv_ref_get(cli->store, ref, &head, err);
	if (r == 0 && head.kind == TV_REF_TAG)
		r = tv_err_set(err, -EINVAL, "'%s' is a tag; tags do not move", ref);
	if (r == 0)
		r = tv_node_batch_new(tv_store_nodes(cli->store), &nodes, err);
	if (r < 0)
		return r;
	tv_sha_hex(&old->id, hex);
	snprintf(meta, sizeof(meta), "{\"reverts_to\":\"%s\"}", hex);
	struct tv_publish how = {
		.ref = ref,
		.ref_kind = head.kind,
		.base = &head.commit,
		.ours = &old->root,
		.nodes = nodes,
		.author = by->author,
		.message = by->message,
		.trace_id = by->trace_id,
		.meta = meta,
	};
	r = tv_publish(cli->store, &how, out, &conflicts, err);
	if (conflicts.len)
		tv_live_conflicts(cli, &conflicts);
	tv_conflicts_free(&conflicts);
	tv_node_batch_free(nodes);
	return r;
}

static int publish_leased(struct tv_cli *cli, const struct tv_commit *old, const char *ref,
			  const struct tv_authored *by, struct tv_published *out)
{
	struct tv_lease lease;
	int r = tv_lease_take(cli->store, &old->id, "import", "", NULL, &lease, &cli->err);
	if (r < 0)
		return r;
	r = publish_old(cli, old, ref, by, out);
	int dropped = tv_lease_drop(cli->store, lease.id, r == 0 ? &cli->err : NULL);
	return r < 0 ? r : dropped;
}

static int report(struct tv_cli *cli, const char *ref, const struct tv_published *p,
		  const struct tv_authored *by)
{
	struct tv_changes changes = { .cli = cli };
	char foundation[TV_SHA_HEX], commit[TV_SHA_HEX], counts[96];
	int r = p->unchanged ? 0 : tv_changes_between(&changes, &p->previous, &p->commit);
	if (r < 0)
		return r;
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		tv_json_sha(doc, "foundation_hash", &p->foundation);
		tv_json_sha(doc, "commit", &p->commit);
		cJSON_AddStringToObject(doc, "ref", ref);
		cJSON_AddStringToObject(doc, "trace_id", by->trace_id);
		cJSON_AddBoolToObject(doc, "unchanged", p->unchanged);
		tv_changes_json(&changes, doc);
		return tv_cli_json(cli, doc);
	}
	FILE *out = tv_cli_out(cli);
	tv_sha_hex(&p->foundation, foundation);
	tv_sha_hex(&p->commit, commit);
	tv_changes_text(&changes, counts);
	if (p->unchanged)
		fprintf(out, "nothing changed: %s is in that state already\n", ref);
	fprintf(out, "foundation %s\ncommit     %s\n", foundation, commit);
	if (!p->unchanged)
		fprintf(out,
			"%s: %s, back in the state of %s\nthe live folder is as it was; "
			"'tvfs sync' brings it there\n",
			ref, counts, cli->args[0]);
	return 0;
}

int tv_cmd_revert(struct tv_cli *cli)
{
	tv_autocommit struct tv_commit old = TV_COMMIT_INIT;
	struct tv_authored by;
	struct tv_published done;
	struct tv_rev rev;
	char message[128];

	snprintf(message, sizeof(message), "revert to %.100s", cli->args[0]);
	int r = tv_authored(cli, message, &by);
	if (r == 0)
		r = tv_cli_open(cli);
	if (r == 0)
		r = tv_cli_rev(cli, cli->args[0], &rev);
	if (r == 0)
		r = tv_commit_get(cli->store, &rev.commit, &old, &cli->err);
	if (r < 0)
		return r;
	const char *ref = tv_cli_has(cli, "ref") ? tv_cli_option(cli, "ref") : cli->settings->ref;
	r = publish_leased(cli, &old, ref, &by, &done);
	return r < 0 ? r : report(cli, ref, &done, &by);
}
