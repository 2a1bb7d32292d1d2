/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Steps 4 to 7 of the protocol: guard, clock and tag.
 */
#ifndef SESSION_GATEWAY_AUTHENTICATE_H
#define SESSION_GATEWAY_AUTHENTICATE_H

#include "maps.h"
#include "prf.h"
#include "request.h"
#include "siphash.h"

/* What the guard is to be: over the tag and what comes before it, but of a BATCH only over its prefix and the tag. */
inlined __u64 guard_of(const struct key *key, const struct request *request)
{
	__u64 guarded[PREFIX_WORDS + TAG_WORDS];

	if (!request->is_batch)
		return siphash64((const __u64 *)key->guard_key, request->words, LOOKUP_TAGGED_WORDS + TAG_WORDS);
	for (int i = 0; i < PREFIX_WORDS; i++)
		guarded[i] = load64(request->words + i);
	for (int i = 0; i < TAG_WORDS; i++)
		guarded[PREFIX_WORDS + i] = load64(request->proof->tag + 8 * i);
	return siphash64((const __u64 *)key->guard_key, guarded, PREFIX_WORDS + TAG_WORDS);
}

/* To be called where a request is authentic. */
inlined void count_use(const struct key *key)
{
	__u32 at = key->uses_at;
	__u64 *uses;

	uses = bpf_map_lookup_elem(&key_uses, &at);
	if (uses)
		(*uses)++;
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
