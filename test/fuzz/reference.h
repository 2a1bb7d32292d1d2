/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The primitives once more, straight from their specifications (FIPS 180-4, RFC 2104, RFC 7693, the SipHash paper, RFC
 * 1071), byte by byte and sharing nothing with bpf/: what the programs compute is compared with these.
 */
#ifndef FUZZ_REFERENCE_H
#define FUZZ_REFERENCE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t reference_rotr(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static const uint32_t reference_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t reference_sha256_start[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static void reference_sha256_block(uint32_t state[8], const uint8_t block[64])
{
	uint32_t w[64], v[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t s0 = reference_rotr(w[i - 15], 7) ^ reference_rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = reference_rotr(w[i - 2], 17) ^ reference_rotr(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	memcpy(v, state, sizeof(v));
	for (int i = 0; i < 64; i++) {
		uint32_t s1 = reference_rotr(v[4], 6) ^ reference_rotr(v[4], 11) ^ reference_rotr(v[4], 25);
		uint32_t s0 = reference_rotr(v[0], 2) ^ reference_rotr(v[0], 13) ^ reference_rotr(v[0], 22);
		uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + reference_k[i] + w[i];
		uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(*v));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

/* SHA-256 of a block that `state` is already over, and `size` more bytes. */
static void reference_sha256_end(const uint32_t begun[8], const uint8_t *message, size_t size, uint8_t out[32])
{
	uint64_t bits = 8 * (64 + size);
	uint32_t state[8];
	uint8_t block[64];
	size_t at = 0;

	memcpy(state, begun, sizeof(state));
	for (; size - at >= 64; at += 64)
		reference_sha256_block(state, message + at);
	memset(block, 0, sizeof(block));
	memcpy(block, message + at, size - at);
	block[size - at] = 0x80;
	if (size - at > 55) {
		reference_sha256_block(state, block);
		memset(block, 0, sizeof(block));
	}
	for (int i = 0; i < 8; i++)
		block[63 - i] = bits >> (8 * i);
	reference_sha256_block(state, block);
	for (int i = 0; i < 32; i++)
		out[i] = state[i / 4] >> (24 - 8 * (i % 4));
}

/* The state after a block of the key's bytes, each with `pad` added. */
static void reference_pad_state(const uint8_t secret[32], uint8_t pad, uint32_t state[8])
{
	uint8_t block[64] = { 0 };

	memcpy(block, secret, 32);
	for (int i = 0; i < 64; i++)
		block[i] ^= pad;
	memcpy(state, reference_sha256_start, sizeof(reference_sha256_start));
	reference_sha256_block(state, block);
}

static void reference_hmac(const uint8_t secret[32], const void *message, size_t size, uint8_t out[32])
{
	uint32_t state[8];
	uint8_t inner[32];

	reference_pad_state(secret, 0x36, state);
	reference_sha256_end(state, message, size, inner);
	reference_pad_state(secret, 0x5c, state);
	reference_sha256_end(state, inner, 32, out);
}

static const uint8_t reference_sigma[10][16] = {
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

static void reference_blake2s_block(uint32_t h[8], const uint8_t block[64], uint64_t bytes, int is_last)
{
	static const uint8_t lanes[8][4] = { { 0, 4, 8, 12 },  { 1, 5, 9, 13 },	 { 2, 6, 10, 14 }, { 3, 7, 11, 15 },
					     { 0, 5, 10, 15 }, { 1, 6, 11, 12 }, { 2, 7, 8, 13 },  { 3, 4, 9, 14 } };
	uint32_t v[16], m[16];

	for (int i = 0; i < 16; i++)
		m[i] = block[4 * i] | block[4 * i + 1] << 8 | block[4 * i + 2] << 16 | (uint32_t)block[4 * i + 3] << 24;
	memcpy(v, h, 32);
	memcpy(v + 8, reference_sha256_start, 32); /* the same constants */
	v[12] ^= (uint32_t)bytes;
	v[13] ^= bytes >> 32;
	if (is_last)
		v[14] = ~v[14];
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 8; i++) {
			uint32_t *a = &v[lanes[i][0]], *b = &v[lanes[i][1]], *c = &v[lanes[i][2]], *d = &v[lanes[i][3]];

			*a += *b + m[reference_sigma[round][2 * i]];
			*d = reference_rotr(*d ^ *a, 16);
			*c += *d;
			*b = reference_rotr(*b ^ *c, 12);
			*a += *b + m[reference_sigma[round][2 * i + 1]];
			*d = reference_rotr(*d ^ *a, 8);
			*c += *d;
			*b = reference_rotr(*b ^ *c, 7);
		}
	}
	for (int i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

/* The state after the block of a key of 32 bytes, for a message that isn't empty. */
static void reference_blake2s_key_state(const uint8_t secret[32], uint32_t state[8])
{
	uint8_t block[64] = { 0 };

	memcpy(block, secret, 32);
	memcpy(state, reference_sha256_start, 32);
	state[0] ^= 0x01010000 ^ 32 << 8 ^ 32;
	reference_blake2s_block(state, block, 64, 0);
}

/* Keyed BLAKE2s-256 of at least one byte. */
static void reference_blake2s(const uint8_t secret[32], const uint8_t *message, size_t size, uint8_t out[32])
{
	uint32_t state[8];
	uint8_t block[64];

	reference_blake2s_key_state(secret, state);
	for (size_t at = 0; at < size; at += 64) {
		size_t rest = size - at;

		memset(block, 0, sizeof(block));
		memcpy(block, message + at, rest < 64 ? rest : 64);
		reference_blake2s_block(state, block, 64 + (rest < 64 ? size : at + 64), rest <= 64);
	}
	for (int i = 0; i < 32; i++)
		out[i] = state[i / 4] >> (8 * (i % 4));
}

static uint64_t reference_load64(const uint8_t *at)
{
	uint64_t word = 0;

	for (int i = 7; i >= 0; i--)
		word = word << 8 | at[i];
	return word;
}

static void reference_siprounds(uint64_t v[4], int rounds)
{
#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))
	while (rounds--) {
		v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);
		v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];
		v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];
		v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);
	}
#undef ROTL
}

/* SipHash-2-4 of any length; out_size is 8 or 16. */
static void reference_siphash(const uint8_t key[16], const void *message, size_t size, uint8_t *out, size_t out_size)
{
	uint64_t k0 = reference_load64(key), k1 = reference_load64(key + 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			  k1 ^ 0x7465646279746573 };
	const uint8_t *bytes = message;
	size_t at = 0;

	if (out_size == 16)
		v[1] ^= 0xee;
	for (int ended = 0; !ended; at += 8) {
		uint8_t block[8] = { 0 };
		uint64_t word;

		ended = size - at < 8;
		if (ended)
			block[7] = size;
		memcpy(block, bytes + at, ended ? size - at : 8);
		word = reference_load64(block);
		v[3] ^= word;
		reference_siprounds(v, 2);
		v[0] ^= word;
	}
	v[2] ^= out_size == 16 ? 0xee : 0xff;
	for (size_t part = 0; part < out_size; part += 8) {
		uint64_t word;

		if (part)
			v[1] ^= 0xdd;
		reference_siprounds(v, 4);
		word = v[0] ^ v[1] ^ v[2] ^ v[3];
		for (int i = 0; i < 8; i++)
			out[part + i] = word >> (8 * i);
	}
}

/* The ones' complement sum goes on from `sum`, over big-endian 16-bit words. */
static uint32_t reference_sum(uint32_t sum, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : bytes[i] << 8;
	return sum;
}

/* 0xffff when a checksum is among what was summed, and right. */
static uint16_t reference_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

#endif
