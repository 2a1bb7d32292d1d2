/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The SHA-256 compression function (FIPS 180-4, section 6.2.2).
 *
 * BPF has no rotate instruction. A 32-bit word held twice in a 64-bit register ("doubled") rotates by one
 * shift, and each word that is rotated at all is rotated three times over.
 */
#ifndef SESSION_GATEWAY_SHA256_H
#define SESSION_GATEWAY_SHA256_H

#include "bytes.h"

static const __u32 sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

inlined __u64 sha256_doubled(__u32 x)
{
	__u64 high = (__u64)x << 32;
	__u64 d;

	opaque(high); /* or clang makes this a multiplication */
	d = high | x;
	opaque(d); /* or it turns the shifts of it back into shifts to both sides */
	return d;
}

inlined __u32 sha256_big_sigma(__u32 x, int r0, int r1, int r2)
{
	__u64 d = sha256_doubled(x);

	return d >> r0 ^ d >> r1 ^ d >> r2;
}

inlined __u32 sha256_small_sigma(__u32 x, int r0, int r1, int shift)
{
	__u64 d = sha256_doubled(x);

	return (__u32)(d >> r0 ^ d >> r1) ^ x >> shift;
}

/*
 * state: 8 words, changed in place.
 * w: the block's 16 words in host order; used up (the schedule is a ring of 16).
 */
inlined void sha256_compress(__u32 state[8], __u32 w[16])
{
	__u32 a = state[0], b = state[1], c = state[2], d = state[3];
	__u32 e = state[4], f = state[5], g = state[6], h = state[7];

	/* Sixteen rounds a turn: unrolling all of them is no faster, and a barrier each round keeps clang
	 * from hoisting loads until the 512 bytes of stack are passed. */
	for (int turn = 0; turn < 4; turn++) {
#pragma clang loop unroll(full)
		for (int i = 0; i < 16; i++) {
			__u32 t1, t2;

			t1 = h + sha256_big_sigma(e, 6, 11, 25) + (g ^ (e & (f ^ g))) + sha256_k[16 * turn + i] + w[i];
			t2 = sha256_big_sigma(a, 2, 13, 22) + ((a & b) | (c & (a | b)));
			h = g;
			g = f;
			f = e;
			e = d + t1;
			d = c;
			c = b;
			b = a;
			a = t1 + t2;
			opaque(a);
			opaque(e);
			if (turn < 3) {
				w[i] += sha256_small_sigma(w[(i + 14) & 15], 17, 19, 10) + w[(i + 9) & 15] +
					sha256_small_sigma(w[(i + 1) & 15], 7, 18, 3);
			}
		}
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

#endif
