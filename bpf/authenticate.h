/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Steps 4 to 7 of the protocol: key, guard, clock and tag of a LOOKUP.
 */
#ifndef SESSION_GATEWAY_AUTHENTICATE_H
#define SESSION_GATEWAY_AUTHENTICATE_H

#include "hmac.h"
#include "maps.h"
#include "scratch.h"
#include "siphash.h"

enum {
	/* What the tag covers, in words of 4 bytes, and what the guard covers, in words of 8. */
	LOOKUP_TAGGED_WORDS = 10,
	LOOKUP_GUARDED_WORDS = 7,
};

/*
 * scratch->message → scratch->digest.
 * A global function: the verifier looks at it once, not once for each way a packet can be laid out
 * (kernel 5.12 for its arguments).
 */
__attribute__((noinline)) int lookup_digest(const struct key *key, struct scratch *scratch)
{
	if (!key || !scratch)
		return -1;
	hmac_sha256(key, scratch->message, LOOKUP_TAGGED_WORDS, scratch->block, scratch->digest);
	return 0;
}

inlined int is_outside_skew(const struct settings *now_settings, __u64 now_ms, __u64 time_ms)
{
	__u64 skew_ms = now_ms > time_ms ? now_ms - time_ms : time_ms - now_ms;

	return skew_ms > now_settings->max_skew_ms;
}

/* Takes one from this CPU's budget for this second; 0 when nothing is left. */
inlined int spend_skew_budget(__u64 now_ms, __u32 budget)
{
	__u64 second = now_ms / 1000;
	struct skew_budget *spent;
	__u32 zero = 0;

	spent = bpf_map_lookup_elem(&skew_budget, &zero);
	if (!spent)
		return 0;
	if (spent->second != second) {
		spent->second = second;
		spent->spent = 0;
	}
	if (spent->spent >= budget)
		return 0;
	spent->spent++;
	return 1;
}

#endif
