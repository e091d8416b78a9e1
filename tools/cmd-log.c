#include <stdint.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tools/commands.h"
#include "tools/live.h"
#include "tools/options.h"
#include "tools/render.h"

#define ENOUGH 1 /* a visit's value that ends the log early */

struct log {
	struct tv_cli *cli;
	uint64_t left; /* how many more to print */
	bool oneline;
	uint64_t printed;
};

static void put_header(FILE *out, const struct tv_cli *cli, const struct tv_commit *c)
{
	char hex[TV_SHA_HEX], time[32];
	tv_sha_hex(&c->id, hex);
	fprintf(out, "%scommit     %s%s\n", cli->color ? "\033[33m" : "", hex,
		cli->color ? "\033[0m" : "");
	tv_sha_hex(&c->root.sha, hex);
	tv_render_seconds(c->time_ns, time);
	fprintf(out, "foundation %s\ntime       %s\nauthor     ", hex, time);
	tv_cli_put_name(out, c->author);
	fputs("\ntrace_id   ", out);
	tv_cli_put_name(out, c->trace_id);
	putc('\n', out);
}

static void put_message(FILE *out, const char *message)
{
	if (!*message)
		return;
	putc('\n', out);
	while (*message) {
		size_t n = strcspn(message, "\n");
		tv_autofree char *line = strndup(message, n);
		fputs("    ", out);
		tv_cli_put_name(out, line ? line : "?");
		putc('\n', out);
		message += n + (message[n] == '\n');
	}
}

static void put_oneline(FILE *out, const struct tv_commit *c)
{
	char id[TV_SHORT_HEX], foundation[TV_SHORT_HEX], time[32];
	tv_render_short(&c->id, id);
	tv_render_short(&c->root.sha, foundation);
	tv_render_seconds(c->time_ns, time);
	fprintf(out, "%s %s %s ", id, foundation, time);
	tv_render_first_line(out, c->message);
	putc('\n', out);
}

static int on_commit(void *arg, const struct tv_commit *c, struct tv_err *err)
{
	struct log *l = arg;
	if (!l->left)
		return ENOUGH;
	l->left--;
	if (tv_cli_out_failed(l->cli))
		return tv_err_sys(err, -EPIPE, "cannot write the output");
	if (l->cli->json) {
		cJSON *o = cJSON_CreateObject();
		tv_json_commit(o, c);
		return tv_cli_json(l->cli, o);
	}
	FILE *out = tv_cli_out(l->cli);
	if (l->oneline) {
		put_oneline(out, c);
		return 0;
	}
	if (l->printed++)
		putc('\n', out);
	put_header(out, l->cli, c);
	put_message(out, c->message);
	return 0;
}

static void version_json(cJSON *o, const struct tv_path_version *v, const struct tv_commit *c)
{
	tv_json_commit(o, c);
	cJSON_AddStringToObject(o, "change", tv_render_change((enum tv_change)v->change));
	cJSON_AddBoolToObject(o, "removed", v->removed);
	if (!v->removed)
		tv_json_entry(cJSON_AddObjectToObject(o, "entry"), &v->entry);
}

static void put_version(FILE *out, const struct tv_path_version *v, const struct tv_commit *c)
{
	char id[TV_SHORT_HEX], time[32], sha[TV_SHORT_HEX] = "-", size[16] = "-";
	tv_render_short(&c->id, id);
	tv_render_seconds(c->time_ns, time);
	if (!v->removed) {
		tv_render_short(&v->entry.sha, sha);
		tv_cli_size(v->entry.size, size);
	}
	fprintf(out, "%c %s %s  %-12s %9s  ", v->change, id, time, sha, size);
	tv_render_first_line(out, c->message);
	putc('\n', out);
}

static int on_version(void *arg, const struct tv_path_version *v, struct tv_err *err)
{
	struct log *l = arg;
	tv_autocommit struct tv_commit c = TV_COMMIT_INIT;
	if (!l->left)
		return ENOUGH;
	l->left--;
	l->printed++;
	if (tv_cli_out_failed(l->cli))
		return tv_err_sys(err, -EPIPE, "cannot write the output");
	int r = tv_commit_get(l->cli->store, &v->commit, &c, err);
	if (r < 0)
		return r;
	if (!l->cli->json) {
		put_version(tv_cli_out(l->cli), v, &c);
		return 0;
	}
	cJSON *o = cJSON_CreateObject();
	version_json(o, v, &c);
	return tv_cli_json(l->cli, o);
}

/*
 * What the one word means: "REV:PATH" as it says; a revision when there is such a one; else a path
 * of the lakehouse. *path is NULL for the log of commits.
 */
static int take_word(struct tv_cli *cli, struct tv_rev *rev, char **path)
{
	const char *word = cli->n_args ? cli->args[0] : NULL;
	tv_autofree char *rev_text = NULL, *given = NULL;
	struct tv_err why = TV_ERR_INIT;
	int r;

	if (!word)
		return tv_cli_rev(cli, NULL, rev);
	r = tv_rev_split(word, &rev_text, &given, &cli->err);
	if (r < 0)
		return r;
	if (given) {
		r = tv_cli_rev(cli, rev_text, rev);
		return r < 0 ? r : tv_path_normalise(given, path, &cli->err);
	}
	r = tv_rev_resolve(cli->store, word, rev, &why);
	if (r == 0)
		return tv_cli_rev(cli, word, rev);
	if (r != -ENOENT && r != -EINVAL)
		return tv_err_set(&cli->err, r, "%s", why.text);
	r = tv_live_path(cli, word, path);
	if (r < 0)
		return r;
	return tv_cli_rev(cli, NULL, rev);
}

int tv_cmd_log(struct tv_cli *cli)
{
	tv_autofree char *path = NULL;
	struct log l = { .cli = cli, .oneline = tv_cli_has(cli, "oneline") };
	struct tv_rev rev;

	int r = tv_option_number(cli, "number", UINT64_MAX, UINT64_MAX, &l.left);
	if (r == 0)
		r = tv_cli_open(cli);
	if (r == 0)
		r = take_word(cli, &rev, &path);
	if (r < 0)
		return r;
	if (!path || !*path) {
		r = tv_commit_log(cli->store, &rev.commit, on_commit, &l, &cli->err);
		return r == ENOUGH ? 0 : r;
	}
	r = tv_commit_path_log(cli->store, &rev.commit, path, on_version, &l, &cli->err);
	if (r == 0 && !l.printed && l.left)
		return tv_err_set(&cli->err, -ENOENT,
				  "'%s' is no revision, and no file of that name has a history",
				  cli->args[0]);
	return r == ENOUGH ? 0 : r;
}
