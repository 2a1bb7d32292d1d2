/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * SipHash-2-4 with 64 and 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012; 128 bits as in the authors' reference implementation).
 *
 * Messages here are whole 64-bit words, as all of the protocol's are.
 */
#ifndef SESSION_GATEWAY_SIPHASH_H
#define SESSION_GATEWAY_SIPHASH_H

#include "bytes.h"

struct siphash {
	__u64 v0, v1, v2, v3;
};

inlined __u64 siphash_rotl(__u64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

inlined void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = siphash_rotl(s->v1, 13) ^ s->v0;
	s->v3 = siphash_rotl(s->v3, 16) ^ s->v2;
	s->v0 = siphash_rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = siphash_rotl(s->v1, 17) ^ s->v2;
	s->v3 = siphash_rotl(s->v3, 21) ^ s->v0;
	s->v2 = siphash_rotl(s->v2, 32);
}

inlined void siphash_start(struct siphash *s, __u64 key0, __u64 key1)
{
	s->v0 = key0 ^ 0x736f6d6570736575ull;
	s->v1 = key1 ^ 0x646f72616e646f6dull;
	s->v2 = key0 ^ 0x6c7967656e657261ull;
	s->v3 = key1 ^ 0x7465646279746573ull;
}

inlined void siphash_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	siphash_round(s);
	siphash_round(s);
	s->v0 ^= word;
}

inlined __u64 siphash_output(struct siphash *s)
{
	for (int i = 0; i < 4; i++)
		siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* The last block of a message of whole words: its length in bytes, in the topmost byte. */
inlined __u64 siphash_last_block(__u64 bytes)
{
	return bytes << 56;
}

/* 64 bits over `words` words; `words` must be a constant. */
inlined __u64 siphash64(const __u64 key[2], const __u64 *message, int words)
{
	struct siphash s;

	siphash_start(&s, key[0], key[1]);
	for (int i = 0; i < words; i++)
		siphash_word(&s, message[i]);
	siphash_word(&s, siphash_last_block(8 * words));
	s.v2 ^= 0xff;
	return siphash_output(&s);
}

/* 128 bits, word by word: start, siphash_word for each, end. */
inlined void siphash128_start(struct siphash *s, const __u64 key[2])
{
	siphash_start(s, key[0], key[1]);
	s->v1 ^= 0xee;
}

/* The first half of the output; siphash128_second gives the other one. */
inlined __u64 siphash128_first(struct siphash *s, __u64 bytes)
{
	siphash_word(s, siphash_last_block(bytes));
	s->v2 ^= 0xee;
	return siphash_output(s);
}

inlined __u64 siphash128_second(struct siphash *s)
{
	s->v1 ^= 0xdd;
	return siphash_output(s);
}

/* 128 bits over `words` words; `words` must be a constant. */
inlined void siphash128(const __u64 key[2], const __u64 *message, int words, __u64 out[2])
{
	struct siphash s;

	siphash128_start(&s, key);
	for (int i = 0; i < words; i++)
		siphash_word(&s, message[i]);
	out[0] = siphash128_first(&s, 8 * words);
	out[1] = siphash128_second(&s);
}

#endif
