/* What the parts of a validation share. Only ingest/validate*.c include this. */
#ifndef TV_INGEST_VALIDATE_PRIV_H
#define TV_INGEST_VALIDATE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "ingest/assets.h"
#include "ingest/gates.h"
#include "ingest/schema.h"
#include "ingest/validate.h"
#include "store/base/buf.h"
#include "store/verdicts.h"

#define TV_RETURNS_FILE "returns_matrix.parquet"
#define TV_FEATURES_FILE "features_matrix.parquet"

/* What follows from a file's bytes and the rules. */
struct tv_contents {
	uint64_t rows;
	int64_t first_s,
		last_s; /* of the rows that have a time; first_s > last_s: there are none */
	char *faults;	/* owned; lines: the check's digit, then the reason; "": none */
	char *symbols;	/* owned; lines: the symbols of a matrix */
};

void tv_contents_free(struct tv_contents *c);

/* A file that is judged by itself. */
struct tv_subject {
	const char *name; /* what findings call it */
	const char *path; /* in the lakehouse */
	const struct tv_schema_file *schema;
	bool bars; /* gates look at it, by these: */
	struct tv_gates_rules rules;
	struct tv_lakehouse_file file;
	struct tv_addr digest; /* of the rules and everything else but the bytes */
	bool known;	       /* contents are there */
	struct tv_contents contents;
};

struct tv_validation {
	const struct tv_validate_how *how;
	struct tv_lakehouse *lake;
	struct tv_validated *out;
	struct tv_schema *schema;
	struct tv_tables tables;
	struct tv_assets assets;
	struct tv_subject *subjects; /* n_assets files of bars, then the others */
	size_t n_subjects, n_assets;
};

/* --- validate-tell.c --- */

int tv_validate_tell(struct tv_validation *v, const char *subject, enum tv_check check,
		     struct tv_err *err, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Sorts what was told and counts; the verdict. */
int tv_validate_verdict(struct tv_validated *out, struct tv_err *err);

/* --- validate-contents.c --- */

/* Reads and judges one file. -TV_E_GATE never: what is wrong with it is in its faults. */
int tv_contents_judge(const struct tv_subject *s, struct tv_duck *duck, int fd,
		      struct tv_contents *out, struct tv_err *err);

/* How contents are kept (docs/format.md), and read again: false when the bytes are none. */
int tv_contents_encode(const struct tv_contents *c, struct tv_buf *out, struct tv_err *err);
bool tv_contents_decode(struct tv_bytes bytes, struct tv_contents *out);

/* The digest of all that a subject's contents follow from but its bytes. */
struct tv_addr tv_contents_rules(const struct tv_subject *s, struct tv_err *err);

/* --- validate-judge.c --- */

/* Sees to the contents of all subjects: known verdicts, the others judged by many threads and kept. */
int tv_validate_judge(struct tv_validation *v, struct tv_err *err);

/* --- validate-compare.c --- */

/* Catalog, health and matrices against the files, and ages. */
int tv_validate_compare(struct tv_validation *v, struct tv_err *err);

#endif
