/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Every struct and enum that the kernel program and the TypeScript share, and the only place where
 * they are written down: src/abi.ts is generated from this file's BTF (scripts/generate-abi.ts).
 *
 * Rules: no implicit padding (-Wpadded is an error), enums instead of #define, units in names.
 * Fields of type __be16, __be32 and __be64 are big-endian, all others in host order; __u8 arrays
 * are byte strings. May include nothing but the kernel's fixed-width types.
 */
#ifndef SESSION_GATEWAY_ABI_H
#define SESSION_GATEWAY_ABI_H

#include <linux/types.h>

#pragma clang diagnostic push
#pragma clang diagnostic error "-Wpadded"

/* ---- The wire: docs/protocol.md ------------------------------------------------------------- */

enum wire {
	WIRE_MAGIC = 0x5347,
	WIRE_VERSION = 1,
	WIRE_REPLY_BIT = 0x80,
	WIRE_ENCRYPTED_BIT = 0x40,
	WIRE_BATCH_MAX = 64,
	WIRE_FACT_MAX = 24,
};

enum request_type {
	REQUEST_LOOKUP = 1,
	REQUEST_BATCH = 2,
	REQUEST_FACT = 3,
};

enum status {
	STATUS_FOUND = 0,
	STATUS_NOT_FOUND = 1,
	STATUS_CLOCK_SKEW = 2,
	STATUS_NOT_READY = 3,
	STATUS_DENIED = 4,
};

enum flag {
	FLAG_MOVED = 0x01,
	FLAG_PLACED = 0x02,
	FLAG_STALE = 0x04,
};

struct wire_header {
	__be16 magic;
	__u8 version;
	__u8 type;
	__be32 key_id;
	__be64 time_ms;
	__u8 nonce[8];
};

/* LOOKUP and FACT. `hash` is the cookie hash, or that of the fact's name. */
struct lookup_request {
	struct wire_header header;
	__u8 hash[16];
	__u8 tag[16];
	__u8 guard[8];
	__u8 zero[16];
};

struct lookup_reply {
	struct wire_header header;
	__u8 status;
	__u8 flags;
	__be16 port;
	__be32 backend_id;
	__u8 address[16];
	__be64 version;
	__be32 ttl_s;
	__be32 age_ms;
	__u8 tag[16];
};

struct fact_reply {
	struct wire_header header;
	__u8 status;
	__u8 flags;
	__be16 value_length;
	__u8 value[24];
	/* Big-endian, but not aligned to 8 bytes. */
	__u8 version[8];
	__be32 age_ms;
	__u8 tag[16];
};

/* What a BATCH begins with, in both directions; `age_ms` is zero in a request. */
struct batch_prefix {
	struct wire_header header;
	__be16 count;
	__be16 zero;
	__be32 age_ms;
};

struct batch_entry {
	__u8 status;
	__u8 flags;
	__be16 backend_id;
	__be32 ttl_s;
	__be64 version;
};

/* ---- Ways out of the program, each counted once ---------------------------------------------- */

enum verdict {
	/* Left to the host: not a datagram for the gateway, or one that may be but needs the host's stack. */
	VERDICT_PASS_OTHER = 0,
	VERDICT_PASS_SLOW_PATH = 1,

	/* Malformed: step 3 of the protocol. */
	VERDICT_DROP_LENGTH = 2,
	VERDICT_DROP_SOURCE = 3,
	VERDICT_DROP_MAGIC = 4,
	VERDICT_DROP_VERSION = 5,
	VERDICT_DROP_TYPE = 6,
	VERDICT_DROP_RESERVED = 7,

	/* Not authentic: steps 4 to 7. */
	VERDICT_DROP_KEY_UNKNOWN = 8,
	VERDICT_DROP_KEY_TIME = 9,
	VERDICT_DROP_GUARD = 10,
	VERDICT_DROP_SKEW_BUDGET = 11,
	VERDICT_DROP_TAG = 12,

	/* The record changed under every one of a bounded number of reads; the client asks again. */
	VERDICT_DROP_BUSY = 13,

	/* Answered: steps 8 and 9. A fact is FOUND or NOT_FOUND, a BATCH FOUND whatever its entries say. */
	VERDICT_REPLY_CLOCK_SKEW = 14,
	VERDICT_REPLY_NOT_READY = 15,
	/* With the stored backend. */
	VERDICT_REPLY_FOUND = 16,
	/* With another than the stored backend. */
	VERDICT_REPLY_MOVED = 17,
	/* Not found, with the backend that every gateway suggests. */
	VERDICT_REPLY_PLACED = 18,
	VERDICT_REPLY_NOT_FOUND = 19,
	VERDICT_REPLY_DENIED = 20,

	/* A map that is part of the program was not there. Never seen; it would be our mistake. */
	VERDICT_ABORTED = 21,

	/* Left to the host: a LOOKUP that found no record, about which the daemon asks Redis before it answers. */
	VERDICT_PASS_MISS = 22,

	VERDICT_COUNT = 23,
};

/* ---- Maps ------------------------------------------------------------------------------------ */

/*
 * Raised when what a pinned map holds gets another meaning though its struct keeps its shape: a flag, the sum
 * in a session's check, what a program relies on in the others. Part of the layout's hash.
 */
enum layout {
	LAYOUT_REVISION = 4,
};

enum limit {
	LIMIT_KEYS = 256,
	LIMIT_ADDRESSES = 1024,
	LIMIT_ALLOWED_NETWORKS = 4096,
	/* Backend ids are 1 to LIMIT_BACKENDS - 1; index 0 is "none". */
	LIMIT_BACKENDS = 65536,
	LIMIT_KEY_HISTORY = 65536,
	/* Changes that one run of apply_changes takes. */
	LIMIT_CHANGES = 4096,
	/* How often a lookup reads a record that changes under every read. */
	LIMIT_RECORD_READS = 16,
	/* A prime, as the filling of the ring needs it (src/auth/placement.ts). */
	LIMIT_RING_SLOTS = 65537,
	/* Revocations held, those that are over and not yet collected included. */
	LIMIT_DENIED = 262144,
	LIMIT_FACTS = 4096,
	/* Of map `trace_ring`: some 1,100 packets that nobody has read yet. */
	LIMIT_TRACE_BYTES = 65536,
};

/*
 * The one element of map `wall_clock`, mapped into the daemon. It never changes its shape, so that a daemon of any
 * version keeps the clock of a program of any other that still answers.
 */
struct wall_clock {
	/* Unix time in ms = monotonic clock in ms + this. Put right every second by the daemon. */
	__s64 offset_ms;
};

/*
 * The one element of map `settings`, mapped into the daemon, which writes each field by a single
 * store; the program reads each once. Fields need not fit each other at every instant, except
 * as their comments say.
 */
struct settings {
	/* Monotonic ms at which the copy was last known to be in step with Redis; 0 = never. */
	__u64 in_step_ms;
	/* Replies older than this carry FLAG_STALE. */
	__u64 stale_after_ms;
	__u64 max_skew_ms;
	/* Requests outside the skew that are looked at, per second and CPU. */
	__u32 skew_budget;
	/* Records of an older generation are taken for none. */
	__u32 generation;
	/* UDP port, host order. */
	__u32 port;
	/* 1 once a first load is in; stays so over restarts of the daemon. */
	__u32 ready;
	/* 1 when only the networks in map `allowed_networks` may ask. */
	__u32 allow_list;
	/* Which halves of maps `backends` and `ring` are in force: 0 or 1. */
	__u32 backends_half;
	/* Revocations and facts of older generations are taken for none. */
	__u32 denied_generation;
	__u32 facts_generation;
	/*
	 * The newest generations of any session, revocation and fact, in force or not yet: a daemon that died on the
	 * way may have left some.
	 */
	__u32 newest_generation;
	__u32 newest_denied_generation;
	__u32 newest_facts_generation;
	/* Of so many packets one is timed, by chance; 0 = none. */
	__u32 timed_one_in;
	/* Lines of map `session_copies`. */
	__u32 copy_lines;
	__u32 zero;
};

enum suite {
	SUITE_HMAC_SHA256 = 1,
	SUITE_BLAKE2S = 2,
};

/* Map `keys`: key id (host order) → this. Secret: whoever reads it can forge. */
struct key {
	/* Unix ms, both inclusive; 0 and 2^64-1 where the file says null. */
	__u64 not_before_ms;
	__u64 not_after_ms;
	__u8 guard_key[16];
	/*
	 * HMAC-SHA-256: SHA-256's states after the inner and the outer pad (RFC 2104, section 4). BLAKE2s: its state
	 * after the key's block (RFC 7693, section 3.3), and zeros.
	 */
	__u32 inner_state[8];
	__u32 outer_state[8];
	/* enum suite */
	__u32 suite;
	/* 1 = replies are encrypted */
	__u32 encrypt;
	/* Where map `key_uses` counts, below LIMIT_KEYS; no other key that is in force has it. */
	__u32 uses_at;
	__u32 zero;
};

/*
 * Map `key_history`: key id → what it once stood for, so that an id is never used again for another
 * secret, suite or encryption setting. The fingerprint does not reveal the secret. Not read by the program.
 */
struct key_fingerprint {
	__u8 digest[16];
};

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2). */
struct address {
	__u8 bytes[16];
} __attribute__((aligned(8)));

/* Key of the LPM trie `allowed_networks`; IPv4 networks count from bit 96. */
struct network {
	__u32 prefix_length;
	__u8 bytes[16];
};

enum shed {
	/* All of a backend's users. */
	SHED_WHOLE = 10000,
};

/* Map `backends`, two halves of LIMIT_BACKENDS: what a reply says of a backend, and who stays with it. */
struct backend {
	__u8 address[16];
	__be16 port;
	/* 1 = known, with an address. */
	__u8 known;
	/* 1 = its users stay; 0 = it is draining or down, and all of them go elsewhere. */
	__u8 active;
	/* Fraction of its users that goes elsewhere, of SHED_WHOLE. */
	__u16 shed;
	__u8 zero[2];
};

/* Map `ring`, two halves of LIMIT_RING_SLOTS: backend ids by slot (src/auth/placement.ts); 0 = none. */
struct ring_slot {
	/* Where a user without a record goes. */
	__u16 placed;
	/* Where one goes that does not stay with a stored backend. */
	__u16 moved;
	__u32 zero;
};

/* Map `sessions`: cookie hash → session. */
struct session_key {
	__u8 hash[16];
} __attribute__((aligned(8)));

struct session {
	/* Milliseconds x 2^20 + sequence number of the feed entry it comes from. */
	__u64 version;
	/* Unix ms; 0 = never. */
	__u64 expires_ms;
	__u32 generation;
	/* 0 = the record names a backend that the gateway does not know. */
	__u16 backend_id;
	/* enum session_flag */
	__u16 flags;
	/* A sum over the key and all of the above: a copy that mixes two records does not match it. */
	__u64 check;
};

enum copies {
	COPIES_IN_A_LINE = 2,
};

/*
 * Map `session_copies`: copies of records, in the line that their session's hash names (copies.h). Nothing is told of
 * whose a copy is; its check tells, which fits no other session.
 */
struct session_copies {
	struct session ways[COPIES_IN_A_LINE];
};

enum session_flag {
	/* Map `denied` has an element for this session: look there. Kept by apply_changes alone. */
	SESSION_DENIED = 1,
};

/* Map `denied`: cookie hash → until when lookups of this session are answered with DENIED, whether it is held or not.
 */
struct denied {
	/* Unix ms */
	__u64 until_ms;
	__u32 generation;
	__u32 zero;
	/* As in struct session. */
	__u64 check;
};

/* Map `facts`: first 16 bytes of SHA-256(name) → fact. */
struct fact {
	/* As in struct session. */
	__u64 version;
	/* Zero from `length` on. */
	__u8 value[24];
	__u32 generation;
	/* 0 to WIRE_FACT_MAX */
	__u32 length;
	/* As in struct session. */
	__u64 check;
};

/*
 * The one element of map `under_way`: the records that apply_changes is writing over others of their kind, whole, for
 * who meets two that are mixed (session.h).
 */
struct under_way {
	struct session session;
	struct denied denied;
	struct fact fact;
};

enum change_kind {
	CHANGE_PUT = 1,
	CHANGE_DELETE = 2,
	/* `expires_ms` = until when, and the session that is held is flagged. */
	CHANGE_DENY = 3,
	CHANGE_ALLOW = 4,
	/* Allow, if what is held is exactly this revocation: of this `expires_ms` and `generation`. */
	CHANGE_FORGET_DENIED = 5,
	CHANGE_PUT_FACT = 6,
	CHANGE_DELETE_FACT = 7,
};

/*
 * Map `changes`, mapped into the daemon: what apply_changes does to `sessions`, `denied` and `facts`, in order. What a
 * kind has no use for may hold anything. A change to a session or a fact is skipped when what is held is of a newer
 * generation; one to a session also when that is of the same one and a newer version.
 */
struct change {
	/* Cookie hash, or that of a fact's name. */
	__u8 hash[16];
	__u64 version;
	__u64 expires_ms;
	__u8 value[24];
	__u32 generation;
	__u16 backend_id;
	/* enum change_kind */
	__u8 kind;
	/* Of `value`. */
	__u8 length;
};

/* Context of apply_changes: how many changes to make, and what became of them. */
struct apply_result {
	__u32 count;
	__u32 inserted;
	__u32 replaced;
	__u32 deleted;
	/* Older than what is held, or a delete of something that is not held. */
	__u32 skipped;
	/* The map was full. */
	__u32 refused;
	/* Revocations written, or written over. */
	__u32 denied;
	/* Revocations deleted. */
	__u32 allowed;
	__u32 denied_refused;
	/* Facts written, written over or deleted. */
	__u32 facts;
	__u32 facts_refused;
};

/* The one element of map `table_counts`, mapped into the daemon; kept by apply_changes alone. */
struct table_counts {
	/* Elements in `sessions`, expired ones that are not yet collected included. */
	__u64 entries;
	__u64 refused;
	/* The same of `denied` and `facts`. While `denied` is 0, no packet looks there. */
	__u64 denied;
	__u64 denied_refused;
	__u64 facts;
	__u64 facts_refused;
};

/* Map `verdict_counts`, per CPU, in cache lines of its own. */
struct verdict_counts {
	__u64 packets[VERDICT_COUNT];
	/* Monotonic ns at which the last timed packet came. Beside the counts, since they are at hand. */
	__u64 began_ns;
	/* Packets until the next one that is timed. */
	__u32 until_timed;
	/* What this packet is timed for: enum timed_for of timing.h; 0 = it isn't. */
	__u32 timed_for;
};

/* Which times are counted together: those of a reply's status, and batches, whatever their entries say. */
enum latency_kind {
	LATENCY_FOUND = STATUS_FOUND,
	LATENCY_NOT_FOUND = STATUS_NOT_FOUND,
	LATENCY_CLOCK_SKEW = STATUS_CLOCK_SKEW,
	LATENCY_NOT_READY = STATUS_NOT_READY,
	LATENCY_DENIED = STATUS_DENIED,
	LATENCY_BATCH = 5,

	LATENCY_KINDS = 6,
};

/*
 * Buckets of times: the first up to 2^FIRST_BITS ns, then each doubling up to 2^LAST_BITS in PARTS equal parts, the
 * last for all that took longer. Upper bounds belong to their bucket.
 */
enum latency_scale {
	LATENCY_FIRST_BITS = 6,
	LATENCY_LAST_BITS = 20,
	LATENCY_PARTS_BITS = 2,
	LATENCY_BUCKETS = 58,
};

/* Map `latencies`, per CPU, by enum latency_kind: how long timed packets took, from the program's entry to its end. */
struct latencies {
	__u64 sum_ns;
	__u64 packets[LATENCY_BUCKETS];
};

/*
 * The one element of map `trace_control`, mapped into the daemon: which packets are traced. `until_ms` is written by a
 * single store, the others while it is 0. Not pinned: a program that is loaded anew traces nothing.
 */
struct trace_control {
	/* Monotonic ms until which packets are traced. Who reads them puts it off; 0 = nobody reads. */
	__u64 until_ms;
	/* Bits, by enum verdict. */
	__u64 verdicts;
	/* Those whose source is `source` in the bits of `source_mask`. */
	__u8 source_mask[16];
	__u8 source[16];
	/* 0 = any */
	__u32 key_id;
	/* Of so many packets one is looked at, by chance; at least 1. */
	__u32 one_in;
	/* Packets that found the ring full. Added to by the program alone. */
	__u64 lost;
};

/* In map `trace_ring`: a packet and what became of it. */
struct traced_packet {
	/* Monotonic */
	__u64 began_ns;
	/* Zero where only the host's stack can tell. */
	__u8 source[16];
	__u32 took_ns;
	/* enum verdict */
	__u32 verdict;
	/* Host order, and as the packet says, genuine or not; 0 where it has no header of this protocol. */
	__u32 key_id;
	/* Host order */
	__u16 source_port;
	/* enum request_type, or what stands there */
	__u8 type;
	/* Of a BATCH, at most 255. */
	__u8 entries;
	/* The first bytes of the (first) hash that is asked for; all of it would let who reads them ask, too. */
	__u8 hash[4];
	/* 1 = `hash` is set */
	__u8 has_hash;
	__u8 zero[3];
};

enum miss {
	/* Misses that are handed up, a second: those of one key, and those of one source. */
	MISS_PER_KEY = 2000,
	MISS_PER_SOURCE = 1000,
	/* As many as there are in so long may come at once. */
	MISS_BURST_MS = 250,
	/* A daemon that said nothing for longer is away. */
	MISS_ALIVE_MS = 1000,
	MISS_KEY_BUCKETS = 1024,
	MISS_SOURCE_BUCKETS = 16384,
};

/* The one element of map `responder`, mapped into the daemon. */
struct responder {
	/* Monotonic ms at which the daemon last said that it asks Redis about misses; 0 = it doesn't. */
	__u64 alive_ms;
};

/* Map `miss_buckets`: when this bucket will be full again. */
struct miss_bucket {
	/* Monotonic */
	__u64 full_ns;
};

/* Map `daemon_answers`, mapped into the daemon: backend id → this. */
struct daemon_answers {
	/* Answers of the daemon's own that named the backend. */
	__u64 number;
};

/* Map `skew_budget`, per CPU: what is spent of this second's budget. */
struct skew_budget {
	__u64 second;
	__u64 spent;
};

#pragma clang diagnostic pop

#endif
