/* SPDX-License-Identifier: MIT */
/*
 * LOOKUP and BATCH answered in user space: steps 3 to 9 of docs/protocol.md, as src/auth/respond.ts has them and with
 * the same bytes. What the benchmarks don't use is left out: the allow list, revocations, facts.
 */
#ifndef BENCH_RESPOND_H
#define BENCH_RESPOND_H

#include "siphash.h"
#include "state.h"

enum {
	HEADER_BYTES = 24,
	LOOKUP_BYTES = 80,
	PREFIX_BYTES = 32,
	BATCH_MAX = 64,
	DATAGRAM_MAX = 56 + 16 * BATCH_MAX,
	TYPE_LOOKUP = 1,
	TYPE_BATCH = 2,
	STATUS_FOUND = 0,
	STATUS_NOT_FOUND = 1,
	STATUS_CLOCK_SKEW = 2,
	FLAG_MOVED = 1,
	FLAG_PLACED = 2,
	FLAG_STALE = 4,
};

/* The moment of a reply, and what of this second's budget for wrong clocks is spent. */
struct moment {
	uint64_t now_ms;
	uint64_t second, spent;
};

static inline uint16_t load16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t load32(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, 4);
	return __builtin_bswap32(word);
}

static inline uint64_t load64(const uint8_t *at)
{
	return __builtin_bswap64(sip_load(at));
}

static inline void store16(uint8_t *at, uint16_t value)
{
	value = __builtin_bswap16(value);
	memcpy(at, &value, 2);
}

static inline void store32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, 4);
}

static inline void store64(uint8_t *at, uint64_t value)
{
	value = __builtin_bswap64(value);
	memcpy(at, &value, 8);
}

/* Entries of a request of the right length, 1 for a LOOKUP; 0 = it has no such length, or is no request. */
static inline uint32_t entries_of(const uint8_t *request, uint32_t length)
{
	uint32_t count;

	if (length < HEADER_BYTES || request[0] != 0x53 || request[1] != 0x47 || request[2] != 1)
		return 0;
	if (request[3] == TYPE_LOOKUP)
		return length == LOOKUP_BYTES;
	if (request[3] != TYPE_BATCH || length < PREFIX_BYTES)
		return 0;
	count = load16(request + 24);
	return count <= BATCH_MAX && length == 56 + 16 * count ? count : 0;
}

/* Where the first cookie hash is. */
static inline const uint8_t *hashes_of(const uint8_t *request)
{
	return request + (request[3] == TYPE_LOOKUP ? HEADER_BYTES : PREFIX_BYTES);
}

static inline void prefetch_sessions(const struct state *state, const uint8_t *request, uint32_t length)
{
	uint32_t count = entries_of(request, length);
	const uint8_t *hash = hashes_of(request);

	for (uint32_t i = 0; i < count; i++, hash += 16)
		__builtin_prefetch(&state->slots[slot_of(state, hash)]);
}

struct resolution {
	uint8_t status, flags;
	uint32_t ttl_s;
	uint64_t version;
	/* NULL = none */
	const struct backend *backend;
};

static inline const struct backend *known(const struct state *state, uint32_t id)
{
	const struct backend *backend = &state->backends[id];

	return id && backend->known ? backend : NULL;
}

static inline int is_shed(const struct backend *backend, const uint8_t *hash)
{
	return ((uint64_t)load32(hash + 4) * 10000 >> 32) < backend->shed;
}

static inline struct resolution resolve(const struct state *state, uint64_t now_ms, uint8_t stale, const uint8_t *hash)
{
	const struct file_session *session = find_session(state, hash);
	const struct backend *stored = NULL, *elsewhere;
	struct resolution found = { STATUS_NOT_FOUND, stale, 0, 0, NULL };
	uint32_t slot = (uint64_t)load32(hash) * RING_SLOTS >> 32, to;

	if (session && (!session->expires_ms || session->expires_ms > now_ms))
		stored = known(state, session->backend_id % BACKENDS_MAX);
	if (!stored) {
		found.backend = known(state, state->placed[slot]);
		if (found.backend && state->moved[slot] && is_shed(found.backend, hash))
			found.backend = known(state, state->moved[slot]);
		if (found.backend)
			found.flags |= FLAG_PLACED;
		return found;
	}
	found.status = STATUS_FOUND;
	found.version = session->version;
	found.ttl_s = !session->expires_ms ? 0xffffffff : (session->expires_ms - now_ms + 999) / 1000;
	found.backend = stored;
	if (stored->active && !is_shed(stored, hash))
		return found;
	to = state->moved[slot];
	if (!to && !stored->active)
		to = state->placed[slot];
	elsewhere = known(state, to);
	if (elsewhere) {
		found.backend = elsewhere;
		found.flags |= FLAG_MOVED;
	}
	return found;
}

static inline void write_lookup(uint8_t *reply, const struct resolution *found)
{
	reply[24] = found->status;
	reply[25] = found->flags;
	if (found->backend) {
		store16(reply + 26, found->backend->port);
		store32(reply + 28, found->backend->id);
		memcpy(reply + 32, found->backend->address, 16);
	}
	store64(reply + 48, found->version);
	store32(reply + 56, found->ttl_s);
}

static inline void write_entry(uint8_t *entry, const struct resolution *found)
{
	entry[0] = found->status;
	entry[1] = found->flags;
	store16(entry + 2, found->backend ? found->backend->id : 0);
	store32(entry + 4, found->ttl_s);
	store64(entry + 8, found->version);
}

/* The reply's tag, and its encryption, under R; `tag_at` bytes are tagged. */
static inline void seal(uint8_t *reply, uint32_t tag_at, const uint8_t replies_key[16], int encrypt)
{
	uint64_t tag[2], stream[2], input[3];

	sip128(replies_key, reply, tag_at, tag);
	memcpy(reply + tag_at, tag, 16);
	if (!encrypt)
		return;
	memcpy(input, tag, 16);
	for (uint32_t at = HEADER_BYTES, i = 0; at < tag_at; at += 16, i++) {
		input[2] = i;
		sip128(replies_key, (const uint8_t *)input, 24, stream);
		for (uint32_t j = 0; j < 16 && at + j < tag_at; j++)
			reply[at + j] ^= ((const uint8_t *)stream)[j];
	}
}

/* Answers in place of `reply`, DATAGRAM_MAX bytes. Returns whether there is an answer, as long as the request. */
static inline int respond(const struct state *state, struct moment *moment, const uint8_t *request, uint32_t length,
			  uint8_t *reply)
{
	uint32_t count = entries_of(request, length), hashed, guarded, age_ms = 0xffffffff;
	int is_batch = request[3] == TYPE_BATCH, skewed, nonzero = 0;
	uint64_t now_ms = moment->now_ms, time_ms, guard;
	const struct key *key;
	uint8_t m[PRF_BYTES], differ = 0, stale = FLAG_STALE;
	const uint8_t *hash;

	/* 3. form */
	if (!count)
		return 0;
	for (uint32_t i = is_batch ? 26 : 64; i < (is_batch ? 32u : 80u); i++)
		nonzero |= request[i];
	if (nonzero)
		return 0;
	hashed = is_batch ? PREFIX_BYTES + 16 * count : 40;
	guarded = is_batch ? PREFIX_BYTES : 40;

	/* 4. key */
	key = find_key(state, load32(request + 4));
	if (!key || now_ms < key->not_before_ms || now_ms > key->not_after_ms)
		return 0;

	/* 5. guard */
	guard = sip64(key->guard_key, request, guarded, request + hashed, 16);
	if (guard != sip_load(request + hashed + 16))
		return 0;

	/* 6. clock */
	time_ms = load64(request + 8);
	skewed = (now_ms > time_ms ? now_ms - time_ms : time_ms - now_ms) > state->settings.max_skew_ms;
	if (skewed) {
		if (moment->second != now_ms / 1000)
			moment->second = now_ms / 1000, moment->spent = 0;
		if (moment->spent++ >= state->settings.skew_budget)
			return 0;
	}

	/* 7. tag */
	prf_of(&key->prf, request, hashed, m);
	for (int i = 0; i < 16; i++)
		differ |= m[i] ^ request[hashed + i];
	if (differ)
		return 0;

	/* 8. and 9. */
	if (state->settings.in_step_ms) {
		age_ms = now_ms > state->settings.in_step_ms ? now_ms - state->settings.in_step_ms : 0;
		stale = age_ms > state->settings.stale_after_ms ? FLAG_STALE : 0;
	}
	memset(reply + HEADER_BYTES, 0, length - HEADER_BYTES);
	memcpy(reply, request, HEADER_BYTES);
	reply[3] = request[3] | 0x80 | (key->encrypt ? 0x40 : 0);
	store64(reply + 8, now_ms);
	if (is_batch)
		store16(reply + 24, count);
	store32(reply + (is_batch ? 28 : 60), age_ms);
	hash = hashes_of(request);
	for (uint32_t i = 0; i < count; i++, hash += 16) {
		struct resolution found = { STATUS_CLOCK_SKEW, 0, 0, 0, NULL };

		if (!skewed)
			found = resolve(state, now_ms, stale, hash);
		if (is_batch)
			write_entry(reply + PREFIX_BYTES + 16 * i, &found);
		else
			write_lookup(reply, &found);
	}
	seal(reply, is_batch ? hashed : 64, m + 16, key->encrypt);
	return 1;
}

#endif
