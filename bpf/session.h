/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Session records in the hash map `sessions`, and copies of them (copies.h): how they are read while apply_changes
 * (apply.h), the one writer, changes them. Revocations (denied.h) and facts (fact.h) are read in the same way. Readers
 * never wait, and the writer neither: it may be stopped anywhere by a reader on its own CPU.
 *
 * - A lookup never misses a session that is there. A record that is replaced stays in its element, which is written
 *   over in place, so the element of a session stays where it is in its bucket's list. New ones are put at a list's
 * head. A walk that is led into another list, by an element that was taken out and put to use again under it, does not
 *   end there: each list ends in the number of its bucket, and the kernel begins anew when that is another one
 *   (lookup_nulls_elem_raw). It can't come back behind the session that is asked for either: whatever got into its list
 *   since it did is before it, and leads to it.
 * - A copy carries a check, over key and record. It does not match when the element was written over during the copy,
 * or was freed and used again at once for another session, as elements of a preallocated map are. Then map `under_way`
 * tells: the writer puts the whole new record there, with its check, before it touches the element. If that record is
 * of the session that is asked for, it is the newest there is, and the answer, even when the writer is stopped in
 * mid-write until this reader is done. If not, the writer has moved on, and the next read of the element is of
 * something that was written later. Inserts and deletes clear it: it never tells what is gone.
 *
 * The check alone makes answers right. The order of stores matters only to how often a reader reads: where a CPU
 * shows another one its stores in another order (arm64), they are on their way, and LIMIT_RECORD_READS outlasts them.
 */
#ifndef SESSION_GATEWAY_SESSION_H
#define SESSION_GATEWAY_SESSION_H

#include "bytes.h"
#include "copies.h"
#include "maps.h"

/* Odd multipliers (from pi's hexadecimal digits) keep torn words from cancelling each other out. */
inlined __u64 session_check(const __u8 hash[16], __u64 version, __u64 expires_ms, __u64 rest)
{
	return load64(hash) + load64(hash + 8) * 0x082efa98ec4e6c89ull + version * 0x243f6a8885a308d3ull +
	       expires_ms * 0x13198a2e03707345ull + rest * 0xa4093822299f31d1ull;
}

inlined __u64 session_rest(__u32 generation, __u16 backend_id, __u16 flags)
{
	return (__u64)flags << 48 | (__u64)backend_id << 32 | generation;
}

/* What became of reading a record. */
enum found {
	RECORD_FOUND,
	RECORD_NONE,
	/* Changed under every one of LIMIT_RECORD_READS reads. */
	RECORD_BUSY,
};

/* 0 = what was copied is a whole record of this session. */
inlined __u64 check_difference(const struct session_key *key, const volatile struct session *held, struct session *copy)
{
	/* Generation, backend and flags in one load: as session_rest has them. */
	__u64 version = held->version, expires_ms = held->expires_ms;
	__u64 rest = *(const volatile __u64 *)&held->generation;

	copy->version = version;
	copy->expires_ms = expires_ms;
	copy->generation = rest;
	copy->backend_id = rest >> 32;
	copy->flags = rest >> 48;
	copy->check = held->check;
	return copy->check - session_check(key->hash, version, expires_ms, rest);
}

inlined int copy_session(const struct session_key *key, const volatile struct session *held, struct session *copy)
{
	return !check_difference(key, held, copy);
}

/* Whether a whole copy of this session's record is there. Which of the two it is isn't asked by a branch: nobody could
 * foretell it. */
inlined int find_copy(const struct settings *setting, const struct session_key *key, struct session *copy)
{
	const struct session_copies *line = copies_in_line(setting, key->hash);
	__u64 other;

	if (!line)
		return 0;
	other = check_difference(key, &line->ways[0], copy);
	other = (other | -other) >> 63;
	opaque(other); /* or clang makes it a branch */
	return !check_difference(key, (const void *)line + (other & 1) * sizeof(struct session), copy);
}

inlined enum found find_session(const struct settings *setting, const struct session_key *key, struct session *copy)
{
	const struct under_way *written;
	__u32 zero = 0;

	if (find_copy(setting, key, copy))
		return RECORD_FOUND;

	/* 64 bits wide: of a narrower counter on the stack, the verifier forgets the value (before 5.16). */
	for (__u64 reads = 0; reads < LIMIT_RECORD_READS; reads++) {
		const struct session *held = bpf_map_lookup_elem(&sessions, key);

		if (!held)
			return RECORD_NONE;
		if (copy_session(key, held, copy))
			return RECORD_FOUND;
		written = bpf_map_lookup_elem(&under_way, &zero);
		if (written && copy_session(key, &written->session, copy))
			return RECORD_FOUND;
	}
	return RECORD_BUSY;
}

#endif
