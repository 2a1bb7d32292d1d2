/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Under what a time is counted, and in which bucket.
 */
#ifndef SESSION_GATEWAY_LATENCY_H
#define SESSION_GATEWAY_LATENCY_H

#include "abi.h"
#include "bytes.h"

/* LATENCY_KINDS where nothing was answered. */
inlined enum latency_kind latency_kind_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_REPLY_CLOCK_SKEW:
		return LATENCY_CLOCK_SKEW;
	case VERDICT_REPLY_NOT_READY:
		return LATENCY_NOT_READY;
	case VERDICT_REPLY_FOUND:
	case VERDICT_REPLY_MOVED:
		return LATENCY_FOUND;
	case VERDICT_REPLY_PLACED:
	case VERDICT_REPLY_NOT_FOUND:
		return LATENCY_NOT_FOUND;
	case VERDICT_REPLY_DENIED:
		return LATENCY_DENIED;
	default:
		return LATENCY_KINDS;
	}
}

/* By enum latency_scale. */
inlined __u64 latency_bucket_of(__u64 ns)
{
	__u64 below = ns ? ns - 1 : 0, bits = LATENCY_FIRST_BITS;

	if (!(below >> LATENCY_FIRST_BITS))
		return 0;
	if (below >> LATENCY_LAST_BITS)
		return LATENCY_BUCKETS - 1;
	for (int i = LATENCY_FIRST_BITS; i < LATENCY_LAST_BITS - 1; i++)
		bits += (below >> (i + 1)) != 0;
	return 1 + ((bits - LATENCY_FIRST_BITS) << LATENCY_PARTS_BITS) +
	       ((below >> (bits - LATENCY_PARTS_BITS)) & ((1 << LATENCY_PARTS_BITS) - 1));
}

#endif
