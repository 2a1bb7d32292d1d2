/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * When a session came into the gateway's table: as a bpf(2) call of the daemon's ends, the changes that it made are
 * stamped. Whoever measures needn't look again and again, which on a machine of two CPUs is most of what would be
 * measured.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* Whose calls count: a process id, set by whoever loads this. */
const volatile __u32 daemon;

struct hash {
	__u8 bytes[16];
};

/* The gateway's own: what apply_changes was called for last, from the first on. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMIT_CHANGES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct change);
} changes SEC(".maps");

/* CLOCK_MONOTONIC, ns. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct hash);
	__type(value, __u64);
} stamps SEC(".maps");

/* Ends at the first one of an earlier call. */
static long stamp_one(__u32 index, __u64 *now)
{
	struct change *change = bpf_map_lookup_elem(&changes, &index);

	return !change || bpf_map_update_elem(&stamps, change->hash, now, BPF_NOEXIST) != 0;
}

SEC("tracepoint/syscalls/sys_exit_bpf")
int stamp(void *context)
{
	__u64 now = bpf_ktime_get_ns();

	(void)context;
	if (bpf_get_current_pid_tgid() >> 32 == daemon)
		bpf_loop(LIMIT_CHANGES, stamp_one, &now, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
