/* What the two kinds of lakehouse share. Only ingest/lakehouse*.c include this. */
#ifndef TV_INGEST_LAKEHOUSE_PRIV_H
#define TV_INGEST_LAKEHOUSE_PRIV_H

#include "ingest/lakehouse.h"
#include "store/base/buf.h"
#include "store/blob.h"

struct tv_staged {
	char *path; /* owned */
	bool remove;
	bool table;
	struct tv_buf bytes; /* of a table */
	struct tv_sha sha;
	struct tv_blob blob; /* of a file in a store */
	char *temp;	     /* of a file in a folder: its temp file's path; owned */
};

/* One that is only for reading has no open_before, take, leave and publish. */
struct tv_lakehouse_kind {
	int (*open)(struct tv_lakehouse *l, const char *path, struct tv_err *err);
	int (*open_table)(struct tv_lakehouse *l, const char *path, struct tv_err *err);
	int (*open_before)(struct tv_lakehouse *l, const char *path, struct tv_err *err);
	int (*sha)(struct tv_lakehouse *l, const char *path, struct tv_sha *out,
		   struct tv_err *err);
	int (*stat)(struct tv_lakehouse *l, const char *path, struct tv_lakehouse_file *out,
		    struct tv_err *err);
	int (*each)(struct tv_lakehouse *l,
		    int (*visit)(void *arg, const char *name, struct tv_err *err), void *arg,
		    struct tv_err *err);
	/* Copies a descriptor's bytes, or takes the file if it is `ours`; fills sha, and blob or temp. */
	int (*take)(struct tv_lakehouse *l, int fd, bool ours, struct tv_staged *s,
		    struct tv_err *err);
	/* Undoes take. */
	void (*leave)(struct tv_lakehouse *l, struct tv_staged *s);
	int (*publish)(struct tv_lakehouse *l, const struct tv_lakehouse_publish *how,
		       struct tv_lakehouse_published *out, struct tv_err *err);
	void (*free)(struct tv_lakehouse *l);
};

/* The first member of both kinds. */
struct tv_lakehouse {
	const struct tv_lakehouse_kind *kind;
	struct tv_staged *staged; /* by path; owned */
	size_t n_staged, cap_staged;
};

#define TV_REBASES_MAX 100 /* so often others may be first */

#endif
