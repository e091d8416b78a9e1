/*
 * tvfs init: the store and the settings, each only when it is missing. What exists is checked and
 * never changed, so init can be repeated.
 */
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tools/cli.h"
#include "tools/commands.h"

struct made {
	char *folder; /* of the project; owned, as all strings here */
	char *store, *lakehouse;
	bool store_made, settings_made, has_lakehouse;
};

static void made_free_p(struct made *m)
{
	free(m->folder);
	free(m->store);
	free(m->lakehouse);
}

/* A store inside a store would be swept up by its gc. */
static int refuse_inside_store(const char *folder, struct tv_err *err)
{
	tv_autofree char *path = strdup(folder);
	if (!path)
		return tv_err_nomem(err);
	for (char *slash; (slash = strrchr(path, '/')) && slash != path; *slash = '\0') {
		tv_autofree char *format = tv_path_join(path, "format");
		if (format && strcmp(slash + 1, TV_STORE_FOLDER) == 0 && access(format, F_OK) == 0)
			return tv_err_set(
				err, -EINVAL,
				"'%s' lies inside the store '%s'; choose a folder outside", folder,
				path);
	}
	return 0;
}

static int find_folder(const char *given, struct made *m, struct tv_err *err)
{
	int r = tv_io_mkdirs(AT_FDCWD, given, 0777, err);
	if (r < 0)
		return r;
	m->folder = realpath(given, NULL);
	if (!m->folder)
		return tv_err_sys(err, -errno, "cannot find '%s'", given);
	m->store = tv_path_join(m->folder, TV_STORE_FOLDER);
	return m->store ? refuse_inside_store(m->folder, err) : tv_err_nomem(err);
}

/* The default settings, with the group in its place. */
static int new_text(const char *group, char **out, struct tv_err *err)
{
	static const char empty[] = "\"writers_group\": \"";
	tv_autofree char *text = NULL;
	tv_autobuf struct tv_buf b = TV_BUF_INIT;
	int r = tv_settings_default_text(&text, err);
	if (r < 0)
		return r;
	char *at = strstr(text, empty) + strlen(empty);
	tv_buf_add(&b, text, (size_t)(at - text));
	tv_buf_add_str(&b, group);
	tv_buf_add_str(&b, at);
	*out = tv_buf_steal_str(&b);
	return *out ? 0 : tv_err_nomem(err);
}

static int group_id(const char *name, int *gid, struct tv_err *err)
{
	struct group group, *found = NULL;
	tv_autofree char *room = malloc(65536);
	*gid = -1;
	if (!*name)
		return 0;
	if (!room)
		return tv_err_nomem(err);
	if (getgrnam_r(name, &group, room, 65536, &found) != 0 || !found)
		return tv_err_set(err, -EINVAL, "there is no group '%s' on this machine", name);
	*gid = (int)group.gr_gid;
	return 0;
}

/* Written beside and linked into place, so that a file that is there is never overwritten and a
 * half-written one never seen. */
static int write_settings(const struct made *m, const char *group, struct tv_err *err)
{
	tv_autofree char *text = NULL, *path = tv_path_join(m->folder, "tvfs.json"), *temp = NULL;
	int r = new_text(group, &text, err);
	if (r < 0)
		return r;
	if (!path || asprintf(&temp, "%s.%d.tmp", path, (int)getpid()) < 0)
		return tv_err_nomem(err);
	r = tv_io_replace_file(AT_FDCWD, temp, text, strlen(text), 0666, err);
	if (r < 0)
		return r;
	r = link(temp, path) < 0 ? -errno : 0;
	unlink(temp);
	if (r < 0 && r != -EEXIST)
		return tv_err_sys(err, r, "cannot write '%s'", path);
	return tv_io_sync_dir(AT_FDCWD, m->folder, err);
}

/* The settings that are there, or will be: read first, so that a mistake in them stops everything. */
static int take_settings(struct tv_cli *cli, struct made *m, int *gid)
{
	struct tv_err *err = &cli->err;
	const char *asked = tv_cli_option(cli, "group");
	int r = tv_settings_load(m->folder, &cli->settings, err);
	if (r < 0)
		return r;
	m->settings_made = access(cli->settings->file, F_OK) != 0;
	const char *group = asked && m->settings_made ? asked : cli->settings->writers_group;
	if (asked && strcmp(asked, group) != 0)
		return tv_err_set(
			err, -EEXIST,
			"%s says \"writers_group\": \"%s\"; change it there, or leave out --group",
			cli->settings->file, group);
	return group_id(group, gid, err);
}

static int make_store(struct tv_cli *cli, struct made *m, int gid)
{
	int r = tv_store_create(m->store, gid, &cli->err);
	m->store_made = r == 0;
	if (r != -EEXIST)
		return r;
	tv_err_clear(&cli->err);
	return tv_store_open(m->store, &cli->store, &cli->err);
}

static int report(struct tv_cli *cli, const struct made *m)
{
	if (cli->json) {
		cJSON *doc = cJSON_CreateObject();
		tv_json_add_bytes(doc, "project", m->folder, strlen(m->folder));
		tv_json_add_bytes(doc, "store", m->store, strlen(m->store));
		cJSON_AddBoolToObject(doc, "store_made", m->store_made);
		cJSON_AddBoolToObject(doc, "settings_made", m->settings_made);
		cJSON_AddBoolToObject(doc, "lakehouse_exists", m->has_lakehouse);
		return tv_cli_json(cli, doc);
	}
	FILE *out = tv_cli_out(cli);
	fprintf(out, "%s %s\n",
		m->store_made ? "made the store" : "there is a store already:", m->store);
	fprintf(out, "%s %s\n", m->settings_made ? "wrote the settings" : "kept the settings",
		cli->settings->file);
	if (!m->has_lakehouse)
		fprintf(out, "there is no %s yet; make it, or set \"lakehouse\" in the settings\n",
			cli->settings->lakehouse);
	fputs("next: tvfs commit -m 'first foundation'\n", out);
	return 0;
}

int tv_cmd_init(struct tv_cli *cli)
{
	tv_auto(made_free_p) struct made m = { .folder = NULL };
	struct stat st;
	int gid = -1;

	int r = find_folder(cli->n_args ? cli->args[0] : ".", &m, &cli->err);
	if (r == 0)
		r = take_settings(cli, &m, &gid);
	if (r == 0)
		r = tv_settings_inside(cli->settings, cli->settings->lakehouse, &m.lakehouse,
				       &cli->err);
	if (r == 0)
		r = make_store(cli, &m, gid);
	if (r == 0 && m.settings_made) {
		const char *group = tv_cli_option(cli, "group");
		r = write_settings(&m, group ? group : "", &cli->err);
	}
	if (r)
		return r;
	m.has_lakehouse = stat(m.lakehouse, &st) == 0 && S_ISDIR(st.st_mode);
	return report(cli, &m);
}
