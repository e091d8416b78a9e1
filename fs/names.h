/*
 * What the overlay may say about a merged folder's names: a set of hashes, so that a look-up of a
 * frozen name asks the disk nothing when the overlay has no word on it.
 *
 * A hash stands for a name that the overlay holds or hides. Nothing is ever taken out, and two names
 * may share one: "no" is certain, "maybe" means that the disk must be asked. Above TV_NAMES_MAX
 * entries the set gives up and always says maybe, so its memory is bounded.
 */
#ifndef TV_FS_NAMES_H
#define TV_FS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TV_NAMES_MAX ((size_t)1 << 20)

/* What several sets hold together. Each number is atomic. */
struct tv_names_total {
	uint64_t sets, names, bytes;
};

struct tv_names {
	struct tv_names_total *total; /* that this one is counted in; or NULL */
	uint64_t *slots;	      /* owned; 0 is an empty slot */
	size_t len, cap;	      /* cap: 0 or a power of two */
	bool all;		      /* gave up */
	bool unbounded;		      /* gives up only without memory */
};

/* Reads the folder `name` in dirfd ("" is dirfd itself). The set is counted in total (nullable) until
 * it is freed. -ENOMEM or what listing it gave. */
int tv_names_load(int dirfd, const char *name, struct tv_names_total *total, struct tv_names **out);
void tv_names_free(struct tv_names *s); /* NULL is fine */

/* Without memory for it the set gives up, which is always right. */
void tv_names_add(struct tv_names *s, const char *name, size_t n);
bool tv_names_maybe(const struct tv_names *s, const char *name, size_t n);

#endif
