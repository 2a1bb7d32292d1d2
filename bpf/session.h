/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Session records in the hash map `sessions`, and why a copy of one carries a check.
 *
 * An element of a preallocated hash map that is replaced or deleted goes back to a free list at once, so
 * a program that found it may see it filled anew, for another session, while it reads. Therefore: copy
 * the record, then see whether the copy's check fits the copy and the key that was asked for.
 */
#ifndef SESSION_GATEWAY_SESSION_H
#define SESSION_GATEWAY_SESSION_H

#include "bytes.h"
#include "maps.h"

/* Odd multipliers (from pi's hexadecimal digits) keep torn words from cancelling each other out. */
inlined __u64 session_check(const __u8 hash[16], __u64 version, __u64 expires_ms, __u64 generation_backend)
{
	return load64(hash) + version * 0x243f6a8885a308d3ull + expires_ms * 0x13198a2e03707345ull +
	       generation_backend * 0xa4093822299f31d1ull;
}

inlined __u64 session_generation_backend(__u32 generation, __u32 backend_id)
{
	return (__u64)backend_id << 32 | generation;
}

enum found {
	SESSION_FOUND,
	SESSION_NONE,
	/* Recycled under every one of LIMIT_RECORD_READS reads. */
	SESSION_BUSY,
};

inlined enum found find_session(const struct session_key *key, struct session *copy)
{
	for (int reads = 0; reads < LIMIT_RECORD_READS; reads++) {
		const volatile struct session *held = bpf_map_lookup_elem(&sessions, key);

		/*
		 * A record that is replaced is a new element at its bucket's head, put there before the old one goes:
		 * who was between the two at that moment has met neither. So "none" is believed the second time.
		 */
		if (!held)
			held = bpf_map_lookup_elem(&sessions, key);
		if (!held)
			return SESSION_NONE;
		copy->version = held->version;
		copy->expires_ms = held->expires_ms;
		copy->generation = held->generation;
		copy->backend_id = held->backend_id;
		copy->check = held->check;
		if (copy->check == session_check(key->hash, copy->version, copy->expires_ms,
						 session_generation_backend(copy->generation, copy->backend_id)))
			return SESSION_FOUND;
	}
	return SESSION_BUSY;
}

#endif
