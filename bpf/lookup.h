/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * LOOKUP: what its reply says.
 */
#ifndef SESSION_GATEWAY_LOOKUP_H
#define SESSION_GATEWAY_LOOKUP_H

#include "resolve.h"

/* Fills in an empty reply. */
inlined enum verdict answer_lookup(const struct settings *setting, const struct moment *moment,
				   const struct session_key *asked, struct lookup_reply *reply)
{
	struct resolution resolution;
	enum verdict verdict = resolve(setting, moment, asked, &resolution);

	__u64 status_to_backend = resolution.flags << 8 | resolution.status;

	reply->version = bpf_cpu_to_be64(resolution.version);
	/* Whole words, as in begin_reply. */
	store64(&reply->ttl_s, (__u64)bpf_htonl(moment->age_ms) << 32 | bpf_htonl(resolution.ttl_s));
	if (resolution.backend) {
		status_to_backend |= (__u64)bpf_htonl(resolution.backend_id) << 32 | (__u32)resolution.backend->port
											     << 16;
		store64(reply->address, load64(resolution.backend->address));
		store64(reply->address + 8, load64(resolution.backend->address + 8));
	}
	store64(&reply->status, status_to_backend);
	return verdict;
}

#endif
