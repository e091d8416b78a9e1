#include "tools/live.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tools/render.h"

int tv_live_open(struct tv_cli *cli, bool make, struct tv_worktree *out)
{
	tv_autofree char *folder = NULL;
	struct tv_err *err = &cli->err;
	const char *name = cli->settings->lakehouse;

	int r = tv_settings_inside(cli->settings, name, &folder, err);
	if (r < 0)
		return tv_err_wrap(err, r, "the lakehouse");
	if (make)
		r = tv_io_mkdirs(AT_FDCWD, folder, 0777, err);
	if (r == 0)
		r = tv_worktree_open(cli->store, folder, out, err);
	if (r == -ENOENT)
		return tv_err_set(
			err, -TV_E_MISSING,
			"there is no lakehouse at '%s' yet; make it, or set \"lakehouse\" in %s",
			folder, cli->settings->file);
	return r;
}

int tv_live_follow(struct tv_cli *cli, const char *ref, const struct tv_sha *commit)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autoworktree struct tv_worktree live = TV_WORKTREE_CLOSED;
	struct tv_conflicts conflicts = { NULL, 0 };
	int r = tv_live_open(cli, false, &live);
	if (r == -TV_E_MISSING || r == -EOPNOTSUPP) { /* there is none, or a view stands there */
		tv_err_clear(&cli->err);
		return 0;
	}
	if (r < 0)
		return r;
	const struct tv_sync how = {
		.ref = ref,
		.ignore = (const char *const *)cli->settings->ignore.items,
		.n_ignore = cli->settings->ignore.len,
		.progress = tv_cli_progress(cli),
	};
	r = tv_worktree_sync(cli->store, &live, commit, &how, &conflicts, &why);
	tv_conflicts_free(&conflicts);
	if (r < 0)
		tv_cli_note(
			cli,
			"published, but '%s' was not brought to it: %s; see 'tvfs status', then 'tvfs sync'",
			cli->settings->lakehouse, why.text);
	return 0;
}

void tv_live_import(const struct tv_cli *cli, struct tv_import *how)
{
	const struct tv_settings *s = cli->settings;
	how->ref = s->ref;
	how->ignore = (const char *const *)s->ignore.items;
	how->n_ignore = s->ignore.len;
	how->settle_ns = s->settle_ns;
}

/* Makes base/text free of ".", ".." and double slashes, by the words alone. */
static char *tidy(const char *base, const char *text)
{
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	const char *const parts[] = { *text == '/' ? "" : base, text };
	for (size_t i = 0; i < TV_ARRAY_LEN(parts); i++) {
		const char *rest = parts[i], *name;
		size_t n;
		while (tv_path_next(&rest, &name, &n)) {
			if (n == 1 && name[0] == '.')
				continue;
			if (n == 2 && name[0] == '.' && name[1] == '.') {
				while (b.len && b.data[--b.len] != '/')
					;
				continue;
			}
			tv_buf_add_u8(&b, '/');
			tv_buf_add(&b, name, n);
		}
	}
	return tv_buf_steal_str(&b);
}

/* The part of base/text below one of the two names of the lakehouse; NULL when it is outside. */
static const char *below(const char *whole, const char *const lakehouse[2])
{
	for (int i = 0; i < 2; i++)
		if (tv_path_under(whole, lakehouse[i]))
			return whole + strlen(lakehouse[i]) + (whole[strlen(lakehouse[i])] == '/');
	return NULL;
}

static bool exists(const char *folder, const char *name)
{
	struct stat st;
	tv_autofree char *path = tv_path_join(folder, name);
	return path && lstat(path, &st) == 0;
}

int tv_live_path(struct tv_cli *cli, const char *text, char **path)
{
	const struct tv_settings *s = cli->settings;
	struct tv_err *err = &cli->err;
	tv_autofree char *cwd = getcwd(NULL, 0), *real = NULL;
	tv_autofree char *plain = tv_path_join(s->project, s->lakehouse);

	if (!cwd || !plain)
		return tv_err_sys(err, -errno, "cannot tell the working directory");
	int r = tv_settings_inside(s, s->lakehouse, &real, err);
	if (r < 0)
		return tv_err_wrap(err, r, "the lakehouse");
	const char *const lakehouse[2] = { plain, real };
	tv_autofree char *by_cwd = tidy(cwd, text), *by_project = tidy(s->project, text);
	if (!by_cwd || !by_project)
		return tv_err_nomem(err);
	const char *inside = below(by_cwd, lakehouse), *named = below(by_project, lakehouse);
	/* "data/lakehouse/x" keeps its meaning inside of the lakehouse, too. */
	if (!inside || (named && !exists(real, inside)))
		inside = named;
	if (inside)
		return tv_path_normalise(inside, path, err);
	bool elsewhere = *text == '/' || (exists(cwd, text) && !exists(real, text));
	if (elsewhere || tv_path_normalise(text, path, NULL) < 0)
		return tv_err_set(err, -EINVAL, "'%s' lies outside of the lakehouse %s", text,
				  plain);
	return 0;
}

void tv_live_conflicts(struct tv_cli *cli, const struct tv_conflicts *conflicts)
{
	if (cli->json && !cli->details)
		cli->details = cJSON_CreateObject();
	cJSON *list = cli->json ? cJSON_AddArrayToObject(cli->details, "conflicts") : NULL;
	for (size_t i = 0; i < conflicts->len; i++) {
		const char *path = conflicts->paths[i];
		if (list) {
			cJSON *o = cJSON_CreateObject();
			tv_json_add_bytes(o, "path", path, strlen(path));
			cJSON_AddItemToArray(list, o);
			continue;
		}
		FILE *out = tv_cli_errors(cli);
		fputs("  conflict: ", out);
		tv_cli_put_name(out, path);
		putc('\n', out);
	}
}

void tv_live_refused_text(FILE *out, const char *before, const struct tv_refused *refused)
{
	for (size_t i = 0; i < refused->len; i++) {
		fputs(before, out);
		tv_cli_put_name(out, refused->files[i].path);
		fprintf(out, ": %s\n", refused->files[i].reason);
	}
}

void tv_live_refused_json(cJSON *object, const struct tv_refused *refused)
{
	cJSON *list = cJSON_AddArrayToObject(object, "refused");
	for (size_t i = 0; i < refused->len; i++) {
		cJSON *o = cJSON_CreateObject();
		tv_json_path(o, refused->files[i].path);
		cJSON_AddStringToObject(o, "reason", refused->files[i].reason);
		cJSON_AddItemToArray(list, o);
	}
}
