/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * How long answers take, of a sample of packets: two readings of the exact clock cost as much as half of a bare echo.
 * Which packets are timed is left to chance, or traffic with a pattern would be timed at one place of it only.
 */
#ifndef SESSION_GATEWAY_TIMING_H
#define SESSION_GATEWAY_TIMING_H

#include "latency.h"
#include "maps.h"
#include "scratch.h"

/* Sees to it that `began_ns` is set if this packet is timed. Others pay for a count, and here is all that they pay. */
inlined void begin_timing(struct verdict_counts *counts)
{
	struct settings *setting;
	__u32 zero = 0, one_in;

	if (counts->until_timed) {
		counts->until_timed--;
		return;
	}
	setting = bpf_map_lookup_elem(&settings, &zero);
	one_in = setting ? setting->timed_one_in : 0;
	if (!one_in)
		return;
	/* 0 to twice the mean */
	counts->until_timed = bpf_get_prandom_u32() % (2 * one_in - 1);
	counts->began_ns = bpf_ktime_get_ns();
}

/*
 * Counts the time of a packet that `began_ns` is set for, if it was answered. A global function: what follows the one
 * packet of many is not in the others' way.
 */
__attribute__((noinline)) int end_timing(struct verdict_counts *counts, __u32 verdict)
{
	__u64 now_ns = bpf_ktime_get_ns(), took_ns, bucket;
	struct latencies *counted;
	struct scratch *work;
	__u32 zero = 0, kind;

	if (!counts)
		return -1;
	took_ns = now_ns - counts->began_ns;
	counts->began_ns = 0;
	kind = latency_kind_of(verdict);
	work = bpf_map_lookup_elem(&scratch, &zero);
	if (!work || kind == LATENCY_KINDS)
		return 0;
	if (work->request.header.type == REQUEST_BATCH)
		kind = LATENCY_BATCH;
	counted = bpf_map_lookup_elem(&latencies, &kind);
	if (!counted)
		return -1;
	counted->sum_ns += took_ns;
	bucket = latency_bucket_of(took_ns);
	opaque(bucket); /* or clang drops the comparison, which the verifier needs */
	if (bucket < LATENCY_BUCKETS)
		counted->packets[bucket]++;
	return 0;
}

#endif
