/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Lookups alone, as fast as they can be made, for the test that changes the table under them: from BPF_PROG_TEST_RUN on
 * another CPU, and from a timer that interrupts the writer on its own. What a session's record says follows from
 * its version and hash, so that every copy can be judged (test/bpf/stress/records.ts has the same formulas).
 */
#include "session.h"

struct bpf_map;

enum {
	ASKED = 16,
	EXPIRES_BASE_S = 4000000000,
	EXPIRES_FACTOR = 7,
	BACKEND_FACTOR = 31,
	BACKEND_IDS = LIMIT_BACKENDS - 1,
	CLOCK_MONOTONIC = 1,
};

/* What is asked for; the first 4 bytes of a hash are its index, and a session is in the table all the time or now and
 * then. */
struct asked {
	struct session_key key;
	__u32 is_permanent;
	__u32 is_used;
};

/* The first five are for the program `lookups`, the others for `interrupt`. */
struct seen {
	__u64 found;
	__u64 missed;
	__u64 busy;
	__u64 wrong;
	/* An older version than the one before. */
	__u64 backward;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ASKED);
	__type(key, __u32);
	__type(value, struct asked);
} asked SEC(".maps");

/* 0: `lookups`; 1: `interrupt` */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct seen);
} seen SEC(".maps");

/* The newest version that each of the two has seen of each session. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * ASKED);
	__type(key, __u32);
	__type(value, __u64);
} newest SEC(".maps");

struct tick {
	struct bpf_timer timer;
	__u64 period_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tick);
} ticks SEC(".maps");

inlined int is_written(const struct session_key *key, const struct session *copy)
{
	__u32 index = load32(key->hash);

	return copy->expires_ms == EXPIRES_BASE_S * 1000ull + copy->version * EXPIRES_FACTOR + index &&
	       copy->backend_id == 1 + (copy->version * BACKEND_FACTOR + index) % BACKEND_IDS && copy->generation == 1;
}

/* reader: 0 or 1, as in `seen` */
static long look_up_one(struct bpf_map *map, __u32 *index, struct asked *ask, __u32 *reader)
{
	const struct settings *setting;
	__u32 zero = 0, which = *reader, slot = which * ASKED + *index;
	struct session_key key = ask->key;
	struct session copy;
	struct seen *counts;
	__u64 *version;

	(void)map;
	setting = bpf_map_lookup_elem(&settings, &zero);
	counts = bpf_map_lookup_elem(&seen, &which);
	version = bpf_map_lookup_elem(&newest, &slot);
	if (!setting || !counts || !version || !ask->is_used)
		return 0;
	switch (find_session(setting, &key, &copy)) {
	case RECORD_FOUND:
		counts->found++;
		if (!is_written(&key, &copy))
			counts->wrong++;
		if (copy.version < *version)
			counts->backward++;
		*version = copy.version;
		break;
	case RECORD_NONE:
		counts->missed += ask->is_permanent;
		break;
	case RECORD_BUSY:
		counts->busy++;
	}
	return 0;
}

inlined void look_up_all(__u32 reader)
{
	bpf_for_each_map_elem(&asked, look_up_one, &reader, 0);
}

SEC("xdp")
int lookups(struct xdp_md *ctx)
{
	(void)ctx;
	look_up_all(0);
	return XDP_DROP;
}

static int on_tick(void *map, __u32 *key, struct tick *tick)
{
	(void)map;
	(void)key;
	look_up_all(1);
	bpf_timer_start(&tick->timer, tick->period_ns, 0);
	return 0;
}

/* Starts the timer on this CPU; it ends with the map. */
SEC("xdp")
int interrupt(struct xdp_md *ctx)
{
	struct tick *tick;
	__u32 zero = 0;

	(void)ctx;
	tick = bpf_map_lookup_elem(&ticks, &zero);
	if (!tick || bpf_timer_init(&tick->timer, &ticks, CLOCK_MONOTONIC))
		return XDP_ABORTED;
	bpf_timer_set_callback(&tick->timer, on_tick);
	bpf_timer_start(&tick->timer, tick->period_ns, 0);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
