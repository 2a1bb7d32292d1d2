/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The primitives alone, one program each, for tests and micro-benchmarks through BPF_PROG_TEST_RUN.
 * Input and output share the packet: what a program reads is overwritten by what it computes.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#include "blake2s.h"
#include "hmac.h"
#include "latency.h"
#include "scratch.h"
#include "siphash.h"

/* The least that an answer costs: the frame as it came, MAC addresses turned round. */
SEC("xdp")
int echo(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u8 mac[ETH_ALEN];

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
	return XDP_TX;
}

/* 8 bytes of nanoseconds → the bucket that they are counted in, in their place */
SEC("xdp")
int latency_bucket(struct xdp_md *ctx)
{
	__u64 *ns = (void *)(long)ctx->data;

	if ((void *)(ns + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*ns = latency_bucket_of(*ns);
	return XDP_PASS;
}

/* What a primitive under a key starts from, out of the packet: the gateway, too, has both in maps. */
struct keyed {
	struct key key;
	__u64 message[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct keyed);
} keyed SEC(".maps");

/* struct key, then 40 bytes of message → 32 bytes of HMAC-SHA-256 at the start */
SEC("xdp")
int hmac_sha256_40(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct scratch *work;
	struct keyed *input;
	__u32 zero = 0;

	work = bpf_map_lookup_elem(&scratch, &zero);
	input = bpf_map_lookup_elem(&keyed, &zero);
	if (!work || !input || data + sizeof(*input) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (__u32 i = 0; i < sizeof(*input) / 8; i++)
		((__u64 *)input)[i] = load64(data + 8 * i);
	hmac_sha256(&input->key, input->message, 10, work->schedule, work->digest);
	for (int i = 0; i < 4; i++)
		store64(data + 8 * i, work->digest[i]);
	return XDP_PASS;
}

/* 8 words of state, then 16 of a block → the next state, 8 words, at the start */
SEC("xdp")
int sha256_block(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct scratch *work;
	__u32 state[8], zero = 0;

	work = bpf_map_lookup_elem(&scratch, &zero);
	if (!work || data + sizeof(state) + 4 * SHA256_BLOCK_WORDS > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < 8; i++)
		state[i] = load32(data + 4 * i);
	for (int i = 0; i < SHA256_BLOCK_WORDS; i++)
		work->schedule[i] = sha256_doubled(load32(data + sizeof(state) + 4 * i));
	sha256_compress(state, work->schedule);
	for (int i = 0; i < 8; i++)
		((__u32 *)data)[i] = state[i];
	return XDP_PASS;
}

/* 8 words of state, 16 of a block, bytes so far and whether it is the last (4 bytes each) → 8 words of state at the
 * start */
SEC("xdp")
int blake2s_block(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct scratch *work;
	__u32 *block, state[8], bytes, is_last, zero = 0;

	work = bpf_map_lookup_elem(&scratch, &zero);
	if (!work || data + 32 + 64 + 8 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	block = (__u32 *)work->schedule;
	for (int i = 0; i < 8; i++)
		state[i] = load32(data + 4 * i);
	for (int i = 0; i < 16; i++)
		block[i] = load32(data + 32 + 4 * i);
	bytes = load32(data + 96);
	is_last = load32(data + 100);
	blake2s_compress(state, state, block, 2 * BLOCK_WORDS, bytes, is_last);
	for (int i = 0; i < 8; i++)
		*(__u32 *)(data + 4 * i) = state[i];
	return XDP_PASS;
}

/* 16 bytes of key, 56 of message → 8 bytes at the start */
SEC("xdp")
int siphash64_56(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;

	if (data + 16 + 56 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	store64(data, siphash64(data, data + 16, 7));
	return XDP_PASS;
}

/* 16 bytes of key, 64 of message → 16 bytes at the start */
SEC("xdp")
int siphash128_64(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	__u64 out[2];

	if (data + 16 + 64 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	siphash128(data, data + 16, 8, out);
	store64(data, out[0]);
	store64(data + 8, out[1]);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
