/* SPDX-License-Identifier: MIT */
/*
 * SipHash-2-4 (Aumasson and Bernstein 2012), on little-endian machines. Used by the benchmarks' server and client.
 */
#ifndef BENCH_SIPHASH_H
#define BENCH_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t sip_load(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, 8);
	return word;
}

static inline uint64_t sip_rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = sip_rotate(s->v1, 13) ^ s->v0;
	s->v3 = sip_rotate(s->v3, 16) ^ s->v2;
	s->v0 = sip_rotate(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = sip_rotate(s->v1, 17) ^ s->v2;
	s->v3 = sip_rotate(s->v3, 21) ^ s->v0;
	s->v2 = sip_rotate(s->v2, 32);
}

static inline struct sip sip_begin(const uint8_t key[16], int wide)
{
	uint64_t k0 = sip_load(key), k1 = sip_load(key + 8);

	return (struct sip){ k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ (wide ? 0xee : 0),
			     k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

/* All of the message, the words at whose end its length stands included; `length` is a multiple of 8. */
static inline void sip_message(struct sip *s, const uint8_t *message, size_t length)
{
	for (size_t at = 0; at < length; at += 8)
		sip_word(s, sip_load(message + at));
}

static inline uint64_t sip_half(struct sip *s)
{
	for (int i = 0; i < 4; i++)
		sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* 64 bits of two messages, one after the other; both lengths are multiples of 8. */
static inline uint64_t sip64(const uint8_t key[16], const uint8_t *first, size_t first_length, const uint8_t *second,
			     size_t second_length)
{
	struct sip s = sip_begin(key, 0);

	sip_message(&s, first, first_length);
	sip_message(&s, second, second_length);
	sip_word(&s, (uint64_t)(first_length + second_length) << 56);
	s.v2 ^= 0xff;
	return sip_half(&s);
}

/* 128 bits; `length` is a multiple of 8. */
static inline void sip128(const uint8_t key[16], const uint8_t *message, size_t length, uint64_t out[2])
{
	struct sip s = sip_begin(key, 1);

	sip_message(&s, message, length);
	sip_word(&s, (uint64_t)length << 56);
	s.v2 ^= 0xee;
	out[0] = sip_half(&s);
	s.v1 ^= 0xdd;
	out[1] = sip_half(&s);
}

#endif
