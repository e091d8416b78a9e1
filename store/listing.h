/* The names in one folder, in byte order, read with getdents64: for a scan of a live folder that
 * may hold a million files in one place. One thread. */
#ifndef TV_STORE_LISTING_H
#define TV_STORE_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "store/base/err.h"

struct tv_listing_name {
	uint64_t key; /* the first bytes that tell names apart, big-endian; most need no more */
	uint32_t at;  /* in text, NUL-terminated */
	uint32_t len;
};

struct tv_listing {
	char *text;
	struct tv_listing_name *names;
	size_t len, cap, text_len, text_cap;
};

#define TV_LISTING_INIT ((struct tv_listing){ .text = NULL })

/* Reads a folder anew ("." and ".." left out); memory is used again. */
int tv_listing_read(struct tv_listing *l, int dirfd, struct tv_err *err);
void tv_listing_free(struct tv_listing *l);

static inline const char *tv_listing_name(const struct tv_listing *l, size_t i)
{
	return l->text + l->names[i].at;
}

#endif
