/* Writing a stored tree out as plain files: reflinks where the filesystem can, else copies; never a
 * hard link to a blob. */
#ifndef TV_STORE_CHECKOUT_H
#define TV_STORE_CHECKOUT_H

#include "store/base/progress.h"
#include "store/store.h"

/* Writes the tree below root to dest, which must not exist or be an empty folder: it is built
 * beside it under a temp name and renamed, so dest appears whole or not at all. Times and modes are
 * the commit's. Durable when it returns. What a killed checkout left beside dest is removed after a
 * minute. -TV_E_DIGEST, and no dest, when a blob is corrupted. */
int tv_checkout(struct tv_store *s, const struct tv_entry *root, const char *dest,
		const struct tv_progress *progress, struct tv_err *err);

/* Writes one file's bytes to an empty file at its start: as a reflink where the filesystem can, else as a copy.
 * What was written has been checked against the address: -TV_E_DIGEST, -TV_E_DAMAGED. */
int tv_checkout_file(struct tv_store *s, const struct tv_entry *file, int fd, struct tv_err *err);

#endif
