/*
 * tvfs ls. The forms with many lines go straight to the stream: 100,000 entries are printed in a
 * fraction of a second.
 */
#include <inttypes.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tools/commands.h"
#include "tools/place.h"
#include "tools/render.h"

struct listing {
	struct tv_cli *cli;
	const char *prefix;	     /* where the walk began; "" or a folder */
	bool lines, xxh128, folders; /* of --hash */
	bool long_form, recursive;
	FILE *out;
};

/* The path from the lakehouse's root in `room`, or the walk's own when it began there. */
static const char *full_path(const struct listing *l, const char *path, char room[TV_PATH_MAX * 2])
{
	if (!*l->prefix)
		return path;
	snprintf(room, TV_PATH_MAX * 2, "%s%s%s", l->prefix, *path ? "/" : "", path);
	return room;
}

/* GNU coreutils' form: a line whose name has a backslash, newline or carriage return begins with a
 * backslash, and the name has them as \\, \n and \r. */
static void put_checksum_name(FILE *out, const char *name)
{
	for (; *name; name++) {
		if (*name == '\\')
			fputs_unlocked("\\\\", out);
		else if (*name == '\n')
			fputs_unlocked("\\n", out);
		else if (*name == '\r')
			fputs_unlocked("\\r", out);
		else
			putc_unlocked(*name, out);
	}
}

static void put_checksum(const struct listing *l, const char *path, const struct tv_entry *e)
{
	char hex[TV_SHA_HEX];
	if (l->xxh128 && e->kind == TV_FILE)
		tv_addr_hex(&e->addr, hex);
	else
		tv_sha_hex(&e->sha, hex);
	bool odd = strpbrk(path, "\\\n\r") != NULL;
	if (e->kind == TV_DIR)
		fputs_unlocked("# folder ", l->out);
	else if (odd)
		putc_unlocked('\\', l->out);
	fputs_unlocked(hex, l->out);
	fputs_unlocked("  ", l->out);
	if (odd)
		put_checksum_name(l->out, path);
	else
		fputs_unlocked(path, l->out);
	putc_unlocked('\n', l->out);
}

static void put_line(const struct listing *l, const char *path, const struct tv_entry *e)
{
	if (l->long_form) {
		char mode[11], time[32];
		tv_render_mode(e, mode);
		tv_render_seconds(e->mtime_ns, time);
		fprintf(l->out, "%s %12" PRIu64 " %s ", mode, e->size, time);
	}
	bool blue = l->cli->color && e->kind == TV_DIR;
	if (blue)
		fputs("\033[34m", l->out);
	tv_cli_put_name(l->out, path);
	if (blue)
		fputs("\033[0m", l->out);
	if (e->kind == TV_DIR)
		putc_unlocked('/', l->out);
	if (e->kind == TV_SYMLINK && l->long_form && e->target) {
		fputs(" -> ", l->out);
		tv_cli_put_name(l->out, e->target);
	}
	putc_unlocked('\n', l->out);
}

static int put_json(const struct listing *l, const char *path, const struct tv_entry *e)
{
	cJSON *o = cJSON_CreateObject();
	tv_json_path(o, path);
	tv_json_entry(o, e);
	return tv_cli_json(l->cli, o);
}

static bool wanted(const struct listing *l, const struct tv_entry *e)
{
	if (!l->lines)
		return true;
	return e->kind == TV_FILE || (e->kind == TV_DIR && l->folders);
}

static int visit(void *arg, const char *path, const struct tv_entry *e, struct tv_err *err)
{
	const struct listing *l = arg;
	char room[TV_PATH_MAX * 2];
	int next = e->kind == TV_DIR && !l->recursive ? TV_WALK_SKIP : 0;
	if (!wanted(l, e))
		return next;
	if (tv_cli_out_failed(l->cli))
		return tv_err_sys(err, -EPIPE, "cannot write the output");
	path = full_path(l, path, room);
	if (l->cli->json) {
		int r = put_json(l, path, e);
		return r < 0 ? r : next;
	}
	if (l->lines)
		put_checksum(l, path, e);
	else
		put_line(l, path, e);
	return next;
}

static int take_options(struct tv_cli *cli, struct listing *l)
{
	const char *hash = tv_cli_option(cli, "hash");
	l->cli = cli;
	l->lines = hash != NULL;
	l->xxh128 = hash && strcmp(hash, "xxh128") == 0;
	l->folders = tv_cli_has(cli, "folders");
	l->long_form = tv_cli_has(cli, "long");
	l->recursive = tv_cli_has(cli, "recursive") || l->lines;
	if (hash && *hash && !l->xxh128 && strcmp(hash, "sha256") != 0)
		return tv_cli_usage(cli, "--hash knows sha256 and xxh128, not '%s'", hash);
	if (l->folders && !l->lines)
		return tv_cli_usage(cli, "--folders goes with --hash");
	if (l->lines && l->long_form)
		return tv_cli_usage(cli, "--hash and --long do not go together");
	return 0;
}

static void put_foundation(const struct listing *l, const struct tv_place *place)
{
	char hex[TV_SHA_HEX];
	tv_sha_hex(&place->rev.foundation, hex);
	if (l->folders && !l->cli->json)
		fprintf(l->out, "# foundation %s\n", hex);
}

int tv_cmd_ls(struct tv_cli *cli)
{
	tv_autoplace struct tv_place place = TV_PLACE_INIT;
	struct listing l = { 0 };

	int r = take_options(cli, &l);
	if (r == 0)
		r = tv_cli_open(cli);
	if (r == 0)
		r = tv_place_find(cli, cli->n_args ? cli->args[0] : NULL, &place);
	if (r)
		return r;
	l.out = tv_cli_out(cli);
	l.prefix = place.path;
	put_foundation(&l, &place);
	if (place.entry.kind == TV_DIR)
		return tv_tree_walk(tv_store_nodes(cli->store), &place.entry, visit, &l, &cli->err);
	return visit(&l, "", &place.entry, &cli->err);
}
