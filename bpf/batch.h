/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * BATCH: what its reply says of each session.
 */
#ifndef SESSION_GATEWAY_BATCH_H
#define SESSION_GATEWAY_BATCH_H

#include "resolve.h"

/*
 * Answers the entry of this index, by scratch->moment. Returns the verdict that a LOOKUP would have.
 * A global function: the verifier looks at it once, not once for each entry (kernel 5.12 for its arguments).
 */
__attribute__((noinline)) int answer_entry(const struct settings *setting, struct scratch *scratch, __u64 index)
{
	struct resolution resolution;
	struct session_key asked;
	struct batch_entry *entry;
	enum verdict verdict;

	if (!setting || !scratch || index >= WIRE_BATCH_MAX)
		return VERDICT_ABORTED;
	store64(asked.hash, load64(scratch->request.hashes[index].hash));
	store64(asked.hash + 8, load64(scratch->request.hashes[index].hash + 8));
	verdict = resolve(setting, &scratch->moment, &asked, &resolution);
	entry = &scratch->reply.batch.entries[index];
	entry->status = resolution.status;
	entry->flags = resolution.flags;
	entry->backend_id = bpf_htons(resolution.backend_id);
	entry->ttl_s = bpf_htonl(resolution.ttl_s);
	entry->version = bpf_cpu_to_be64(resolution.version);
	return verdict;
}

/*
 * Fills in the entries of the reply. Returns the verdict: that of the whole is FOUND, unless an entry can't be
 * answered. A global function: its loop is followed once, not once for each layout of a packet.
 */
__attribute__((noinline)) int answer_batch(const struct settings *setting, struct scratch *scratch, __u64 count)
{
	if (!setting || !scratch)
		return VERDICT_ABORTED;
	for (__u64 entry = 0; entry < WIRE_BATCH_MAX && entry < count; entry++)
		touch_copies(setting, scratch->request.hashes[entry].hash);
	for (__u64 entry = 0; entry < WIRE_BATCH_MAX && entry < count; entry++) {
		int verdict = answer_entry(setting, scratch, entry);

		if (verdict == VERDICT_DROP_BUSY || verdict == VERDICT_ABORTED)
			return verdict;
	}
	return VERDICT_REPLY_FOUND;
}

/* Entries that look nothing up. Returns 0. A global function, as answer_batch is. */
__attribute__((noinline)) int answer_batch_without(struct scratch *scratch, __u64 count, __u32 status)
{
	if (!scratch)
		return -1;
	for (__u64 entry = 0; entry < WIRE_BATCH_MAX && entry < count; entry++) {
		scratch->reply.batch.entries[entry] = (struct batch_entry){ .status = status };
	}
	return 0;
}

#endif
