/*
 * A hash map from 16-byte keys (addresses, which are already uniformly distributed) to a 64-bit
 * value: the mark set of gc, the nodes a commit is about to write. Open addressing, no deletion.
 * Not thread-safe.
 */
#ifndef TV_STORE_BASE_MAP16_H
#define TV_STORE_BASE_MAP16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tv_map16 {
	struct tv_map16_slot *slots; /* owned */
	size_t len, cap;	     /* cap is 0 or a power of two */
};

struct tv_map16_slot {
	uint8_t key[16];
	uint64_t value;
	bool used;
};

#define TV_MAP16_INIT ((struct tv_map16){ NULL, 0, 0 })

void tv_map16_free(struct tv_map16 *m);

/* The value's place, or NULL when the key is absent. Valid until the next put. */
uint64_t *tv_map16_get(const struct tv_map16 *m, const uint8_t key[16]);

/* Sets the value. 1 when the key is new, 0 when it was there, -ENOMEM. */
int tv_map16_put(struct tv_map16 *m, const uint8_t key[16], uint64_t value);

#define tv_automap16 __attribute__((cleanup(tv_map16_free)))

#endif
