/*
 * The judgement of a whole foundation, before anybody computes on it: docs/ingest.md says what is looked
 * for. What is found of an asset or a file is collected, all of it; nothing stops at the first.
 *
 * What follows from a file's bytes alone (schema, the gates) is judged once: verdicts are kept in the
 * store by blob and rules (store/verdicts.h). A blob's digests are known, so nothing is hashed but the
 * files of a plain folder.
 */
#ifndef TV_INGEST_VALIDATE_H
#define TV_INGEST_VALIDATE_H

#include <cjson/cJSON.h>

#include "ingest/lakehouse.h"
#include "store/base/progress.h"

enum tv_check {
	TV_CHECK_MISSING,    /* "missing": a file that has to be there is not */
	TV_CHECK_STALE,	     /* "stale": it is too old */
	TV_CHECK_SCHEMA,     /* "schema": it is not what the registry says */
	TV_CHECK_CATALOG,    /* "catalog": the catalog says something else than the file */
	TV_CHECK_QUARANTINE, /* "quarantine": its data were refused, and it is in use */
	TV_CHECK_BARS,	     /* "bars": a gate refuses the rows, or would cut some */
	TV_CHECKS
};

const char *tv_check_text(enum tv_check check);

/* Old or missing data is -TV_E_MISSING, everything else -TV_E_GATE. */
int tv_check_code(enum tv_check check);

/* A file that has to be there, and how old it may be (by its time in the tree); 0: any age. */
struct tv_validate_file {
	const char *path;
	int64_t max_age_s;
};

struct tv_validate_how {
	const cJSON *gates;		      /* the member of the settings, or NULL */
	int64_t now_s;			      /* Unix seconds */
	int64_t max_age_s;		      /* of the foundation; 0: any */
	struct tv_store *cache;		      /* where verdicts are kept, or NULL */
	struct tv_duck *duck;		      /* the calling thread's */
	unsigned threads;		      /* 0: as many as there are processors */
	const struct tv_validate_file *files; /* asked for besides the two matrices */
	size_t n_files;
	const struct tv_progress *progress;
};

struct tv_validate_finding {
	char *subject; /* owned: EXCHANGE:SYMBOL, or a file's name */
	enum tv_check check;
	char *reason; /* owned */
};

struct tv_validated {
	struct tv_validate_finding *findings; /* by subject, check, reason */
	size_t n, cap;
	size_t assets;	    /* files of bars */
	size_t judged;	    /* files that had to be read */
	size_t known;	    /* files whose verdict was known */
	size_t failing;	    /* subjects */
	size_t old;	    /* assets that are older than max_age_s; see docs/ingest.md */
	size_t quarantined; /* assets of which an older, good version is in use */
	int64_t newest_s;   /* when anything was fetched last; TV_CATALOG_UNKNOWN */
};

void tv_validated_free(struct tv_validated *v); /* empties it; NULL is fine */
#define tv_autovalidated __attribute__((cleanup(tv_validated_free)))

/*
 * Judges. 0: good. -TV_E_GATE: something is bad; -TV_E_MISSING: nothing is bad, but something old or
 * missing; *out has the findings, err names the first. Otherwise it could not be judged: -EINVAL (the
 * settings), -TV_E_DAMAGED (a blob is not there), -TV_E_INTERRUPTED, -ENOMEM, -EIO.
 */
int tv_validate(struct tv_lakehouse *l, const struct tv_validate_how *how, struct tv_validated *out,
		struct tv_err *err);

/* The same of a foundation by its top entry: for a gate of publishing (store/publish.h). */
int tv_validate_tree(struct tv_store *store, const struct tv_node_source *nodes,
		     const struct tv_entry *root, const struct tv_validate_how *how,
		     struct tv_validated *out, struct tv_err *err);

/* [{"subject", "check", "exit", "reason"}]; the caller owns it. NULL when out of memory. */
cJSON *tv_validated_json(const struct tv_validated *v);

#endif
