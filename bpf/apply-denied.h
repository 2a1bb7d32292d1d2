/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Changes to map `denied`, by apply_changes (apply.h). A session that is held has the flag SESSION_DENIED if, and only
 * if, the map has an element for it: so a lookup of a session that is not revoked never looks here.
 */
#ifndef SESSION_GATEWAY_APPLY_DENIED_H
#define SESSION_GATEWAY_APPLY_DENIED_H

#include "apply-session.h"
#include "denied.h"

inlined void write_denied(volatile struct denied *to, const struct denied *from)
{
	to->until_ms = from->until_ms;
	to->generation = from->generation;
	to->check = from->check;
}

inlined void apply_deny(const struct settings *setting, const struct change *change, struct under_way *written,
			struct table_counts *counts, struct apply_result *result)
{
	struct denied *held = bpf_map_lookup_elem(&denied, change->hash);
	struct denied revocation = {
		.until_ms = change->expires_ms,
		.generation = change->generation,
		.check = denied_check(change->hash, change->expires_ms, change->generation),
	};

	if (held) {
		write_denied(&written->denied, &revocation);
		write_denied(held, &revocation);
		result->denied++;
		return;
	}
	((volatile struct denied *)&written->denied)->check = 0;
	if (bpf_map_update_elem(&denied, change->hash, &revocation, BPF_NOEXIST)) {
		counts->denied_refused++;
		result->denied_refused++;
		return;
	}
	counts->denied++;
	result->denied++;
	flag_session(setting, change->hash, SESSION_DENIED, written);
}

inlined void apply_allow(const struct settings *setting, const struct change *change, struct under_way *written,
			 struct table_counts *counts, struct apply_result *result)
{
	const struct denied *held = bpf_map_lookup_elem(&denied, change->hash);

	if (!held)
		return;
	if (change->kind == CHANGE_FORGET_DENIED &&
	    (held->until_ms != change->expires_ms || held->generation != change->generation))
		return;
	((volatile struct denied *)&written->denied)->check = 0;
	if (bpf_map_delete_elem(&denied, change->hash))
		return;
	counts->denied--;
	result->allowed++;
	flag_session(setting, change->hash, 0, written);
}

#endif
