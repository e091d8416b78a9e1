/*
 * The two digests of the store, computed in one pass.
 *
 * An address (XXH3-128, canonical big-endian form, seed 0) is the store's key for a blob or a tree
 * node: it finds bytes and detects damage at memory speed. A SHA-256 is an identity: what users
 * see, what foundations are made of, what no one can forge.
 */
#ifndef TV_STORE_HASH_H
#define TV_STORE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "store/base/err.h"

struct tv_addr {
	uint8_t b[16];
};

struct tv_sha {
	uint8_t b[32];
};

#define TV_ADDR_HEX 33 /* 32 digits and a NUL */
#define TV_SHA_HEX 65

static inline bool tv_addr_eq(const struct tv_addr *a, const struct tv_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool tv_sha_eq(const struct tv_sha *a, const struct tv_sha *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool tv_addr_is_zero(const struct tv_addr *a)
{
	static const struct tv_addr zero;
	return tv_addr_eq(a, &zero);
}

void tv_addr_hex(const struct tv_addr *a, char out[TV_ADDR_HEX]);
void tv_sha_hex(const struct tv_sha *s, char out[TV_SHA_HEX]);
bool tv_addr_from_hex(const char *hex, struct tv_addr *out); /* exactly 32 digits */
bool tv_sha_from_hex(const char *hex, struct tv_sha *out);   /* exactly 64 digits */

/* Digests of bytes in memory. -ENOMEM. */
struct tv_addr tv_addr_of(const void *bytes, size_t n);
int tv_sha_of(const void *bytes, size_t n, struct tv_sha *out, struct tv_err *err);

/* A running pair of digests. Not thread-safe; can be reset and used again. After _final and _sha a
 * _reset comes before the next _update. All return 0 or -ENOMEM. */
struct tv_hasher;
int tv_hasher_new(struct tv_hasher **out, struct tv_err *err);
void tv_hasher_free(struct tv_hasher *h);
int tv_hasher_reset(struct tv_hasher *h, struct tv_err *err);
int tv_hasher_update(struct tv_hasher *h, const void *bytes, size_t n, struct tv_err *err);
int tv_hasher_final(struct tv_hasher *h, struct tv_addr *addr, struct tv_sha *sha,
		    struct tv_err *err);
/* The SHA-256 of one input, dropping what the hasher was at: for many short inputs, a third of what
 * tv_sha_of costs. */
int tv_hasher_sha(struct tv_hasher *h, const void *bytes, size_t n, struct tv_sha *out,
		  struct tv_err *err);

/* A running address alone, at memory speed. _new gives NULL without memory. */
struct tv_addr_sum;
struct tv_addr_sum *tv_addr_sum_new(void);
void tv_addr_sum_free(struct tv_addr_sum *s);
void tv_addr_sum_update(struct tv_addr_sum *s, const void *bytes, size_t n);
struct tv_addr tv_addr_sum_final(const struct tv_addr_sum *s);

static inline void tv_addr_sum_free_p(struct tv_addr_sum **s)
{
	tv_addr_sum_free(*s);
}
#define tv_autoaddrsum __attribute__((cleanup(tv_addr_sum_free_p)))

#endif
