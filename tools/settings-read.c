#include "tools/settings-read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/json.h"
#include "store/base/path.h"
#include "store/ref.h"

/* Where the reader is: `path` is the key path of the value being read, for messages. */
struct reader {
	struct tv_settings *s;
	const char *name, *text;
	size_t n;
	char path[512];
	struct tv_err *err;
};

/* One key of an object. `into` is the structure that `offset` lies in. */
struct key {
	const char *name;
	int (*read)(struct reader *r, const cJSON *v, void *field);
	size_t offset;
};

static int bad(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int bad(struct reader *r, const char *fmt, ...)
{
	char what[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return tv_err_set(r->err, -EINVAL, "%s line %u: key '%s': %s", r->name,
			  tv_json_line(r->text, r->n, r->path), r->path, what);
}

/* Goes one key deeper in the path; the value returned restores it (leave). */
static size_t enter(struct reader *r, const char *key)
{
	size_t was = strlen(r->path);
	snprintf(r->path + was, sizeof(r->path) - was, "%s%s", was ? "." : "", key);
	return was;
}

static void leave(struct reader *r, size_t was)
{
	r->path[was] = '\0';
}

static const struct key *find_key(const struct key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static int read_object(struct reader *r, const cJSON *object, const struct key *keys, void *into)
{
	const cJSON *v;
	if (!cJSON_IsObject(object))
		return bad(r, "must be an object { … }");
	cJSON_ArrayForEach(v, object) {
		const struct key *k = find_key(keys, v->string);
		size_t was = enter(r, v->string);
		int e = k ? k->read(r, v, (char *)into + k->offset) : bad(r, "is not known here");
		if (e < 0)
			return e;
		leave(r, was);
	}
	return 0;
}

static int set_string(struct reader *r, char **field, const char *value)
{
	char *copy = strdup(value);
	if (!copy)
		return tv_err_nomem(r->err);
	free(*field);
	*field = copy;
	return 0;
}

static int read_string(struct reader *r, const cJSON *v, void *field)
{
	if (!cJSON_IsString(v))
		return bad(r, "must be a text in quotes");
	return set_string(r, field, v->valuestring);
}

/* A text that becomes a variable's name in the run's environment, or is empty. */
static int read_env(struct reader *r, const cJSON *v, void *field)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	if (!cJSON_IsString(v))
		return bad(r, "must be a text in quotes");
	const char *s = v->valuestring;
	if (strspn(s, allowed) != strlen(s) || (*s >= '0' && *s <= '9'))
		return bad(r, "'%s' is no name for a variable (capitals, digits, _)", s);
	return set_string(r, field, s);
}

static int read_ref(struct reader *r, const cJSON *v, void *field)
{
	struct tv_err why = TV_ERR_INIT;
	if (!cJSON_IsString(v))
		return bad(r, "must be a text in quotes");
	if (tv_ref_name_check(v->valuestring, &why) < 0)
		return bad(r, "%s", why.text);
	return set_string(r, field, v->valuestring);
}

static int read_bool(struct reader *r, const cJSON *v, void *field)
{
	if (!cJSON_IsBool(v))
		return bad(r, "must be true or false");
	*(bool *)field = cJSON_IsTrue(v);
	return 0;
}

static int read_duration(struct reader *r, const cJSON *v, void *field)
{
	struct tv_err why = TV_ERR_INIT;
	if (!cJSON_IsString(v))
		return bad(r, "must be a text such as \"0.2s\" or \"12h\"");
	if (tv_duration_parse(v->valuestring, field, &why) < 0)
		return bad(r, "%s", why.text);
	return 0;
}

/* A path below the project (or another root), not the root itself. */
static int set_path(struct reader *r, char **field, const char *value)
{
	struct tv_err why = TV_ERR_INIT;
	tv_autofree char *path = NULL;
	if (*value == '/')
		return bad(r, "'%s' is absolute; write it relative", value);
	if (tv_path_normalise(value, &path, &why) < 0)
		return bad(r, "%s", why.text);
	if (!*path)
		return bad(r, "must not be empty");
	return set_string(r, field, path);
}

static int read_path(struct reader *r, const cJSON *v, void *field)
{
	if (!cJSON_IsString(v))
		return bad(r, "must be a text in quotes");
	return set_path(r, field, v->valuestring);
}

static int read_list(struct reader *r, const cJSON *v, struct tv_strings *field,
		     int (*read)(struct reader *r, const cJSON *v, void *item))
{
	if (!cJSON_IsArray(v))
		return bad(r, "must be a list [ … ]");
	size_t n = (size_t)cJSON_GetArraySize(v);
	tv_settings_free_strings(field);
	field->items = calloc(n + 1, sizeof(*field->items));
	if (!field->items)
		return tv_err_nomem(r->err);
	const cJSON *item;
	cJSON_ArrayForEach(item, v) {
		char number[16];
		snprintf(number, sizeof(number), "%zu", field->len);
		size_t was = enter(r, number);
		int e = read(r, item, &field->items[field->len]);
		if (e < 0)
			return e;
		field->len++;
		leave(r, was);
	}
	return 0;
}

static int read_pattern(struct reader *r, const cJSON *v, void *field)
{
	if (!cJSON_IsString(v) || !*v->valuestring)
		return bad(r, "must be a pattern such as \"*.tmp\"");
	return set_string(r, field, v->valuestring);
}

static int read_patterns(struct reader *r, const cJSON *v, void *field)
{
	return read_list(r, v, field, read_pattern);
}

static int read_paths(struct reader *r, const cJSON *v, void *field)
{
	return read_list(r, v, field, read_path);
}

static int read_redirects(struct reader *r, const cJSON *v, void *field)
{
	struct tv_settings *s = r->s;
	(void)field;
	if (!cJSON_IsObject(v))
		return bad(r, "must be an object { \"data/logs\": \"logs\" }");
	tv_settings_free_redirects(s);
	s->redirects = calloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*s->redirects));
	if (!s->redirects)
		return tv_err_nomem(r->err);
	const cJSON *item;
	cJSON_ArrayForEach(item, v) {
		struct tv_setting_redirect *to = &s->redirects[s->n_redirects++];
		size_t was = enter(r, item->string);
		int e = set_path(r, &to->path, item->string);
		if (e == 0)
			e = read_path(r, item, &to->to);
		if (e < 0)
			return e;
		leave(r, was);
	}
	return 0;
}

/* An object that is kept as it is. */
static int read_raw(struct reader *r, const cJSON *v, void *field)
{
	if (!cJSON_IsObject(v))
		return bad(r, "must be an object { … }");
	cJSON *copy = cJSON_Duplicate(v, true);
	if (!copy)
		return tv_err_nomem(r->err);
	cJSON_Delete(*(cJSON **)field);
	*(cJSON **)field = copy;
	return 0;
}

static const struct key route_keys[] = {
	{ "data", read_path, offsetof(struct tv_setting_route, data) },
	{ "env", read_env, offsetof(struct tv_setting_route, env) },
	{ NULL, NULL, 0 },
};

static int read_route(struct reader *r, const cJSON *v, struct tv_setting_route *route)
{
	const char *name = v->string;
	if (!tv_name_ok(name, strlen(name)) || tv_name_reserved(name, strlen(name)))
		return bad(r, "is not a name at the top of the lakehouse");
	if (set_string(r, &route->name, name) < 0 || set_string(r, &route->data, name) < 0 ||
	    set_string(r, &route->env, "") < 0)
		return -ENOMEM;
	return read_object(r, v, route_keys, route);
}

static int read_routes(struct reader *r, const cJSON *v, void *field)
{
	struct tv_settings *s = r->s;
	(void)field;
	if (!cJSON_IsObject(v))
		return bad(r, "must be an object { \"NAME\": { \"env\": \"VARIABLE\" } }");
	tv_settings_free_routes(s);
	s->routes = calloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*s->routes));
	if (!s->routes)
		return tv_err_nomem(r->err);
	const cJSON *item;
	cJSON_ArrayForEach(item, v) {
		size_t was = enter(r, item->string);
		int e = read_route(r, item, &s->routes[s->n_routes++]);
		if (e < 0)
			return e;
		leave(r, was);
	}
	return 0;
}

static const struct key gate_keys[] = {
	{ "file", read_path, offsetof(struct tv_setting_gate, file) },
	{ "max_age", read_duration, offsetof(struct tv_setting_gate, max_age_ns) },
	{ NULL, NULL, 0 },
};

static int read_gates(struct reader *r, const cJSON *v, void *field)
{
	struct tv_setting_profile *p = field; /* the profile: two of its fields are set */
	if (!cJSON_IsArray(v))
		return bad(r, "must be a list [ { \"file\": …, \"max_age\": … } ]");
	tv_settings_free_gates(p);
	p->gates = calloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*p->gates));
	if (!p->gates)
		return tv_err_nomem(r->err);
	const cJSON *item;
	cJSON_ArrayForEach(item, v) {
		char number[24];
		snprintf(number, sizeof(number), "%zu", p->n_gates);
		size_t was = enter(r, number);
		struct tv_setting_gate *gate = &p->gates[p->n_gates++];
		int e = read_object(r, item, gate_keys, gate);
		if (e == 0 && !gate->file)
			e = bad(r, "needs a \"file\"");
		if (e < 0)
			return e;
		leave(r, was);
	}
	return 0;
}

static int read_writes(struct reader *r, const cJSON *v, void *field)
{
	if (!cJSON_IsString(v) ||
	    (strcmp(v->valuestring, "overlay") != 0 && strcmp(v->valuestring, "deny") != 0))
		return bad(r, "must be \"overlay\" or \"deny\"");
	*(bool *)field = strcmp(v->valuestring, "deny") == 0;
	return 0;
}

static const struct key profile_keys[] = {
	{ "strict_isolation", read_bool, offsetof(struct tv_setting_profile, strict_isolation) },
	{ "routes", read_bool, offsetof(struct tv_setting_profile, routes) },
	{ "network", read_bool, offsetof(struct tv_setting_profile, network) },
	{ "lakehouse_writes", read_writes,
	  offsetof(struct tv_setting_profile, deny_lakehouse_writes) },
	{ "inputs_writable", read_bool, offsetof(struct tv_setting_profile, inputs_writable) },
	{ "max_age", read_duration, offsetof(struct tv_setting_profile, max_age_ns) },
	{ "gates", read_gates, 0 },
	{ NULL, NULL, 0 },
};

/* The profile of that name, made when it is new: a new one begins as strict as production. */
static struct tv_setting_profile *profile_named(struct tv_settings *s, const char *name)
{
	for (size_t i = 0; i < s->n_profiles; i++)
		if (strcmp(s->profiles[i].name, name) == 0)
			return &s->profiles[i];
	struct tv_setting_profile *grown =
		realloc(s->profiles, (s->n_profiles + 1) * sizeof(*s->profiles));
	if (!grown)
		return NULL;
	s->profiles = grown;
	struct tv_setting_profile *p = &s->profiles[s->n_profiles];
	*p = (struct tv_setting_profile){ .name = strdup(name),
					  .strict_isolation = true,
					  .routes = true,
					  .max_age_ns = 24 * 3600 * INT64_C(1000000000) };
	if (!p->name)
		return NULL;
	s->n_profiles++;
	return p;
}

static int read_profiles(struct reader *r, const cJSON *v, void *field)
{
	(void)field;
	if (!cJSON_IsObject(v))
		return bad(r, "must be an object { \"NAME\": { … } }");
	const cJSON *item;
	cJSON_ArrayForEach(item, v) {
		size_t was = enter(r, item->string);
		if (!*item->string)
			return bad(r, "a profile needs a name");
		struct tv_setting_profile *p = profile_named(r->s, item->string);
		int e = p ? read_object(r, item, profile_keys, p) : tv_err_nomem(r->err);
		if (e < 0)
			return e;
		leave(r, was);
	}
	return 0;
}

static const struct key settings_keys[] = {
	{ "lakehouse", read_path, offsetof(struct tv_settings, lakehouse) },
	{ "runs", read_path, offsetof(struct tv_settings, runs) },
	{ "ref", read_ref, offsetof(struct tv_settings, ref) },
	{ "engine_version", read_string, offsetof(struct tv_settings, engine_version) },
	{ "writers_group", read_string, offsetof(struct tv_settings, writers_group) },
	{ "default_profile", read_string, offsetof(struct tv_settings, default_profile) },
	{ "settle", read_duration, offsetof(struct tv_settings, settle_ns) },
	{ "ignore", read_patterns, offsetof(struct tv_settings, ignore) },
	{ "inputs", read_paths, offsetof(struct tv_settings, inputs) },
	{ "redirects", read_redirects, 0 },
	{ "routes", read_routes, 0 },
	{ "profiles", read_profiles, 0 },
	{ "sources", read_raw, offsetof(struct tv_settings, sources) },
	{ "gates", read_raw, offsetof(struct tv_settings, gates) },
	{ "ingest", read_raw, offsetof(struct tv_settings, ingest) },
	{ NULL, NULL, 0 },
};

static bool overlap(const char *a, const char *b)
{
	return tv_path_under(a, b) || tv_path_under(b, a);
}

/* The first folder that lies in `path` (one may hold it); NULL: none. */
static const char *first_below(const struct tv_strings *folders, const char *path)
{
	for (size_t i = 0; i < folders->len; i++)
		if (tv_path_under(folders->items[i], path))
			return folders->items[i];
	return NULL;
}

static int check_redirect(struct reader *r, const struct tv_setting_redirect *to)
{
	const char *other = overlap(to->path, r->s->lakehouse) ? r->s->lakehouse : NULL;
	for (const struct tv_setting_redirect *t = r->s->redirects; !other && t < to; t++)
		other = overlap(to->path, t->path) ? t->path : NULL;
	return other ? bad(r, "must not lie in '%s', or hold it", other) : 0;
}

/* What can only be judged when everything is read. */
static int check_whole(struct reader *r)
{
	const struct tv_settings *s = r->s;
	struct tv_err why = TV_ERR_INIT;
	const struct tv_setting_profile *p;

	enter(r, "default_profile");
	if (tv_settings_profile(s, s->default_profile, &p, &why) < 0)
		return bad(r, "%s", why.text);
	leave(r, 0);
	enter(r, "runs");
	if (overlap(s->runs, s->lakehouse))
		return bad(r, "'%s' and the lakehouse '%s' must not lie in each other", s->runs,
			   s->lakehouse);
	leave(r, 0);
	enter(r, "inputs");
	const char *input = first_below(&s->inputs, s->lakehouse);
	if (input)
		return bad(r, "'%s' must not lie in the lakehouse", input);
	leave(r, 0);
	int e = 0;
	for (size_t i = 0; e == 0 && i < s->n_redirects; i++) {
		enter(r, "redirects");
		enter(r, s->redirects[i].path);
		e = check_redirect(r, &s->redirects[i]);
		leave(r, 0);
	}
	return e;
}

int tv_settings_read(struct tv_settings *s, const char *name, const char *text, size_t n,
		     struct tv_err *err)
{
	struct reader r = { .s = s, .name = name, .text = text, .n = n, .path = "", .err = err };
	tv_autojson cJSON *doc = NULL;
	char twice[128];

	int e = tv_json_parse(text, n, &doc, err);
	if (e < 0)
		return tv_err_wrap(err, e, "%s", name);
	unsigned line = tv_json_duplicate(text, n, twice, sizeof(twice));
	if (line)
		return tv_err_set(err, -EINVAL, "%s line %u: key '%s' stands there twice", name,
				  line, twice);
	if (!cJSON_IsObject(doc))
		return tv_err_set(err, -EINVAL, "%s line 1: must be an object { … }", name);
	e = read_object(&r, doc, settings_keys, s);
	return e < 0 ? e : check_whole(&r);
}
