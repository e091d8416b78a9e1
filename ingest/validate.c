#include "ingest/validate.h"

#include <stdlib.h>
#include <string.h>

#include "ingest/validate-priv.h"
#include "store/base/cleanup.h"

/* Files of the foundation that are judged by themselves, besides those of bars, where they are there. */
static const char *const files[] = {
	TV_FEATURES_FILE, TV_RETURNS_FILE,   TV_CATALOG_FILE,	  TV_HEALTH_FILE,
	TV_SYMBOLS_FILE,  TV_EXCHANGES_FILE, "execution.parquet",
};

static void validation_free(struct tv_validation *v)
{
	for (size_t i = 0; i < v->n_subjects; i++)
		tv_contents_free(&v->subjects[i].contents);
	free(v->subjects);
	tv_assets_free(&v->assets);
	tv_tables_free(&v->tables);
	tv_schema_free(v->schema);
}

/* A table that cannot be read is a finding, of its own judgement; then all of them count as empty. */
static int load_tables(struct tv_validation *v, struct tv_err *err)
{
	struct tv_err why = TV_ERR_INIT;
	int r = tv_tables_load(v->lake, v->how->duck, &v->tables, &why);
	if (r == -EINVAL || r == -TV_E_GATE || r == -EFBIG) {
		r = tv_validate_tell(v, "tables", TV_CHECK_SCHEMA, err, "%s", why.text);
		if (r == 0)
			r = tv_symbol_map_parse(TV_CATALOG_FILE, "", 0, &v->tables.catalog, err);
		if (r == 0)
			r = tv_symbol_map_parse(TV_HEALTH_FILE, "", 0, &v->tables.health, err);
		return r;
	}
	return r < 0 ? tv_err_set(err, r, "%s", why.text) : 0;
}

static int rules_of(const struct tv_validation *v, const char *symbol, struct tv_gates_rules *out,
		    struct tv_err *err)
{
	tv_autofree char *exchange = strndup(symbol, strcspn(symbol, ":"));
	if (!exchange)
		return tv_err_nomem(err);
	int crypto = tv_exchanges_is_crypto(&v->tables.exchanges, exchange);
	return tv_gates_rules_read(v->how->gates, symbol,
				   crypto < 0 ? TV_CRYPTO_UNKNOWN
				   : crypto   ? TV_CRYPTO_YES
					      : TV_CRYPTO_NO,
				   out, err);
}

/* 1: it is a file. */
static int take_subject(struct tv_validation *v, const char *name, const char *path, bool bars,
			struct tv_err *err)
{
	struct tv_subject *s = &v->subjects[v->n_subjects];
	struct tv_err why = TV_ERR_INIT;
	*s = (struct tv_subject){ .name = name, .path = path, .bars = bars };
	int r = tv_lakehouse_stat(v->lake, path, &s->file, &why);
	if (r == -ENOENT || r == -EINVAL)
		return 0;
	if (r < 0)
		return tv_err_set(err, r, "%s", why.text);
	s->schema = tv_schema_find(v->schema, path);
	if (!s->schema)
		return tv_err_set(err, -EINVAL, "the schema has no file '%s'", path);
	r = bars ? rules_of(v, name, &s->rules, err) : 0;
	if (r == 0) {
		tv_err_clear(&why);
		s->digest = tv_contents_rules(s, &why);
		r = why.code ? tv_err_nomem(err) : 1;
	}
	if (r == 1)
		v->n_subjects++;
	return r;
}

/* Assets that are no files (somebody made a folder of that name) are told, and left out. */
static int take_assets(struct tv_validation *v, struct tv_err *err)
{
	for (size_t i = 0; i < v->assets.n; i++) {
		const struct tv_asset *a = &v->assets.items[i];
		int r = take_subject(v, a->symbol, a->file, true, err);
		if (r == 0)
			r = tv_validate_tell(v, a->symbol, TV_CHECK_SCHEMA, err,
					     "'%s' is not a file", a->file);
		if (r < 0)
			return r;
	}
	v->n_assets = v->out->assets = v->n_subjects;
	return 0;
}

static int take_subjects(struct tv_validation *v, struct tv_err *err)
{
	v->subjects = calloc(v->assets.n + TV_ARRAY_LEN(files), sizeof(*v->subjects));
	if (!v->subjects)
		return tv_err_nomem(err);
	int r = take_assets(v, err);
	for (size_t i = 0; i < TV_ARRAY_LEN(files) && r >= 0; i++)
		r = take_subject(v, files[i], files[i], false, err);
	return r < 0 ? r : 0;
}

static int validate(struct tv_validation *v, struct tv_err *err)
{
	int r = tv_schema_parse(tv_schema_text(), &v->schema, err);
	if (r == 0)
		r = load_tables(v, err);
	if (r == 0)
		r = tv_assets_load(v->lake, v->how->duck, &v->tables, &v->assets, err);
	if (r == 0)
		r = take_subjects(v, err);
	if (r == 0)
		r = tv_validate_judge(v, err);
	return r < 0 ? r : tv_validate_compare(v, err);
}

int tv_validate(struct tv_lakehouse *l, const struct tv_validate_how *how, struct tv_validated *out,
		struct tv_err *err)
{
	tv_autovalidated struct tv_validated done = { .newest_s = TV_CATALOG_UNKNOWN };
	tv_auto(validation_free) struct tv_validation v = {
		.how = how, .lake = l, .out = &done, .tables = TV_TABLES_INIT
	};
	int r = validate(&v, err);
	if (r < 0)
		return r;
	r = tv_validate_verdict(&done, err);
	*out = done;
	done = (struct tv_validated){ .findings = NULL };
	return r;
}

int tv_validate_tree(struct tv_store *store, const struct tv_node_source *nodes,
		     const struct tv_entry *root, const struct tv_validate_how *how,
		     struct tv_validated *out, struct tv_err *err)
{
	struct tv_lakehouse *lake = NULL;
	int r = tv_lakehouse_of_tree(store, nodes, root, &lake, err);
	if (r == 0)
		r = tv_validate(lake, how, out, err);
	tv_lakehouse_free(lake);
	return r;
}
