/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The program as one function over a frame, in a small fixed world, and what must hold of whatever it does: the
 * verdict is counted once and fits the action, what is not answered is left as it was, and an answer has every
 * header right, and goes only to an authentic request, judged by reference.h.
 */
#ifndef FUZZ_GATEWAY_H
#define FUZZ_GATEWAY_H

#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <sys/mman.h>

#include "maps.h"
#include "reference.h"

#include "../../bpf/gateway.bpf.c"

/* The world. The TypeScript that makes the corpus (seeds.ts) knows these numbers too. */
#define WORLD_MONOTONIC_MS 10000000ull
#define WORLD_NOW_MS 1795000000000ull

enum {
	WORLD_PORT = 6464,
	WORLD_SKEW_MS = 30000,
	WORLD_GENERATION = 7,
	FRAME_MAX = 2048,
	/* How the world differs from usual, for one frame. */
	WORLD_NOT_READY = 0x01,
	WORLD_ALLOW_LIST = 0x02,
	WORLD_NO_BUDGET = 0x04,
	WORLD_NEVER_IN_STEP = 0x08,
	WORLD_OTHER_HALF = 0x10,
	WORLD_STALE = 0x20,
	/* Misses are handed up; both: but the buckets are empty; the second alone: but the daemon is dead. */
	WORLD_ASKED = 0x40,
	WORLD_NOT_NOW = 0x80,
};

enum world_key {
	KEY_IN_FORCE = 1,
	KEY_ENDED = 2,
	KEY_TO_COME = 3,
	/* 4 is nobody's; these are in force, too. */
	KEY_ENCRYPTED = 5,
	KEY_BLAKE2S = 6,
	KEY_BLAKE2S_ENCRYPTED = 7,
	WORLD_KEYS_END,
};

enum world_session {
	ENDLESS,
	ENDING,
	ENDED,
	NO_BACKEND,
	BACKEND_GONE,
	OLD_GENERATION,
	ON_DRAINING,
	/* Two on a backend that sheds half of its users: their hashes' ranks are on either side of that. */
	SHED,
	NOT_SHED,
	REVOKED,
	/* Not in the table, like the last one. */
	REVOKED_NOBODY,
	REVOCATION_OVER,
	REVOCATION_OLD,
	NOBODY,
	WORLD_SESSIONS,
};

/* Facts, under the hashes of the sessions of these numbers. */
enum world_fact {
	FULL_FACT,
	EMPTY_FACT,
	OLD_FACT,
};

/* Every slot of the ring is theirs. */
enum world_backend {
	BACKEND_PLACED = 1,
	BACKEND_MOVED = 300,
	BACKEND_DRAINING = 400,
	BACKEND_SHEDDING = 500,
};

static void world_secret(__u32 id, uint8_t secret[32])
{
	for (int i = 0; i < 32; i++)
		secret[i] = 16 * id + i;
}

static int is_blake2s(__u32 id)
{
	return id == KEY_BLAKE2S || id == KEY_BLAKE2S_ENCRYPTED;
}

static int is_encrypted(__u32 id)
{
	return id == KEY_ENCRYPTED || id == KEY_BLAKE2S_ENCRYPTED;
}

static void world_prf(__u32 id, const void *message, size_t size, uint8_t out[32])
{
	uint8_t secret[32];

	world_secret(id, secret);
	if (is_blake2s(id))
		reference_blake2s(secret, message, size, out);
	else
		reference_hmac(secret, message, size, out);
}

static void world_guard_key(__u32 id, uint8_t guard_key[16])
{
	uint8_t out[32];

	world_prf(id, "session-gateway guard v1", 24, out);
	memcpy(guard_key, out, 16);
}

static void world_hash(int session, uint8_t hash[16])
{
	for (int i = 0; i < 16; i++)
		hash[i] = 16 * session + i;
}

static void world_add_key(__u32 id, __u64 not_before_ms, __u64 not_after_ms)
{
	struct key key = {
		.not_before_ms = not_before_ms,
		.not_after_ms = not_after_ms,
		.suite = is_blake2s(id) ? SUITE_BLAKE2S : SUITE_HMAC_SHA256,
		.encrypt = is_encrypted(id),
	};
	uint8_t secret[32];

	world_secret(id, secret);
	world_guard_key(id, key.guard_key);
	if (is_blake2s(id)) {
		reference_blake2s_key_state(secret, key.inner_state);
	} else {
		reference_pad_state(secret, 0x36, key.inner_state);
		reference_pad_state(secret, 0x5c, key.outer_state);
	}
	REQUIRE(!bpf_map_update_elem(&keys, &id, &key, BPF_ANY));
}

static void world_add_session(int session, __u64 expires_ms, __u32 generation, __u16 backend_id, __u16 flags)
{
	struct session record = {
		.version = 1000 + session,
		.expires_ms = expires_ms,
		.generation = generation,
		.backend_id = backend_id,
		.flags = flags,
	};
	uint8_t hash[16];

	world_hash(session, hash);
	record.check = session_check(hash, record.version, record.expires_ms,
				     session_rest(record.generation, record.backend_id, record.flags));
	REQUIRE(!bpf_map_update_elem(&sessions, hash, &record, BPF_ANY));
}

static void world_deny(int session, __u64 until_ms, __u32 generation)
{
	struct denied record = { .until_ms = until_ms, .generation = generation };
	uint8_t hash[16];

	world_hash(session, hash);
	record.check = denied_check(hash, until_ms, generation);
	REQUIRE(!bpf_map_update_elem(&denied, hash, &record, BPF_ANY));
}

/* Its value is `length` bytes of 0xab. */
static void world_add_fact(int fact, __u32 length, __u32 generation)
{
	struct fact record = { .version = 2000 + fact, .generation = generation, .length = length };
	uint8_t hash[16];

	world_hash(fact, hash);
	memset(record.value, 0xab, length);
	record.check = fact_check(hash, record.version, record.value, generation, length);
	REQUIRE(!bpf_map_update_elem(&facts, hash, &record, BPF_ANY));
}

static void world_add_address(const uint8_t bytes[16])
{
	__u32 one = 1;

	REQUIRE(!bpf_map_update_elem(&addresses, bytes, &one, BPF_ANY));
}

static void world_add_network(__u32 prefix_length, const uint8_t bytes[16])
{
	struct network network = { .prefix_length = prefix_length };
	__u32 one = 1;

	memcpy(network.bytes, bytes, 16);
	REQUIRE(!bpf_map_update_elem(&allowed_networks, &network, &one, BPF_ANY));
}

static void world_add_backend(__u32 id, const uint8_t address[16], __u16 port, int active, __u16 shed)
{
	struct backend backend = { .port = bpf_htons(port), .known = 1, .active = active, .shed = shed };

	memcpy(backend.address, address, 16);
	REQUIRE(!bpf_map_update_elem(&backends, &id, &backend, BPF_ANY));
}

static const uint8_t gateway_v4[16] = { [10] = 0xff, 0xff, 10, 99, 0, 2 };
static const uint8_t client_v4[16] = { [10] = 0xff, 0xff, 10, 99, 0, 1 };
static const uint8_t gateway_v6[16] = { 0xfd, 0x99, [15] = 2 };
static const uint8_t client_v6[16] = { 0xfd, 0x99, [15] = 1 };
static const uint8_t backend_v4[16] = { [10] = 0xff, 0xff, 10, 1, 0, 1 };
static const uint8_t backend_v6[16] = { 0xfd, 0x01, [15] = 9 };

/* A page below 4 GB, since a packet's address has 32 bits in struct xdp_md. */
static uint8_t *frame_room;

static void world_begin(void)
{
	if (frame_room)
		return;
	frame_room = mmap((void *)0x10000000, FRAME_MAX, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	REQUIRE(frame_room == (void *)0x10000000);

	HOST_MAP(&sessions)->max_entries = WORLD_SESSIONS;
	world_add_key(KEY_IN_FORCE, 0, ~0ull);
	world_add_key(KEY_ENDED, 0, WORLD_NOW_MS - 1);
	world_add_key(KEY_TO_COME, WORLD_NOW_MS + 1, ~0ull);
	for (__u32 id = KEY_ENCRYPTED; id < WORLD_KEYS_END; id++)
		world_add_key(id, 0, ~0ull);
	world_add_address(gateway_v4);
	world_add_address(gateway_v6);
	world_add_network(96 + 24, client_v4);
	world_add_backend(BACKEND_PLACED, backend_v4, 8080, 1, 0);
	world_add_backend(BACKEND_MOVED, backend_v6, 65535, 1, 0);
	world_add_backend(BACKEND_DRAINING, backend_v4, 400, 0, 0);
	world_add_backend(BACKEND_SHEDDING, backend_v4, 500, 1, SHED_WHOLE / 2);
	for (__u32 slot = 0; slot < LIMIT_RING_SLOTS; slot++) {
		struct ring_slot both = { .placed = BACKEND_PLACED, .moved = BACKEND_MOVED };

		REQUIRE(!bpf_map_update_elem(&ring, &slot, &both, BPF_ANY));
	}
	world_add_session(ENDLESS, 0, WORLD_GENERATION, BACKEND_PLACED, 0);
	world_add_session(ENDING, WORLD_NOW_MS + 3599001, WORLD_GENERATION, BACKEND_MOVED, 0);
	world_add_session(ENDED, WORLD_NOW_MS, WORLD_GENERATION, BACKEND_PLACED, 0);
	world_add_session(NO_BACKEND, 0, WORLD_GENERATION, 0, 0);
	world_add_session(BACKEND_GONE, 0, WORLD_GENERATION, 2, 0);
	world_add_session(OLD_GENERATION, 0, WORLD_GENERATION - 1, BACKEND_PLACED, 0);
	world_add_session(ON_DRAINING, 0, WORLD_GENERATION, BACKEND_DRAINING, 0);
	world_add_session(SHED, 0, WORLD_GENERATION, BACKEND_SHEDDING, 0);
	world_add_session(NOT_SHED, 0, WORLD_GENERATION, BACKEND_SHEDDING, 0);
	world_add_session(REVOKED, 0, WORLD_GENERATION, BACKEND_PLACED, SESSION_DENIED);
	world_add_session(REVOCATION_OVER, 0, WORLD_GENERATION, BACKEND_PLACED, SESSION_DENIED);
	world_add_session(REVOCATION_OLD, 0, WORLD_GENERATION, BACKEND_PLACED, SESSION_DENIED);
	world_deny(REVOKED, WORLD_NOW_MS + 1, WORLD_GENERATION);
	world_deny(REVOKED_NOBODY, ~0ull, WORLD_GENERATION + 1);
	world_deny(REVOCATION_OVER, WORLD_NOW_MS, WORLD_GENERATION);
	world_deny(REVOCATION_OLD, ~0ull, WORLD_GENERATION - 1);
	world_add_fact(FULL_FACT, WIRE_FACT_MAX, WORLD_GENERATION);
	world_add_fact(EMPTY_FACT, 0, WORLD_GENERATION + 1);
	world_add_fact(OLD_FACT, 1, WORLD_GENERATION - 1);
}

/* Who asks Redis, and how many misses it takes. */
static void world_set_responder(uint8_t differences)
{
	struct host_map *buckets = HOST_MAP(&miss_buckets);
	struct responder there = { 0 };
	__u32 zero = 0;

	if (differences & WORLD_ASKED)
		there.alive_ms = WORLD_MONOTONIC_MS - MISS_ALIVE_MS;
	else if (differences & WORLD_NOT_NOW)
		there.alive_ms = WORLD_MONOTONIC_MS - MISS_ALIVE_MS - 1;
	bpf_map_update_elem(&responder, &zero, &there, BPF_ANY);
	for (__u32 i = 0; differences & WORLD_ASKED && i < buckets->max_entries; i++) {
		struct miss_bucket *bucket = bpf_map_lookup_elem(&miss_buckets, &i);

		bucket->full_ns = differences & WORLD_NOT_NOW ? host_now_ns + MISS_BURST_MS * 1000000ull : 0;
	}
}

static void world_set(uint8_t differences)
{
	struct settings setting = {
		.in_step_ms = differences & WORLD_NEVER_IN_STEP ? 0 : WORLD_MONOTONIC_MS - 250,
		.stale_after_ms = differences & WORLD_STALE ? 249 : 250,
		.max_skew_ms = WORLD_SKEW_MS,
		.skew_budget = differences & WORLD_NO_BUDGET ? 0 : 1,
		.generation = WORLD_GENERATION,
		.port = WORLD_PORT,
		.ready = !(differences & WORLD_NOT_READY),
		.allow_list = !!(differences & WORLD_ALLOW_LIST),
		.backends_half = !!(differences & WORLD_OTHER_HALF),
		.denied_generation = WORLD_GENERATION,
		.facts_generation = WORLD_GENERATION,
		.timed_one_in = 1,
	};
	struct table_counts held = { .denied = 4 };
	struct wall_clock clock = { .offset_ms = WORLD_NOW_MS - WORLD_MONOTONIC_MS };
	struct verdict_counts counts = { 0 };
	struct skew_budget spent = { 0 };
	struct trace_control traced_all = { .until_ms = ~0ull, .verdicts = ~0ull, .one_in = 1 };
	__u32 zero = 0;

	host_now_ns = WORLD_MONOTONIC_MS * 1000000 + 999999;
	bpf_map_update_elem(&wall_clock, &zero, &clock, BPF_ANY);
	bpf_map_update_elem(&settings, &zero, &setting, BPF_ANY);
	bpf_map_update_elem(&table_counts, &zero, &held, BPF_ANY);
	bpf_map_update_elem(&verdict_counts, &zero, &counts, BPF_ANY);
	bpf_map_update_elem(&skew_budget, &zero, &spent, BPF_ANY);
	bpf_map_update_elem(&trace_control, &zero, &traced_all, BPF_ANY);
	world_set_responder(differences);
}

/* The one verdict that was counted. */
static enum verdict counted_verdict(void)
{
	const struct verdict_counts *counts;
	enum verdict verdict = VERDICT_COUNT;
	__u32 zero = 0;

	counts = bpf_map_lookup_elem(&verdict_counts, &zero);
	for (int i = 0; i < VERDICT_COUNT; i++) {
		if (!counts->packets[i])
			continue;
		REQUIRE(counts->packets[i] == 1 && verdict == VERDICT_COUNT);
		verdict = i;
	}
	REQUIRE(verdict < VERDICT_COUNT);
	return verdict;
}

static int action_that_fits(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_PASS_OTHER:
	case VERDICT_PASS_SLOW_PATH:
	case VERDICT_PASS_MISS:
		return XDP_PASS;
	case VERDICT_REPLY_CLOCK_SKEW:
	case VERDICT_REPLY_NOT_READY:
	case VERDICT_REPLY_FOUND:
	case VERDICT_REPLY_MOVED:
	case VERDICT_REPLY_PLACED:
	case VERDICT_REPLY_NOT_FOUND:
	case VERDICT_REPLY_DENIED:
		return XDP_TX;
	default:
		REQUIRE(verdict != VERDICT_ABORTED);
		return XDP_DROP;
	}
}

static int is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return 0;
	return 1;
}

static void require_swapped(const uint8_t *before, const uint8_t *after, size_t size)
{
	REQUIRE(!memcmp(after, before + size, size));
	REQUIRE(!memcmp(after + size, before, size));
}

/* What an authentic request of this header and body would carry. */
struct seal {
	uint8_t digest[32];
	uint8_t guard[8];
};

static __u32 key_id_of(const uint8_t *request)
{
	return (__u32)request[4] << 24 | request[5] << 16 | request[6] << 8 | request[7];
}

static int is_batch(const uint8_t *datagram)
{
	return (datagram[3] & 0x3f) == REQUEST_BATCH;
}

/* Entries of a BATCH. */
static size_t count_of(const uint8_t *datagram)
{
	return datagram[24] << 8 | datagram[25];
}

/* Where the tag of a request is, and that of a BATCH's reply. */
static size_t tag_at(const uint8_t *datagram)
{
	return is_batch(datagram) ? 32 + 16 * count_of(datagram) : 40;
}

static size_t reply_tag_at(const uint8_t *reply)
{
	return is_batch(reply) ? tag_at(reply) : 64;
}

static size_t request_size(const uint8_t *request)
{
	return is_batch(request) ? tag_at(request) + 24 : 80;
}

/* The guard over a tag that is there already. */
static void guard_over(const uint8_t *request, uint8_t guard[8])
{
	uint8_t guard_key[16], covered[48];

	world_guard_key(key_id_of(request), guard_key);
	memcpy(covered, request, 32);
	memcpy(covered + 32, request + tag_at(request), 16);
	if (is_batch(request))
		reference_siphash(guard_key, covered, sizeof(covered), guard, 8);
	else
		reference_siphash(guard_key, request, 56, guard, 8);
}

static void seal_of(const uint8_t *request, struct seal *seal)
{
	world_prf(key_id_of(request), request, tag_at(request), seal->digest);
	guard_over(request, seal->guard);
}

/* The reply in the clear; its size and form are its request's, since encryption hides what it says of them. */
static void open_reply(const uint8_t *request, const uint8_t *reply, uint8_t *plain)
{
	size_t size = request_size(request), tag = is_batch(request) ? tag_at(request) : 64;
	struct seal seal;

	memcpy(plain, reply, size);
	if (!is_encrypted(key_id_of(request)))
		return;
	seal_of(request, &seal);
	for (size_t at = 24; at < tag; at++) {
		uint8_t input[24] = { 0 }, stream[16];

		memcpy(input, reply + tag, 16);
		input[16] = (at - 24) / 16;
		reference_siphash(seal.digest + 16, input, 24, stream, 16);
		plain[at] ^= stream[(at - 24) % 16];
	}
}

/* What goes with the status of an answer. */
static void require_right_content(const uint8_t *reply, enum verdict verdict)
{
	int flags = reply[25] & ~FLAG_STALE, is_fact = (reply[3] & 0x3f) == REQUEST_FACT;

	switch (verdict) {
	case VERDICT_REPLY_FOUND:
		REQUIRE(reply[24] == STATUS_FOUND && !flags);
		if (is_fact)
			REQUIRE(!reply[26] && reply[27] <= 24 && is_zero(reply + 28 + reply[27], 24 - reply[27]));
		else
			REQUIRE(!is_zero(reply + 26, 6));
		return;
	case VERDICT_REPLY_MOVED:
		REQUIRE(reply[24] == STATUS_FOUND && flags == FLAG_MOVED && !is_zero(reply + 26, 6));
		return;
	case VERDICT_REPLY_PLACED:
		REQUIRE(reply[24] == STATUS_NOT_FOUND && flags == FLAG_PLACED && !is_zero(reply + 26, 6));
		REQUIRE(is_zero(reply + 48, 12));
		return;
	case VERDICT_REPLY_NOT_FOUND:
		REQUIRE(reply[24] == STATUS_NOT_FOUND && !flags && is_zero(reply + 26, 34));
		return;
	case VERDICT_REPLY_DENIED:
		REQUIRE(reply[24] == STATUS_DENIED && !flags && !is_fact && is_zero(reply + 26, 34));
		return;
	case VERDICT_REPLY_CLOCK_SKEW:
		REQUIRE(reply[24] == STATUS_CLOCK_SKEW && is_zero(reply + 25, 35));
		return;
	default:
		REQUIRE(reply[24] == STATUS_NOT_READY && is_zero(reply + 25, 35));
	}
}

/* An entry of a batch; status and flags as in a LOOKUP. */
static void require_right_entry(const uint8_t *entry)
{
	int flags = entry[1] & ~FLAG_STALE, has_backend = !is_zero(entry + 2, 2), has_record = !is_zero(entry + 4, 12);

	switch (entry[0]) {
	case STATUS_FOUND:
		REQUIRE((!flags || flags == FLAG_MOVED) && has_backend && has_record);
		return;
	case STATUS_NOT_FOUND:
		REQUIRE(flags == (has_backend ? FLAG_PLACED : 0) && !has_record);
		return;
	default:
		REQUIRE(entry[0] == STATUS_DENIED && !flags && !has_backend && !has_record);
	}
}

static void require_right_batch(const uint8_t *request, const uint8_t *reply, enum verdict verdict)
{
	REQUIRE(count_of(request) == count_of(reply) && is_zero(reply + 26, 2));
	for (size_t i = 0; i < count_of(request); i++) {
		const uint8_t *entry = reply + 32 + 16 * i;

		if (verdict == VERDICT_REPLY_FOUND) {
			require_right_entry(entry);
			continue;
		}
		REQUIRE(verdict == VERDICT_REPLY_CLOCK_SKEW || verdict == VERDICT_REPLY_NOT_READY);
		REQUIRE(entry[0] == (verdict == VERDICT_REPLY_CLOCK_SKEW ? STATUS_CLOCK_SKEW : STATUS_NOT_READY));
		REQUIRE(is_zero(entry + 1, 15));
	}
}

static int is_in_force(__u32 key_id)
{
	return key_id == KEY_IN_FORCE || (key_id >= KEY_ENCRYPTED && key_id < WORLD_KEYS_END);
}

/* Whoever asked holds a key that is in force. */
static void require_authentic(const uint8_t *request)
{
	size_t tag = tag_at(request), size = request_size(request);
	struct seal seal;

	REQUIRE(is_in_force(key_id_of(request)));
	seal_of(request, &seal);
	REQUIRE(!memcmp(request + tag, seal.digest, 16));
	REQUIRE(!memcmp(request + tag + 16, seal.guard, 8));
	REQUIRE(is_zero(request + tag + 24, size - tag - 24));
	if (is_batch(request))
		REQUIRE(count_of(request) >= 1 && count_of(request) <= 64 && is_zero(request + 26, 6));
}

/* A request and the reply to it, of one length. */
static void require_right_reply(const uint8_t *request, const uint8_t *reply, enum verdict verdict)
{
	size_t size = request_size(request), reply_tag;
	static uint8_t plain[FRAME_MAX];
	struct seal seal;
	uint8_t right_tag[16];
	__u64 now_ms = 0;

	require_authentic(request);
	seal_of(request, &seal);

	/* header and tag of the reply */
	REQUIRE(!memcmp(request, "\x53\x47\x01", 3) && !memcmp(reply, "\x53\x47\x01", 3));
	REQUIRE(request[3] >= REQUEST_LOOKUP && request[3] <= REQUEST_FACT);
	REQUIRE(reply[3] == (request[3] | (is_encrypted(key_id_of(request)) ? 0xc0 : 0x80)));
	REQUIRE(!memcmp(reply + 4, request + 4, 4) && !memcmp(reply + 16, request + 16, 8));
	for (int i = 8; i < 16; i++)
		now_ms = now_ms << 8 | reply[i];
	REQUIRE(now_ms == WORLD_NOW_MS);
	open_reply(request, reply, plain);
	reply_tag = reply_tag_at(plain);
	REQUIRE(reply_tag <= size - 16);
	reference_siphash(seal.digest + 16, plain, reply_tag, right_tag, 16);
	REQUIRE(!memcmp(reply + reply_tag, right_tag, 16));
	REQUIRE(is_zero(reply + reply_tag + 16, size - reply_tag - 16));
	if (is_batch(request))
		require_right_batch(request, plain, verdict);
	else
		require_right_content(plain, verdict);
}

/* Where the IP header is in a frame that the program has taken apart, VLAN tags or not. */
static size_t ip_header_of(const uint8_t *frame)
{
	size_t ip = 14;
	int tags = 0;

	for (; memcmp(frame + ip - 2, "\x08\x00", 2) && memcmp(frame + ip - 2, "\x86\xdd", 2); ip += 4)
		REQUIRE(tags++ < 2);
	return ip;
}

static int is_ipv4_at(const uint8_t *frame, size_t ip)
{
	return frame[ip - 2] == 0x08;
}

/* The datagram of a frame that the program has taken apart. */
static const uint8_t *request_of(const uint8_t *frame)
{
	size_t ip = ip_header_of(frame);

	return frame + ip + (is_ipv4_at(frame, ip) ? 20 : 40) + 8;
}

/* What was dropped for a wrong guard or tag had one. */
static void require_forged(const uint8_t *frame, enum verdict verdict)
{
	const uint8_t *request = request_of(frame);
	struct seal seal;

	seal_of(request, &seal);
	if (verdict == VERDICT_DROP_GUARD)
		REQUIRE(memcmp(request + tag_at(request) + 16, seal.guard, 8));
	else
		REQUIRE(!memcmp(request + tag_at(request) + 16, seal.guard, 8) &&
			memcmp(request + tag_at(request), seal.digest, 16));
}

/* An answered frame, and the frame as it was; they have one length. */
static void require_right_answer(const uint8_t *before, const uint8_t *after, size_t size, enum verdict verdict)
{
	size_t ip = ip_header_of(before), udp, udp_size, addresses_size, addresses;
	uint8_t pseudo[4] = { 0, IPPROTO_UDP };

	require_swapped(before, after, 6);
	REQUIRE(!memcmp(before + 12, after + 12, ip - 12));

	if (is_ipv4_at(before, ip)) {
		static const uint8_t id_fragment_limit[] = { 0, 0, 0x40, 0, 64, IPPROTO_UDP };

		udp = ip + 20;
		addresses_size = 4;
		REQUIRE(before[ip] == 0x45 && after[ip] == 0x45 && after[ip + 1] == 0);
		REQUIRE(!memcmp(after + ip + 2, before + ip + 2, 2));
		REQUIRE(!memcmp(after + ip + 4, id_fragment_limit, 6));
		REQUIRE(reference_fold(reference_sum(0, after + ip, 20)) == 0xffff);
	} else {
		udp = ip + 40;
		addresses_size = 16;
		REQUIRE(after[ip] == 0x60 && is_zero(after + ip + 1, 3));
		REQUIRE(!memcmp(after + ip + 4, before + ip + 4, 3) && after[ip + 7] == 64);
	}
	addresses = udp - 2 * addresses_size;
	require_swapped(before + addresses, after + addresses, addresses_size);
	require_swapped(before + udp, after + udp, 2);

	udp_size = 8 + request_size(before + udp + 8);
	REQUIRE(udp + udp_size <= size);
	REQUIRE(after[udp + 4] == udp_size >> 8 && after[udp + 5] == (udp_size & 0xff));
	REQUIRE(!memcmp(before + udp + 4, after + udp + 4, 2));
	REQUIRE(!is_zero(after + udp + 6, 2));
	memcpy(pseudo + 2, after + udp + 4, 2);
	REQUIRE(reference_fold(
			reference_sum(reference_sum(reference_sum(0, pseudo, 4), after + addresses, 2 * addresses_size),
				      after + udp, udp_size)) == 0xffff);
	REQUIRE(!memcmp(before + udp + udp_size, after + udp + udp_size, size - udp - udp_size));
	require_right_reply(before + udp + 8, after + udp + 8, verdict);
}

/*
 * Runs the program on a frame of at most FRAME_MAX bytes and checks what it did; every byte around the frame is
 * poisoned.
 * after: the frame as it then is, for callers that want more of it; NULL = not wanted
 */
static enum verdict run_frame(const uint8_t *frame, size_t size, uint8_t *after)
{
	struct xdp_md ctx = { .data = (uintptr_t)frame_room, .data_end = (uintptr_t)frame_room + size };
	enum verdict verdict;
	int action;

	REQUIRE(size <= FRAME_MAX);
	ASAN_UNPOISON_MEMORY_REGION(frame_room, FRAME_MAX);
	memcpy(frame_room, frame, size);
	ASAN_POISON_MEMORY_REGION(frame_room + size, FRAME_MAX - size);
	action = gateway(&ctx);
	verdict = counted_verdict();
	REQUIRE(action == action_that_fits(verdict));
	if (action == XDP_TX)
		require_right_answer(frame, frame_room, size, verdict);
	else
		REQUIRE(!memcmp(frame, frame_room, size));
	if (verdict == VERDICT_DROP_GUARD || verdict == VERDICT_DROP_TAG)
		require_forged(frame, verdict);
	if (verdict == VERDICT_PASS_MISS) {
		REQUIRE(request_of(frame)[3] == REQUEST_LOOKUP);
		require_authentic(request_of(frame));
	}
	if (after)
		memcpy(after, frame_room, size);
	return verdict;
}

#endif
