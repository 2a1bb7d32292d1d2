/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Working memory that does not fit the stack.
 */
#ifndef SESSION_GATEWAY_SCRATCH_H
#define SESSION_GATEWAY_SCRATCH_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * One packet's working memory, per CPU: the stack's 512 bytes are shared by the program and the function
 * it calls, and packet pointers may not be handed to a global function.
 */
struct scratch {
	/* What the tag covers of a LOOKUP. */
	__u64 message[5];
	/* What HMAC makes of it: the tag, and the key of the reply. */
	__u64 digest[4];
	/* SHA-256's message schedule. */
	__u32 block[16];
	union {
		struct lookup_reply reply;
		struct fact_reply fact_reply;
	};
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
