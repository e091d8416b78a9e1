#include "tools/run/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/base/cleanup.h"
#include "store/base/path.h"

/* A growing environment. */
struct env {
	char **items; /* owned, NULL-terminated */
	size_t len, cap;
};

void tv_environment_free(char **env)
{
	for (char **e = env; e && *e; e++)
		free(*e);
	free(env);
}

static void env_free_p(struct env *e)
{
	tv_environment_free(e->items);
}

static bool names(const char *item, const char *name)
{
	size_t n = strlen(name);
	return strncmp(item, name, n) == 0 && item[n] == '=';
}

const char *tv_environment_get(char *const *env, const char *name)
{
	for (; *env; env++)
		if (names(*env, name))
			return *env + strlen(name) + 1;
	return NULL;
}

static int append(struct env *e, char *item, struct tv_err *err)
{
	if (item && e->len + 1 >= e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 64;
		char **more = reallocarray(e->items, cap, sizeof(*more));
		if (!more) {
			free(item);
			item = NULL;
		} else {
			e->items = more;
			e->cap = cap;
		}
	}
	if (!item)
		return tv_err_nomem(err);
	e->items[e->len++] = item;
	e->items[e->len] = NULL;
	return 0;
}

static void unset(struct env *e, const char *name)
{
	size_t kept = 0;
	for (size_t i = 0; i < e->len; i++) {
		if (names(e->items[i], name))
			free(e->items[i]);
		else
			e->items[kept++] = e->items[i];
	}
	e->len = kept;
	if (e->items)
		e->items[kept] = NULL;
}

static int set(struct env *e, const char *name, const char *value, struct tv_err *err)
{
	char *item = NULL;
	unset(e, name);
	if (asprintf(&item, "%s=%s", name, value) < 0)
		item = NULL;
	return append(e, item, err);
}

/* NAME=dir/rest */
static int set_path(struct env *e, const char *name, const char *dir, const char *rest,
		    struct tv_err *err)
{
	tv_autofree char *path = tv_path_join(dir, rest);
	return path ? set(e, name, path, err) : tv_err_nomem(err);
}

/* The folder of scanner output: the caller's TV_SCAN_DIR, else <inputs>/<id> where the id is the
 * export run's, or this run's. */
static int set_scan_dir(struct env *e, const struct tv_surroundings *run, struct tv_err *err)
{
	const struct tv_strings *inputs = &run->settings->inputs;
	const char *given = tv_environment_get(e->items, "TV_SCAN_DIR");
	const char *id = tv_environment_get(e->items, "TV_EXPORT_RUN_ID");
	const char *folder = inputs->len ? inputs->items[0] : "export";
	tv_autofree char *base = NULL, *chosen = NULL;

	if (given && *given) {
		chosen = given[0] == '/' ? strdup(given)
					 : tv_path_join(run->settings->project, given);
		return chosen ? set(e, "TV_SCAN_DIR", chosen, err) : tv_err_nomem(err);
	}
	for (size_t i = 0; i < inputs->len; i++) {
		struct stat st;
		tv_autofree char *path = tv_path_join(run->settings->project, inputs->items[i]);
		if (!path)
			return tv_err_nomem(err);
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
			folder = inputs->items[i];
			break;
		}
	}
	base = tv_path_join(run->settings->project, folder);
	return base ? set_path(e, "TV_SCAN_DIR", base, id && *id ? id : run->run_id, err)
		    : tv_err_nomem(err);
}

/* The paths of routed names, and those that scripts read under a second name. */
static int set_routes(struct env *e, const struct tv_surroundings *run, const char *data,
		      struct tv_err *err)
{
	int r = set_path(e, "RETURNS_MATRIX", data, "returns_matrix.parquet", err);
	for (size_t i = 0; r == 0 && i < run->settings->n_routes; i++) {
		const struct tv_setting_route *route = &run->settings->routes[i];
		if (*route->env)
			r = set_path(e, route->env, data, route->data, err);
	}
	const char *selected = tv_environment_get(e->items, "CANDIDATES_SELECTED");
	if (r == 0 && selected) {
		tv_autofree char *copy = strdup(selected);
		r = copy ? set(e, "CANDIDATES_FILE", copy, err) : tv_err_nomem(err);
	}
	return r;
}

static int set_run(struct env *e, const struct tv_surroundings *run, struct tv_err *err)
{
	char foundation[TV_SHA_HEX];
	tv_sha_hex(&run->foundation, foundation);
	const struct {
		const char *name, *value;
	} fixed[] = {
		{ "TV_RUN_ID", run->run_id },
		{ "TV_RUN_DIR", run->run_dir },
		{ "TV_PROFILE", run->profile->name },
		{ "TV_TRACE_ID", run->trace_id },
		{ "TV_FOUNDATION_HASH", foundation },
		{ "TV_LAKEHOUSE_DIR", run->lakehouse },
		{ "LAKEHOUSE_DIR", run->lakehouse },
		{ "TV_STRICT_HEALTH", "1" },
		{ "TV_STRICT_ISOLATION", run->profile->strict_isolation ? "1" : "0" },
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < TV_ARRAY_LEN(fixed); i++)
		r = set(e, fixed[i].name, fixed[i].value, err);
	/* A data job (no routes) is what fetches data: it keeps the caller's choice of a source. */
	if (r == 0 && run->profile->routes)
		r = set(e, "PORTFOLIO_DATA_SOURCE", "lakehouse_only", err);
	return r;
}

int tv_environment_make(char *const *base, const struct tv_surroundings *run, char ***out,
			struct tv_err *err)
{
	tv_auto(env_free_p) struct env e = { NULL, 0, 0 };
	tv_autofree char *data = tv_path_join(run->run_dir, "data");
	int r = data ? 0 : tv_err_nomem(err);

	for (; r == 0 && *base; base++)
		r = append(&e, strdup(*base), err);
	if (r == 0)
		unset(&e, "TVFS_STORE");
	if (r == 0)
		r = set_run(&e, run, err);
	if (r == 0)
		r = set_scan_dir(&e, run, err);
	if (r == 0 && run->profile->routes)
		r = set_routes(&e, run, data, err);
	if (r < 0)
		return r;
	*out = tv_steal_ptr(&e.items);
	return 0;
}
