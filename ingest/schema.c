#include "ingest/schema.h"

#include <stdlib.h>
#include <string.h>

#include "store/base/cleanup.h"
#include "store/base/json.h"
#include "store/base/path.h"

struct tv_schema {
	cJSON *doc; /* owns all texts */
	struct tv_schema_file *files;
	size_t n_files;
};

static const char *const type_names[] = {
	[TV_SCHEMA_INT64] = "int64", [TV_SCHEMA_DOUBLE] = "double",
	[TV_SCHEMA_BOOL] = "bool",   [TV_SCHEMA_TEXT] = "text",
	[TV_SCHEMA_JSON] = "json",   [TV_SCHEMA_TIMESTAMP] = "timestamp",
};

static const char *const format_names[] = {
	[TV_SCHEMA_PARQUET] = "parquet",
	[TV_SCHEMA_JSON_TEXT] = "json",
	[TV_SCHEMA_PICKLE] = "pickle",
};

static const char *const rows_names[] = {
	[TV_SCHEMA_MEMBERS] = "members",
	[TV_SCHEMA_ELEMENTS] = "elements",
	[TV_SCHEMA_DOCUMENT] = "document",
};

const char *tv_schema_type_name(enum tv_schema_type type)
{
	return type_names[type];
}

/* The number of a word in a list, -1. */
static int index_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; word && i < n; i++)
		if (strcmp(words[i], word) == 0)
			return (int)i;
	return -1;
}

static const char *text_of(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static bool is_true(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* Everything but the name. */
static bool take_column(const cJSON *from, struct tv_schema_column *out)
{
	int type = index_of(text_of(from, "type"), type_names, TV_ARRAY_LEN(type_names));
	out->name = text_of(from, "name");
	out->type = type < 0 ? TV_SCHEMA_JSON : (enum tv_schema_type)type;
	out->null = is_true(from, "null");
	return type >= 0;
}

static int take_columns(const cJSON *from, struct tv_schema_file *out, struct tv_err *err)
{
	const cJSON *columns = cJSON_GetObjectItemCaseSensitive(from, "columns"), *column;
	const cJSON *others = cJSON_GetObjectItemCaseSensitive(from, "others");
	if (!cJSON_IsArray(columns))
		return tv_err_set(err, -EINVAL, "schema: file '%s' has no columns", out->name);
	out->columns = calloc((size_t)cJSON_GetArraySize(columns) + 1, sizeof(*out->columns));
	if (!out->columns)
		return tv_err_nomem(err);
	cJSON_ArrayForEach(column, columns) {
		struct tv_schema_column *to = &out->columns[out->n_columns++];
		if (!take_column(column, to) || !to->name)
			return tv_err_set(err, -EINVAL,
					  "schema: file '%s', column %zu: no name, or no such type",
					  out->name, out->n_columns);
	}
	out->others = others != NULL;
	if (others && !take_column(others, &out->other))
		return tv_err_set(err, -EINVAL, "schema: file '%s', others: no such type",
				  out->name);
	return 0;
}

static bool has_column(const struct tv_schema_file *file, const char *name)
{
	for (size_t i = 0; i < file->n_columns; i++)
		if (file->columns[i].name && strcmp(file->columns[i].name, name) == 0)
			return true;
	return false;
}

static int take_key(const cJSON *from, struct tv_schema_file *out, struct tv_err *err)
{
	const cJSON *key = cJSON_GetObjectItemCaseSensitive(from, "key"), *column;
	out->ordered = is_true(from, "ordered");
	out->key = calloc((size_t)cJSON_GetArraySize(key) + 1, sizeof(*out->key));
	if (!out->key)
		return tv_err_nomem(err);
	cJSON_ArrayForEach(column, key) {
		const char *name = cJSON_GetStringValue(column);
		if (!name || !has_column(out, name))
			return tv_err_set(err, -EINVAL,
					  "schema: file '%s': no such column as a key", out->name);
		out->key[out->n_key++] = name;
	}
	return 0;
}

static int take_file(const cJSON *from, struct tv_schema_file *out, struct tv_err *err)
{
	int format = index_of(text_of(from, "format"), format_names, TV_ARRAY_LEN(format_names));
	out->name = text_of(from, "name");
	out->path = text_of(from, "path");
	if (!out->name || !out->path || format < 0)
		return tv_err_set(err, -EINVAL, "schema: a file without name, path or format");
	out->format = (enum tv_schema_format)format;
	int rows = index_of(text_of(from, "rows"), rows_names, TV_ARRAY_LEN(rows_names));
	if (rows < 0 && out->format == TV_SCHEMA_JSON_TEXT)
		return tv_err_set(err, -EINVAL, "schema: file '%s' does not say what its rows are",
				  out->name);
	out->rows = rows < 0 ? TV_SCHEMA_DOCUMENT : (enum tv_schema_rows)rows;
	int r = take_columns(from, out, err);
	return r < 0 ? r : take_key(from, out, err);
}

static int take_files(struct tv_schema *schema, struct tv_err *err)
{
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(schema->doc, "version"), *file;
	const cJSON *files = cJSON_GetObjectItemCaseSensitive(schema->doc, "files");
	if (cJSON_GetNumberValue(version) != 1 || !cJSON_IsArray(files))
		return tv_err_set(err, -EINVAL, "schema: not of version 1");
	schema->files = calloc((size_t)cJSON_GetArraySize(files) + 1, sizeof(*schema->files));
	if (!schema->files)
		return tv_err_nomem(err);
	cJSON_ArrayForEach(file, files) {
		int r = take_file(file, &schema->files[schema->n_files++], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int tv_schema_parse(const char *text, struct tv_schema **out, struct tv_err *err)
{
	struct tv_schema *schema = calloc(1, sizeof(*schema));
	if (!schema)
		return tv_err_nomem(err);
	int r = tv_json_parse(text, strlen(text), &schema->doc, err);
	if (r < 0)
		r = tv_err_wrap(err, r, "schema");
	else
		r = take_files(schema, err);
	if (r < 0) {
		tv_schema_free(schema);
		return r;
	}
	*out = schema;
	return 0;
}

void tv_schema_free(struct tv_schema *schema)
{
	if (!schema)
		return;
	for (size_t i = 0; i < schema->n_files; i++) {
		free(schema->files[i].columns);
		free(schema->files[i].key);
	}
	free(schema->files);
	cJSON_Delete(schema->doc);
	free(schema);
}

/* The last names of a path, from as many on as there are. */
static bool matches_end(const char *pattern, const char *path)
{
	for (const char *tail = path; tail; tail = strchr(tail, '/')) {
		tail += *tail == '/';
		if (tv_path_matches(pattern, tail))
			return true;
	}
	return false;
}

const struct tv_schema_file *tv_schema_find(const struct tv_schema *schema, const char *path)
{
	for (size_t i = 0; i < schema->n_files; i++)
		if (matches_end(schema->files[i].path, path))
			return &schema->files[i];
	return NULL;
}

const struct tv_schema_file *tv_schema_named(const struct tv_schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->n_files; i++)
		if (strcmp(schema->files[i].name, name) == 0)
			return &schema->files[i];
	return NULL;
}
