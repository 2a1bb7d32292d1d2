/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Keyed BLAKE2s-256 (RFC 7693) over as many blocks as a request has, from the state after the key's block, which is
 * kept per key: one compression for a LOOKUP.
 */
#ifndef SESSION_GATEWAY_BLAKE2S_KEYED_H
#define SESSION_GATEWAY_BLAKE2S_KEYED_H

#include "blake2s.h"
#include "scratch.h"

enum {
	BLAKE2S_KEY_BLOCK_BYTES = 64,
};

/*
 * One block of scratch->request into scratch->state; the message ends behind `words` words. Returns 0, or -1 where
 * there is no such block. A global function: the verifier looks at it once, not once for each block (kernel 5.12 for
 * its arguments).
 */
__attribute__((noinline)) int blake2s_block(struct scratch *scratch, __u64 block, __u64 words)
{
	__u64 end = BLOCK_WORDS * (block + 1);

	if (!scratch || block >= MESSAGE_BLOCKS_MAX)
		return -1;
	blake2s_compress(scratch->state, scratch->state, (const __u32 *)&scratch->request.words[BLOCK_WORDS * block],
			 2 * BLOCK_WORDS, BLAKE2S_KEY_BLOCK_BYTES + 8 * (end < words ? end : words), end >= words);
	return 0;
}

/*
 * The first `words` words, at least one, of scratch->request → scratch->digest; what is behind them is written over.
 * Returns 0, or -1 where those are more than there can be.
 */
__attribute__((noinline)) int blake2s_keyed(const struct key *key, struct scratch *scratch, __u64 words)
{
	if (!key || !scratch || words > TAGGED_WORDS_MAX)
		return -1;
	for (int i = 0; i < BLOCK_WORDS; i++)
		scratch->request.words[words + i] = 0;
	for (int i = 0; i < 8; i++)
		scratch->state[i] = key->inner_state[i];
	for (__u64 block = 0; block < MESSAGE_BLOCKS_MAX && BLOCK_WORDS * block < words; block++)
		blake2s_block(scratch, block, words);
	for (int i = 0; i < 4; i++)
		scratch->digest[i] = (__u64)scratch->state[2 * i + 1] << 32 | scratch->state[2 * i];
	return 0;
}

#endif
