/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Fuzz target: requests that are signed after they were changed, and so get past the tag, where bytes alone never
 * would. Input: six bytes that choose world, layout, key, session (of a batch also how many), clock and trailer, then
 * changes of three bytes each. Without changes the verdict and the answer are known beforehand, and must be those.
 */
#include "gateway.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	PLAN_BYTES = 6,
	CHANGE_BYTES = 3,
	CHANGES_MAX = 32,
	REQUEST_BYTES_MAX = 56 + 16 * 64,
	LAYOUT_IPV6 = 0x01,
	LAYOUT_TAGS = 0x06,	/* 0 to 3, in bits 1 and 2 */
	LAYOUT_STRANGER = 0x08, /* from an address that is not allowed */
	LAYOUT_FACT = 0x10,	/* a FACT, with the hash of a session */
	LAYOUT_BATCH = 0x20,
	TRAILER_CUT = 0x80, /* bytes are missing at the end, not added */
};

/* When a change is made, in a change's first byte: the tag, the guard or neither is made after it. */
enum when {
	BEFORE_TAG,
	BEFORE_GUARD,
	IN_FRAME,
	WHENS,
};

struct plan {
	uint8_t world, layout, key, session, clock, trailer;
	const uint8_t *changes;
	size_t change_count;
};

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put64(uint8_t *at, uint64_t value)
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		at[i] = value;
}

/* Off by -2 to 2 times the allowed skew, its very edges among them. */
static int64_t skew_of(uint8_t clock)
{
	static const int64_t edges[] = { 0, WORLD_SKEW_MS, -WORLD_SKEW_MS, WORLD_SKEW_MS + 1, -WORLD_SKEW_MS - 1 };

	if (clock < 5)
		return edges[clock];
	return (clock - 128) * 2 * WORLD_SKEW_MS / 128;
}

static uint32_t key_of(const struct plan *plan)
{
	return 1 + plan->key % (WORLD_KEYS_END - 1);
}

static void change(const struct plan *plan, enum when when, uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < plan->change_count; i++) {
		const uint8_t *change = plan->changes + CHANGE_BYTES * i;

		/* the first byte's upper half reaches on, where there is more than 256 bytes */
		if (change[0] % WHENS == when)
			bytes[(change[1] + change[0] / 16 * 256) % size] ^= change[2];
	}
}

static size_t batch_count(const struct plan *plan)
{
	return 1 + plan->session % 64;
}

/* Who entry i of a batch is for. */
static int entry_session(const struct plan *plan, size_t i)
{
	return (plan->session + i) % WORLD_SESSIONS;
}

/* Returns the request's size. */
static size_t make_request(const struct plan *plan, uint8_t request[REQUEST_BYTES_MAX])
{
	size_t tag = 40, size = 80;
	uint8_t digest[32];

	memset(request, 0, REQUEST_BYTES_MAX);
	memcpy(request, "\x53\x47\x01", 3);
	request[3] = plan->layout & LAYOUT_FACT ? REQUEST_FACT : REQUEST_LOOKUP;
	request[7] = key_of(plan);
	put64(request + 8, WORLD_NOW_MS + skew_of(plan->clock));
	memcpy(request + 16, "a nonce.", 8);
	if (plan->layout & LAYOUT_BATCH) {
		request[3] = REQUEST_BATCH;
		put16(request + 24, batch_count(plan));
		for (size_t i = 0; i < batch_count(plan); i++)
			world_hash(entry_session(plan, i), request + 32 + 16 * i);
		tag = 32 + 16 * batch_count(plan);
		size = tag + 24;
	} else {
		world_hash(plan->session % WORLD_SESSIONS, request + 24);
	}
	change(plan, BEFORE_TAG, request, tag);
	/* as long as its number of entries says: what a change made of it is judged before the tag is */
	if (is_batch(request) == !!(plan->layout & LAYOUT_BATCH) && tag_at(request) == tag) {
		world_prf(key_of(plan), request, tag, digest);
		memcpy(request + tag, digest, 16);
		change(plan, BEFORE_GUARD, request, tag + 16);
		if (is_batch(request) == !!(plan->layout & LAYOUT_BATCH) && tag_at(request) == tag)
			guard_over(request, request + tag + 16);
	}
	return size;
}

/* Returns the frame's size. */
static size_t make_frame(const struct plan *plan, uint8_t frame[FRAME_MAX])
{
	int tags = (plan->layout & LAYOUT_TAGS) / 2, is_ipv6 = plan->layout & LAYOUT_IPV6;
	uint8_t request[REQUEST_BYTES_MAX], *at = frame;
	size_t size = make_request(plan, request);

	memset(frame, 0, FRAME_MAX);
	memcpy(at, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
	at += 12;
	for (int i = 0; i < tags; i++, at += 4) {
		put16(at, i + 1 < tags ? ETH_P_8021AD : ETH_P_8021Q);
		put16(at + 2, 0x2005 + i);
	}
	put16(at, is_ipv6 ? ETH_P_IPV6 : ETH_P_IP);
	at += 2;
	if (is_ipv6) {
		put16(at, 0x6123);
		put16(at + 4, 8 + size);
		at[6] = IPPROTO_UDP;
		at[7] = 255;
		memcpy(at + 8, client_v6, 16);
		memcpy(at + 24, gateway_v6, 16);
		at += 40;
	} else {
		put16(at, 0x45b8);
		put16(at + 2, 20 + 8 + size);
		put16(at + 4, 0x1234);
		at[8] = 3;
		at[9] = IPPROTO_UDP;
		memcpy(at + 12, client_v4 + 12, 4);
		if (plan->layout & LAYOUT_STRANGER)
			at[14] = 77;
		memcpy(at + 16, gateway_v4 + 12, 4);
		at += 20;
	}
	put16(at, 40000);
	put16(at + 2, WORLD_PORT);
	put16(at + 4, 8 + size);
	put16(at + 6, 0x1234);
	memcpy(at + 8, request, size);
	at += 8 + size;
	if (plan->trailer & TRAILER_CUT) {
		at -= 1 + plan->trailer % 32;
	} else {
		memset(at, 0xee, plan->trailer % 32);
		at += plan->trailer % 32;
	}
	change(plan, IN_FRAME, frame, at - frame);
	return at - frame;
}

/* What a LOOKUP of this session is answered with. */
static enum verdict session_due(const struct plan *plan, int session)
{
	switch (session) {
	case REVOKED:
	case REVOKED_NOBODY:
		return VERDICT_REPLY_DENIED;
	}
	if (plan->world & WORLD_OTHER_HALF) /* has neither backends nor ring */
		return VERDICT_REPLY_NOT_FOUND;
	switch (session) {
	case ON_DRAINING:
	case SHED:
		return VERDICT_REPLY_MOVED;
	case ENDLESS:
	case ENDING:
	case NOT_SHED:
	case REVOCATION_OVER:
	case REVOCATION_OLD:
		return VERDICT_REPLY_FOUND;
	default:
		return VERDICT_REPLY_PLACED;
	}
}

/* The same, but that a miss may be handed up. */
static enum verdict miss_due(const struct plan *plan, enum verdict verdict)
{
	if (verdict != VERDICT_REPLY_PLACED && verdict != VERDICT_REPLY_NOT_FOUND)
		return verdict;
	return (plan->world & (WORLD_ASKED | WORLD_NOT_NOW)) == WORLD_ASKED ? VERDICT_PASS_MISS : verdict;
}

static enum verdict verdict_due(const struct plan *plan)
{
	int is_stranger = plan->layout & (LAYOUT_IPV6 | LAYOUT_STRANGER);
	int64_t skew_ms = skew_of(plan->clock);

	if ((plan->layout & LAYOUT_TAGS) == LAYOUT_TAGS)
		return VERDICT_PASS_SLOW_PATH;
	if (plan->world & WORLD_ALLOW_LIST && is_stranger)
		return VERDICT_DROP_SOURCE;
	if (plan->trailer & TRAILER_CUT)
		return VERDICT_DROP_LENGTH;
	if (key_of(plan) == 4)
		return VERDICT_DROP_KEY_UNKNOWN;
	if (!is_in_force(key_of(plan)))
		return VERDICT_DROP_KEY_TIME;
	if (skew_ms > WORLD_SKEW_MS || skew_ms < -WORLD_SKEW_MS)
		return plan->world & WORLD_NO_BUDGET ? VERDICT_DROP_SKEW_BUDGET : VERDICT_REPLY_CLOCK_SKEW;
	if (plan->world & WORLD_NOT_READY)
		return VERDICT_REPLY_NOT_READY;
	if (plan->layout & LAYOUT_BATCH)
		return VERDICT_REPLY_FOUND;
	if (plan->layout & LAYOUT_FACT)
		return plan->session % WORLD_SESSIONS < OLD_FACT ? VERDICT_REPLY_FOUND : VERDICT_REPLY_NOT_FOUND;
	return miss_due(plan, session_due(plan, plan->session % WORLD_SESSIONS));
}

static int backend_due(int session, enum verdict verdict)
{
	if (session == ENDING || verdict == VERDICT_REPLY_MOVED)
		return BACKEND_MOVED;
	return session == NOT_SHED ? BACKEND_SHEDDING : BACKEND_PLACED;
}

/* ttl_s: never, or 3599.001 s, rounded up */
static void put_ttl_due(uint8_t *at, int session)
{
	memcpy(at, session == ENDING ? "\0\0\x0e\x10" : "\xff\xff\xff\xff", 4);
}

/* What follows status and flags in the answers that name a backend. */
static void require_right_backend(const struct plan *plan, const uint8_t *reply, enum verdict verdict)
{
	int session = plan->session % WORLD_SESSIONS, id = backend_due(session, verdict);
	uint8_t expected[34] = { 0 };

	put16(expected, id == BACKEND_MOVED ? 65535 : id == BACKEND_SHEDDING ? BACKEND_SHEDDING : 8080);
	put16(expected + 4, id);
	memcpy(expected + 6, id == BACKEND_MOVED ? backend_v6 : backend_v4, 16);
	if (verdict != VERDICT_REPLY_PLACED) {
		put64(expected + 22, 1000 + session);
		put_ttl_due(expected + 30, session);
	}
	REQUIRE(!memcmp(reply + 26, expected, 34));
}

/* Each entry as a LOOKUP of its session would be answered. */
static void require_right_entries(const struct plan *plan, const uint8_t *reply)
{
	int is_stale = plan->world & (WORLD_NEVER_IN_STEP | WORLD_STALE);

	for (size_t i = 0; i < batch_count(plan); i++) {
		int session = entry_session(plan, i);
		enum verdict verdict = session_due(plan, session);
		int is_found = verdict == VERDICT_REPLY_FOUND || verdict == VERDICT_REPLY_MOVED;
		uint8_t expected[16] = { STATUS_NOT_FOUND, is_stale ? FLAG_STALE : 0 };

		if (verdict == VERDICT_REPLY_DENIED)
			expected[0] = STATUS_DENIED;
		if (is_found || verdict == VERDICT_REPLY_PLACED)
			put16(expected + 2, backend_due(session, verdict));
		if (verdict == VERDICT_REPLY_PLACED)
			expected[1] |= FLAG_PLACED;
		if (is_found) {
			expected[0] = STATUS_FOUND;
			expected[1] |= verdict == VERDICT_REPLY_MOVED ? FLAG_MOVED : 0;
			put_ttl_due(expected + 4, session);
			put64(expected + 8, 1000 + session);
		}
		REQUIRE(!memcmp(reply + 32 + 16 * i, expected, 16));
	}
}

static void require_right_fact(const struct plan *plan, const uint8_t *reply)
{
	int fact = plan->session % WORLD_SESSIONS;
	uint8_t expected[34] = { 0 };

	put16(expected, fact == FULL_FACT ? 24 : 0);
	memset(expected + 2, fact == FULL_FACT ? 0xab : 0, 24);
	put64(expected + 26, 2000 + fact);
	REQUIRE(!memcmp(reply + 26, expected, 34));
}

static void require_right_age(const struct plan *plan, const uint8_t *reply)
{
	int is_never = plan->world & WORLD_NEVER_IN_STEP;
	const uint8_t *age = is_batch(reply) ? reply + 28 : reply + 60;

	REQUIRE(!memcmp(age, is_never ? "\xff\xff\xff\xff" : "\0\0\0\xfa", 4));
	if (!is_batch(reply))
		REQUIRE((reply[25] & FLAG_STALE) == (is_never || plan->world & WORLD_STALE ? FLAG_STALE : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[FRAME_MAX], after[FRAME_MAX], reply[FRAME_MAX];
	enum verdict verdict;
	struct plan plan;
	size_t frame_size, request;

	if (size < PLAN_BYTES || size > PLAN_BYTES + CHANGE_BYTES * CHANGES_MAX)
		return -1;
	memcpy(&plan, data, PLAN_BYTES);
	plan.changes = data + PLAN_BYTES;
	plan.change_count = (size - PLAN_BYTES) / CHANGE_BYTES;

	world_begin();
	world_set(plan.world);
	frame_size = make_frame(&plan, frame);
	verdict = run_frame(frame, frame_size, after);
	if (plan.change_count)
		return 0;
	REQUIRE(verdict == verdict_due(&plan));
	if (action_that_fits(verdict) != XDP_TX)
		return 0;
	request = 12 + 2 + 4 * (plan.layout & LAYOUT_TAGS) / 2 + (plan.layout & LAYOUT_IPV6 ? 40 : 20) + 8;
	open_reply(frame + request, after + request, reply);
	if (verdict >= VERDICT_REPLY_FOUND && verdict <= VERDICT_REPLY_DENIED)
		require_right_age(&plan, reply);
	if (plan.layout & LAYOUT_BATCH) {
		if (verdict == VERDICT_REPLY_FOUND)
			require_right_entries(&plan, reply);
	} else if (plan.layout & LAYOUT_FACT && verdict == VERDICT_REPLY_FOUND) {
		require_right_fact(&plan, reply);
	} else if (verdict >= VERDICT_REPLY_FOUND && verdict <= VERDICT_REPLY_PLACED) {
		require_right_backend(&plan, reply, verdict);
	}
	return 0;
}
