/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Writes a reply over its request, and turns the headers round, in place: back to the sender's MAC, address and port
 * from those that were asked, with VLAN tags as they came, hop limit 64, DSCP and ECN zero, and full checksums.
 */
#ifndef SESSION_GATEWAY_REPLY_H
#define SESSION_GATEWAY_REPLY_H

#include "packet.h"
#include "request.h"
#include "scratch.h"

enum {
	REPLY_HOP_LIMIT = 64,
	IPV4_DONT_FRAGMENT = 0x4000,
	LOOKUP_REPLY_WORDS = sizeof(struct lookup_reply) / 8,
};

/* Adds both halves of a word to a ones' complement sum (RFC 1071) that has room for 2^32 of them. */
inlined __u64 sum_add64(__u64 sum, __u64 word)
{
	return sum + (word & 0xffffffff) + (word >> 32);
}

/* The checksum, in network order, of what was summed in network order. */
inlined __u16 sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A reply of 80 bytes from scratch->reply to the packet. Returns its sum, unfolded. */
inlined __u64 write_lookup(const struct scratch *scratch, __u64 *payload)
{
	__u64 sum = 0;

	for (int i = 0; i < LOOKUP_REPLY_WORDS; i++) {
		__u64 word = scratch->reply.words[i];

		store64(payload + i, word);
		sum = sum_add64(sum, word);
	}
	return sum;
}

/*
 * The reply to a BATCH from scratch->reply to `offset` in the packet: `words` words with the tag, and the zeros behind
 * it. Returns its sum, unfolded and never 0, or 0 where the packet ends before. A global function: its loop is followed
 * once, not once for each layout of a packet.
 */
__attribute__((noinline)) __u64 write_batch(struct xdp_md *ctx, const struct scratch *scratch, __u64 offset,
					    __u64 words)
{
	struct cursor cursor = { .at = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	__u64 sum = 0, *at;

	if (!scratch || offset > PAYLOAD_OFFSET_MAX)
		return 0;
	cursor_skip(&cursor, offset);
	for (__u64 i = 0; i < TAGGED_WORDS_MAX + TAG_WORDS && i < words; i++) {
		opaque(cursor.at); /* or clang counts back from a pointer that is past what was checked */
		at = cursor_take(&cursor, sizeof(*at));
		if (!at)
			return 0;
		store64(at, scratch->reply.words[i]);
		sum = sum_add64(sum, scratch->reply.words[i]);
	}
	at = cursor_take(&cursor, sizeof(*at));
	if (!at)
		return 0;
	store64(at, 0);
	return sum;
}

/* The reply → the packet. Returns its sum, unfolded; 0 would be our mistake. */
inlined __u64 write_reply(struct xdp_md *ctx, const struct request *request, const struct scratch *scratch)
{
	if (!request->is_batch)
		return write_lookup(scratch, request->words);
	return write_batch(ctx, scratch, offset_of(ctx, request), request->tagged_words + TAG_WORDS);
}

inlined void swap_macs(struct ethhdr *ethernet)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
}

/* Returns the sum of the pseudo header's addresses. The datagram keeps its length. */
inlined __u64 turn_ipv4(struct iphdr *ip)
{
	__be32 asker = ip->saddr;
	__u64 addresses_sum = (__u64)asker + ip->daddr;

	ip->saddr = ip->daddr;
	ip->daddr = asker;
	ip->tos = 0;
	ip->id = 0; /* means nothing beside "don't fragment" (RFC 6864) */
	ip->frag_off = bpf_htons(IPV4_DONT_FRAGMENT);
	ip->ttl = REPLY_HOP_LIMIT;
	ip->check = sum_fold(addresses_sum + bpf_htons(0x4500) + ip->tot_len + bpf_htons(IPV4_DONT_FRAGMENT) +
			     bpf_htons(REPLY_HOP_LIMIT << 8 | IPPROTO_UDP));
	return addresses_sum;
}

inlined __u64 turn_ipv6(struct ipv6hdr *ip)
{
	struct address asker, asked;
	__u64 sum = 0;

	address_from_ipv6(&asker, &ip->saddr);
	address_from_ipv6(&asked, &ip->daddr);
	for (int i = 0; i < 16; i += 8) {
		store64(&ip->saddr.in6_u.u6_addr8[i], load64(asked.bytes + i));
		store64(&ip->daddr.in6_u.u6_addr8[i], load64(asker.bytes + i));
		sum = sum_add64(sum, load64(asked.bytes + i));
		sum = sum_add64(sum, load64(asker.bytes + i));
	}
	*(__be32 *)ip = bpf_htonl(6u << 28); /* version 6, traffic class and flow label 0 */
	ip->hop_limit = REPLY_HOP_LIMIT;
	return sum;
}

/* payload_sum: ones' complement sum, unfolded, of the reply's payload */
inlined void turn_headers(const struct packet *packet, __u64 payload_sum)
{
	struct udphdr *udp = packet->udp;
	__be16 port = udp->source;
	__u64 sum = payload_sum;
	__u16 check;

	swap_macs(packet->ethernet);
	sum += packet->is_ipv4 ? turn_ipv4(packet->ipv4) : turn_ipv6(packet->ipv6);
	udp->source = udp->dest;
	udp->dest = port;
	sum += bpf_htons(IPPROTO_UDP) + udp->len; /* pseudo header */
	sum += udp->source + udp->dest + udp->len;
	check = sum_fold(sum);
	udp->check = check ? check : 0xffff; /* 0 would say that there is none (RFC 768) */
}

#endif
