/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Where a user goes who has no backend, or does not stay with it: the ring (src/auth/placement.ts, which fills it and
 * has the same sums). All of it looks at one half of the maps, which the caller reads from the settings once.
 */
#ifndef SESSION_GATEWAY_PLACE_H
#define SESSION_GATEWAY_PLACE_H

#include "bytes.h"
#include "maps.h"

/* NULL = there is none of this id, or it is not known. */
inlined const struct backend *known_backend(__u32 half, __u16 id)
{
	__u32 index = half * LIMIT_BACKENDS + id;
	const struct backend *backend = bpf_map_lookup_elem(&backends, &index);

	return backend && backend->known ? backend : NULL;
}

/* 32 bits of a hash, brought to 0..range. */
inlined __u32 scaled(const __u8 at[4], __u32 range)
{
	return (__u64)bpf_ntohl(load32(at)) * range >> 32;
}

inlined struct ring_slot slot_of(__u32 half, const struct session_key *asked)
{
	__u32 index = half * LIMIT_RING_SLOTS + scaled(asked->hash, LIMIT_RING_SLOTS);
	const struct ring_slot *slot = bpf_map_lookup_elem(&ring, &index);

	return slot ? *slot : (struct ring_slot){ 0 };
}

/* Whether this user is among those that the backend sheds. */
inlined int is_shed(const struct backend *backend, const struct session_key *asked)
{
	return backend->shed && scaled(asked->hash + 4, SHED_WHOLE) < backend->shed;
}

/* Id of the backend that the user of this one is sent to; 0 = it stays. */
inlined __u16 moved_to(__u32 half, const struct backend *stored, const struct session_key *asked)
{
	struct ring_slot slot;

	if (stored->active && !is_shed(stored, asked))
		return 0;
	slot = slot_of(half, asked);
	/* Who is shed stays where all shed; who has to leave goes to one that sheds rather than stay. */
	return slot.moved || stored->active ? slot.moved : slot.placed;
}

/* Id of the backend that a user without one is sent to; 0 = none. */
inlined __u16 placed_at(__u32 half, const struct session_key *asked)
{
	struct ring_slot slot = slot_of(half, asked);
	const struct backend *backend = known_backend(half, slot.placed);

	return backend && slot.moved && is_shed(backend, asked) ? slot.moved : slot.placed;
}

/* Counts an answer that names this backend. */
inlined void count_answer(__u16 backend_id)
{
	__u32 index = backend_id;
	__u64 *answers = bpf_map_lookup_elem(&backend_answers, &index);

	if (answers)
		++*answers;
}

#endif
