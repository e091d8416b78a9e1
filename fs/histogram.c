#include "fs/histogram.h"

#define UNIT_BITS                                                                                  \
	5	/* the narrowest buckets are 32 ns wide: reading the clock takes about as long */
#define PARTS 4 /* of a power of two */
#define PARTS_BITS 2

size_t tv_histogram_bucket(uint64_t ns)
{
	uint64_t units = (ns ? ns - 1 : 0) >> UNIT_BITS;
	if (units < PARTS)
		return units;
	unsigned exponent = 63 - (unsigned)__builtin_clzll(units);
	size_t bucket =
		(size_t)PARTS * (exponent - 1) + ((units >> (exponent - PARTS_BITS)) & (PARTS - 1));
	return bucket < TV_HISTOGRAM_BUCKETS ? bucket : TV_HISTOGRAM_BUCKETS - 1;
}

uint64_t tv_histogram_bound(size_t bucket)
{
	if (bucket >= TV_HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX;
	if (bucket < PARTS)
		return (uint64_t)(bucket + 1) << UNIT_BITS;
	uint64_t part = PARTS + bucket % PARTS + 1;
	return part << (bucket / PARTS + 1 - PARTS_BITS + UNIT_BITS);
}

void tv_histogram_add(struct tv_histogram *h, uint64_t ns)
{
	tv_count(&h->buckets[tv_histogram_bucket(ns)], 1);
	tv_count(&h->total, ns);
	if (ns > h->max)
		__atomic_store_n(&h->max, ns, __ATOMIC_RELAXED);
}

void tv_histogram_merge(struct tv_histogram *sum, const struct tv_histogram *from)
{
	uint64_t max = tv_counted(&from->max);
	for (size_t i = 0; i < TV_HISTOGRAM_BUCKETS; i++)
		sum->buckets[i] += tv_counted(&from->buckets[i]);
	sum->total += tv_counted(&from->total);
	sum->max = max > sum->max ? max : sum->max;
}

uint64_t tv_histogram_count(const struct tv_histogram *h)
{
	uint64_t n = 0;
	for (size_t i = 0; i < TV_HISTOGRAM_BUCKETS; i++)
		n += h->buckets[i];
	return n;
}

uint64_t tv_histogram_quantile(const struct tv_histogram *h, double q)
{
	double rank = q * (double)tv_histogram_count(h);
	uint64_t wanted = (uint64_t)rank, seen = 0;
	wanted += (double)wanted < rank;
	for (size_t i = 0; i < TV_HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen && seen >= wanted)
			return tv_histogram_bound(i) < h->max ? tv_histogram_bound(i) : h->max;
	}
	return h->max;
}
