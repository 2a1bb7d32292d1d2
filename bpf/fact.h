/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Facts in the hash map `facts`, read as sessions are (session.h), and FACT: what its reply says.
 */
#ifndef SESSION_GATEWAY_FACT_H
#define SESSION_GATEWAY_FACT_H

#include "scratch.h"
#include "session.h"

inlined __u64 fact_check(const __u8 hash[16], __u64 version, const __u8 value[24], __u32 generation, __u32 length)
{
	return load64(hash) + load64(hash + 8) * 0x082efa98ec4e6c89ull + version * 0x243f6a8885a308d3ull +
	       load64(value) * 0x452821e638d01377ull + load64(value + 8) * 0xbe5466cf34e90c6dull +
	       load64(value + 16) * 0xc0ac29b7c97c50ddull + ((__u64)length << 32 | generation) * 0xa4093822299f31d1ull;
}

inlined int copy_fact(const struct session_key *key, const volatile struct fact *held, struct fact *copy)
{
	const volatile __u64 *words = (const volatile __u64 *)held->value;

	copy->version = held->version;
	for (int i = 0; i < 3; i++)
		store64(copy->value + 8 * i, words[i]);
	copy->generation = held->generation;
	copy->length = held->length;
	copy->check = held->check;
	return copy->check == fact_check(key->hash, copy->version, copy->value, copy->generation, copy->length);
}

inlined enum found find_fact(const struct session_key *key, struct fact *copy)
{
	const struct under_way *written;
	__u32 zero = 0;

	for (__u64 reads = 0; reads < LIMIT_RECORD_READS; reads++) {
		const struct fact *held = bpf_map_lookup_elem(&facts, key);

		if (!held)
			return RECORD_NONE;
		if (copy_fact(key, held, copy))
			return RECORD_FOUND;
		written = bpf_map_lookup_elem(&under_way, &zero);
		if (written && copy_fact(key, &written->fact, copy))
			return RECORD_FOUND;
	}
	return RECORD_BUSY;
}

/* Fills in an empty reply. fact: room for a copy */
inlined enum verdict answer_fact(const struct settings *setting, const struct moment *moment,
				 const struct session_key *asked, struct fact *fact, struct fact_reply *reply)
{
	/* Before the fact, as in denied.h. */
	__u32 generation = ((const volatile struct settings *)setting)->facts_generation;

	reply->status = STATUS_NOT_FOUND;
	reply->flags = moment->stale_flag;
	switch (find_fact(asked, fact)) {
	case RECORD_NONE:
		return VERDICT_REPLY_NOT_FOUND;
	case RECORD_BUSY:
		return VERDICT_DROP_BUSY;
	case RECORD_FOUND:
		break;
	}
	if (fact->generation < generation)
		return VERDICT_REPLY_NOT_FOUND;
	reply->status = STATUS_FOUND;
	reply->value_length = bpf_htons(fact->length);
	for (int i = 0; i < 24; i += 8)
		store64(reply->value + i, load64(fact->value + i));
	store64(reply->version, bpf_cpu_to_be64(fact->version));
	return VERDICT_REPLY_FOUND;
}

#endif
