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

	reply->status = resolution.status;
	reply->flags = resolution.flags;
	reply->version = bpf_cpu_to_be64(resolution.version);
	reply->ttl_s = bpf_htonl(resolution.ttl_s);
	if (resolution.backend) {
		reply->port = resolution.backend->port;
		reply->backend_id = bpf_htonl(resolution.backend_id);
		store64(reply->address, load64(resolution.backend->address));
		store64(reply->address + 8, load64(resolution.backend->address + 8));
	}
	return verdict;
}

#endif
