/* SPDX-License-Identifier: MIT */
/*
 * Session gateway lookups for C, protocol version 1 (docs/protocol.md): makes requests, checks replies. It opens no
 * socket, waits for nothing and reads no clock unless asked to, so it fits any event loop. Needs libcrypto 3.0 or
 *newer.
 *
 *	struct sgw_key *key;
 *	struct sgw_stamp stamp;
 *	struct sgw_request request;
 *	struct sgw_reply reply;
 *	uint8_t bytes[SGW_SINGLE_SIZE];
 *
 *	sgw_key_parse(&key, "1 hmac-sha256 00ff…64 hex digits…");
 *	sgw_stamp_now(&stamp);
 *	sgw_lookup(key, &stamp, sid, sid_size, &request, bytes);
 *	send(udp_socket, bytes, sizeof(bytes), 0);
 *	… a datagram arrives …
 *	if (sgw_check(&request, datagram, size, &reply) == SGW_OK)
 *		… reply.status, reply.address, reply.port …
 *	else
 *		… it is not the reply: wait on, until the time-out …
 *
 * Every try takes a new stamp. With no answer at all, go on without: fail open.
 *
 * Threads: a key keeps contexts that a request changes, so each thread makes keys of its own. All else is free of
 *state. Memory: only sgw_key_new() and sgw_key_parse() allocate here; libcrypto allocates as it likes.
 */
#ifndef SESSION_GATEWAY_H
#define SESSION_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SGW_PORT = 6464,
	SGW_HASH_SIZE = 16,
	SGW_NONCE_SIZE = 8,
	SGW_REPLY_KEY_SIZE = 16,
	SGW_SECRET_SIZE = 32,
	SGW_ADDRESS_SIZE = 16,
	SGW_FACT_MAX = 24,
	SGW_BATCH_MAX = 64,
	/* Bytes of a LOOKUP or FACT, request and reply. */
	SGW_SINGLE_SIZE = 80,
	/* Bytes of the largest BATCH, and so of any datagram. */
	SGW_DATAGRAM_MAX = 56 + 16 * SGW_BATCH_MAX,
	/* Enough for any address and port as text. */
	SGW_ADDRESS_TEXT_SIZE = 64,
};

/* Bytes of a BATCH of n, request and reply. */
#define SGW_BATCH_SIZE(n) (56 + 16 * (size_t)(n))

/* ttl_s: never expires; age_ms: never in step with Redis. */
#define SGW_NEVER UINT32_MAX

enum sgw_result {
	SGW_OK = 0,
	/* An argument isn't allowed: a size, a number, text that is not as it must be. */
	SGW_INVALID = -1,
	/* libcrypto failed, or is not there: out of memory, or a provider without HMAC or BLAKE2SMAC. */
	SGW_CRYPTO = -2,
	/* Not an authentic reply to this request: wait on. */
	SGW_REFUSED = -3,
};

enum sgw_suite {
	SGW_HMAC_SHA256 = 1,
	SGW_BLAKE2S = 2,
};

enum sgw_status {
	SGW_FOUND = 0,
	SGW_NOT_FOUND = 1,
	SGW_CLOCK_SKEW = 2,
	SGW_NOT_READY = 3,
	SGW_DENIED = 4,
};

enum sgw_flag {
	SGW_MOVED = 0x01,
	SGW_PLACED = 0x02,
	SGW_STALE = 0x04,
};

/* A shared secret, ready for use. */
struct sgw_key;

/* What makes one try differ from any other. */
struct sgw_stamp {
	/* Unix time in milliseconds */
	uint64_t time_ms;
	/* random, other for every try */
	uint8_t nonce[SGW_NONCE_SIZE];
};

/* What is kept of a request to know its reply. Its key of the reply is a secret of this one request. */
struct sgw_request {
	uint8_t type;
	bool encrypted;
	/* cookie hashes of a BATCH, else 1 */
	uint16_t count;
	uint32_t key_id;
	uint8_t nonce[SGW_NONCE_SIZE];
	uint8_t reply_key[SGW_REPLY_KEY_SIZE];
};

/* The reply to a LOOKUP, in the host's byte order. */
struct sgw_reply {
	/* the gateway's Unix time in milliseconds */
	uint64_t time_ms;
	/* of two replies for one session the one with the higher version is newer; 0 = no record */
	uint64_t version;
	/* until the record expires; SGW_NEVER; 0 = no record */
	uint32_t ttl_s;
	/* how long ago the gateway last knew itself in step with Redis; SGW_NEVER */
	uint32_t age_ms;
	/* 1 to 65535; 0 = none */
	uint16_t backend_id;
	/* 0 = unknown */
	uint16_t port;
	/* enum sgw_status */
	uint8_t status;
	/* of enum sgw_flag */
	uint8_t flags;
	/* IPv6, or IPv4 as ::ffff:a.b.c.d; zeros = unknown */
	uint8_t address[SGW_ADDRESS_SIZE];
};

/* The reply to a FACT. */
struct sgw_fact_reply {
	uint64_t time_ms;
	uint64_t version;
	uint32_t age_ms;
	/* never SGW_DENIED */
	uint8_t status;
	uint8_t flags;
	uint8_t value_size;
	uint8_t value[SGW_FACT_MAX];
};

/* One session's part of the reply to a BATCH: fields as in struct sgw_reply. */
struct sgw_batch_entry {
	uint64_t version;
	uint32_t ttl_s;
	uint16_t backend_id;
	uint8_t status;
	uint8_t flags;
};

/*
 * Keys. `id` is not 0; `encrypt` is as the gateways have it. On SGW_OK *key is the caller's, to be freed; else NULL.
 * The text form is `<id> <suite> <64 hex digits> [encrypt]`, parted and perhaps ended by white space, for a file
 * that others can't read.
 */
int sgw_key_new(struct sgw_key **key, uint32_t id, enum sgw_suite suite, const uint8_t secret[SGW_SECRET_SIZE],
		bool encrypt);
int sgw_key_parse(struct sgw_key **key, const char *text);
/* Wipes it, too. NULL is allowed. */
void sgw_key_free(struct sgw_key *key);

/* The system's clock and libcrypto's random numbers. */
int sgw_stamp_now(struct sgw_stamp *stamp);

/* First half of SHA-256: of a session id, for a BATCH, or anything else. */
int sgw_hash(struct sgw_key *key, const void *bytes, size_t size, uint8_t hash[SGW_HASH_SIZE]);

/*
 * Requests: `bytes` is what to send, `request` is to be kept for its reply. A session id, what is left of a cookie when
 * its own wrapping is taken off, and a fact's name may be any bytes, at least one.
 */
int sgw_lookup(struct sgw_key *key, const struct sgw_stamp *stamp, const void *session_id, size_t size,
	       struct sgw_request *request, uint8_t bytes[SGW_SINGLE_SIZE]);
int sgw_fact(struct sgw_key *key, const struct sgw_stamp *stamp, const void *name, size_t size,
	     struct sgw_request *request, uint8_t bytes[SGW_SINGLE_SIZE]);
/* 1 to SGW_BATCH_MAX sessions, by their hashes; writes SGW_BATCH_SIZE(count) bytes. */
int sgw_batch(struct sgw_key *key, const struct sgw_stamp *stamp, const uint8_t (*hashes)[SGW_HASH_SIZE], size_t count,
	      struct sgw_request *request, uint8_t *bytes);

/*
 * Replies: SGW_OK where the datagram is the authentic reply to this request, and only then anything is written to
 * `reply`; SGW_REFUSED for every other, whatever it holds. The datagram is left as it is. One request is answered once:
 * what comes twice is to be ignored by the caller, who gives up the request with its first reply.
 */
int sgw_check(const struct sgw_request *request, const void *datagram, size_t size, struct sgw_reply *reply);
int sgw_check_fact(const struct sgw_request *request, const void *datagram, size_t size, struct sgw_fact_reply *reply);
/* `entries`: as many as the request has hashes. `time_ms` and `age_ms` as in struct sgw_reply; each may be NULL. */
int sgw_check_batch(const struct sgw_request *request, const void *datagram, size_t size,
		    struct sgw_batch_entry *entries, uint64_t *time_ms, uint32_t *age_ms);

/*
 * The nonce of a datagram that may be a reply, to find its request among many under way; nothing of it is proven yet.
 * NULL where it is too short.
 */
const uint8_t *sgw_nonce(const void *datagram, size_t size);

/* "FOUND" and so on; "?" for what there is not. */
const char *sgw_status_name(uint8_t status);

/* `10.0.0.11:8080` or `[2001:db8::11]:8080`; an empty string where it is unknown. Returns `text`. */
const char *sgw_address_text(const struct sgw_reply *reply, char text[SGW_ADDRESS_TEXT_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
