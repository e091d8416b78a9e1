/* What the parts of an audit share. Only ingest/audit*.c include this. */
#ifndef TV_INGEST_AUDIT_PRIV_H
#define TV_INGEST_AUDIT_PRIV_H

#include "ingest/audit.h"
#include "ingest/catalog.h"
#include "ingest/gaps.h"
#include "ingest/gates.h"
#include "ingest/schema.h"

/* One asset that is to be judged, and what was found. A thread has it for itself. */
struct tv_audit_task {
	struct tv_audited *item;
	const struct tv_schema_file *schema;
	struct tv_gates_rules rules;
	struct tv_gaps permanent; /* owned; the rules know of them */
	bool has_catalog;	  /* the lakehouse has a catalog */
	bool in_catalog;
	struct tv_catalog_entry entry;
	bool active;
	int64_t now_s, fresh_s;
	/* While it is judged: */
	int fd, fd_before; /* -1: it is not to be had, not compared */
	char sha[TV_SHA_HEX];
	struct tv_err why; /* without fd: why */
	bool same;	   /* the other foundation has the same bytes */
};

/* --- audit-report.c --- */

/* Adds a finding; *out (nullable) is it, until the next one is added. The reason is formatted. -ENOMEM. */
int tv_audit_add(struct tv_audited *item, unsigned kind, struct tv_audit_finding **out,
		 struct tv_err *err, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Adds a text to one. -ENOMEM. */
int tv_audit_tell(struct tv_audit_finding *finding, const char *text, struct tv_err *err);

/* Keeps the closes around a row. -ENOMEM. */
int tv_audit_keep_closes(struct tv_audit_finding *finding, const struct tv_bars *bars, size_t row,
			 struct tv_err *err);

void tv_audited_free(struct tv_audited *item);

/* --- audit-asset.c --- */

/* What the check of a schema tells (struct tv_schema_findings): all of it is one finding of an item. */
struct tv_audit_schema_words {
	struct tv_audited *item;
	struct tv_audit_finding *finding; /* NULL: nothing was told */
};
int tv_audit_schema_found(void *arg, const struct tv_schema_finding *found, struct tv_err *err);

/* Judges one. duck belongs to the thread. -ENOMEM. */
int tv_audit_asset(struct tv_audit_task *task, struct tv_duck *duck, struct tv_err *err);

/* --- audit-drift.c --- */

/* Its rows against what they were: restated, shrunk, another distribution. Without `before` only the last. */
int tv_audit_drift(struct tv_audit_task *task, const struct tv_bars *now,
		   const struct tv_bars *before, struct tv_err *err);

#endif
