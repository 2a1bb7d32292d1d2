/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Changes to map `sessions`, by apply_changes (apply.h). What readers rely on: session.h.
 */
#ifndef SESSION_GATEWAY_APPLY_SESSION_H
#define SESSION_GATEWAY_APPLY_SESSION_H

#include "session.h"

/* Field by field: each store is made, in this order, and none is made of two. */
inlined void write_session(volatile struct session *to, const struct session *from)
{
	to->version = from->version;
	to->expires_ms = from->expires_ms;
	to->generation = from->generation;
	to->backend_id = from->backend_id;
	to->flags = from->flags;
	to->check = from->check;
}

inlined void seal_session(const __u8 hash[16], struct session *session)
{
	session->check = session_check(hash, session->version, session->expires_ms,
				       session_rest(session->generation, session->backend_id, session->flags));
}

/* Generations first, then versions: the order in which Redis was read. */
inlined int is_newer(__u32 generation, __u64 version, const struct change *change)
{
	return generation > change->generation || (generation == change->generation && version > change->version);
}

/* Flags of a session that is not held yet. */
inlined __u16 session_flags(const __u8 hash[16], const struct table_counts *counts)
{
	return counts->denied && bpf_map_lookup_elem(&denied, hash) ? SESSION_DENIED : 0;
}

/* Whether this is a copy of the session's record. Only apply_changes writes them, so it meets none that is half
 * written. */
inlined int is_copy_of(const __u8 hash[16], const struct session *copy)
{
	return copy->check == session_check(hash, copy->version, copy->expires_ms,
					    session_rest(copy->generation, copy->backend_id, copy->flags));
}

inlined int is_empty(const struct session *copy)
{
	return !copy->version && !copy->check;
}

/*
 * Makes `record` the session's copy, or, where it is none, takes the copy away: before `under_way` and the map change,
 * and of a session that is new after that (copies.h). Where a line is full, one of its two gives way: which, goes by
 * the hash of the new one.
 */
inlined void keep_copy(const struct settings *setting, const __u8 hash[16], const struct session *record)
{
	static const struct session none;
	struct session_copies *line = copies_in_line(setting, hash);
	struct session *way;

	if (!line)
		return;
	if (is_copy_of(hash, &line->ways[0]))
		way = &line->ways[0];
	else if (is_copy_of(hash, &line->ways[1]))
		way = &line->ways[1];
	else if (!record)
		return;
	else if (is_empty(&line->ways[0]))
		way = &line->ways[0];
	else if (is_empty(&line->ways[1]))
		way = &line->ways[1];
	else
		way = &line->ways[hash[15] & 1];
	write_session(way, record ? record : &none);
}

inlined void apply_put(const struct settings *setting, const struct change *change, struct under_way *written,
		       const struct table_counts *counts, struct apply_result *result)
{
	struct session *held = bpf_map_lookup_elem(&sessions, change->hash);
	struct session session = {
		.version = change->version,
		.expires_ms = change->expires_ms,
		.generation = change->generation,
		.backend_id = change->backend_id,
	};

	if (held && is_newer(held->generation, held->version, change)) {
		result->skipped++;
		return;
	}
	session.flags = held ? held->flags : session_flags(change->hash, counts);
	seal_session(change->hash, &session);
	if (held) {
		keep_copy(setting, change->hash, &session);
		write_session(&written->session, &session);
		write_session(held, &session);
		result->replaced++;
		return;
	}
	((volatile struct session *)&written->session)->check = 0;
	if (bpf_map_update_elem(&sessions, change->hash, &session, BPF_NOEXIST)) {
		result->refused++;
		return;
	}
	keep_copy(setting, change->hash, &session);
	result->inserted++;
}

inlined void apply_delete(const struct settings *setting, const struct change *change, struct under_way *written,
			  struct apply_result *result)
{
	const struct session *held = bpf_map_lookup_elem(&sessions, change->hash);

	if (!held || is_newer(held->generation, held->version, change)) {
		result->skipped++;
		return;
	}
	keep_copy(setting, change->hash, NULL);
	((volatile struct session *)&written->session)->check = 0;
	if (bpf_map_delete_elem(&sessions, change->hash))
		result->skipped++;
	else
		result->deleted++;
}

/* Makes these the flags of a session, if it is held; all else stays. */
inlined void flag_session(const struct settings *setting, const __u8 hash[16], __u16 flags, struct under_way *written)
{
	struct session *held = bpf_map_lookup_elem(&sessions, hash);
	struct session session;

	if (!held || held->flags == flags)
		return;
	session = *held;
	session.flags = flags;
	seal_session(hash, &session);
	keep_copy(setting, hash, &session);
	write_session(&written->session, &session);
	write_session(held, &session);
}

#endif
