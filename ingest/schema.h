/*
 * The lakehouse's schema: what its files are called and what is in them. ingest/schema.json is the
 * source, a copy of which is in the program; docs/lakehouse_schema_registry.md says the same in words.
 *
 * A loaded schema does not change: any number of threads may read it.
 */
#ifndef TV_INGEST_SCHEMA_H
#define TV_INGEST_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/parquet.h"

enum tv_schema_type {
	TV_SCHEMA_INT64,
	TV_SCHEMA_DOUBLE, /* and always finite */
	TV_SCHEMA_BOOL,
	TV_SCHEMA_TEXT,
	TV_SCHEMA_TIMESTAMP,
	TV_SCHEMA_JSON, /* anything */
};

enum tv_schema_format { TV_SCHEMA_PARQUET, TV_SCHEMA_JSON_TEXT, TV_SCHEMA_PICKLE };

/* What is a row of a JSON file. */
enum tv_schema_rows { TV_SCHEMA_MEMBERS, TV_SCHEMA_ELEMENTS, TV_SCHEMA_DOCUMENT };

struct tv_schema_column {
	const char *name;
	enum tv_schema_type type;
	bool null; /* values may be missing */
};

struct tv_schema_file {
	const char *name; /* "bars" */
	const char *path; /* a pattern, see tv_path_matches */
	enum tv_schema_format format;
	enum tv_schema_rows rows; /* of JSON */
	struct tv_schema_column *columns;
	size_t n_columns;
	bool others; /* columns beyond these are allowed, and are like this one: */
	struct tv_schema_column other;
	const char **key; /* columns; no two rows have the same values in them */
	size_t n_key;
	bool ordered; /* rows ascend by the key */
};

struct tv_schema;

/* The schema's JSON as it is in the program. */
const char *tv_schema_text(void);

/* Reads a schema's JSON. -EINVAL: "schema: ..." says which file and column. -ENOMEM. */
int tv_schema_parse(const char *text, struct tv_schema **out, struct tv_err *err);
void tv_schema_free(struct tv_schema *schema);
static inline void tv_schema_free_p(struct tv_schema **schema)
{
	tv_schema_free(*schema);
}

/* The file that a path is one of: the first whose pattern matches the path's end. NULL: none. */
const struct tv_schema_file *tv_schema_find(const struct tv_schema *schema, const char *path);

/* By its name; NULL when there is none. */
const struct tv_schema_file *tv_schema_named(const struct tv_schema *schema, const char *name);

const char *tv_schema_type_name(enum tv_schema_type type);

/* --- checking ---------------------------------------------------------------------------------- */

/* One thing that is wrong. The texts live as long as the call. */
struct tv_schema_finding {
	const char *file;   /* the name that the caller gave it */
	const char *column; /* NULL: the file, or the row, as a whole */
	int64_t row;	    /* the first one, from 0; -1: not one row's fault */
	const char *what;   /* "3 rows have no value" */
};

struct tv_schema_findings {
	/* NULL: only the first one is told, by the error. Non-zero ends the check and is returned. */
	int (*found)(void *arg, const struct tv_schema_finding *finding, struct tv_err *err);
	void *arg;
};

/*
 * Checks a Parquet file: columns, types, nulls, numbers that are not finite, keys, order. 0: nothing is
 * wrong. -TV_E_GATE: something is; err has the first finding ("'F', column 'close', row 7: ..."), and
 * `findings` (may be NULL) was told all: one a column and rule. Else as tv_parquet_query.
 */
int tv_schema_check(const struct tv_schema_file *schema, const struct tv_parquet *file,
		    const struct tv_schema_findings *findings, struct tv_err *err);

/* The same for all rows of a file that were read already: SELECT * gave them. `name` is the file's. */
int tv_schema_check_rows(const struct tv_schema_file *schema, const char *name,
			 const struct tv_duck_result *rows,
			 const struct tv_schema_findings *findings, struct tv_err *err);

/* Whether a file's columns (tv_parquet_columns) are those of the schema, with its types. Values are not
 * looked at. */
bool tv_schema_columns_fit(const struct tv_schema_file *schema,
			   const struct tv_duck_result *columns);

/* tv_schema_check for the bytes of a JSON file: the shape, members that must be there, types. A row of an object
 * with a member a symbol is named in `what`. -EFBIG when there are too many bytes. */
int tv_schema_check_json(const struct tv_schema_file *schema, const char *name, const char *text,
			 size_t n, const struct tv_schema_findings *findings, struct tv_err *err);

#endif
