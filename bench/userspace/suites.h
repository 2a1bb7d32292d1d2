/* SPDX-License-Identifier: MIT */
/*
 * F(K, m) of docs/protocol.md, "Names": HMAC-SHA-256 by OpenSSL, whose SHA-256 uses the processor's instructions for
 * it, with the states after both pads kept; keyed BLAKE2s (RFC 7693) in plain C, since OpenSSL's takes four times as
 * long to set up as to compute.
 */
#ifndef BENCH_SUITES_H
#define BENCH_SUITES_H

/* The functions that take a context of one's own are called deprecated, and are the fastest that OpenSSL has. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdint.h>
#include <string.h>

enum { SECRET_BYTES = 32, PRF_BYTES = 32, SUITE_HMAC_SHA256 = 1, SUITE_BLAKE2S = 2 };

struct prf {
	uint32_t suite;
	SHA256_CTX inner, outer;
	/* BLAKE2s: the state after the block with the key. */
	uint32_t keyed[8];
};

static const uint32_t BLAKE2S_IV[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

static const uint8_t BLAKE2S_SIGMA[10][16] = {
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

#define BLAKE2S_G(a, b, c, d, x, y)                                                                                    \
	do {                                                                                                           \
		v[a] += v[b] + (x);                                                                                    \
		v[d] ^= v[a];                                                                                          \
		v[d] = v[d] >> 16 | v[d] << 16;                                                                        \
		v[c] += v[d];                                                                                          \
		v[b] ^= v[c];                                                                                          \
		v[b] = v[b] >> 12 | v[b] << 20;                                                                        \
		v[a] += v[b] + (y);                                                                                    \
		v[d] ^= v[a];                                                                                          \
		v[d] = v[d] >> 8 | v[d] << 24;                                                                         \
		v[c] += v[d];                                                                                          \
		v[b] ^= v[c];                                                                                          \
		v[b] = v[b] >> 7 | v[b] << 25;                                                                         \
	} while (0)

/* One block of 64 bytes; `hashed` counts bytes, this block's included. */
static inline void blake2s_block(uint32_t state[8], const uint8_t block[64], uint32_t hashed, int last)
{
	uint32_t v[16], m[16];

	memcpy(m, block, 64);
	memcpy(v, state, 32);
	memcpy(v + 8, BLAKE2S_IV, 32);
	v[12] ^= hashed;
	if (last)
		v[14] = ~v[14];
#pragma clang loop unroll(full)
	for (int round = 0; round < 10; round++) {
		const uint8_t *s = BLAKE2S_SIGMA[round];

		BLAKE2S_G(0, 4, 8, 12, m[s[0]], m[s[1]]);
		BLAKE2S_G(1, 5, 9, 13, m[s[2]], m[s[3]]);
		BLAKE2S_G(2, 6, 10, 14, m[s[4]], m[s[5]]);
		BLAKE2S_G(3, 7, 11, 15, m[s[6]], m[s[7]]);
		BLAKE2S_G(0, 5, 10, 15, m[s[8]], m[s[9]]);
		BLAKE2S_G(1, 6, 11, 12, m[s[10]], m[s[11]]);
		BLAKE2S_G(2, 7, 8, 13, m[s[12]], m[s[13]]);
		BLAKE2S_G(3, 4, 9, 14, m[s[14]], m[s[15]]);
	}
	for (int i = 0; i < 8; i++)
		state[i] ^= v[i] ^ v[i + 8];
}

static inline void prf_init(struct prf *prf, uint32_t suite, const uint8_t secret[SECRET_BYTES])
{
	uint8_t block[64];

	prf->suite = suite;
	if (suite == SUITE_BLAKE2S) {
		memset(block, 0, sizeof(block));
		memcpy(block, secret, SECRET_BYTES);
		memcpy(prf->keyed, BLAKE2S_IV, 32);
		prf->keyed[0] ^= 0x01010000 ^ SECRET_BYTES << 8 ^ PRF_BYTES;
		blake2s_block(prf->keyed, block, 64, 0);
		return;
	}
	for (int i = 0; i < 64; i++)
		block[i] = 0x36 ^ (i < SECRET_BYTES ? secret[i] : 0);
	SHA256_Init(&prf->inner);
	SHA256_Update(&prf->inner, block, 64);
	for (int i = 0; i < 64; i++)
		block[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&prf->outer);
	SHA256_Update(&prf->outer, block, 64);
}

/* `length` is at least 1. */
static inline void prf_blake2s(const struct prf *prf, const uint8_t *message, uint32_t length, uint8_t out[PRF_BYTES])
{
	uint32_t state[8], hashed = 64, left = length;
	uint8_t last[64] = { 0 };

	memcpy(state, prf->keyed, sizeof(state));
	for (; left > 64; left -= 64, message += 64)
		blake2s_block(state, message, hashed += 64, 0);
	memcpy(last, message, left);
	blake2s_block(state, last, hashed + left, 1);
	memcpy(out, state, PRF_BYTES);
}

static inline void prf_of(const struct prf *prf, const uint8_t *message, uint32_t length, uint8_t out[PRF_BYTES])
{
	SHA256_CTX running;

	if (prf->suite == SUITE_BLAKE2S) {
		prf_blake2s(prf, message, length, out);
		return;
	}
	running = prf->inner;
	SHA256_Update(&running, message, length);
	SHA256_Final(out, &running);
	running = prf->outer;
	SHA256_Update(&running, out, PRF_BYTES);
	SHA256_Final(out, &running);
}

#endif
