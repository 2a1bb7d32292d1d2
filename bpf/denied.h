/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Revocations in the hash map `denied`, read as sessions are (session.h).
 */
#ifndef SESSION_GATEWAY_DENIED_H
#define SESSION_GATEWAY_DENIED_H

#include "session.h"

inlined __u64 denied_check(const __u8 hash[16], __u64 until_ms, __u32 generation)
{
	return load64(hash) + load64(hash + 8) * 0x082efa98ec4e6c89ull + until_ms * 0x13198a2e03707345ull +
	       generation * 0xa4093822299f31d1ull;
}

inlined int copy_denied(const struct session_key *key, const volatile struct denied *held, struct denied *copy)
{
	copy->until_ms = held->until_ms;
	copy->generation = held->generation;
	copy->check = held->check;
	return copy->check == denied_check(key->hash, copy->until_ms, copy->generation);
}

inlined enum found find_denied(const struct session_key *key, struct denied *copy)
{
	const struct under_way *written;
	__u32 zero = 0;

	for (__u64 reads = 0; reads < LIMIT_RECORD_READS; reads++) {
		const struct denied *held = bpf_map_lookup_elem(&denied, key);

		if (!held)
			return RECORD_NONE;
		if (copy_denied(key, held, copy))
			return RECORD_FOUND;
		written = bpf_map_lookup_elem(&under_way, &zero);
		if (written && copy_denied(key, &written->denied, copy))
			return RECORD_FOUND;
	}
	return RECORD_BUSY;
}

/* Whether it pays to look for the revocation of a session that is not held. */
inlined int any_denied(void)
{
	const struct table_counts *counts;
	__u32 zero = 0;

	counts = bpf_map_lookup_elem(&table_counts, &zero);
	return counts && counts->denied;
}

/* RECORD_FOUND = it is revoked, now. */
inlined enum found find_denied_now(const struct settings *setting, __u64 now_ms, const struct session_key *key)
{
	/* Before the record: one that is told anew meanwhile must not be taken for one of those that weren't. */
	__u32 generation = ((const volatile struct settings *)setting)->denied_generation;
	struct denied copy;
	enum found found = find_denied(key, &copy);

	if (found == RECORD_FOUND && (copy.generation < generation || copy.until_ms <= now_ms))
		return RECORD_NONE;
	return found;
}

#endif
