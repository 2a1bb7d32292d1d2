/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Working memory that does not fit the stack.
 */
#ifndef SESSION_GATEWAY_SCRATCH_H
#define SESSION_GATEWAY_SCRATCH_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

enum {
	/* Sizes in words of 8 bytes. */
	PREFIX_WORDS = sizeof(struct batch_prefix) / 8,
	ENTRY_WORDS = sizeof(struct batch_entry) / 8,
	/* The most that a tag covers: a BATCH up to its tag, in either direction. */
	TAGGED_WORDS_MAX = PREFIX_WORDS + ENTRY_WORDS * WIRE_BATCH_MAX,
	/* A block of either hash function, and how many of them such a message begins. */
	BLOCK_WORDS = 8,
	MESSAGE_BLOCKS_MAX = (TAGGED_WORDS_MAX + BLOCK_WORDS) / BLOCK_WORDS,
	TAG_WORDS = 2,
};

/* The moment at which a packet is answered, and the state of the copy then. */
struct moment {
	/* Unix time */
	__u64 now_ms;
	/* As it stands in a reply, in host order. */
	__u32 age_ms;
	/* The half of maps `backends` and `ring` that is in force: read once, so that a reply never mixes two. */
	__u32 half;
	/* FLAG_STALE or 0 */
	__u32 stale_flag;
	__u32 zero;
};

/*
 * One packet's working memory, per CPU: the stack's 512 bytes are shared by the program and the functions it calls, and
 * packet pointers may not be handed to a global function.
 */
struct scratch {
	/* What the tag covers of the request, with room for the filling of a hash function's last block. */
	union {
		__u64 words[TAGGED_WORDS_MAX + BLOCK_WORDS];
		struct {
			struct wire_header header;
			__u8 hash[16];
		};
		struct {
			struct batch_prefix prefix;
			struct session_key hashes[WIRE_BATCH_MAX];
		};
	} request;
	/* What the suite makes of it: the tag, and the key of the reply. */
	__u64 digest[4];
	/* Of the hash function, from block to block. */
	__u32 state[8];
	/* SHA-256's message schedule, doubled. */
	__u64 schedule[64];
	union {
		/* Without the zeros behind a BATCH's tag. */
		__u64 words[TAGGED_WORDS_MAX + TAG_WORDS];
		struct lookup_reply lookup;
		struct fact_reply fact;
		struct {
			struct batch_prefix prefix;
			struct batch_entry entries[WIRE_BATCH_MAX];
		} batch;
	} reply;
	struct moment moment;
	/* A copy of the one that is asked for. */
	struct fact fact;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#endif
