/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The suites' pseudo-random function F, over what the tag of a request covers. What a key's first blocks make of a hash
 * function's state is kept with the key (struct key), so only the message itself is compressed here.
 */
#ifndef SESSION_GATEWAY_PRF_H
#define SESSION_GATEWAY_PRF_H

#include "blake2s-keyed.h"
#include "hmac-blocks.h"
#include "hmac.h"
#include "scratch.h"

enum {
	/* What the tag covers of a LOOKUP or FACT. */
	LOOKUP_TAGGED_WORDS = 5,
};

/* HMAC-SHA-256 of a LOOKUP or FACT: scratch->request → scratch->digest. Returns 0. A global function, as sha256_block
 * is. */
__attribute__((noinline)) int hmac_sha256_lookup(const struct key *key, struct scratch *scratch)
{
	if (!key || !scratch)
		return -1;
	hmac_sha256(key, scratch->request.words, 2 * LOOKUP_TAGGED_WORDS, scratch->schedule, scratch->digest);
	return 0;
}

/* BLAKE2s of a LOOKUP or FACT, likewise. */
__attribute__((noinline)) int blake2s_lookup(const struct key *key, struct scratch *scratch)
{
	__u32 hash[8];

	if (!key || !scratch)
		return -1;
	blake2s_compress(key->inner_state, hash, (const __u32 *)scratch->request.words, 2 * LOOKUP_TAGGED_WORDS,
			 BLAKE2S_KEY_BLOCK_BYTES + 8 * LOOKUP_TAGGED_WORDS, 1);
	for (int i = 0; i < 4; i++)
		scratch->digest[i] = (__u64)hash[2 * i + 1] << 32 | hash[2 * i];
	return 0;
}

/* F(K, the first `words` words of scratch->request) → scratch->digest. Returns 0; anything else would be our mistake.
 */
inlined int prf(const struct key *key, struct scratch *scratch, __u64 words)
{
	if (key->suite == SUITE_BLAKE2S)
		return words == LOOKUP_TAGGED_WORDS ? blake2s_lookup(key, scratch) : blake2s_keyed(key, scratch, words);
	if (words == LOOKUP_TAGGED_WORDS)
		return hmac_sha256_lookup(key, scratch);
	return hmac_sha256_blocks(key, scratch, words);
}

#endif
