/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The maps. All are pinned and outlive the daemon, but for those that say otherwise. Those marked "mapped" are mapped
 * into the daemon's memory (BPF_F_MMAPABLE, kernel 5.5), which writes them by plain stores.
 */
#ifndef SESSION_GATEWAY_MAPS_H
#define SESSION_GATEWAY_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* What makes Unix time of the monotonic clock. Mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct wall_clock);
} wall_clock SEC(".maps");

/* Settings and switches: read once by every packet, written by the daemon. Mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* Addresses that the gateway answers on. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_ADDRESSES);
	__type(key, struct address);
	__type(value, __u32);
} addresses SEC(".maps");

/* Networks that may ask, when settings.allow_list is 1. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, LIMIT_ALLOWED_NETWORKS);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* the kernel takes no trie without it */
	__type(key, struct network);
	__type(value, __u32);
} allowed_networks SEC(".maps");

/* Secrets by key id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_KEYS);
	__type(key, __u32);
	__type(value, struct key);
} keys SEC(".maps");

/* What each key id ever stood for. Only the daemon reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_KEY_HISTORY);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* nearly empty in practice */
	__type(key, __u32);
	__type(value, struct key_fingerprint);
} key_history SEC(".maps");

/*
 * The sessions. max_entries is set by the loader from sessions.capacity. Preallocated: a sleepable
 * program (apply_changes) takes no other hash map before kernel 6.1, and memory is known at start.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct session_key);
	__type(value, struct session);
} sessions SEC(".maps");

/*
 * Copies of the sessions' records. max_entries is set by the loader from sessions.capacity. Mappable only since an
 * element then begins a line of the processor's caches: nobody maps it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct session_copies);
} session_copies SEC(".maps");

/* Revocations. Preallocated, as the sessions are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_DENIED);
	__type(key, struct session_key);
	__type(value, struct denied);
} denied SEC(".maps");

/* Facts. Preallocated, as the sessions are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_FACTS);
	__type(key, struct session_key);
	__type(value, struct fact);
} facts SEC(".maps");

/* Records that are being written over others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct under_way);
} under_way SEC(".maps");

/*
 * Backends by id, and the ring, twice each: the daemon writes the halves that are not in force, then switches
 * settings.backends_half, so that a reply never mixes two states of them. Mapped.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * LIMIT_BACKENDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * LIMIT_RING_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ring_slot);
} ring SEC(".maps");

/* How often each backend was named in an answer, by its id, counted by each CPU for itself. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LIMIT_BACKENDS);
	__type(key, __u32);
	__type(value, __u64);
} backend_answers SEC(".maps");

/*
 * The same of what the daemon answers of itself, for which it can't add to one CPU's count beside a program. Only the
 * daemon looks at it. Mapped.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMIT_BACKENDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct daemon_answers);
} daemon_answers SEC(".maps");

/* What apply_changes is to do. Mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMIT_CHANGES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct change);
} changes SEC(".maps");

/* How full `sessions`, `denied` and `facts` are: the kernel does not tell. Mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct table_counts);
} table_counts SEC(".maps");

/* Packets by verdict, counted by each CPU for itself. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct verdict_counts);
} verdict_counts SEC(".maps");

/* Authentic requests by key, at key.uses_at, counted by each CPU for itself. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LIMIT_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} key_uses SEC(".maps");

/* How long answers take, by enum latency_kind, counted by each CPU for itself. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LATENCY_KINDS);
	__type(key, __u32);
	__type(value, struct latencies);
} latencies SEC(".maps");

/* Which packets are traced. Mapped; not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct trace_control);
} trace_control SEC(".maps");

/* Traced packets on their way to the daemon (kernel 5.8). Not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, LIMIT_TRACE_BYTES);
} trace_ring SEC(".maps");

/* The packet that is being traced. Not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traced_packet);
} traced SEC(".maps");

/* How many requests outside the skew each CPU has looked at in this second. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct skew_budget);
} skew_budget SEC(".maps");

#endif
