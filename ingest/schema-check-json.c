/* A JSON file against the schema. A row is told by its number, and a symbol's by its name too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/json-span.h"
#include "ingest/schema-priv.h"
#include "ingest/symbol-map.h"
#include "store/base/cleanup.h"

/* Where something is wrong first, and how often. */
struct fault {
	int64_t row, times;
	char *where; /* owned: the symbol's name; NULL: no names */
	char *what;  /* owned */
};

/* Of one column; the last one is of all others. */
struct tally {
	struct fault missing, wrong;
	char *name; /* owned: of the others, the first that is wrong */
};

struct check {
	const struct tv_schema_file *schema;
	struct tv_schema_teller told;
	struct tally *tallies; /* n_columns and one */
	struct fault shape;    /* rows that are no objects */
	int64_t row;
	struct tv_json_span name; /* of the row at hand; n = 0: none */
	struct tv_err *err;
};

static int note(struct check *c, struct fault *f, const char *what)
{
	if (f->times++)
		return 0;
	f->row = c->schema->rows == TV_SCHEMA_DOCUMENT ? -1 : c->row;
	f->what = strdup(what);
	f->where = c->name.n ? tv_json_span_text(c->name) : NULL;
	return f->what && (f->where || !c->name.n) ? 0 : tv_err_nomem(c->err);
}

static int tell_fault(struct check *c, const char *column, const struct fault *f)
{
	if (!f->times)
		return 0;
	const char *where = f->where ? f->where : "";
	if (f->times > 1)
		return tv_schema_tell(&c->told, column, f->row, c->err, "%s%s%s%s (%lld such rows)",
				      f->where ? "in '" : "", where, f->where ? "' " : "", f->what,
				      (long long)f->times);
	return tv_schema_tell(&c->told, column, f->row, c->err, "%s%s%s%s", f->where ? "in '" : "",
			      where, f->where ? "' " : "", f->what);
}

/* --- values ------------------------------------------------------------------------------------ */

static bool is_time(struct tv_json_span value)
{
	tv_autofree char *text = tv_json_span_text(value);
	int64_t ns;
	return text && tv_json_span_time(text, &ns);
}

/* Whether a value that is there has the type; *number says that it is a number, but not a good one. */
static bool has_type(struct tv_json_span value, enum tv_schema_type type, bool *number)
{
	enum tv_json_kind kind = tv_json_span_kind(value);
	double v = NAN;
	*number = false;
	switch (type) {
	case TV_SCHEMA_INT64:
	case TV_SCHEMA_DOUBLE:
		if (kind != TV_JSON_NUMBER || !tv_json_span_number(value, &v))
			return false;
		*number = true;
		return type == TV_SCHEMA_DOUBLE ? isfinite(v) : v == floor(v) && fabs(v) < 0x1p63;
	case TV_SCHEMA_BOOL:
		return kind == TV_JSON_BOOL;
	case TV_SCHEMA_TEXT:
		return kind == TV_JSON_TEXT;
	case TV_SCHEMA_TIMESTAMP:
		return kind == TV_JSON_TEXT && is_time(value);
	default:
		return true;
	}
}

static int check_value(struct check *c, struct tally *tally, const struct tv_schema_column *column,
		       struct tv_json_span value)
{
	enum tv_json_kind kind = tv_json_span_kind(value);
	bool number;
	if (kind == TV_JSON_NULL && column->type != TV_SCHEMA_JSON)
		return column->null ? 0 : note(c, &tally->missing, "there is no value");
	if (has_type(value, column->type, &number))
		return 0;
	if (number)
		return note(c, &tally->wrong,
			    column->type == TV_SCHEMA_DOUBLE ? "not a finite number"
							     : "not a whole number");
	if (column->type == TV_SCHEMA_TIMESTAMP && kind == TV_JSON_TEXT)
		return note(c, &tally->wrong, "not a time of ISO 8601");
	tv_autofree char *what = NULL;
	if (asprintf(&what, "it is %s, wanted is %s", tv_json_kind_name(kind),
		     tv_schema_type_name(column->type)) < 0)
		return tv_err_nomem(c->err);
	return note(c, &tally->wrong, what);
}

/* A member that the schema does not list. */
static int check_other(struct check *c, struct tv_json_span key, struct tv_json_span value)
{
	struct tally *tally = &c->tallies[c->schema->n_columns];
	int64_t before = tally->wrong.times + tally->missing.times;
	int r = c->schema->others ? check_value(c, tally, &c->schema->other, value)
				  : note(c, &tally->wrong, "the schema has no such column");
	if (r == 0 && before == 0 && tally->wrong.times + tally->missing.times) {
		tally->name = tv_json_span_text(key);
		r = tally->name ? 0 : tv_err_nomem(c->err);
	}
	return r;
}

/* --- rows -------------------------------------------------------------------------------------- */

/* The member of an object, of several the last: as readers have it. */
static int check_row(struct check *c, struct tv_json_span row)
{
	const struct tv_schema_file *schema = c->schema;
	struct tv_json_span key, value;
	tv_autofree struct tv_json_span *values = calloc(schema->n_columns + 1, sizeof(*values));
	int r = values ? 0 : tv_err_nomem(c->err);
	if (tv_json_span_kind(row) != TV_JSON_OBJECT)
		return note(c, &c->shape, "the row is not an object");
	for (struct tv_json_walk w = tv_json_span_walk(row);
	     r == 0 && tv_json_walk_next(&w, &key, &value);) {
		size_t i = 0;
		while (i < schema->n_columns && !tv_json_span_is(key, schema->columns[i].name))
			i++;
		values[i] = value;
		if (i == schema->n_columns)
			r = check_other(c, key, value);
	}
	for (size_t i = 0; i < schema->n_columns && r == 0; i++) {
		if (values[i].n)
			r = check_value(c, &c->tallies[i], &schema->columns[i], values[i]);
		else if (!schema->columns[i].null)
			r = note(c, &c->tallies[i].missing, "there is no value");
	}
	return r;
}

static int check_rows(struct check *c, struct tv_json_span document)
{
	enum tv_json_kind kind = tv_json_span_kind(document);
	bool list = c->schema->rows == TV_SCHEMA_ELEMENTS;
	struct tv_json_span key, value;
	int r = 0;
	if (kind != (list ? TV_JSON_LIST : TV_JSON_OBJECT))
		return tv_schema_tell(&c->told, NULL, -1, c->err, "it is %s, wanted is %s",
				      tv_json_kind_name(kind),
				      tv_json_kind_name(list ? TV_JSON_LIST : TV_JSON_OBJECT));
	if (c->schema->rows == TV_SCHEMA_DOCUMENT)
		return check_row(c, document);
	for (struct tv_json_walk w = tv_json_span_walk(document);
	     r == 0 && tv_json_walk_next(&w, &key, &value); c->row++) {
		c->name = key;
		r = check_row(c, value);
	}
	return r;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of a name that occurs twice readers see one. */
static int check_names(struct check *c, struct tv_json_span document)
{
	tv_autonamelist struct tv_name_list names = TV_NAME_LIST_INIT;
	struct tv_json_span key, value;
	int r = 0;
	if (c->schema->rows == TV_SCHEMA_ELEMENTS)
		return 0;
	for (struct tv_json_walk w = tv_json_span_walk(document);
	     r == 0 && tv_json_walk_next(&w, &key, &value);) {
		tv_autofree char *name = key.n ? tv_json_span_text(key) : NULL;
		if (key.n)
			r = name ? tv_name_list_add(&names, name, c->err) : tv_err_nomem(c->err);
	}
	if (r < 0 || !names.n)
		return r;
	qsort(names.items, names.n, sizeof(*names.items), by_text);
	for (size_t i = 1; i < names.n; i++)
		if (strcmp(names.items[i - 1], names.items[i]) == 0)
			return tv_schema_tell(&c->told, names.items[i], -1, c->err,
					      "it occurs twice");
	return 0;
}

static int tell_all(struct check *c)
{
	int r = tell_fault(c, NULL, &c->shape);
	for (size_t i = 0; i <= c->schema->n_columns && r == 0; i++) {
		const struct tally *t = &c->tallies[i];
		const char *name = i < c->schema->n_columns ? c->schema->columns[i].name : t->name;
		r = tell_fault(c, name, &t->missing);
		if (r == 0)
			r = tell_fault(c, name, &t->wrong);
	}
	return r;
}

static void fault_free(struct fault *f)
{
	free(f->where);
	free(f->what);
}

int tv_schema_check_json(const struct tv_schema_file *schema, const char *name, const char *text,
			 size_t n, const struct tv_schema_findings *findings, struct tv_err *err)
{
	struct check c = { .schema = schema, .told = { name, findings, TV_ERR_INIT }, .err = err };
	struct tv_json_span document;
	struct tv_err own = TV_ERR_INIT;
	if (schema->format != TV_SCHEMA_JSON_TEXT)
		return tv_err_set(err, -EINVAL, "'%s': %s is not a JSON file in the schema", name,
				  schema->name);
	int r = tv_json_span_open(text, n, &document, &own);
	if (r == -EFBIG)
		return tv_err_set(err, r, "'%s' %s", name, own.text);
	if (r < 0) {
		r = tv_schema_tell(&c.told, NULL, -1, err, "%s", own.text);
		return r != 0 ? r : tv_schema_verdict(&c.told, err);
	}
	c.tallies = calloc(schema->n_columns + 1, sizeof(*c.tallies));
	r = c.tallies ? check_rows(&c, document) : tv_err_nomem(err);
	if (r == 0)
		r = tell_all(&c);
	if (r == 0)
		r = check_names(&c, document);
	for (size_t i = 0; c.tallies && i <= schema->n_columns; i++) {
		fault_free(&c.tallies[i].missing);
		fault_free(&c.tallies[i].wrong);
		free(c.tallies[i].name);
	}
	fault_free(&c.shape);
	free(c.tallies);
	return r != 0 ? r : tv_schema_verdict(&c.told, err);
}
