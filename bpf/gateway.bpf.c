/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Answers session lookups in the kernel. The numbers in answer() are the steps of docs/protocol.md,
 * "What a gateway does with a packet, in this order"; each way out is one verdict, counted once.
 *
 * Loads on kernel 5.15 and later: syscall programs (5.14), bpf_for_each_map_elem (5.13), global functions
 * with memory arguments (5.12), the coarse clock (5.11).
 */
#include "apply.h"
#include "authenticate.h"
#include "denied.h"
#include "fact.h"
#include "packet.h"
#include "place.h"
#include "reply.h"
#include "session.h"

enum {
	AGE_NEVER = 0xffffffff,
	AGE_MAX_MS = 0xfffffffe,
	TTL_NEVER = 0xffffffff,
	TTL_MAX_S = 0xfffffffe,
	REPLY_WORDS = sizeof(struct lookup_reply) / 8,
	REPLY_TAGGED_WORDS = REPLY_WORDS - 2,
};

inlined enum verdict verdict_of(enum parsed parsed)
{
	return parsed == PARSED_OTHER ? VERDICT_PASS_OTHER : VERDICT_PASS_SLOW_PATH;
}

/* How long ago the copy was in step with Redis, in ms, as it stands in a reply. */
inlined __u32 age_of(const struct settings *setting, __u64 monotonic_ms)
{
	__u64 in_step_ms = setting->in_step_ms, age_ms;

	if (!in_step_ms)
		return AGE_NEVER;
	age_ms = monotonic_ms > in_step_ms ? monotonic_ms - in_step_ms : 0;
	return age_ms < AGE_MAX_MS ? age_ms : AGE_MAX_MS;
}

inlined __u32 ttl_of(__u64 expires_ms, __u64 now_ms)
{
	__u64 ttl_s;

	if (!expires_ms)
		return TTL_NEVER;
	ttl_s = (expires_ms - now_ms + 999) / 1000;
	return ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S;
}

inlined void name_backend(struct lookup_reply *reply, __u16 id, const struct backend *backend)
{
	reply->port = backend->port;
	reply->backend_id = bpf_htonl(id);
	store64(reply->address, load64(backend->address));
	store64(reply->address + 8, load64(backend->address + 8));
	count_answer(id);
}

/* Step 9 for a user without a backend: where every gateway would place it. */
inlined enum verdict resolve_placed(__u32 half, const struct session_key *asked, struct lookup_reply *reply)
{
	__u16 id = placed_at(half, asked);
	const struct backend *backend = known_backend(half, id);

	if (!backend)
		return VERDICT_REPLY_NOT_FOUND;
	name_backend(reply, id, backend);
	reply->flags |= FLAG_PLACED;
	return VERDICT_REPLY_PLACED;
}

/* Step 9: fills in what the reply says of the session. */
inlined enum verdict resolve(const struct settings *setting, __u64 now_ms, const struct session_key *asked,
			     struct lookup_reply *reply)
{
	/* Read once: a reply never mixes two states of backends and ring. */
	__u32 half = ((const volatile struct settings *)setting)->backends_half & 1;
	/* Before the record: one that is written anew meanwhile must not be taken for one that wasn't. */
	__u32 generation = ((const volatile struct settings *)setting)->generation;
	const struct backend *backend = NULL, *elsewhere;
	struct session session;
	enum found found;
	__u16 to;

	reply->status = STATUS_NOT_FOUND;
	found = find_session(asked, &session);
	if (found == RECORD_BUSY)
		return VERDICT_DROP_BUSY;

	/* revoked, whether there is a record or not */
	if (found == RECORD_FOUND ? session.flags & SESSION_DENIED : any_denied()) {
		switch (find_denied_now(setting, now_ms, asked)) {
		case RECORD_FOUND:
			reply->status = STATUS_DENIED;
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
		backend = known_backend(half, session.backend_id);
	if (!backend)
		return resolve_placed(half, asked, reply);

	reply->status = STATUS_FOUND;
	reply->version = bpf_cpu_to_be64(session.version);
	reply->ttl_s = bpf_htonl(ttl_of(session.expires_ms, now_ms));
	to = moved_to(half, backend, asked);
	elsewhere = to ? known_backend(half, to) : NULL;
	if (elsewhere) {
		name_backend(reply, to, elsewhere);
		reply->flags |= FLAG_MOVED;
		return VERDICT_REPLY_MOVED;
	}
	name_backend(reply, session.backend_id, backend);
	return VERDICT_REPLY_FOUND;
}

/* Writes the sealed reply over the request and turns its headers round. */
inlined void send(const struct packet *packet, void *payload, const struct lookup_reply *reply)
{
	const __u64 *words = (const __u64 *)reply;
	__u64 sum = 0;

	for (int i = 0; i < REPLY_WORDS; i++) {
		store64(payload + 8 * i, words[i]);
		sum = sum_add64(sum, words[i]);
	}
	turn_headers(packet, sum);
}

inlined enum verdict answer(struct xdp_md *ctx)
{
	struct lookup_request *request;
	struct lookup_reply *reply;
	struct session_key asked;
	struct wire_header *header;
	struct wall_clock *clock;
	struct settings *setting;
	struct address source;
	struct packet packet;
	struct scratch *work;
	__u32 zero = 0, key_id;
	__u64 monotonic_ms, now_ms;
	enum verdict verdict;
	enum parsed parsed;
	struct key *key;
	int skewed;
	__u8 type;

	setting = bpf_map_lookup_elem(&settings, &zero);
	clock = bpf_map_lookup_elem(&wall_clock, &zero);
	work = bpf_map_lookup_elem(&scratch, &zero);
	if (!setting || !clock || !work)
		return VERDICT_ABORTED;

	/* 1, 2: what is not ours, or not simple enough, is the host's */
	parsed = parse_packet(ctx, setting->port, &packet);
	if (parsed != PARSED_DATAGRAM)
		return verdict_of(parsed);

	/* 3: well-formed, and from where one may ask */
	if (bpf_ntohs(packet.udp->len) != packet.ip_payload_bytes)
		return VERDICT_DROP_LENGTH;
	if (packet.ip_payload_bytes < sizeof(struct udphdr) + sizeof(*header))
		return VERDICT_DROP_LENGTH;
	header = packet.rest.at;
	if ((void *)(header + 1) > packet.rest.end)
		return VERDICT_DROP_LENGTH;
	if (setting->allow_list) {
		struct network network = { .prefix_length = 128 };

		packet_source(&packet, &source);
		__builtin_memcpy(network.bytes, source.bytes, sizeof(source.bytes));
		if (!bpf_map_lookup_elem(&allowed_networks, &network))
			return VERDICT_DROP_SOURCE;
	}
	if (header->magic != bpf_htons(WIRE_MAGIC))
		return VERDICT_DROP_MAGIC;
	if (header->version != WIRE_VERSION)
		return VERDICT_DROP_VERSION;
	type = header->type;
	if (type < REQUEST_LOOKUP || type > REQUEST_FACT)
		return VERDICT_DROP_TYPE;
	if (type == REQUEST_BATCH)
		return VERDICT_DROP_UNSUPPORTED;
	request = cursor_take(&packet.rest, sizeof(*request));
	if (!request || packet.ip_payload_bytes != sizeof(struct udphdr) + sizeof(*request))
		return VERDICT_DROP_LENGTH;
	if (load64(request->zero) | load64(request->zero + 8))
		return VERDICT_DROP_RESERVED;

	/* 4: a key that is in force */
	monotonic_ms = bpf_ktime_get_coarse_ns() / 1000000;
	now_ms = monotonic_ms + clock->offset_ms;
	key_id = bpf_ntohl(request->header.key_id);
	key = bpf_map_lookup_elem(&keys, &key_id);
	if (!key)
		return VERDICT_DROP_KEY_UNKNOWN;
	if (now_ms < key->not_before_ms || now_ms > key->not_after_ms)
		return VERDICT_DROP_KEY_TIME;

	/* 5: a flood of forged packets ends here */
	if (siphash64((__u64 *)key->guard_key, (__u64 *)request, LOOKUP_GUARDED_WORDS) != load64(request->guard))
		return VERDICT_DROP_GUARD;

	/* 6: old captures cost and reflect little */
	skewed = is_outside_skew(setting, now_ms, bpf_be64_to_cpu(request->header.time_ms));
	if (skewed && !spend_skew_budget(now_ms, setting->skew_budget))
		return VERDICT_DROP_SKEW_BUDGET;

	/* 7: nothing is looked up or sent before the tag is found right; compared in one go */
	for (int i = 0; i < LOOKUP_TAGGED_WORDS / 2; i++)
		work->message[i] = load64((__u64 *)request + i);
	if (lookup_digest(key, work))
		return VERDICT_ABORTED;
	if ((work->digest[0] ^ load64(request->tag)) | (work->digest[1] ^ load64(request->tag + 8)))
		return VERDICT_DROP_TAG;

	/* 8, 9: the answer; a fact's has status, flags and age where a session's has them */
	reply = &work->reply;
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->header = request->header;
	reply->header.type = type | WIRE_REPLY_BIT;
	reply->header.time_ms = bpf_cpu_to_be64(now_ms);
	reply->age_ms = bpf_htonl(age_of(setting, monotonic_ms));
	if (skewed) {
		reply->status = STATUS_CLOCK_SKEW;
		verdict = VERDICT_REPLY_CLOCK_SKEW;
	} else if (!setting->ready) {
		reply->status = STATUS_NOT_READY;
		verdict = VERDICT_REPLY_NOT_READY;
	} else {
		if (bpf_ntohl(reply->age_ms) == AGE_NEVER || bpf_ntohl(reply->age_ms) > setting->stale_after_ms)
			reply->flags |= FLAG_STALE;
		store64(asked.hash, load64(request->hash));
		store64(asked.hash + 8, load64(request->hash + 8));
		verdict = type == REQUEST_FACT ? resolve_fact(setting, &asked, &work->fact, &work->fact_reply)
					       : resolve(setting, now_ms, &asked, reply);
		if (verdict == VERDICT_DROP_BUSY || verdict == VERDICT_ABORTED)
			return verdict;
	}
	siphash128(&work->digest[2], (__u64 *)reply, REPLY_TAGGED_WORDS, (__u64 *)reply->tag);
	send(&packet, request, reply);
	return verdict;
}

inlined int action_of(enum verdict verdict)
{
	if (verdict <= VERDICT_PASS_SLOW_PATH)
		return XDP_PASS;
	if (verdict >= VERDICT_REPLY_CLOCK_SKEW && verdict <= VERDICT_REPLY_DENIED)
		return XDP_TX;
	return verdict == VERDICT_ABORTED ? XDP_ABORTED : XDP_DROP;
}

SEC("xdp")
int gateway(struct xdp_md *ctx)
{
	enum verdict verdict = answer(ctx);
	struct verdict_counts *counts;
	__u32 zero = 0;

	counts = bpf_map_lookup_elem(&verdict_counts, &zero);
	if (counts && verdict < VERDICT_COUNT)
		counts->packets[verdict]++;
	return action_of(verdict);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
