#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/source-priv.h"
#include "store/base/cleanup.h"
#include "store/base/clock.h"

#define TEXT_MAX 4096

static int bad(const struct tv_source *s, const char *key, const char *what, struct tv_err *err)
{
	return tv_err_set(err, -EINVAL, "source %s: '%s' %s", s->name, key, what);
}

void tv_source_strings_free(char **strings)
{
	for (char **p = strings; p && *p; p++)
		free(*p);
	free(strings);
}

static int take_text(const struct tv_source *s, const cJSON *item, char **out, struct tv_err *err)
{
	if (!cJSON_IsString(item) || strlen(item->valuestring) > TEXT_MAX)
		return bad(s, item->string ? item->string : "?", "is not a text", err);
	char *copy = strdup(item->valuestring);
	if (!copy)
		return tv_err_nomem(err);
	free(*out);
	*out = copy;
	return 0;
}

static int take_texts(const struct tv_source *s, const cJSON *item, char ***out, struct tv_err *err)
{
	const cJSON *one;
	size_t n = 0;
	if (!cJSON_IsArray(item))
		return bad(s, item->string, "is not a list of texts", err);
	char **list = calloc((size_t)cJSON_GetArraySize(item) + 1, sizeof(*list));
	if (!list)
		return tv_err_nomem(err);
	cJSON_ArrayForEach(one, item) {
		if (!cJSON_IsString(one) || !(list[n] = strdup(one->valuestring))) {
			tv_source_strings_free(list);
			return bad(s, item->string, "is not a list of texts", err);
		}
		n++;
	}
	tv_source_strings_free(*out);
	*out = list;
	return 0;
}

static int take_columns(struct tv_source *s, const cJSON *item, struct tv_err *err)
{
	const cJSON *one;
	if (!cJSON_IsObject(item))
		return bad(s, "columns", "is not an object", err);
	cJSON_ArrayForEach(one, item) {
		int c = 0;
		while (c < TV_COLUMNS && strcmp(one->string, tv_column_name(c)) != 0)
			c++;
		if (c == TV_COLUMNS)
			return bad(s, one->string, "is not a column of prices", err);
		if (c == TV_VOLUME && cJSON_IsNull(one)) {
			s->layout.volume_none = true;
			continue;
		}
		int r = take_text(s, one, &s->layout.columns[c], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* {"NAME": {"env": "VARIABLE"} or {"file": "/path"}} */
static int take_keys(struct tv_source *s, const cJSON *item, struct tv_secrets *secrets,
		     struct tv_err *err)
{
	const cJSON *one;
	if (!cJSON_IsObject(item) || (item->child && !secrets))
		return bad(s, "keys", "is not an object of {\"env\"} or {\"file\"}", err);
	cJSON_ArrayForEach(one, item) {
		const char *variable =
			cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "env"));
		const char *file =
			cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "file"));
		tv_autofree char *name = NULL;
		if (!variable == !file || cJSON_GetArraySize(one) != 1)
			return bad(s, one->string,
				   "must be {\"env\": VARIABLE} or {\"file\": PATH}; keys "
				   "themselves do not belong into the settings",
				   err);
		if (asprintf(&name, "%s.%s", s->name, one->string) < 0)
			return tv_err_nomem(err);
		int r = variable ? tv_secrets_add_env(secrets, name, variable, err)
				 : tv_secrets_add_file(secrets, name, file, err);
		if (r < 0)
			return r;
		s->has_keys = true;
	}
	return 0;
}

static int take_word(struct tv_source *s, const cJSON *item, struct tv_err *err)
{
	static const struct {
		const char *key, *value;
		int code;
	} words[] = {
		{ "time", "auto", TV_TIME_AUTO },
		{ "time", "seconds", TV_TIME_SECONDS },
		{ "time", "milliseconds", TV_TIME_MILLISECONDS },
		{ "time", "date", TV_TIME_TEXT_DATE },
		{ "layout", "rows", false },
		{ "layout", "columns", true },
		{ "output", "stdout", false },
		{ "output", "file", true },
	};
	const char *value = cJSON_GetStringValue(item);
	for (size_t i = 0; value && i < TV_ARRAY_LEN(words); i++) {
		if (strcmp(words[i].key, item->string) != 0 || strcmp(words[i].value, value) != 0)
			continue;
		if (*item->string == 't')
			s->layout.time = (enum tv_time_form)words[i].code;
		else if (*item->string == 'l')
			s->layout.by_column = words[i].code;
		else
			s->to_file = words[i].code;
		return 0;
	}
	return bad(s, item->string, "has a value that is not known", err);
}

static int take_page_days(struct tv_source *s, const cJSON *item, struct tv_err *err)
{
	double v = cJSON_IsNumber(item) ? item->valuedouble : -1;
	if (!(v >= 0 && v <= 100000) || v != (double)(unsigned)v)
		return bad(s, "page_days", "is not a number of days", err);
	s->page_days = (unsigned)v;
	return 0;
}

static int take_deadline(struct tv_source *s, const cJSON *item, struct tv_err *err)
{
	int64_t ns = 0;
	if (!cJSON_IsString(item) || tv_duration_parse(item->valuestring, &ns, NULL) < 0 || ns <= 0)
		return bad(s, "deadline", "is not a duration such as \"60s\"", err);
	s->deadline_ns = ns;
	return 0;
}

static int take_delimiter(struct tv_source *s, const cJSON *item, struct tv_err *err)
{
	if (!cJSON_IsString(item) || strlen(item->valuestring) != 1 ||
	    strchr("\"\r\n", *item->valuestring))
		return bad(s, "delimiter", "is not one character", err);
	s->layout.delimiter = *item->valuestring;
	return 0;
}

static int take_symbols(struct tv_source *s, const cJSON *item, struct tv_err *err)
{
	const cJSON *one;
	cJSON_ArrayForEach(one, item)
		if (!cJSON_IsString(one))
			return bad(s, "symbols", "is not an object of texts", err);
	if (!cJSON_IsObject(item))
		return bad(s, "symbols", "is not an object of texts", err);
	cJSON_Delete(s->symbols);
	s->symbols = cJSON_Duplicate(item, true);
	return s->symbols ? 0 : tv_err_nomem(err);
}

static int take(struct tv_source *s, const cJSON *item, struct tv_secrets *secrets,
		struct tv_err *err)
{
	const struct {
		const char *key;
		char **text, ***texts;
		int (*other)(struct tv_source *s, const cJSON *item, struct tv_err *err);
	} known[] = {
		{ "base", &s->base, NULL, NULL },
		{ "url", &s->url, NULL, NULL },
		{ "symbol", &s->symbol, NULL, NULL },
		{ "rows", &s->layout.rows, NULL, NULL },
		{ "path", &s->folder, NULL, NULL },
		{ "headers", NULL, &s->headers, NULL },
		{ "argv", NULL, &s->argv, NULL },
		{ "env", NULL, &s->env, NULL },
		{ "columns", NULL, NULL, take_columns },
		{ "symbols", NULL, NULL, take_symbols },
		{ "time", NULL, NULL, take_word },
		{ "layout", NULL, NULL, take_word },
		{ "output", NULL, NULL, take_word },
		{ "delimiter", NULL, NULL, take_delimiter },
		{ "page_days", NULL, NULL, take_page_days },
		{ "deadline", NULL, NULL, take_deadline },
	};
	if (strcmp(item->string, "kind") == 0)
		return 0;
	if (strcmp(item->string, "keys") == 0)
		return take_keys(s, item, secrets, err);
	for (size_t i = 0; i < TV_ARRAY_LEN(known); i++) {
		if (strcmp(known[i].key, item->string) != 0)
			continue;
		if (known[i].text)
			return take_text(s, item, known[i].text, err);
		if (known[i].texts)
			return take_texts(s, item, known[i].texts, err);
		if (known[i].other)
			return known[i].other(s, item, err);
	}
	return bad(s, item->string, "is not a setting of a source", err);
}

/* Which settings a kind cannot do without. */
static int check(const struct tv_source *s, struct tv_err *err)
{
	if (s->kind->read == tv_read_folder && !s->folder)
		return bad(s, "path", "is missing", err);
	if (s->kind->read == tv_read_exec && (!s->argv || !s->argv[0]))
		return bad(s, "argv", "is missing", err);
	return 0;
}

int tv_source_settings(struct tv_source *s, const cJSON *settings, struct tv_secrets *secrets,
		       struct tv_err *err)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, settings) {
		int r = take(s, item, secrets, err);
		if (r < 0)
			return r;
	}
	return check(s, err);
}
