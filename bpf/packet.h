/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Steps 1 and 2 of the protocol: which packets are datagrams for the gateway, and which of those the
 * fast path takes apart. Every byte of a packet is reached through the cursor, which knows its end.
 */
#ifndef SESSION_GATEWAY_PACKET_H
#define SESSION_GATEWAY_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "bytes.h"
#include "maps.h"

/* What is still to be read of a packet. */
struct cursor {
	void *at;
	void *end;
};

/* The next `size` bytes, now behind the cursor; NULL if the packet has fewer left. `size` is a constant. */
inlined void *cursor_take(struct cursor *cursor, __u32 size)
{
	void *taken = cursor->at;

	if (taken + size > cursor->end)
		return NULL;
	cursor->at = taken + size;
	return taken;
}

/*
 * Moves on by a number of bytes that only the packet tells. The caller has bounded it, or the verifier refuses the
 * program; whether the packet has them, the next cursor_take sees. Needs CAP_PERFMON: without it the verifier takes no
 * packet pointer with a variable offset.
 */
inlined void cursor_skip(struct cursor *cursor, __u32 bytes)
{
	cursor->at += bytes;
}

/* 802.1Q and 802.1ad */
struct vlan_tag {
	__be16 tci;
	__be16 protocol;
};

enum {
	VLAN_TAGS_MAX = 2,
	/* More fragments, or a fragment's offset (RFC 791, section 3.1). */
	IPV4_FRAGMENT_BITS = 0x3fff,
	/* Where a datagram's payload begins at the latest. */
	PAYLOAD_OFFSET_MAX = sizeof(struct ethhdr) + VLAN_TAGS_MAX * sizeof(struct vlan_tag) + sizeof(struct ipv6hdr) +
			     sizeof(struct udphdr),
};

/* A datagram for the gateway. The cursor stands behind the UDP header. */
struct packet {
	struct ethhdr *ethernet;
	/* Which of the two pointers is set; said apart, since the verifier knows no packet pointer to be other than
	 * NULL. */
	__u32 is_ipv4;
	struct iphdr *ipv4;
	struct ipv6hdr *ipv6;
	struct udphdr *udp;
	struct cursor rest;
	/* UDP's length as the IP header has it, host order. */
	__u32 ip_payload_bytes;
};

inlined void address_from_ipv4(struct address *address, __be32 ipv4)
{
	store64(address->bytes, 0);
	store64(address->bytes + 8, (__u64)ipv4 << 32 | bpf_htonl(0xffff));
}

inlined void address_from_ipv6(struct address *address, const struct in6_addr *ipv6)
{
	store64(address->bytes, load64(&ipv6->in6_u.u6_addr8[0]));
	store64(address->bytes + 8, load64(&ipv6->in6_u.u6_addr8[8]));
}

inlined void packet_source(const struct packet *packet, struct address *address)
{
	if (packet->is_ipv4)
		address_from_ipv4(address, packet->ipv4->saddr);
	else
		address_from_ipv6(address, &packet->ipv6->saddr);
}

inlined int is_own_address(const struct packet *packet)
{
	struct address address;

	if (packet->is_ipv4)
		address_from_ipv4(&address, packet->ipv4->daddr);
	else
		address_from_ipv6(&address, &packet->ipv6->daddr);
	return bpf_map_lookup_elem(&addresses, &address) != NULL;
}

/* IPv6 headers that may stand between the fixed one and UDP (RFC 8200; AH, mobility, HIP and Shim6 too). */
inlined int is_extension_header(__u8 next)
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case 139: /* Host Identity Protocol, RFC 7401 */
	case 140: /* Shim6, RFC 5533 */
		return 1;
	default:
		return 0;
	}
}

enum parsed {
	PARSED_DATAGRAM,
	/* Not for the gateway. */
	PARSED_OTHER,
	/* Perhaps for the gateway, but only the host's stack can tell. */
	PARSED_SLOW_PATH,
};

inlined enum parsed slow_path_if_ours(const struct packet *packet)
{
	return is_own_address(packet) ? PARSED_SLOW_PATH : PARSED_OTHER;
}

inlined enum parsed parse_udp(struct packet *packet, __u32 port)
{
	packet->udp = cursor_take(&packet->rest, sizeof(*packet->udp));
	if (!packet->udp || bpf_ntohs(packet->udp->dest) != port || !is_own_address(packet))
		return PARSED_OTHER;
	return PARSED_DATAGRAM;
}

inlined enum parsed parse_ipv4(struct packet *packet, __u32 port)
{
	struct iphdr *ip = cursor_take(&packet->rest, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
		return PARSED_OTHER;
	packet->is_ipv4 = 1;
	packet->ipv4 = ip;
	packet->ip_payload_bytes = (__u32)bpf_ntohs(ip->tot_len) - sizeof(*ip);
	if (ip->ihl > 5 || ip->frag_off & bpf_htons(IPV4_FRAGMENT_BITS))
		return slow_path_if_ours(packet);
	return parse_udp(packet, port);
}

inlined enum parsed parse_ipv6(struct packet *packet, __u32 port)
{
	struct ipv6hdr *ip = cursor_take(&packet->rest, sizeof(*ip));

	if (!ip || ip->version != 6)
		return PARSED_OTHER;
	packet->is_ipv4 = 0;
	packet->ipv6 = ip;
	packet->ip_payload_bytes = bpf_ntohs(ip->payload_len);
	if (is_extension_header(ip->nexthdr))
		return slow_path_if_ours(packet);
	if (ip->nexthdr != IPPROTO_UDP)
		return PARSED_OTHER;
	return parse_udp(packet, port);
}

/* port: the gateway's, host order */
inlined enum parsed parse_packet(struct xdp_md *ctx, __u32 port, struct packet *packet)
{
	__be16 protocol;

	packet->rest.at = (void *)(long)ctx->data;
	packet->rest.end = (void *)(long)ctx->data_end;

	packet->ethernet = cursor_take(&packet->rest, sizeof(*packet->ethernet));
	if (!packet->ethernet)
		return PARSED_OTHER;
	protocol = packet->ethernet->h_proto;

	for (int tags = 0; protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD); tags++) {
		struct vlan_tag *tag;

		if (tags == VLAN_TAGS_MAX)
			return PARSED_SLOW_PATH;
		tag = cursor_take(&packet->rest, sizeof(*tag));
		if (!tag)
			return PARSED_OTHER;
		protocol = tag->protocol;
	}

	if (protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(packet, port);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(packet, port);
	return PARSED_OTHER;
}

#endif
