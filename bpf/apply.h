/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Changes to sessions, revocations and facts, made in the kernel by a program that the daemon runs (BPF_PROG_RUN of a
 * syscall program, kernel 5.14). A batch costs one system call, a change is compared with what is held
 * and made in one place, and the count of elements, which the kernel does not tell, stays exact.
 * There is one caller at a time: the daemon, which holds the lock on the pins.
 */
#ifndef SESSION_GATEWAY_APPLY_H
#define SESSION_GATEWAY_APPLY_H

#include "apply-denied.h"
#include "apply-fact.h"
#include "apply-session.h"

struct bpf_map;

static long apply_one(struct bpf_map *map, __u32 *index, struct change *change, struct apply_result *result)
{
	const struct settings *setting;
	struct table_counts *counts;
	struct under_way *written;
	__u32 zero = 0;

	(void)map;
	if (*index >= result->count)
		return 1;
	written = bpf_map_lookup_elem(&under_way, &zero);
	counts = bpf_map_lookup_elem(&table_counts, &zero);
	setting = bpf_map_lookup_elem(&settings, &zero);
	if (!written || !counts || !setting)
		return 1;
	switch (change->kind) {
	case CHANGE_PUT:
		apply_put(setting, change, written, counts, result);
		break;
	case CHANGE_DELETE:
		apply_delete(setting, change, written, result);
		break;
	case CHANGE_DENY:
		apply_deny(setting, change, written, counts, result);
		break;
	case CHANGE_ALLOW:
	case CHANGE_FORGET_DENIED:
		apply_allow(setting, change, written, counts, result);
		break;
	case CHANGE_PUT_FACT:
		apply_put_fact(change, written, counts, result);
		break;
	case CHANGE_DELETE_FACT:
		apply_delete_fact(change, written, counts, result);
		break;
	}
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
	ctx->denied = result.denied;
	ctx->allowed = result.allowed;
	ctx->denied_refused = result.denied_refused;
	ctx->facts = result.facts;
	ctx->facts_refused = result.facts_refused;
	return 0;
}

#endif
