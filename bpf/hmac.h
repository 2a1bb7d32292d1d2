/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * HMAC-SHA-256 (RFC 2104) over one block, from the states after the two pads, which are kept per key:
 * two compressions where the plain construction needs four.
 */
#ifndef SESSION_GATEWAY_HMAC_H
#define SESSION_GATEWAY_HMAC_H

#include "abi.h"
#include "sha256.h"

enum {
	HMAC_PAD_BYTES = 64,
	/* The most that fits one block beside its padding. */
	HMAC_MESSAGE_WORDS_MAX = 13,
};

/*
 * message: `words` words of 4 bytes as they are in memory; at most HMAC_MESSAGE_WORDS_MAX, a constant.
 * w: room for the schedule, best not on the stack, which the compression's spills fill.
 * out: 32 bytes, as four words in memory order.
 */
inlined void hmac_sha256(const struct key *key, const void *message, int words, __u64 w[SHA256_ROUNDS], __u64 out[4])
{
	__u32 state[8];

	/* inner: the message, a one bit, zeros, and the length in bits with the pad's block counted in */
	for (int i = 0; i < 16; i++)
		w[i] = i < words ? sha256_doubled(bpf_ntohl(load32(message + 4 * i))) : 0;
	w[words] = sha256_constant(0x80000000);
	w[15] = sha256_constant(8 * (HMAC_PAD_BYTES + 4 * words));
	for (int i = 0; i < 8; i++)
		state[i] = key->inner_state[i];

	/*
	 * Inner and outer hash by one copy of the code, which stays in the processor's caches where two don't. Each
	 * time the digest becomes the next block, with its filling; after the second time it is what is asked for.
	 */
	for (int hashes = 0; hashes < 2; hashes++) {
		sha256_compress(state, w);
		for (int i = 0; i < 8; i++) {
			w[i] = sha256_doubled(state[i]);
			state[i] = key->outer_state[i];
		}
		w[8] = sha256_constant(0x80000000);
		for (int i = 9; i < 15; i++)
			w[i] = 0;
		w[15] = sha256_constant(8 * (HMAC_PAD_BYTES + 32));
		opaque(hashes); /* or clang makes two copies */
	}

	for (int i = 0; i < 4; i++)
		out[i] = (__u64)bpf_htonl((__u32)w[2 * i + 1]) << 32 | bpf_htonl((__u32)w[2 * i]);
}

#endif
