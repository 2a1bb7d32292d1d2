/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Changes to map `facts`, by apply_changes (apply.h). What readers rely on: session.h.
 *
 * Facts come in the order in which they were read, over one connection: the last one goes. Their versions are not
 * compared, since one is no older for it where a feed was made anew after its server's clock had been put back, or
 * where a writer left it out.
 */
#ifndef SESSION_GATEWAY_APPLY_FACT_H
#define SESSION_GATEWAY_APPLY_FACT_H

#include "apply-session.h"
#include "fact.h"

inlined void write_fact(volatile struct fact *to, const struct fact *from)
{
	volatile __u64 *words = (volatile __u64 *)to->value;

	to->version = from->version;
	for (int i = 0; i < 3; i++)
		words[i] = load64(from->value + 8 * i);
	to->generation = from->generation;
	to->length = from->length;
	to->check = from->check;
}

inlined void apply_put_fact(const struct change *change, struct under_way *written, struct table_counts *counts,
			    struct apply_result *result)
{
	struct fact *held = bpf_map_lookup_elem(&facts, change->hash);
	struct fact fact = {
		.version = change->version,
		.generation = change->generation,
		.length = change->length,
		.check = fact_check(change->hash, change->version, change->value, change->generation, change->length),
	};

	if (held && held->generation > change->generation)
		return;
	for (int i = 0; i < 24; i += 8)
		store64(fact.value + i, load64(change->value + i));
	if (held) {
		write_fact(&written->fact, &fact);
		write_fact(held, &fact);
		result->facts++;
		return;
	}
	((volatile struct fact *)&written->fact)->check = 0;
	if (bpf_map_update_elem(&facts, change->hash, &fact, BPF_NOEXIST)) {
		counts->facts_refused++;
		result->facts_refused++;
		return;
	}
	counts->facts++;
	result->facts++;
}

inlined void apply_delete_fact(const struct change *change, struct under_way *written, struct table_counts *counts,
			       struct apply_result *result)
{
	const struct fact *held = bpf_map_lookup_elem(&facts, change->hash);

	if (!held || held->generation > change->generation)
		return;
	((volatile struct fact *)&written->fact)->check = 0;
	if (bpf_map_delete_elem(&facts, change->hash))
		return;
	counts->facts--;
	result->facts++;
}

#endif
