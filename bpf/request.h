/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Step 3 of the protocol, as far as it is about a type's own form: where a request of each type has its parts.
 */
#ifndef SESSION_GATEWAY_REQUEST_H
#define SESSION_GATEWAY_REQUEST_H

#include "packet.h"
#include "prf.h"

/* What follows that which the tag covers, in a request of any type. */
struct proof {
	__u8 tag[16];
	__u8 guard[8];
};

/* A request's parts, in the packet. */
struct request {
	/* The first 32 bytes are a BATCH's prefix, and a LOOKUP's header with half of its hash. */
	__u64 *words;
	/* How many words the tag covers. */
	__u64 tagged_words;
	/*
	 * 0 or 1. Said apart from `count`, since the verifier follows a constant, but not what clang makes of a
	 * number's bounds; 64 bits wide, since before 5.16 it forgets a narrower one on the stack.
	 */
	__u64 is_batch;
	/* Entries of a BATCH. */
	__u64 count;
	const struct proof *proof;
	/* Not 0 where a reserved byte is not. */
	__u64 reserved;
};

/* A LOOKUP or FACT, at the cursor; 0 = its length is wrong. */
inlined int take_lookup(struct packet *packet, struct request *request)
{
	struct lookup_request *lookup = cursor_take(&packet->rest, sizeof(*lookup));

	if (!lookup || packet->ip_payload_bytes != sizeof(struct udphdr) + sizeof(*lookup))
		return 0;
	request->words = (__u64 *)lookup;
	request->tagged_words = LOOKUP_TAGGED_WORDS;
	request->is_batch = 0;
	opaque(request->is_batch); /* or clang asks the packet's type again, which says nothing of the path (before 6.9)
				    */
	request->proof = (const struct proof *)lookup->tag;
	request->reserved = load64(lookup->zero) | load64(lookup->zero + 8);
	return 1;
}

/* A BATCH, at the cursor; 0 = its length is wrong, or no batch has so many entries. */
inlined int take_batch(struct packet *packet, struct request *request)
{
	struct batch_prefix *prefix = cursor_take(&packet->rest, sizeof(*prefix));
	__u64 count;

	if (!prefix)
		return 0;
	count = bpf_ntohs(prefix->count);
	if (count > WIRE_BATCH_MAX)
		return 0;
	opaque(count); /* or clang makes one comparison of both, of another number */
	if (count < 1)
		return 0;
	if (packet->ip_payload_bytes !=
	    sizeof(struct udphdr) + sizeof(*prefix) + sizeof(struct batch_entry) * count + sizeof(*request->proof))
		return 0;
	cursor_skip(&packet->rest, sizeof(struct batch_entry) * count);
	request->words = (__u64 *)prefix;
	request->tagged_words = PREFIX_WORDS + ENTRY_WORDS * count;
	request->is_batch = 1;
	opaque(request->is_batch);
	request->count = count;
	request->proof = cursor_take(&packet->rest, sizeof(*request->proof));
	request->reserved = prefix->zero | prefix->age_ms;
	return request->proof != NULL;
}

/*
 * Copies what the tag covers of a BATCH from `offset` in the packet to scratch->request. Returns 0, or -1 where the
 * packet ends before.
 * A global function: its loop is followed once, not once for each layout of a packet.
 */
__attribute__((noinline)) int copy_batch(struct xdp_md *ctx, struct scratch *scratch, __u64 offset, __u64 count)
{
	struct cursor cursor = { .at = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	const __u64 *words;

	if (!scratch || offset > PAYLOAD_OFFSET_MAX)
		return -1;
	cursor_skip(&cursor, offset);
	words = cursor_take(&cursor, sizeof(struct batch_prefix));
	if (!words)
		return -1;
	for (int i = 0; i < PREFIX_WORDS; i++)
		scratch->request.words[i] = load64(words + i);
	for (__u64 entry = 0; entry < WIRE_BATCH_MAX && entry < count; entry++) {
		opaque(cursor.at); /* or clang counts back from a pointer that is past what was checked */
		words = cursor_take(&cursor, sizeof(struct session_key));
		if (!words)
			return -1;
		store64(scratch->request.hashes[entry].hash, load64(words));
		store64(scratch->request.hashes[entry].hash + 8, load64(words + 1));
	}
	return 0;
}

/* Where the datagram's payload is in the packet. */
inlined __u64 offset_of(const struct xdp_md *ctx, const struct request *request)
{
	return (void *)request->words - (void *)(long)ctx->data;
}

/* What the tag covers → scratch->request. Returns 0; anything else would be our mistake. */
inlined int copy_tagged(struct xdp_md *ctx, const struct request *request, struct scratch *scratch)
{
	if (request->is_batch)
		return copy_batch(ctx, scratch, offset_of(ctx, request), request->count);
	for (int i = 0; i < LOOKUP_TAGGED_WORDS; i++)
		scratch->request.words[i] = load64(request->words + i);
	return 0;
}

#endif
