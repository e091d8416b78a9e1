/* What the checks of Parquet and of JSON files share: telling findings. */
#ifndef TV_INGEST_SCHEMA_PRIV_H
#define TV_INGEST_SCHEMA_PRIV_H

#include "ingest/schema.h"

struct tv_schema_teller {
	const char *file;
	const struct tv_schema_findings *findings; /* may be NULL */
	struct tv_err first;
};

/* Tells one finding; keeps the first. Returns what the receiver does. */
int tv_schema_tell(struct tv_schema_teller *to, const char *column, int64_t row, struct tv_err *err,
		   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* 0, or -TV_E_GATE with the first finding. */
int tv_schema_verdict(const struct tv_schema_teller *told, struct tv_err *err);

/* The column of that name, or how others are; NULL: there must be none of that name. */
const struct tv_schema_column *tv_schema_column_of(const struct tv_schema_file *schema,
						   const char *name);

#endif
