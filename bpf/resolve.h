/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Step 9 of the protocol for a session, asked for alone or in a batch: where its user belongs.
 */
#ifndef SESSION_GATEWAY_RESOLVE_H
#define SESSION_GATEWAY_RESOLVE_H

#include "denied.h"
#include "place.h"
#include "scratch.h"
#include "session.h"

enum {
	TTL_NEVER = 0xffffffff,
	TTL_MAX_S = 0xfffffffe,
};

/* What a reply says of a session, in host order. */
struct resolution {
	/* NULL = none is named. */
	const struct backend *backend;
	__u64 version;
	__u32 ttl_s;
	__u16 backend_id;
	__u8 status;
	__u8 flags;
};

inlined __u32 ttl_of(__u64 expires_ms, __u64 now_ms)
{
	__u64 ttl_s;

	if (!expires_ms)
		return TTL_NEVER;
	ttl_s = (expires_ms - now_ms + 999) / 1000;
	return ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S;
}

inlined void name_backend(struct resolution *resolution, __u16 id, const struct backend *backend)
{
	resolution->backend_id = id;
	resolution->backend = backend;
}

/* For a user without a backend: where every gateway would place it. Not counted: the daemon may answer instead. */
inlined enum verdict resolve_placed(__u32 half, const struct session_key *asked, struct resolution *resolution)
{
	__u16 id = placed_at(half, asked);
	const struct backend *backend = known_backend(half, id);

	if (!backend)
		return VERDICT_REPLY_NOT_FOUND;
	name_backend(resolution, id, backend);
	resolution->flags |= FLAG_PLACED;
	return VERDICT_REPLY_PLACED;
}

/* Fills in the resolution; its verdict is that of a LOOKUP. Counts the answer, unless it is REPLY_PLACED. */
inlined enum verdict resolve(const struct settings *setting, const struct moment *moment,
			     const struct session_key *asked, struct resolution *resolution)
{
	/* Before the record: one that is written anew meanwhile must not be taken for one that wasn't. */
	__u32 generation = ((const volatile struct settings *)setting)->generation;
	const struct backend *backend = NULL, *elsewhere;
	__u64 now_ms = moment->now_ms;
	struct session session = { 0 }; /* or the verifier sees clang move what none has */
	enum found found;
	__u16 to;

	*resolution = (struct resolution){ .status = STATUS_NOT_FOUND, .flags = moment->stale_flag };
	found = find_session(setting, asked, &session);
	if (found == RECORD_BUSY)
		return VERDICT_DROP_BUSY;

	/* revoked, whether there is a record or not */
	if (found == RECORD_FOUND ? session.flags & SESSION_DENIED : any_denied()) {
		switch (find_denied_now(setting, now_ms, asked)) {
		case RECORD_FOUND:
			resolution->status = STATUS_DENIED;
			return VERDICT_REPLY_DENIED;
		case RECORD_BUSY:
			return VERDICT_DROP_BUSY;
		case RECORD_NONE:
			break;
		}
	}

	/* no live record, or none that names a backend that is known */
	if (found == RECORD_FOUND && session.generation >= generation &&
	    (!session.expires_ms || session.expires_ms > now_ms))
		backend = known_backend(moment->half, session.backend_id);
	if (!backend)
		return resolve_placed(moment->half, asked, resolution);

	resolution->status = STATUS_FOUND;
	resolution->version = session.version;
	resolution->ttl_s = ttl_of(session.expires_ms, now_ms);
	to = moved_to(moment->half, backend, asked);
	elsewhere = to ? known_backend(moment->half, to) : NULL;
	if (elsewhere) {
		name_backend(resolution, to, elsewhere);
		count_answer(to);
		resolution->flags |= FLAG_MOVED;
		return VERDICT_REPLY_MOVED;
	}
	name_backend(resolution, session.backend_id, backend);
	count_answer(session.backend_id);
	return VERDICT_REPLY_FOUND;
}

#endif
