/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The flood benchmark's programs: what sends (run in live-frame mode, BPF_F_TEST_XDP_LIVE_FRAMES, kernel 5.18),
 * what counts answers at the sender's end, and the two that the gateway is compared with.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum {
	/* A LOOKUP over IPv4, and six bytes of Ethernet's padding. */
	FRAME_WORDS = 16,
	TEMPLATES = 1024,
	KINDS = 2,
	/* Where the payload is, and fields in it. */
	PAYLOAD = ETH_HLEN + 20 + 8,
	KEY_ID = PAYLOAD + 4,
	NONCE = PAYLOAD + 16,
	/* How a template is varied, packet by packet. */
	VARY_NONCE = 1,
	VARY_KEY_ID = 2,
	PACKETS_PER_CLOCK_READING = 16,
};

struct frame {
	__u64 words[FRAME_WORDS];
};

/* Two kinds of packets, each at a rate of its own; a kind without packets has no templates. */
struct kind {
	__u64 templates;
	/* A second; 0 = as many as go. */
	__u64 rate;
	__u64 vary;
	__u64 sent;
};

struct state {
	struct kind kinds[KINDS];
	__u64 began_ns;
	__u64 now_ns;
	__u64 readings;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KINDS *TEMPLATES);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state);
} state SEC(".maps");

/* Answers that came back: sessions found, and whatever else carries the gateway's or the echo's ports. */
struct counts {
	__u64 found;
	__u64 other;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* Whether one more of this kind is to go out now. */
static __always_inline int is_due(const struct kind *kind, __u64 elapsed_ns)
{
	return kind->templates && (!kind->rate || kind->sent * 1000000000 < elapsed_ns * kind->rate);
}

static __always_inline int fill(struct xdp_md *ctx, struct kind *kind, __u32 first)
{
	void *data = (void *)(long)ctx->data;
	__u32 index = first + kind->sent % kind->templates % TEMPLATES;
	const struct frame *frame = bpf_map_lookup_elem(&frames, &index);

	if (!frame || data + sizeof(*frame) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < FRAME_WORDS; i++)
		((__u64 *)data)[i] = frame->words[i];
	if (kind->vary & VARY_NONCE)
		*(__u32 *)(data + NONCE) = bpf_get_prandom_u32();
	if (kind->vary & VARY_KEY_ID)
		*(__u32 *)(data + KEY_ID) = bpf_get_prandom_u32();
	kind->sent++;
	return XDP_TX;
}

/* Frames are used again and again, and come back changed, so that each is written as a whole. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct state *held;
	__u32 zero = 0;

	held = bpf_map_lookup_elem(&state, &zero);
	if (!held)
		return XDP_ABORTED;
	if (held->readings++ % PACKETS_PER_CLOCK_READING == 0) {
		held->now_ns = bpf_ktime_get_ns();
		if (!held->began_ns)
			held->began_ns = held->now_ns;
	}
	if (is_due(&held->kinds[0], held->now_ns - held->began_ns))
		return fill(ctx, &held->kinds[0], 0);
	if (is_due(&held->kinds[1], held->now_ns - held->began_ns))
		return fill(ctx, &held->kinds[1], TEMPLATES);
	return XDP_DROP;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(long)ctx->data;
	struct counts *held;
	__u32 zero = 0;

	if ((void *)(data + sizeof(struct frame)) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	held = bpf_map_lookup_elem(&counts, &zero);
	if (!held || data[ETH_HLEN + 9] != IPPROTO_UDP)
		return XDP_PASS;
	/* a reply of type LOOKUP, with status FOUND */
	if (data[PAYLOAD + 3] == 0x81 && data[PAYLOAD + 24] == 0)
		held->found++;
	else
		held->other++;
	return XDP_DROP;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

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

char LICENSE[] SEC("license") = "Dual MIT/GPL";
