/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The SHA-256 compression function (FIPS 180-4, section 6.2.2).
 *
 * BPF has no rotate instruction. A 32-bit word held twice in a 64-bit register ("doubled") rotates by one
 * shift, and each word that is rotated at all is rotated two or three times over. So the schedule is kept doubled. The
 * state's words have 64 bits, of which the upper ones are 0: of a word of 32 bits that has passed opaque(), clang would
 * first clear them.
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

enum {
	SHA256_ROUNDS = 64,
	SHA256_BLOCK_WORDS = 16,
	/* Rounds a turn of a loop: after so many each word of the state is in its place again. */
	SHA256_TURN = 8,
	/* Turns in which a later word of the schedule is made, too, and those for which all are there. */
	SHA256_SCHEDULING_TURNS = (SHA256_ROUNDS - SHA256_BLOCK_WORDS) / SHA256_TURN,
	SHA256_LAST_TURNS = SHA256_BLOCK_WORDS / SHA256_TURN,
};

/* x: a word of 32 bits */
inlined __u64 sha256_doubled(__u64 x)
{
	__u64 high = x << 32;
	__u64 d;

	opaque(high); /* or clang makes this a multiplication */
	d = high | x;
	opaque(d); /* or it turns the shifts of it back into shifts to both sides */
	return d;
}

/* The same of a constant. */
inlined __u64 sha256_constant(__u32 x)
{
	return (__u64)x << 32 | x;
}

/* One half of a doubled word in memory, by a load of its own: both halves are the same. */
inlined __u32 sha256_single(const __u64 *doubled)
{
	return *(const __u32 *)doubled;
}

inlined __u32 sha256_big_sigma(__u64 x, int r0, int r1, int r2)
{
	__u64 d = sha256_doubled(x);

	return d >> r0 ^ d >> r1 ^ d >> r2;
}

/* d: a doubled word */
inlined __u32 sha256_small_sigma(__u64 d, int r0, int r1, int shift)
{
	return (__u32)(d >> r0 ^ d >> r1) ^ (__u32)d >> shift;
}

struct sha256 {
	__u64 a, b, c, d, e, f, g, h;
	/* b ^ c, which was a ^ b of the round before. */
	__u32 b_c;
};

/* k, w: the round's constant, and its word of the schedule */
inlined void sha256_round(struct sha256 *s, __u32 k, __u32 w)
{
	__u32 t1, t2, a_b = s->a ^ s->b;

	t1 = (__u32)s->h + sha256_big_sigma(s->e, 6, 11, 25) + (__u32)(s->g ^ (s->e & (s->f ^ s->g))) + k + w;
	/* the majority of a, b and c: b where a and b, or b and c, are the same, else a, which is c */
	t2 = sha256_big_sigma(s->a, 2, 13, 22) + ((__u32)s->b ^ (a_b & s->b_c));
	s->b_c = a_b;
	s->h = s->g;
	s->g = s->f;
	s->f = s->e;
	s->e = (__u32)s->d + t1;
	s->d = s->c;
	s->c = s->b;
	s->b = s->a;
	s->a = t1 + t2;
	/* A barrier each round keeps clang from hoisting loads until the 512 bytes of stack are passed. */
	opaque(s->a);
	opaque(s->e);
}

/*
 * state: 8 words, changed in place.
 * w: the block's 16 words in host order, doubled, with room behind them for the rest of the schedule.
 */
inlined void sha256_compress(__u32 state[8], __u64 w[SHA256_ROUNDS])
{
	struct sha256 s = { state[0], state[1], state[2], state[3],	      state[4],
			    state[5], state[6], state[7], state[1] ^ state[2] };
	const __u32 *k = sha256_k;

	for (int turn = 0; turn < SHA256_SCHEDULING_TURNS; turn++) {
#pragma clang loop unroll(full)
		for (int i = 0; i < SHA256_TURN; i++) {
			sha256_round(&s, k[i], sha256_single(&w[i]));
			w[i + 16] = sha256_doubled(sha256_single(&w[i]) + sha256_small_sigma(w[i + 14], 17, 19, 10) +
						   sha256_single(&w[i + 9]) + sha256_small_sigma(w[i + 1], 7, 18, 3));
		}
		k += SHA256_TURN;
		w += SHA256_TURN;
	}
	for (int turn = 0; turn < SHA256_LAST_TURNS; turn++) {
#pragma clang loop unroll(full)
		for (int i = 0; i < SHA256_TURN; i++)
			sha256_round(&s, k[i], sha256_single(&w[i]));
		k += SHA256_TURN;
		w += SHA256_TURN;
	}
	state[0] += s.a;
	state[1] += s.b;
	state[2] += s.c;
	state[3] += s.d;
	state[4] += s.e;
	state[5] += s.f;
	state[6] += s.g;
	state[7] += s.h;
}

#endif
