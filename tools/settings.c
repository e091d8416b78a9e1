#include "tools/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/base/buf.h"
#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "tools/settings-read.h"

#define SETTINGS_NAME "tvfs.json"
#define SETTINGS_LIMIT (1u << 20)

void tv_settings_free_strings(struct tv_strings *list)
{
	for (size_t i = 0; i < list->len; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct tv_strings){ NULL, 0 };
}

void tv_settings_free_routes(struct tv_settings *s)
{
	for (size_t i = 0; i < s->n_routes; i++) {
		free(s->routes[i].name);
		free(s->routes[i].data);
		free(s->routes[i].env);
	}
	free(s->routes);
	s->routes = NULL;
	s->n_routes = 0;
}

void tv_settings_free_redirects(struct tv_settings *s)
{
	for (size_t i = 0; i < s->n_redirects; i++) {
		free(s->redirects[i].path);
		free(s->redirects[i].to);
	}
	free(s->redirects);
	s->redirects = NULL;
	s->n_redirects = 0;
}

void tv_settings_free_gates(struct tv_setting_profile *p)
{
	for (size_t i = 0; i < p->n_gates; i++)
		free(p->gates[i].file);
	free(p->gates);
	p->gates = NULL;
	p->n_gates = 0;
}

void tv_settings_free(struct tv_settings *s)
{
	if (!s)
		return;
	free(s->project);
	free(s->file);
	free(s->lakehouse);
	free(s->runs);
	free(s->ref);
	free(s->engine_version);
	free(s->writers_group);
	free(s->default_profile);
	tv_settings_free_strings(&s->ignore);
	tv_settings_free_strings(&s->inputs);
	tv_settings_free_redirects(s);
	tv_settings_free_routes(s);
	for (size_t i = 0; i < s->n_profiles; i++) {
		free(s->profiles[i].name);
		tv_settings_free_gates(&s->profiles[i]);
	}
	free(s->profiles);
	cJSON_Delete(s->sources);
	cJSON_Delete(s->gates);
	cJSON_Delete(s->ingest);
	free(s);
}

static void settings_free_p(struct tv_settings **s)
{
	tv_settings_free(*s);
}

static int read_defaults(struct tv_settings *s, struct tv_err *err)
{
	tv_autofree char *text = NULL;
	int r = tv_settings_default_text(&text, err);
	return r < 0 ? r : tv_settings_read(s, "defaults", text, strlen(text), err);
}

int tv_settings_load(const char *project, struct tv_settings **out, struct tv_err *err)
{
	tv_auto(settings_free_p) struct tv_settings *s = calloc(1, sizeof(*s));
	tv_autofree char *text = NULL;
	size_t n;

	if (!s)
		return tv_err_nomem(err);
	s->project = realpath(project, NULL);
	if (!s->project)
		return tv_err_sys(err, -errno, "cannot find the project folder '%s'", project);
	s->file = tv_path_join(s->project, SETTINGS_NAME);
	if (!s->file)
		return tv_err_nomem(err);
	int r = read_defaults(s, err);
	if (r < 0)
		return r;
	/* A link that leads nowhere is not a file that is not there: defaults would be a surprise. */
	struct stat st;
	if (lstat(s->file, &st) == 0 || errno != ENOENT) {
		r = tv_io_read_file(-1, s->file, SETTINGS_LIMIT, &text, &n, err);
		if (r < 0)
			return r;
		r = tv_settings_read(s, SETTINGS_NAME, text, n, err);
		if (r < 0)
			return r;
	}
	*out = tv_steal_ptr(&s);
	return 0;
}

int tv_settings_profile(const struct tv_settings *s, const char *name,
			const struct tv_setting_profile **out, struct tv_err *err)
{
	tv_autobuf struct tv_buf known = TV_BUF_INIT;
	for (size_t i = 0; i < s->n_profiles; i++) {
		if (strcmp(s->profiles[i].name, name) == 0) {
			*out = &s->profiles[i];
			return 0;
		}
		tv_buf_addf(&known, "%s%s", i ? ", " : "", s->profiles[i].name);
	}
	tv_autofree char *list = tv_buf_steal_str(&known);
	if (!list)
		return tv_err_nomem(err);
	return tv_err_set(err, -EINVAL, "there is no profile '%s'; there are: %s", name, list);
}

/* The real path of the longest part of `path` that exists, and what is left of it. */
static char *real_prefix(char *path, const char **rest)
{
	static const char nothing[] = "";
	*rest = nothing;
	char *end = path + strlen(path);
	for (;;) {
		struct stat st;
		char *real = realpath(path, NULL);
		/* A link that leads nowhere is not a path that is still to be made. */
		if (real || errno != ENOENT || lstat(path, &st) == 0)
			return real;
		char *slash = strrchr(path, '/');
		if (!slash || slash == path)
			return NULL;
		if (path + strlen(path) < end)
			path[strlen(path)] = '/';
		*slash = '\0';
		*rest = slash + 1;
	}
}

int tv_settings_inside(const struct tv_settings *s, const char *relative, char **absolute,
		       struct tv_err *err)
{
	tv_autofree char *normal = NULL;
	int r = tv_path_normalise(relative, &normal, err);
	if (r < 0)
		return r;
	tv_autofree char *path = tv_path_join(s->project, normal);
	if (!path)
		return tv_err_nomem(err);
	const char *rest;
	tv_autofree char *real = real_prefix(path, &rest);
	if (!real)
		return tv_err_sys(err, errno ? -errno : -ENOENT, "cannot find '%s'", normal);
	if (!tv_path_under(real, s->project))
		return tv_err_set(
			err, -EINVAL,
			"'%s' leads out of the project, to '%s'; make it a folder inside %s",
			normal, real, s->project);
	char *whole = tv_path_join(real, rest);
	if (!whole)
		return tv_err_nomem(err);
	*absolute = whole;
	return 0;
}
