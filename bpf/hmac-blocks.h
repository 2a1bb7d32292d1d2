/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * HMAC-SHA-256 (RFC 2104) over as many blocks as a BATCH has. For the one block of a LOOKUP there is hmac.h.
 */
#ifndef SESSION_GATEWAY_HMAC_BLOCKS_H
#define SESSION_GATEWAY_HMAC_BLOCKS_H

#include "hmac.h"
#include "scratch.h"

/*
 * The block in scratch->schedule into scratch->state. Returns 0.
 * A global function: the verifier looks at it once, not once for each block (kernel 5.12 for its arguments).
 */
__attribute__((noinline)) int sha256_block(struct scratch *scratch)
{
	if (!scratch)
		return -1;
	sha256_compress(scratch->state, scratch->schedule);
	return 0;
}

/*
 * The first `words` words, an even number, of scratch->request → scratch->digest; what is behind them is written over.
 * Returns 0, or -1 where those are more than there can be.
 */
__attribute__((noinline)) int hmac_sha256_blocks(const struct key *key, struct scratch *scratch, __u64 words)
{
	__u64 last = words / BLOCK_WORDS;
	__u64 *w;

	if (!key || !scratch || words > TAGGED_WORDS_MAX)
		return -1;
	w = scratch->schedule;

	/* a one bit, zeros, and the length in bits with the pad's block counted in, for which two words are always left
	 */
	for (int i = 0; i < BLOCK_WORDS; i++)
		scratch->request.words[words + i] = 0;
	scratch->request.words[words] = 0x80;
	scratch->request.words[BLOCK_WORDS * last + BLOCK_WORDS - 1] =
		bpf_cpu_to_be64(8 * (HMAC_PAD_BYTES + 8 * (__u64)words));

	/* inner: the message */
	for (int i = 0; i < 8; i++)
		scratch->state[i] = key->inner_state[i];
	for (__u64 block = 0; block < MESSAGE_BLOCKS_MAX && block <= last; block++) {
		for (int i = 0; i < BLOCK_WORDS; i++) {
			__u64 word = bpf_be64_to_cpu(scratch->request.words[BLOCK_WORDS * block + i]);

			w[2 * i] = sha256_doubled(word >> 32);
			w[2 * i + 1] = sha256_doubled((__u32)word);
		}
		sha256_block(scratch);
	}

	/* outer: the inner digest */
	for (int i = 0; i < 8; i++) {
		w[i] = sha256_doubled(scratch->state[i]);
		w[i + 8] = 0;
		scratch->state[i] = key->outer_state[i];
	}
	w[8] = sha256_constant(0x80000000);
	w[15] = sha256_constant(8 * (HMAC_PAD_BYTES + 32));
	sha256_block(scratch);
	for (int i = 0; i < 4; i++)
		scratch->digest[i] =
			(__u64)bpf_htonl(scratch->state[2 * i + 1]) << 32 | bpf_htonl(scratch->state[2 * i]);
	return 0;
}

#endif
