/* The leftovers of crashes: temp files of dead processes, and blob files that have no row. */
#ifndef TV_STORE_GC_FILES_H
#define TV_STORE_GC_FILES_H

#include "store/store.h"

#define TV_GC_LOCK "gc.lock" /* one gc or forget at a time */

/* A blob file without a row may be of a commit on its way. That commit would find out (blob.h) and
 * begin anew; files younger than this are left alone so that it need not. */
#define TV_ORPHAN_AGE_NS (15 * 60 * 1000000000LL)

/* Visits blob files without a row in the index, whatever their age: path below blobs/, and its ctime. */
int tv_orphans_each(struct tv_store *s,
		    int (*visit)(void *arg, const char *path, int64_t ctime_ns, struct tv_err *err),
		    void *arg, struct tv_err *err);

/* Visits names in tmp/ that belong to no living process. */
int tv_temps_each(struct tv_store *s, int (*visit)(void *arg, const char *name, struct tv_err *err),
		  void *arg, struct tv_err *err);

/* Counts, and with `delete_` removes. */
int tv_gc_temps(struct tv_store *s, bool delete_, uint64_t *count, struct tv_err *err);
int tv_gc_orphans(struct tv_store *s, bool delete_, uint64_t *count, struct tv_err *err);

#endif
