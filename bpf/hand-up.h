/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Misses that are handed up: an authentic LOOKUP that finds no record goes on to the host unchanged, where the daemon
 * asks Redis before it answers (sessions.onMiss). So many a second for each source and each key, and only while the
 * daemon lives: all else is answered here, as without. Nothing of this is looked at for a session that is found.
 *
 * These maps are the program's own and not pinned: they are of use to the daemon that has loaded it, and to no other.
 */
#ifndef SESSION_GATEWAY_HAND_UP_H
#define SESSION_GATEWAY_HAND_UP_H

#include "packet.h"

enum {
	NS_A_SECOND = 1000000000,
};

/* Whether somebody asks Redis. Mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct responder);
} responder SEC(".maps");

/*
 * Buckets of keys, then those of sources, each found by a hash: who shares one shares its rate. An array has the places
 * that there are, so a flood of sources pushes nobody out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MISS_KEY_BUCKETS + MISS_SOURCE_BUCKETS);
	__type(key, __u32);
	__type(value, struct miss_bucket);
} miss_buckets SEC(".maps");

/*
 * Takes one token, where there is one: a bucket is the time at which it will be full again (the generic cell rate
 * algorithm, ITU-T I.371), which one word holds.
 *
 * By a plain load and store, since arm64 takes no compare-and-swap before kernel 5.18. CPUs that take from one bucket
 * at the same moment may take one token together: a few too many go up, and the daemon, which has these rates too,
 * answers them without asking (src/gateway/responder/misses.ts). A lock would have them wait for each other instead.
 */
inlined int take_token(__u32 index, __u64 interval_ns, __u64 now_ns)
{
	volatile struct miss_bucket *bucket = bpf_map_lookup_elem(&miss_buckets, &index);
	__u64 full_ns, next_ns;

	if (!bucket)
		return 0;
	full_ns = bucket->full_ns;
	next_ns = (full_ns > now_ns ? full_ns : now_ns) + interval_ns;
	if (next_ns - now_ns > MISS_BURST_MS * 1000000ull)
		return 0;
	bucket->full_ns = next_ns;
	return 1;
}

inlined __u32 bucket_of_source(const struct address *source)
{
	__u64 mixed = load64(source->bytes) * 0x9e3779b97f4a7c15ull + load64(source->bytes + 8);

	/* The host's part of an IPv4 address is at the top, and a product's bits know only of those below. */
	mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ull;
	return MISS_KEY_BUCKETS + (mixed >> 32) % MISS_SOURCE_BUCKETS;
}

/* Whether a miss goes to the daemon. */
inlined int is_handed_up(const struct packet *packet, __u32 key_id)
{
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	const struct responder *there;
	struct address source;
	__u64 alive_ms;
	__u32 zero = 0;

	there = bpf_map_lookup_elem(&responder, &zero);
	if (!there)
		return 0;
	alive_ms = *(const volatile __u64 *)&there->alive_ms;
	if (!alive_ms || now_ns / 1000000 > alive_ms + MISS_ALIVE_MS)
		return 0;
	packet_source(packet, &source);
	return take_token(bucket_of_source(&source), NS_A_SECOND / MISS_PER_SOURCE, now_ns) &&
	       take_token(key_id % MISS_KEY_BUCKETS, NS_A_SECOND / MISS_PER_KEY, now_ns);
}

#endif
