/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The tag of a reply, and its encryption, both by SipHash under R, the half of the request's digest that never travels.
 */
#ifndef SESSION_GATEWAY_SEAL_H
#define SESSION_GATEWAY_SEAL_H

#include "request.h"
#include "scratch.h"
#include "siphash.h"

enum {
	HEADER_WORDS = sizeof(struct wire_header) / 8,
	LOOKUP_REPLY_TAGGED_WORDS = sizeof(struct lookup_reply) / 8 - TAG_WORDS,
	/* Blocks of the key stream. */
	STREAM_BLOCKS_MAX = (TAGGED_WORDS_MAX - HEADER_WORDS + 1) / 2,
	STREAM_INPUT_BYTES = 24,
};

/* Puts the tag behind a reply of 80 bytes. */
inlined void seal_lookup(struct scratch *scratch)
{
	siphash128(&scratch->digest[2], scratch->reply.words, LOOKUP_REPLY_TAGGED_WORDS,
		   &scratch->reply.words[LOOKUP_REPLY_TAGGED_WORDS]);
}

/* Puts the tag behind the first `words` words of a reply. Returns 0, or -1 where there are none or more than there can
 * be. */
__attribute__((noinline)) int seal_batch(struct scratch *scratch, __u64 words)
{
	struct siphash s;

	if (!scratch || words > TAGGED_WORDS_MAX)
		return -1;
	siphash128_start(&s, &scratch->digest[2]);
	for (__u64 i = 0; i < TAGGED_WORDS_MAX && i < words; i++)
		siphash_word(&s, scratch->reply.words[i]);
	scratch->reply.words[words] = siphash128_first(&s, 8 * words);
	scratch->reply.words[words + 1] = siphash128_second(&s);
	return 0;
}

/*
 * Encrypts what stands between header and tag of a reply, whose tag is behind `words` words. Block i of the key stream
 * is SipHash of (tag, i): what the tag makes of the state is the same for all of them.
 */
__attribute__((noinline)) int encrypt(struct scratch *scratch, __u64 words)
{
	struct siphash tagged;

	if (!scratch || words > TAGGED_WORDS_MAX)
		return -1;
	siphash128_start(&tagged, &scratch->digest[2]);
	for (int i = 0; i < TAG_WORDS; i++)
		siphash_word(&tagged, scratch->reply.words[words + i]);
	for (__u64 block = 0; block < STREAM_BLOCKS_MAX; block++) {
		__u64 at = HEADER_WORDS + 2 * block;
		struct siphash s = tagged;

		if (at >= words)
			break;
		siphash_word(&s, block);
		scratch->reply.words[at] ^= siphash128_first(&s, STREAM_INPUT_BYTES);
		if (at + 1 < words)
			scratch->reply.words[at + 1] ^= siphash128_second(&s);
	}
	return 0;
}

/* Tag, and encryption where the key says so. Returns 0; anything else would be our mistake. */
inlined int seal_reply(const struct request *request, __u32 encrypted, struct scratch *scratch)
{
	__u64 words = request->is_batch ? request->tagged_words : LOOKUP_REPLY_TAGGED_WORDS;

	if (!request->is_batch)
		seal_lookup(scratch);
	else if (seal_batch(scratch, words))
		return -1;
	return encrypted ? encrypt(scratch, words) : 0;
}

#endif
