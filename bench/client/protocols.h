/* SPDX-License-Identifier: MIT */
/*
 * The questions that the benchmarks' client can ask, "where is session i?", and what is a right answer: in the
 * gateway's protocol, of Redis (GET), and of memcached over TCP and UDP (get). With the last three the value is what
 * bench/compare/stores.ts stored.
 */
#ifndef BENCH_PROTOCOLS_H
#define BENCH_PROTOCOLS_H

#include <stdio.h>
#include <time.h>

#include "respond.h"

enum { REQUEST_MAX = 128 };

/* A question that is under way. */
struct question {
	uint32_t session;
	uint64_t sent_ns;
	/* The gateway's protocol: R, and the nonce. */
	uint8_t replies_key[16];
	uint64_t nonce;
};

struct protocol {
	const char *name;
	int socket_type;
	/* Writes a request. Returns its length. */
	uint32_t (*ask)(struct question *question, uint8_t *request);
	/* Returns how many bytes the first answer has; 0 = it isn't all there. */
	uint32_t (*length)(const uint8_t *answer, uint32_t available);
	/* Whether this is the right answer; -1 = it answers another question. */
	int (*is_right)(const struct question *question, const uint8_t *answer, uint32_t length);
};

/* The gateway's protocol: a key, cookie hashes, and a counter for nonces. */
static const struct key *client_key;
static uint8_t (*cookie_hashes)[16];
static uint64_t nonces;

static inline uint64_t unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint32_t gateway_ask(struct question *question, uint8_t *request)
{
	uint8_t m[PRF_BYTES];
	uint64_t guard;

	question->nonce = nonces++ * 0x9e3779b97f4a7c15;
	memset(request, 0, LOOKUP_BYTES);
	store16(request, 0x5347);
	request[2] = 1;
	request[3] = TYPE_LOOKUP;
	store32(request + 4, client_key->id);
	store64(request + 8, unix_ms());
	memcpy(request + 16, &question->nonce, 8);
	memcpy(request + 24, cookie_hashes[question->session], 16);
	prf_of(&client_key->prf, request, 40, m);
	memcpy(request + 40, m, 16);
	memcpy(question->replies_key, m + 16, 16);
	guard = sip64(client_key->guard_key, request, 40, request + 40, 16);
	memcpy(request + 56, &guard, 8);
	return LOOKUP_BYTES;
}

static uint32_t gateway_length(const uint8_t *answer, uint32_t available)
{
	(void)answer;
	return available;
}

static int gateway_is_right(const struct question *question, const uint8_t *answer, uint32_t length)
{
	uint64_t tag[2];

	if (length != LOOKUP_BYTES || memcmp(answer + 16, &question->nonce, 8))
		return -1;
	sip128(question->replies_key, answer, 64, tag);
	return !memcmp(tag, answer + 64, 16) && answer[3] == (TYPE_LOOKUP | 0x80) && answer[24] == STATUS_FOUND;
}

static uint32_t redis_ask(struct question *question, uint8_t *request)
{
	char name[32];
	int length = snprintf(name, sizeof(name), "sess:session-%u", question->session);

	return sprintf((char *)request, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", length, name);
}

static uint32_t lines_length(const uint8_t *answer, uint32_t available, uint32_t lines)
{
	for (uint32_t i = 1; i < available; i++)
		if (answer[i] == '\n' && answer[i - 1] == '\r' && !--lines)
			return i + 1;
	return 0;
}

static uint32_t redis_length(const uint8_t *answer, uint32_t available)
{
	return lines_length(answer, available, available > 1 && answer[0] == '$' && answer[1] != '-' ? 2 : 1);
}

/* What is stored for a session. */
static inline int stored_value(uint32_t session, char value[32])
{
	return snprintf(value, 32, "app-%u", session % 100 + 1);
}

static int redis_is_right(const struct question *question, const uint8_t *answer, uint32_t length)
{
	char value[32], expected[64];
	uint32_t size = stored_value(question->session, value);
	uint32_t all = snprintf(expected, sizeof(expected), "$%u\r\n%s\r\n", size, value);

	return length == all && !memcmp(answer, expected, all);
}

static uint32_t memcached_ask(struct question *question, uint8_t *request)
{
	return sprintf((char *)request, "get session-%u\r\n", question->session);
}

static uint32_t memcached_length(const uint8_t *answer, uint32_t available)
{
	return lines_length(answer, available, available && answer[0] == 'V' ? 3 : 1);
}

static int memcached_is_right(const struct question *question, const uint8_t *answer, uint32_t length)
{
	char value[32], expected[128];
	uint32_t size = stored_value(question->session, value);
	uint32_t all = snprintf(expected, sizeof(expected), "VALUE session-%u 0 %u\r\n%s\r\nEND\r\n", question->session,
				size, value);

	return length == all && !memcmp(answer, expected, all);
}

/* A frame header before the same text: request id, sequence number, datagrams in all, reserved; 16 bits each. */
static uint32_t memcached_udp_ask(struct question *question, uint8_t *request)
{
	question->nonce = nonces++ & 0xffff;
	store16(request, question->nonce);
	store16(request + 2, 0);
	store16(request + 4, 1);
	store16(request + 6, 0);
	return 8 + memcached_ask(question, request + 8);
}

static int memcached_udp_is_right(const struct question *question, const uint8_t *answer, uint32_t length)
{
	if (length < 8 || load16(answer) != question->nonce)
		return -1;
	return memcached_is_right(question, answer + 8, length - 8);
}

static const struct protocol PROTOCOLS[] = {
	{ "gateway", SOCK_DGRAM, gateway_ask, gateway_length, gateway_is_right },
	{ "redis", SOCK_STREAM, redis_ask, redis_length, redis_is_right },
	{ "memcached", SOCK_STREAM, memcached_ask, memcached_length, memcached_is_right },
	{ "memcached-udp", SOCK_DGRAM, memcached_udp_ask, gateway_length, memcached_udp_is_right },
};

#endif
