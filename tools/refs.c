#include "tools/refs.h"

#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "tools/render.h"

struct list {
	struct tv_cli *cli;
	enum tv_ref_kind kind;
	cJSON *array;
	int width; /* of the widest name; first pass */
	bool measuring;
};

/* Drafts are listed with the branches: they move, too. */
static bool belongs(enum tv_ref_kind kind, enum tv_ref_kind asked)
{
	return (kind == TV_REF_TAG) == (asked == TV_REF_TAG);
}

static int ref_json(struct tv_cli *cli, cJSON *o, const struct tv_ref *ref)
{
	static const char *const kinds[] = { "", "branch", "tag", "draft" };
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	int r = tv_commit_get(cli->store, &ref->commit, &c, &cli->err);
	if (r < 0)
		return r;
	cJSON_AddStringToObject(o, "name", ref->name);
	cJSON_AddStringToObject(o, "kind", kinds[ref->kind]);
	tv_json_sha(o, "commit", &ref->commit);
	tv_json_sha(o, "foundation_hash", &c.root.sha);
	tv_json_time(o, "time", ref->time_ns);
	return 0;
}

static int put_ref(struct tv_cli *cli, const struct tv_ref *ref, int width)
{
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	char commit[TV_SHORT_HEX], foundation[TV_SHORT_HEX], time[32];
	int r = tv_commit_get(cli->store, &ref->commit, &c, &cli->err);
	if (r < 0)
		return r;
	tv_render_short(&ref->commit, commit);
	tv_render_short(&c.root.sha, foundation);
	tv_render_seconds(ref->time_ns, time);
	FILE *out = tv_cli_out(cli);
	fprintf(out, "%-*s  %s  %s  %s  ", width, ref->name, commit, foundation, time);
	tv_render_first_line(out, c.message);
	putc('\n', out);
	return 0;
}

static int on_ref(void *arg, const struct tv_ref *ref, struct tv_err *err)
{
	struct list *l = arg;
	(void)err;
	if (!belongs(ref->kind, l->kind))
		return 0;
	if (l->measuring) {
		int n = (int)strlen(ref->name);
		l->width = n > l->width ? n : l->width;
		return 0;
	}
	if (!l->array)
		return put_ref(l->cli, ref, l->width);
	cJSON *o = cJSON_CreateObject();
	cJSON_AddItemToArray(l->array, o);
	return ref_json(l->cli, o, ref);
}

static int list_refs(struct tv_cli *cli, enum tv_ref_kind kind, const char *noun)
{
	struct list l = { .cli = cli, .kind = kind, .measuring = true };
	int r = tv_ref_each(cli->store, on_ref, &l, &cli->err);
	l.measuring = false;
	tv_autojson cJSON *doc = cli->json ? cJSON_CreateObject() : NULL;
	if (doc)
		l.array = cJSON_AddArrayToObject(doc, kind == TV_REF_TAG ? "tags" : "branches");
	if (r == 0)
		r = tv_ref_each(cli->store, on_ref, &l, &cli->err);
	if (r < 0)
		return r;
	if (doc)
		return tv_cli_json(cli, tv_steal_ptr(&doc));
	if (!l.width)
		tv_cli_note(cli, "there is no %s yet", noun);
	return 0;
}

static int delete_ref(struct tv_cli *cli, enum tv_ref_kind kind, const char *noun)
{
	struct tv_ref ref;
	char who[400];
	const char *name = cli->args[0];
	int r = tv_ref_get(cli->store, name, &ref, &cli->err);
	if (r == 0 && !belongs(ref.kind, kind))
		return tv_err_set(&cli->err, -EINVAL, "'%s' is not a %s", name, noun);
	if (r == 0)
		r = tv_cli_who(who, sizeof(who), &cli->err);
	if (r == 0)
		r = tv_ref_delete(cli->store, name, who, &cli->err);
	if (r < 0)
		return r;
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		cJSON_AddStringToObject(doc, "deleted", name);
		tv_json_sha(doc, "commit", &ref.commit);
		return tv_cli_json(cli, doc);
	}
	char commit[TV_SHORT_HEX];
	tv_render_short(&ref.commit, commit);
	fprintf(tv_cli_out(cli), "%s %s deleted (it stood at commit %s)\n", noun, name, commit);
	return 0;
}

/* Moves the ref; with --force from wherever it stands. */
static int move_ref(struct tv_cli *cli, enum tv_ref_kind kind, const char *noun,
		    const struct tv_sha *commit)
{
	struct tv_ref old;
	char who[400], why[64];
	const char *name = cli->args[0];
	snprintf(why, sizeof(why), "tvfs %s", noun);
	int r = tv_cli_who(who, sizeof(who), &cli->err);
	if (r < 0)
		return r;
	bool there = tv_ref_get(cli->store, name, &old, NULL) == 0;
	bool force = kind == TV_REF_BRANCH && tv_cli_has(cli, "force");
	if (there && !belongs(old.kind, kind))
		return tv_err_set(&cli->err, -EEXIST, "'%s' is a %s already", name,
				  old.kind == TV_REF_TAG ? "tag" : "branch");
	if (there && !force)
		return tv_err_set(&cli->err, -EEXIST, "there is a %s '%s' already; %s", noun, name,
				  kind == TV_REF_TAG ? "tags do not move, delete it first"
						     : "move it with --force");
	return tv_ref_move(cli->store, name, there ? old.kind : kind, there ? &old.commit : NULL,
			   commit, who, why, &cli->err);
}

static int make_ref(struct tv_cli *cli, enum tv_ref_kind kind, const char *noun)
{
	struct tv_rev rev;
	const char *name = cli->args[0];
	int r = tv_ref_name_check(name, &cli->err);
	if (r == 0)
		r = tv_cli_rev(cli, cli->n_args > 1 ? cli->args[1] : NULL, &rev);
	if (r == 0)
		r = move_ref(cli, kind, noun, &rev.commit);
	if (r < 0)
		return r;
	if (cli->json) {
		struct tv_ref ref;
		tv_autojson cJSON *doc = cJSON_CreateObject();
		r = tv_ref_get(cli->store, name, &ref, &cli->err);
		if (r == 0)
			r = ref_json(cli, doc, &ref);
		return r < 0 ? r : tv_cli_json(cli, tv_steal_ptr(&doc));
	}
	char commit[TV_SHORT_HEX], foundation[TV_SHORT_HEX];
	tv_render_short(&rev.commit, commit);
	tv_render_short(&rev.foundation, foundation);
	fprintf(tv_cli_out(cli), "%s %s is commit %s (foundation %s)\n", noun, name, commit,
		foundation);
	return 0;
}

int tv_refs_begin(struct tv_cli *cli, const char *name)
{
	struct tv_ref ref;
	char who[400];
	bool draft = strncmp(name, "draft/", 6) == 0;
	int r = tv_ref_name_check(name, &cli->err);
	if (r < 0 || tv_ref_get(cli->store, name, &ref, NULL) == 0 ||
	    tv_ref_get(cli->store, cli->settings->ref, &ref, NULL) < 0)
		return r;
	r = tv_cli_who(who, sizeof(who), &cli->err);
	if (r == 0)
		r = tv_ref_move(cli->store, name, draft ? TV_REF_DRAFT : TV_REF_BRANCH, NULL,
				&ref.commit, who, "begins", &cli->err);
	if (r != -TV_E_CONFLICT)
		return r;
	tv_err_clear(&cli->err); /* somebody else was faster */
	return 0;
}

int tv_refs_command(struct tv_cli *cli, enum tv_ref_kind kind, const char *noun)
{
	bool list = tv_cli_has(cli, "list"), del = tv_cli_has(cli, "delete");
	if (list && (del || cli->n_args))
		return tv_cli_usage(cli, "--list goes alone");
	if (del && cli->n_args != 1)
		return tv_cli_usage(cli, "--delete takes one name");
	int r = tv_cli_open(cli);
	if (r < 0)
		return r;
	if (!cli->n_args)
		return list_refs(cli, kind, noun);
	return del ? delete_ref(cli, kind, noun) : make_ref(cli, kind, noun);
}
