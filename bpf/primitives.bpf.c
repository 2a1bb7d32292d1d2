/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The primitives alone, one program each, for tests and micro-benchmarks through BPF_PROG_TEST_RUN.
 * Input and output share the packet: what a program reads is overwritten by what it computes.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "hmac.h"
#include "scratch.h"
#include "siphash.h"

/* struct key, then 40 bytes of message → 32 bytes of HMAC-SHA-256 at the start */
SEC("xdp")
int hmac_sha256_40(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct scratch *work;
	struct key key;
	__u32 zero = 0;

	work = bpf_map_lookup_elem(&scratch, &zero);
	if (!work || data + sizeof(key) + 40 > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(&key, data, sizeof(key));
	hmac_sha256(&key, data + sizeof(key), 10, work->block, work->digest);
	for (int i = 0; i < 4; i++)
		store64(data + 8 * i, work->digest[i]);
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
