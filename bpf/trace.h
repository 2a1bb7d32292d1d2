/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Packets shown to an operator who watches, with what became of them. What a packet says is taken down before it is
 * answered, since the answer is written over it.
 */
#ifndef SESSION_GATEWAY_TRACE_H
#define SESSION_GATEWAY_TRACE_H

#include "maps.h"
#include "packet.h"

enum {
	/* Neither IPv4 nor IPv6: what the cursor did not get as far as. */
	FAMILY_UNKNOWN = 2,
};

/* What may follow a header that is told of: a hash, or a BATCH's prefix and its first hash. */
struct after_header {
	__be16 count;
	__u8 zero[6];
	__u8 batch_hash[4];
};

inlined void take_down_header(struct cursor *rest, struct traced_packet *packet)
{
	struct wire_header *header = cursor_take(rest, sizeof(*header));
	struct after_header *after;
	__u32 count;

	if (!header || header->magic != bpf_htons(WIRE_MAGIC) || header->version != WIRE_VERSION)
		return;
	packet->key_id = bpf_ntohl(header->key_id);
	packet->type = header->type;
	after = cursor_take(rest, sizeof(*after));
	if (!after)
		return;
	packet->has_hash = 1;
	if (header->type != REQUEST_BATCH) {
		__builtin_memcpy(packet->hash, after, sizeof(packet->hash));
		return;
	}
	count = bpf_ntohs(after->count);
	packet->entries = count < 255 ? count : 255;
	__builtin_memcpy(packet->hash, after->batch_hash, sizeof(packet->hash));
}

inlined int is_wanted(const struct trace_control *control, const struct traced_packet *packet)
{
	if (control->key_id && control->key_id != packet->key_id)
		return 0;
	for (int i = 0; i < 16; i += 8)
		if ((load64(packet->source + i) & load64(control->source_mask + i)) != load64(control->source + i))
			return 0;
	return 1;
}

/* Takes down a packet if it is to be traced: 1, else 0. A global function: nobody pays for it who isn't watched. */
__attribute__((noinline)) int begin_trace(struct xdp_md *ctx, const struct trace_control *control)
{
	struct packet packet = { .is_ipv4 = FAMILY_UNKNOWN };
	struct settings *setting;
	struct traced_packet *down;
	struct address source;
	__u32 zero = 0;
	enum parsed parsed;

	if (!control || bpf_ktime_get_coarse_ns() / 1000000 >= control->until_ms)
		return 0;
	if (control->one_in > 1 && bpf_get_prandom_u32() % control->one_in)
		return 0;
	setting = bpf_map_lookup_elem(&settings, &zero);
	down = bpf_map_lookup_elem(&traced, &zero);
	if (!setting || !down)
		return 0;
	parsed = parse_packet(ctx, setting->port, &packet);
	if (parsed == PARSED_OTHER)
		return 0;
	__builtin_memset(down, 0, sizeof(*down));
	if (packet.is_ipv4 != FAMILY_UNKNOWN) {
		packet_source(&packet, &source);
		store64(down->source, load64(source.bytes));
		store64(down->source + 8, load64(source.bytes + 8));
	}
	if (parsed == PARSED_DATAGRAM) {
		down->source_port = bpf_ntohs(packet.udp->source);
		take_down_header(&packet.rest, down);
	}
	return is_wanted(control, down);
}

/* Hands over the packet that was taken down, if what became of it is wanted. Nobody is woken: the daemon looks by
 * itself. */
inlined void end_trace(__u32 verdict, __u64 began_ns, __u64 took_ns)
{
	struct trace_control *control;
	struct traced_packet *down;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&trace_control, &zero);
	down = bpf_map_lookup_elem(&traced, &zero);
	if (!control || !down || !(control->verdicts >> (verdict & 63) & 1))
		return;
	down->began_ns = began_ns;
	down->took_ns = took_ns < 0xffffffff ? took_ns : 0xffffffff;
	down->verdict = verdict;
	if (bpf_ringbuf_output(&trace_ring, down, sizeof(*down), BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&control->lost, 1);
}

#endif
