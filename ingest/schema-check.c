/* A Parquet file against the schema. All values are looked at here, a column at a time: a statement with
 * counts of each column takes DuckDB minutes where there are thousands of columns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/schema-priv.h"
#include "store/base/buf.h"
#include "store/base/cleanup.h"

/* What is wrong in a column, and the first row where it is. */
struct tally {
	int64_t nulls, first_null, odd, first_odd;
};

#define KEY_MAX 4 /* columns of a key that is looked at while rows go by */

/* Whether all rows so far ascend strictly by the key, of which `last` is the last row's; also by the key's
 * columns taken from the last to the first (days, and in each its symbols): no row is twice then, either. */
struct ascent {
	bool holds, holds_back;
	size_t n;	    /* columns */
	size_t at[KEY_MAX]; /* their places in the file */
	struct {
		int64_t i64;
		struct tv_buf text;
	} last[KEY_MAX];
	int64_t broken; /* the first row that does not ascend */
};

struct check {
	const struct tv_schema_file *schema;
	const struct tv_parquet *file; /* NULL: the rows are at hand */
	struct tv_schema_teller told;
	struct tv_duck_result present;		/* the file's columns */
	const struct tv_schema_column **wanted; /* of each of them; NULL: not to be looked at */
	struct tally *tallies;			/* of each of them */
	struct ascent ascent;
	int64_t rows;
};

/* --- columns ----------------------------------------------------------------------------------- */

static bool is_present(const struct check *c, const char *name)
{
	for (size_t i = 0; i < c->present.n_columns; i++)
		if (strcmp(c->present.columns[i].name, name) == 0)
			return true;
	return false;
}

static int check_names(struct check *c, struct tv_err *err)
{
	int r = 0;
	for (size_t i = 0; i < c->schema->n_columns && r == 0; i++) {
		const struct tv_schema_column *column = &c->schema->columns[i];
		if (!is_present(c, column->name))
			r = tv_schema_tell(&c->told, column->name, -1, err,
					   "there is no such column, wanted is %s",
					   tv_schema_type_name(column->type));
	}
	for (size_t i = 0; i < c->present.n_columns && r == 0; i++) {
		const struct tv_duck_column *column = &c->present.columns[i];
		c->wanted[i] = tv_schema_column_of(c->schema, column->name);
		if (!c->wanted[i])
			r = tv_schema_tell(&c->told, column->name, -1, err,
					   "the schema has no such column (its type is %s)",
					   column->type);
	}
	return r;
}

static bool type_fits(const struct tv_duck_column *column, enum tv_schema_type wanted)
{
	switch (wanted) {
	case TV_SCHEMA_INT64:
		return strcmp(column->type, "int64") == 0;
	case TV_SCHEMA_DOUBLE:
		return strcmp(column->type, "double") == 0;
	case TV_SCHEMA_BOOL:
		return column->kind == TV_DUCK_BOOL;
	case TV_SCHEMA_TEXT:
		return column->kind == TV_DUCK_TEXT;
	case TV_SCHEMA_TIMESTAMP:
		return column->kind == TV_DUCK_TIMESTAMP && strcmp(column->type, "date") != 0;
	default:
		return true;
	}
}

/* --- ascending keys: who has one needs no statement to find double rows -------------------------- */

static void ascent_begin(struct check *c)
{
	const struct tv_schema_file *schema = c->schema;
	struct ascent *a = &c->ascent;
	a->holds = schema->n_key > 0 && schema->n_key <= KEY_MAX;
	a->broken = -1;
	for (size_t k = 0; k < schema->n_key && a->holds; k++) {
		size_t i = 0;
		while (i < c->present.n_columns &&
		       strcmp(c->present.columns[i].name, schema->key[k]) != 0)
			i++;
		a->holds = i < c->present.n_columns &&
			   (c->present.columns[i].kind == TV_DUCK_INT64 ||
			    c->present.columns[i].kind == TV_DUCK_TIMESTAMP ||
			    c->present.columns[i].kind == TV_DUCK_TEXT);
		a->at[k] = i;
	}
	a->n = a->holds ? schema->n_key : 0;
	a->holds_back = a->holds && !schema->ordered;
}

/* Bytes, a prefix first: as DuckDB orders text. */
static int text_order(const struct tv_buf *a, const struct tv_duck_string *b)
{
	size_t n = a->len < b->n ? a->len : b->n;
	int order = n ? memcmp(a->data, b->bytes, n) : 0;
	return order ? order : (a->len > b->n) - (a->len < b->n);
}

/* A value of the last row's key against that of row i, which takes its place. */
static int value_order(struct ascent *a, size_t k, const struct tv_duck_column *column, size_t i)
{
	if (column->kind != TV_DUCK_TEXT) {
		int64_t before = a->last[k].i64, now = column->i64[i];
		a->last[k].i64 = now;
		return (before > now) - (before < now);
	}
	const struct tv_duck_string *text = &column->text[i];
	int order = text_order(&a->last[k].text, text);
	if (order) {
		tv_buf_clear(&a->last[k].text);
		tv_buf_add(&a->last[k].text, text->bytes, text->n);
	}
	return order;
}

static void ascent_row(struct check *c, const struct tv_duck_result *rows, size_t i)
{
	struct ascent *a = &c->ascent;
	int order = 0, back = 0;
	for (size_t k = 0; k < a->n; k++) {
		int by = value_order(a, k, &rows->columns[a->at[k]], i);
		order = order ? order : by;
		back = by ? by : back;
	}
	if (c->rows + (int64_t)i == 0)
		return;
	if (order >= 0 && a->holds)
		a->broken = c->rows + (int64_t)i;
	a->holds = a->holds && order < 0;
	a->holds_back = a->holds_back && back < 0;
}

static void ascent_look(struct check *c, const struct tv_duck_result *rows)
{
	struct ascent *a = &c->ascent;
	for (size_t k = 0; k < a->n; k++)
		if (rows->columns[a->at[k]].null || a->last[k].text.failed)
			a->holds = a->holds_back = false;
	for (size_t i = 0; i < rows->n_rows && (a->holds || a->holds_back); i++)
		ascent_row(c, rows, i);
}

bool tv_schema_columns_fit(const struct tv_schema_file *schema,
			   const struct tv_duck_result *columns)
{
	const struct check c = { .present = *columns };
	for (size_t i = 0; i < schema->n_columns; i++)
		if (!is_present(&c, schema->columns[i].name))
			return false;
	for (size_t i = 0; i < columns->n_columns; i++) {
		const struct tv_schema_column *wanted =
			tv_schema_column_of(schema, columns->columns[i].name);
		if (!wanted || !type_fits(&columns->columns[i], wanted->type))
			return false;
	}
	return true;
}

/* --- values ------------------------------------------------------------------------------------ */

static void tally_column(const struct tv_duck_column *column, int64_t before, size_t n,
			 struct tally *t)
{
	for (size_t i = 0; column->null && i < n; i++)
		if (column->null[i] && !t->nulls++)
			t->first_null = before + (int64_t)i;
	for (size_t i = 0; column->kind == TV_DUCK_DOUBLE && i < n; i++)
		if (!isfinite(column->f64[i]) && !(column->null && column->null[i]) && !t->odd++)
			t->first_odd = before + (int64_t)i;
}

static int tally_rows(void *arg, const struct tv_duck_result *rows, struct tv_err *err)
{
	struct check *c = arg;
	(void)err;
	for (size_t i = 0; i < rows->n_columns && i < c->present.n_columns; i++)
		tally_column(&rows->columns[i], c->rows, rows->n_rows, &c->tallies[i]);
	ascent_look(c, rows);
	c->rows += (int64_t)rows->n_rows;
	return 0;
}

static int check_column(struct check *c, size_t at, struct tv_err *err)
{
	const struct tv_duck_column *column = &c->present.columns[at];
	const struct tv_schema_column *wanted = c->wanted[at];
	const struct tally *t = &c->tallies[at];
	int r = 0;
	/* pandas does not know the type of a column in which everything is missing. */
	bool any_type = wanted->null && t->nulls == c->rows && c->rows > 0;
	if (!type_fits(column, wanted->type) && !any_type)
		return tv_schema_tell(&c->told, column->name, -1, err,
				      "its type is %s, wanted is %s", column->type,
				      tv_schema_type_name(wanted->type));
	if (t->nulls && !wanted->null)
		r = tv_schema_tell(&c->told, column->name, t->first_null, err,
				   "there is no value (%lld such rows)", (long long)t->nulls);
	if (t->odd && r == 0 && wanted->type == TV_SCHEMA_DOUBLE)
		r = tv_schema_tell(&c->told, column->name, t->first_odd, err,
				   "not a finite number (%lld such rows)", (long long)t->odd);
	return r;
}

static int check_values(struct check *c, struct tv_err *err)
{
	c->tallies = calloc(c->present.n_columns + 1, sizeof(*c->tallies));
	if (!c->tallies)
		return tv_err_nomem(err);
	ascent_begin(c);
	int r = c->file ? tv_parquet_stream(
				  c->file,
				  "SELECT * FROM read_parquet($1, hive_partitioning = false)",
				  tally_rows, c, err)
			: tally_rows(c, &c->present, err);
	for (size_t i = 0; i < c->present.n_columns && r == 0; i++)
		if (c->wanted[i])
			r = check_column(c, i, err);
	return r;
}

/* --- keys -------------------------------------------------------------------------------------- */

/* "a", "b" */
static char *key_list(const struct tv_schema_file *schema)
{
	tv_autobuf struct tv_buf list = TV_BUF_INIT;
	for (size_t i = 0; i < schema->n_key; i++) {
		tv_autofree char *name = tv_duck_quote(schema->key[i]);
		if (!name)
			return NULL;
		tv_buf_addf(&list, "%s%s", i ? ", " : "", name);
	}
	return tv_buf_steal_str(&list);
}

/* One value: a row's number, or none. */
static int ask_row(struct check *c, const char *key, bool order, int64_t *row, struct tv_err *err)
{
	tv_auto_duck_result struct tv_duck_result found = TV_DUCK_RESULT_INIT;
	tv_autobuf struct tv_buf sql = TV_BUF_INIT;
	if (order)
		tv_buf_addf(&sql,
			    "SELECT min(n) FROM (SELECT file_row_number AS n, row(%s) AS k, "
			    "lag(row(%s)) OVER (ORDER BY file_row_number) AS before FROM %s) "
			    "WHERE n > 0 AND k < before",
			    key, key, TV_PARQUET_ROWS);
	else
		tv_buf_addf(&sql,
			    "SELECT min(n) FROM (SELECT max(file_row_number) AS n FROM %s "
			    "GROUP BY %s HAVING count(*) > 1)",
			    TV_PARQUET_ROWS, key);
	tv_autofree char *text = tv_buf_steal_str(&sql);
	int r = text ? tv_parquet_query(c->file, text, &found, err) : tv_err_nomem(err);
	if (r == 0)
		*row = found.columns[0].null ? -1 : found.columns[0].i64[0];
	return r;
}

static int check_key(struct check *c, struct tv_err *err)
{
	const struct tv_schema_file *schema = c->schema;
	int64_t row = -1;
	for (size_t i = 0; i < schema->n_key; i++)
		if (!is_present(c, schema->key[i]))
			return 0;
	if (c->ascent.holds || c->ascent.holds_back)
		return 0;
	if (!c->file)
		return c->ascent.broken < 0
			       ? 0
			       : tv_schema_tell(
					 &c->told, schema->key[schema->n_key - 1], c->ascent.broken,
					 err, "its key is not greater than that of the row before");
	tv_autofree char *key = key_list(schema);
	if (!schema->n_key || !key)
		return schema->n_key ? tv_err_nomem(err) : 0;
	int r = ask_row(c, key, false, &row, err);
	if (r == 0 && row >= 0)
		r = tv_schema_tell(&c->told, schema->key[schema->n_key - 1], row, err,
				   "an earlier row has the same key");
	if (r == 0 && schema->ordered)
		r = ask_row(c, key, true, &row, err);
	if (r == 0 && schema->ordered && row >= 0)
		r = tv_schema_tell(&c->told, schema->key[schema->n_key - 1], row, err,
				   "the row before has a greater key");
	return r;
}

/* With c->present: the columns, or all rows. */
static int check_present(struct check *c, struct tv_err *err)
{
	c->wanted = calloc(c->present.n_columns + 1, sizeof(*c->wanted));
	int r = c->wanted ? check_names(c, err) : tv_err_nomem(err);
	if (r == 0)
		r = check_values(c, err);
	if (r == 0)
		r = check_key(c, err);
	free(c->wanted);
	free(c->tallies);
	for (size_t k = 0; k < KEY_MAX; k++)
		tv_buf_free(&c->ascent.last[k].text);
	return r != 0 ? r : tv_schema_verdict(&c->told, err);
}

int tv_schema_check(const struct tv_schema_file *schema, const struct tv_parquet *file,
		    const struct tv_schema_findings *findings, struct tv_err *err)
{
	struct check c = { .schema = schema,
			   .file = file,
			   .told = { file->name, findings, TV_ERR_INIT } };
	if (schema->format != TV_SCHEMA_PARQUET)
		return tv_err_set(err, -EINVAL, "'%s': %s is not a Parquet file in the schema",
				  file->name, schema->name);
	int r = tv_parquet_columns(file, &c.present, err);
	if (r == 0)
		r = check_present(&c, err);
	tv_duck_result_free(&c.present);
	return r;
}

int tv_schema_check_rows(const struct tv_schema_file *schema, const char *name,
			 const struct tv_duck_result *rows,
			 const struct tv_schema_findings *findings, struct tv_err *err)
{
	struct check c = { .schema = schema,
			   .present = *rows,
			   .told = { name, findings, TV_ERR_INIT } };
	return check_present(&c, err);
}
