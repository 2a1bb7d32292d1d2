/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * BATCH: what its reply says of each session.
 */
#ifndef SESSION_GATEWAY_BATCH_H
#define SESSION_GATEWAY_BATCH_H

#include "resolve.h"

/* As they are put into an entry. */
inlined void write_entry(struct batch_entry *entry, __u8 status, __u8 flags, __u16 backend_id, __u32 ttl_s,
			 __u64 version)
{
	store64(entry, (__u64)bpf_htonl(ttl_s) << 32 | (__u32)bpf_htons(backend_id) << 16 | (__u32)flags << 8 | status);
	entry->version = bpf_cpu_to_be64(version);
}

/*
 * Answers an entry for which there is nothing to weigh, as answer_entry would: a copy is at hand, of a live record, not
 * revoked, of a backend that all of its users stay with. Returns 0, with nothing done, where it is not so.
 */
inlined int answer_settled(const struct settings *setting, const struct moment *moment, __u32 generation,
			   const struct session_key *asked, struct batch_entry *entry)
{
	const struct backend *backend;
	struct session session;

	if (!find_copy(setting, asked, &session))
		return 0;
	if (session.flags & SESSION_DENIED || session.generation < generation)
		return 0;
	if (session.expires_ms && session.expires_ms <= moment->now_ms)
		return 0;
	backend = known_backend(moment->half, session.backend_id);
	if (!backend || !backend->active || backend->shed)
		return 0;
	count_answer(session.backend_id);
	write_entry(entry, STATUS_FOUND, moment->stale_flag, session.backend_id,
		    ttl_of(session.expires_ms, moment->now_ms), session.version);
	return 1;
}

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
	if (verdict == VERDICT_REPLY_PLACED)
		count_answer(resolution.backend_id);
	entry = &scratch->reply.batch.entries[index];
	write_entry(entry, resolution.status, resolution.flags, resolution.backend_id, resolution.ttl_s,
		    resolution.version);
	return verdict;
}

/* Entries that one call answers: of so many the verifier follows all ways through their loop. */
enum {
	ENTRIES_AT_ONCE = 8,
};

/* Fills in ENTRIES_AT_ONCE entries of the reply from `first` on, as far as `count` goes. Returns the verdict, as
 * answer_batch. */
__attribute__((noinline)) int answer_entries(const struct settings *setting, struct scratch *scratch, __u64 first,
					     __u64 count)
{
	struct moment moment;
	__u32 generation;

	if (!setting || !scratch)
		return VERDICT_ABORTED;
	moment = scratch->moment;
	/* Before the records, as in resolve. */
	generation = ((const volatile struct settings *)setting)->generation;
	for (__u64 i = 0; i < ENTRIES_AT_ONCE; i++) {
		__u64 entry = first + i;
		int verdict;

		if (entry >= count)
			break;
		opaque(entry); /* or clang bounds another number */
		if (entry >= WIRE_BATCH_MAX)
			break;
		if (answer_settled(setting, &moment, generation, &scratch->request.hashes[entry],
				   &scratch->reply.batch.entries[entry]))
			continue;
		verdict = answer_entry(setting, scratch, entry);
		if (verdict == VERDICT_DROP_BUSY || verdict == VERDICT_ABORTED)
			return verdict;
	}
	return VERDICT_REPLY_FOUND;
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
	for (__u64 first = 0; first < WIRE_BATCH_MAX && first < count; first += ENTRIES_AT_ONCE) {
		int verdict = answer_entries(setting, scratch, first, count);

		if (verdict != VERDICT_REPLY_FOUND)
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
