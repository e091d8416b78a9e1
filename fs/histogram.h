/*
 * How long things took, counted in buckets: a fixed array, so adding costs no memory and no lock.
 *
 * Each power of two is cut into four buckets of equal width, so a bucket's bounds differ by 25 % at
 * most (below 128 ns: by 32 ns). The idea, buckets that are linear within a power of two, is that of
 * Gil Tene's HdrHistogram. A bucket holds what is above the bound of the one before it, and at most its own:
 * as Prometheus' `le` counts.
 *
 * One thread at a time adds to a histogram; any may merge it into a sum of its own meanwhile, and
 * sees each number as it was a moment ago.
 */
#ifndef TV_FS_HISTOGRAM_H
#define TV_FS_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* All above 2^36 ns (69 s) is in the last one, which has no bound. */
#define TV_HISTOGRAM_BUCKETS 121

struct tv_histogram {
	uint64_t buckets[TV_HISTOGRAM_BUCKETS];
	uint64_t total, max; /* nanoseconds */
};

/* Adds to a number that only this thread writes, and others may read: no locked instruction. Who
 * sees it sees what the thread had counted before, too. */
static inline void tv_count(uint64_t *number, uint64_t n)
{
	__atomic_store_n(number, *number + n, __ATOMIC_RELEASE);
}

static inline uint64_t tv_counted(const uint64_t *number)
{
	return __atomic_load_n(number, __ATOMIC_ACQUIRE);
}

size_t tv_histogram_bucket(uint64_t ns);
/* The largest value that a bucket holds; UINT64_MAX for the last. */
uint64_t tv_histogram_bound(size_t bucket);

void tv_histogram_add(struct tv_histogram *h, uint64_t ns);
/* Adds what is in `from` to `sum`. */
void tv_histogram_merge(struct tv_histogram *sum, const struct tv_histogram *from);

/* The rest looks at sums that nobody writes. */

uint64_t tv_histogram_count(const struct tv_histogram *h);
/* A bound below which at least the share q (0 to 1) of all values lie, the lowest one known: that
 * of a bucket, or the maximum. 0 when there are none. */
uint64_t tv_histogram_quantile(const struct tv_histogram *h, double q);

#endif
