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
#include "trace.h"

enum timed_for {
	TIMED_FOR_COUNTS = 1,
	TIMED_FOR_TRACE = 2,
};

/* Whether this packet's time is counted. Others pay for a number that goes down, and that is all that they pay. */
inlined int is_counted(struct verdict_counts *counts)
{
	struct settings *setting;
	__u32 zero = 0, one_in;

	if (counts->until_timed) {
		counts->until_timed--;
		return 0;
	}
	setting = bpf_map_lookup_elem(&settings, &zero);
	one_in = setting ? setting->timed_one_in : 0;
	if (!one_in)
		return 0;
	/* 0 to twice the mean */
	counts->until_timed = bpf_get_prandom_u32() % (2 * one_in - 1);
	return 1;
}

/*
 * Sets `timed_for`. It is kept in a map, not in a register, so that the verifier follows what comes next once, not once
 * for each of its values.
 */
inlined void begin_timing(struct xdp_md *ctx, struct verdict_counts *counts)
{
	struct trace_control *control;
	__u32 zero = 0;

	if (is_counted(counts))
		counts->timed_for = TIMED_FOR_COUNTS;
	control = bpf_map_lookup_elem(&trace_control, &zero);
	if (control && control->until_ms && begin_trace(ctx, control))
		counts->timed_for |= TIMED_FOR_TRACE;
	if (counts->timed_for)
		counts->began_ns = bpf_ktime_get_ns();
}

/* Counts a time, if the packet was answered. */
inlined void count_time(__u32 verdict, __u64 took_ns)
{
	__u32 zero = 0, kind = latency_kind_of(verdict);
	struct latencies *counted;
	struct scratch *work;
	__u64 bucket;

	work = bpf_map_lookup_elem(&scratch, &zero);
	if (!work || kind == LATENCY_KINDS)
		return;
	if (work->request.header.type == REQUEST_BATCH)
		kind = LATENCY_BATCH;
	counted = bpf_map_lookup_elem(&latencies, &kind);
	if (!counted)
		return;
	counted->sum_ns += took_ns;
	bucket = latency_bucket_of(took_ns);
	opaque(bucket); /* or clang drops the comparison, which the verifier needs */
	if (bucket < LATENCY_BUCKETS)
		counted->packets[bucket]++;
}

/* Of a packet that is timed. A global function: what follows one packet of many is not in the others' way. */
__attribute__((noinline)) int end_timing(struct verdict_counts *counts, __u32 verdict)
{
	__u64 now_ns = bpf_ktime_get_ns(), took_ns;

	if (!counts)
		return -1;
	took_ns = now_ns - counts->began_ns;
	if (counts->timed_for & TIMED_FOR_COUNTS)
		count_time(verdict, took_ns);
	if (counts->timed_for & TIMED_FOR_TRACE)
		end_trace(verdict, counts->began_ns, took_ns);
	counts->timed_for = 0;
	return 0;
}

#endif
