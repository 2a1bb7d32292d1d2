/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Copies of sessions' records, beside the map that holds them all: a session's hash names a line of the processor's
 * caches, and its record, if it is there, is the only thing that a lookup has to wait for. In the hash map it waits
 * three times, for a bucket, an element's key and its record, each only known from the one before.
 *
 * A line has room for two. What finds no place is looked up in the hash map, and so is what isn't held: of as many
 * sessions as there are lines that is one in ten.
 *
 * Only apply_changes writes copies. Each has its record's check, and is passed over while it does not fit: while it is
 * written over, by its own session's next record or by another session's. A reader then goes on to the map, which is
 * never ahead of the copy: a copy is the first thing that is written, and the first that is taken away. So of two
 * readings of one session, from wherever, the second is never the older one.
 */
#ifndef SESSION_GATEWAY_COPIES_H
#define SESSION_GATEWAY_COPIES_H

#include "bytes.h"
#include "maps.h"

/* The line in which a session's copy is, if there is one; NULL would be our mistake. Neither ring nor shedding go by
 * these bytes. */
inlined struct session_copies *copies_in_line(const struct settings *setting, const __u8 hash[16])
{
	__u32 line = (__u64)load32(hash + 8) * setting->copy_lines >> 32;

	return bpf_map_lookup_elem(&session_copies, &line);
}

/* Asks memory for the line of what is looked up soon, so that it comes together with others. */
inlined void touch_copies(const struct settings *setting, const __u8 hash[16])
{
	const struct session_copies *line = copies_in_line(setting, hash);

	if (line)
		(void)*(const volatile __u64 *)&line->ways[0].version;
}

#endif
