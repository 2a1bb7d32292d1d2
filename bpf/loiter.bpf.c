/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * A packet's program that takes long over one half of the backends, as where the hypervisor takes its CPU away, for the
 * test that switches the halves meanwhile (test/bpf/switch.test.ts).
 */
#include "maps.h"

struct bpf_map;

enum {
	/* Of which a run makes as many as the ring has slots, twice: some 100 ms in all. */
	READINGS = 24,
	LOOKED_AT = 1,
};

static long idle(struct bpf_map *map, __u32 *index, struct ring_slot *slot, __u64 *last_ns)
{
	(void)map;
	(void)index;
	(void)slot;
	for (int i = 0; i < READINGS; i++)
		*last_ns += bpf_ktime_get_ns();
	return 0;
}

/* XDP_PASS = the half was the same before and after; XDP_DROP = it was not. */
SEC("xdp")
int loiter(struct xdp_md *ctx)
{
	__u64 last_ns = 0;
	const volatile struct backend *backend;
	struct settings *setting;
	__u32 zero = 0, index;
	__be16 before;

	(void)ctx;
	setting = bpf_map_lookup_elem(&settings, &zero);
	if (!setting)
		return XDP_ABORTED;
	index = (((const volatile struct settings *)setting)->backends_half & 1) * LIMIT_BACKENDS + LOOKED_AT;
	backend = bpf_map_lookup_elem(&backends, &index);
	if (!backend)
		return XDP_ABORTED;
	before = backend->port;
	bpf_for_each_map_elem(&ring, idle, &last_ns, 0);
	return backend->port == before ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
