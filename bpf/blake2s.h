/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The BLAKE2s compression function (RFC 7693, section 3.2).
 */
#ifndef SESSION_GATEWAY_BLAKE2S_H
#define SESSION_GATEWAY_BLAKE2S_H

#include "bytes.h"

/* As SHA-256's: the first 32 bits of the fractional parts of the square roots of the first 8 primes. */
static const __u32 blake2s_iv[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* Which words of the message each round mixes in, in which order (RFC 7693, section 2.7). */
static const __u8 blake2s_sigma[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

inlined __u32 blake2s_rotr(__u32 x, int bits)
{
	return x >> bits | x << (32 - bits);
}

/* G: mixes two words of the message into a column or a diagonal of the state. */
inlined void blake2s_mix(__u32 *a, __u32 *b, __u32 *c, __u32 *d, __u32 x, __u32 y)
{
	*a += *b + x;
	*d = blake2s_rotr(*d ^ *a, 16);
	*c += *d;
	*b = blake2s_rotr(*b ^ *c, 12);
	*a += *b + y;
	*d = blake2s_rotr(*d ^ *a, 8);
	*c += *d;
	*b = blake2s_rotr(*b ^ *c, 7);
	opaque(*b); /* or clang hoists loads until the 512 bytes of stack are passed */
}

/*
 * before, after: the state, 8 words; may be the same.
 * block: 16 words in the message's (little-endian) order, of which those from `words` on, a constant, are taken for 0.
 * bytes: how many of the message there are up to the end of this block, a key's block counted in; without its filling.
 * is_last: 1 for the message's last block, else 0
 */
inlined void blake2s_compress(const __u32 before[8], __u32 after[8], const __u32 block[16], int words, __u32 bytes,
			      int is_last)
{
	__u32 v[16];

	for (int i = 0; i < 8; i++) {
		v[i] = before[i];
		v[i + 8] = blake2s_iv[i];
	}
	v[12] ^= bytes;
	v[14] ^= is_last ? 0xffffffff : 0;

#pragma clang loop unroll(full)
	for (int round = 0; round < 10; round++) {
#pragma clang loop unroll(full)
		for (int mix = 0; mix < 8; mix++) {
			/* columns, then diagonals */
			int column = mix & 3, diagonal = mix >> 2;
			int x = blake2s_sigma[round][2 * mix], y = blake2s_sigma[round][2 * mix + 1];

			blake2s_mix(&v[column], &v[4 + ((column + diagonal) & 3)],
				    &v[8 + ((column + 2 * diagonal) & 3)], &v[12 + ((column + 3 * diagonal) & 3)],
				    x < words ? block[x] : 0, y < words ? block[y] : 0);
		}
	}
	for (int i = 0; i < 8; i++)
		after[i] = before[i] ^ v[i] ^ v[i + 8];
}

#endif
