#include <errno.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/lease.h"
#include "tools/changes.h"
#include "tools/commands.h"
#include "tools/live.h"
#include "tools/render.h"

#define SHOWN 20
#define SHOWN_JSON 1000

/* What status finds out, before anything is printed. */
struct state {
	struct tv_cli *cli;
	const char *ref;
	struct tv_rev head;
	bool has_head, has_live;
	bool is_view; /* where the live folder should be */
	struct tv_worktree live;
	struct tv_refused refused; /* what of it no commit would take */
	struct tv_err why_not;	   /* no live folder because … */
};

static int on_lease(void *arg, const struct tv_lease *l, bool alive, struct tv_err *err)
{
	cJSON *list = arg;
	(void)err;
	if (!alive || (strcmp(l->kind, "run") != 0 && strcmp(l->kind, "mount") != 0))
		return 0;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "kind", l->kind);
	cJSON_AddStringToObject(o, "run_id", l->run_id);
	tv_json_sha(o, "commit", &l->commit);
	cJSON_AddNumberToObject(o, "pid", l->owner.pid);
	tv_json_time(o, "since", l->time_ns);
	cJSON_AddItemToArray(list, o);
	return 0;
}

static int find_state(struct tv_cli *cli, struct state *s)
{
	const char *given = tv_cli_option(cli, "ref");
	s->cli = cli;
	s->ref = given ? given : cli->settings->ref;
	int r = tv_rev_resolve(cli->store, s->ref, &s->head, &cli->err);
	s->has_head = r == 0;
	/* A new store has nothing published; only a ref that was asked for must be there. */
	if (r < 0 && (r != -ENOENT || given))
		return r;
	tv_err_clear(&cli->err);
	r = tv_live_open(cli, false, &s->live);
	s->has_live = r == 0;
	s->is_view = r == -EOPNOTSUPP;
	if (r != -TV_E_MISSING && !s->is_view)
		return r;
	s->why_not = cli->err;
	tv_err_clear(&cli->err);
	return 0;
}

/* What the live folder changed since it was last synced. */
static int changes_here(struct state *s, struct tv_changes *c)
{
	struct tv_import how = { 0 };
	if (!s->has_live)
		return 0;
	tv_live_import(s->cli, &how);
	how.progress = tv_cli_progress(s->cli);
	return tv_worktree_changes(s->cli->store, &s->live, &how, tv_changes_visit, c, &s->refused,
				   &s->cli->err);
}

/* What the ref got since then: against the tree the folder was left at, which after a merged import
 * is no commit's. */
static int changes_there(struct state *s, struct tv_changes *c)
{
	tv_autocommit struct tv_commit head = TV_COMMIT_INIT;
	if (!s->has_head || s->is_view)
		return 0;
	int r = tv_commit_get(s->cli->store, &s->head.commit, &head, &s->cli->err);
	if (r < 0)
		return r;
	return tv_changes_trees(c, s->has_live && s->live.has_base ? &s->live.base_root : NULL,
				&head.root);
}

static int report_json(struct state *s)
{
	struct tv_cli *cli = s->cli;
	tv_autojson cJSON *doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "ref", s->ref);
	if (s->has_head) {
		tv_json_sha(doc, "foundation_hash", &s->head.foundation);
		tv_json_sha(doc, "commit", &s->head.commit);
	}
	if (s->has_live)
		tv_json_add_bytes(doc, "lakehouse", s->live.path, strlen(s->live.path));
	if (s->has_live && s->live.has_base)
		tv_json_sha(doc, "base_commit", &s->live.base);
	cJSON *here = cJSON_AddObjectToObject(doc, "live"),
	      *there = cJSON_AddObjectToObject(doc, "published");
	struct tv_changes c = { .cli = cli, .print = SHOWN_JSON, .touched = true };
	c.list = cJSON_AddArrayToObject(here, "changes");
	int r = changes_here(s, &c);
	tv_changes_json(&c, here);
	if (r == 0)
		tv_live_refused_json(doc, &s->refused);
	struct tv_changes p = { .cli = cli, .print = SHOWN_JSON, .touched = true };
	p.list = cJSON_AddArrayToObject(there, "changes");
	if (r == 0)
		r = changes_there(s, &p);
	tv_changes_json(&p, there);
	if (r == 0)
		r = tv_lease_each(cli->store, on_lease, cJSON_AddArrayToObject(doc, "in_use"),
				  &cli->err);
	return r < 0 ? r : tv_cli_json(cli, tv_steal_ptr(&doc));
}

static bool any(const struct tv_changes *c)
{
	return c->added || c->removed || c->changed || c->touches;
}

/* A heading with the counts, then the first lines of what `find` visits: it runs once, so the lines
 * wait in memory until the counts are known. */
static int section(struct state *s, const char *nothing, const char *heading,
		   int (*find)(struct state *s, struct tv_changes *c))
{
	tv_autofree char *lines = NULL;
	char counts[96];
	size_t n = 0;
	FILE *to = open_memstream(&lines, &n);
	if (!to)
		return tv_err_nomem(&s->cli->err);
	struct tv_changes c = {
		.cli = s->cli, .print = SHOWN, .indent = "  ", .to = to, .touched = true
	};
	int r = find(s, &c);
	if (r == 0)
		tv_changes_more(&c, "");
	if (fclose(to) != 0 && r == 0)
		r = tv_err_nomem(&s->cli->err);
	if (r < 0)
		return r;
	FILE *out = tv_cli_out(s->cli);
	tv_changes_text(&c, counts);
	if (any(&c))
		fprintf(out, "%s (%s):\n%s", heading, counts, lines);
	else
		fprintf(out, "%s\n", nothing);
	return 0;
}

static void put_head(const struct state *s)
{
	char hex[TV_SHA_HEX], id[TV_SHORT_HEX];
	FILE *out = tv_cli_out(s->cli);
	if (!s->has_head) {
		fprintf(out, "%s: nothing published yet; begin with 'tvfs commit'\n", s->ref);
		return;
	}
	tv_sha_hex(&s->head.foundation, hex);
	tv_render_short(&s->head.commit, id);
	fprintf(out, "%s is commit %s, foundation %s\n", s->ref, id, hex);
}

static void put_live(const struct state *s)
{
	char id[TV_SHORT_HEX];
	FILE *out = tv_cli_out(s->cli);
	if (!s->has_live) {
		fprintf(out, "%s\n", s->why_not.text);
		return;
	}
	fputs("live folder ", out);
	tv_cli_put_name(out, s->live.path);
	if (s->live.has_base) {
		tv_render_short(&s->live.base, id);
		fprintf(out, ", last synced with commit %s\n", id);
	} else {
		fputs(", never synced\n", out);
	}
}

/* What the live folder and the ref have that the other has not. */
static int put_changes(struct state *s)
{
	struct tv_cli *cli = s->cli;
	int r = section(s, "nothing changed here", "changed here, 'tvfs commit' publishes it",
			changes_here);
	if (r == 0 && s->refused.len) {
		fputs("cannot be committed:\n", tv_cli_out(cli));
		tv_live_refused_text(tv_cli_out(cli), "  ", &s->refused);
	}
	if (r == 0)
		r = section(s, "nothing published since",
			    "published since, 'tvfs sync' brings it here", changes_there);
	return r;
}

static int report_text(struct state *s)
{
	struct tv_cli *cli = s->cli;
	tv_autojson cJSON *leases = cJSON_CreateArray();
	put_head(s);
	put_live(s);
	int r = s->is_view ? 0 : put_changes(s);
	if (r == 0)
		r = tv_lease_each(cli->store, on_lease, leases, &cli->err);
	const cJSON *o;
	cJSON_ArrayForEach(o, leases) {
		const char *run = cJSON_GetStringValue(cJSON_GetObjectItem(o, "run_id"));
		fprintf(tv_cli_out(cli), "in use: %s %s (pid %.0f)\n",
			cJSON_GetStringValue(cJSON_GetObjectItem(o, "kind")), run,
			cJSON_GetNumberValue(cJSON_GetObjectItem(o, "pid")));
	}
	return r;
}

int tv_cmd_status(struct tv_cli *cli)
{
	struct state s = { .live = TV_WORKTREE_CLOSED };
	int r = tv_cli_open(cli);
	if (r == 0)
		r = find_state(cli, &s);
	if (r == 0)
		r = cli->json ? report_json(&s) : report_text(&s);
	tv_refused_free(&s.refused);
	tv_worktree_close(&s.live);
	return r;
}
