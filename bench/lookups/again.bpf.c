/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Runs the gateway's program on one request after another within BPF_PROG_TEST_RUN, which itself shows it the same
 * packet each time, changed into a reply: a request is copied over the packet first, then the program takes over.
 * Without a program in `programs` it is what the copying costs.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum {
	REQUESTS_MAX = 4096,
	/* A BATCH of 64, padded. */
	BYTES_MAX = 1152,
};

struct request {
	__u8 bytes[BYTES_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REQUESTS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct request);
} requests SEC(".maps");

struct state {
	/* Which is next, of how many, and how long each is. */
	__u64 next;
	__u64 count;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct state);
} state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

SEC("xdp")
int again(struct xdp_md *ctx)
{
	struct request *request;
	struct state *held;
	__u32 index = 0;
	__u64 bytes;

	held = bpf_map_lookup_elem(&state, &index);
	if (!held)
		return XDP_ABORTED;
	index = held->next++;
	if (held->next >= held->count)
		held->next = 0;
	request = bpf_map_lookup_elem(&requests, &index);
	bytes = held->bytes;
	/* otherwise clang checks a sum of it, of which the verifier learns nothing */
	asm volatile("" : "+r"(bytes));
	if (!request || bytes < 1 || bytes > BYTES_MAX || bpf_xdp_store_bytes(ctx, 0, request->bytes, bytes))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &programs, 0);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
