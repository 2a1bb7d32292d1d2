/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Changes to the session table, made in the kernel by a program that the daemon runs (BPF_PROG_RUN of a
 * syscall program, kernel 5.14). A batch costs one system call, a change is compared with what is held
 * and made in one place, and the count of elements, which the kernel does not tell, stays exact.
 * There is one caller at a time: the daemon, which holds the lock on the pins.
 */
#ifndef SESSION_GATEWAY_APPLY_H
#define SESSION_GATEWAY_APPLY_H

#include "session.h"

struct bpf_map;

/* Field by field: each store is made, in this order, and none is made of two. */
inlined void write_session(volatile struct session *to, const struct session *from)
{
	to->version = from->version;
	to->expires_ms = from->expires_ms;
	to->generation = from->generation;
	to->backend_id = from->backend_id;
	to->check = from->check;
}

inlined void apply_put(const struct change *change, struct session *held, struct session *under_way_record,
		       struct apply_result *result)
{
	struct session session = {
		.version = change->version,
		.expires_ms = change->expires_ms,
		.generation = change->generation,
		.backend_id = change->backend_id,
		.check = session_check(change->hash, change->version, change->expires_ms,
				       session_generation_backend(change->generation, change->backend_id)),
	};

	if (held) {
		write_session(under_way_record, &session);
		write_session(held, &session);
		result->replaced++;
	} else if (bpf_map_update_elem(&sessions, change->hash, &session, BPF_NOEXIST)) {
		result->refused++;
	} else {
		result->inserted++;
	}
}

inlined void apply_delete(const struct change *change, struct apply_result *result)
{
	if (bpf_map_delete_elem(&sessions, change->hash))
		result->skipped++;
	else
		result->deleted++;
}

/* Generations first, then versions: the order in which Redis was read. */
inlined int is_newer(const struct session *held, const struct change *change)
{
	return held->generation > change->generation ||
	       (held->generation == change->generation && held->version > change->version);
}

static long apply_one(struct bpf_map *map, __u32 *index, struct change *change, struct apply_result *result)
{
	struct session *held, *under_way_record;
	__u32 zero = 0;

	(void)map;
	if (*index >= result->count)
		return 1;
	under_way_record = bpf_map_lookup_elem(&under_way, &zero);
	if (!under_way_record)
		return 1;
	held = bpf_map_lookup_elem(&sessions, change->hash);
	if (held && is_newer(held, change)) {
		result->skipped++;
		return 0;
	}
	if (!held || change->kind != CHANGE_PUT)
		((volatile struct session *)under_way_record)->check = 0;
	if (change->kind == CHANGE_PUT)
		apply_put(change, held, under_way_record, result);
	else
		apply_delete(change, result);
	return 0;
}

/* Context: struct apply_result with `count` set; the first `count` elements of map `changes` are made. */
SEC("syscall")
int apply_changes(struct apply_result *ctx)
{
	struct apply_result result = { .count = ctx->count };
	struct table_counts *counts;
	__u32 zero = 0;

	bpf_for_each_map_elem(&changes, apply_one, &result, 0);
	counts = bpf_map_lookup_elem(&table_counts, &zero);
	if (counts) {
		counts->entries += result.inserted;
		counts->entries -= result.deleted;
		counts->refused += result.refused;
	}
	ctx->inserted = result.inserted;
	ctx->replaced = result.replaced;
	ctx->deleted = result.deleted;
	ctx->skipped = result.skipped;
	ctx->refused = result.refused;
	return 0;
}

#endif
