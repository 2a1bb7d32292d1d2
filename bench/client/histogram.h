/* SPDX-License-Identifier: MIT */
/*
 * Times in ns, counted in buckets of at most a 64th of their value, up to 17 s. Used by the benchmarks' client.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { SUB_BITS = 6, BUCKETS = 30 << SUB_BITS };

struct histogram {
	uint64_t counts[BUCKETS], total;
};

static inline uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift, bucket;

	if (ns < 1 << SUB_BITS)
		return ns;
	shift = 63 - __builtin_clzll(ns) - SUB_BITS;
	bucket = ((shift + 1) << SUB_BITS) + (uint32_t)((ns >> shift) - (1 << SUB_BITS));
	return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static inline void add_time(struct histogram *histogram, uint64_t ns)
{
	histogram->counts[bucket_of(ns)]++;
	histogram->total++;
}

/* The middle of the bucket that this part of all times, of a million, lies in or below; 0 where there are none. */
static inline uint64_t quantile(const struct histogram *histogram, uint64_t millionths)
{
	uint64_t wanted = (histogram->total * millionths + 999999) / 1000000, seen = 0;

	for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
		uint32_t shift = bucket >> SUB_BITS ? (bucket >> SUB_BITS) - 1 : 0;
		uint64_t low = bucket >> SUB_BITS ? (uint64_t)((1 << SUB_BITS) + (bucket & 63)) << shift : bucket;

		seen += histogram->counts[bucket];
		if (seen && seen >= wanted)
			return low + (1ULL << shift) / 2;
	}
	return 0;
}

#endif
