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
#include "batch.h"
#include "fact.h"
#include "hand-up.h"
#include "lookup.h"
#include "packet.h"
#include "reply.h"
#include "request.h"
#include "seal.h"
#include "timing.h"

enum {
	AGE_NEVER = 0xffffffff,
	AGE_MAX_MS = 0xfffffffe,
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

inlined void set_moment(struct moment *moment, const struct settings *setting, __u64 now_ms, __u64 monotonic_ms)
{
	*moment = (struct moment){
		.now_ms = now_ms,
		.age_ms = age_of(setting, monotonic_ms),
		.half = ((const volatile struct settings *)setting)->backends_half & 1,
	};
	if (moment->age_ms == AGE_NEVER || moment->age_ms > setting->stale_after_ms)
		moment->stale_flag = FLAG_STALE;
}

/* What a reply says whatever the answer is; all else of one of 80 bytes is zero. */
inlined void begin_reply(const struct request *request, const struct moment *moment, __u32 type_bits,
			 struct scratch *work)
{
	__u64 *words = work->reply.words;

	if (!request->is_batch)
		__builtin_memset(&work->reply.lookup, 0, sizeof(work->reply.lookup));
	/* Whole words: a load of what was stored in parts, as the tag's, has to wait for all of them. */
	words[0] = load64(request->words) | (__u64)type_bits << 8 * offsetof(struct wire_header, type);
	words[1] = bpf_cpu_to_be64(moment->now_ms);
	words[2] = load64(request->words + 2);
	if (request->is_batch)
		words[3] = (__u64)bpf_htonl(moment->age_ms) << 32 | bpf_htons(request->count);
	else
		work->reply.lookup.age_ms = bpf_htonl(moment->age_ms);
}

/* Step 8: every answer is this status. */
inlined enum verdict answer_nothing(const struct request *request, enum status status, struct scratch *work)
{
	if (!request->is_batch)
		work->reply.lookup.status = status;
	else if (answer_batch_without(work, request->count, status))
		return VERDICT_ABORTED;
	return status == STATUS_CLOCK_SKEW ? VERDICT_REPLY_CLOCK_SKEW : VERDICT_REPLY_NOT_READY;
}

/* Step 9. */
inlined enum verdict look_up(const struct settings *setting, const struct request *request, const struct moment *moment,
			     struct scratch *work)
{
	struct session_key asked;

	if (request->is_batch) {
		work->moment = *moment;
		return answer_batch(setting, work, request->count);
	}
	store64(asked.hash, load64(work->request.hash));
	store64(asked.hash + 8, load64(work->request.hash + 8));
	if (((const struct wire_header *)request->words)->type == REQUEST_FACT)
		return answer_fact(setting, moment, &asked, &work->fact, &work->reply.fact);
	return answer_lookup(setting, moment, &asked, &work->reply.lookup);
}

/* Whether a LOOKUP has found no record. */
inlined int is_miss(const struct request *request, enum verdict verdict)
{
	return (verdict == VERDICT_REPLY_PLACED || verdict == VERDICT_REPLY_NOT_FOUND) &&
	       ((const struct wire_header *)request->words)->type == REQUEST_LOOKUP;
}

inlined enum verdict answer(struct xdp_md *ctx)
{
	struct wire_header *header;
	struct wall_clock *clock;
	struct settings *setting;
	struct request request;
	struct address source;
	struct moment moment;
	struct packet packet;
	struct scratch *work;
	__u32 zero = 0, key_id, encrypted;
	__u64 monotonic_ms, now_ms, sum;
	enum verdict verdict;
	enum parsed parsed;
	struct key *key;
	int skewed;

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
	if (header->type < REQUEST_LOOKUP || header->type > REQUEST_FACT)
		return VERDICT_DROP_TYPE;
	if (!(header->type == REQUEST_BATCH ? take_batch(&packet, &request) : take_lookup(&packet, &request)))
		return VERDICT_DROP_LENGTH;
	if (request.reserved)
		return VERDICT_DROP_RESERVED;

	/* 4: a key that is in force */
	monotonic_ms = bpf_ktime_get_coarse_ns() / 1000000;
	now_ms = monotonic_ms + clock->offset_ms;
	key_id = bpf_ntohl(header->key_id);
	key = bpf_map_lookup_elem(&keys, &key_id);
	if (!key)
		return VERDICT_DROP_KEY_UNKNOWN;
	if (now_ms < key->not_before_ms || now_ms > key->not_after_ms)
		return VERDICT_DROP_KEY_TIME;
	encrypted = key->encrypt;

	/* 5: a flood of forged packets ends here */
	if (guard_of(key, &request) != load64(request.proof->guard))
		return VERDICT_DROP_GUARD;

	/* 6: old captures cost and reflect little */
	skewed = is_outside_skew(setting, now_ms, bpf_be64_to_cpu(header->time_ms));
	if (skewed && !spend_skew_budget(now_ms, setting->skew_budget))
		return VERDICT_DROP_SKEW_BUDGET;

	/* 7: nothing is looked up or sent before the tag is found right; compared in one go */
	if (copy_tagged(ctx, &request, work) || prf(key, work, request.tagged_words))
		return VERDICT_ABORTED;
	if ((work->digest[0] ^ load64(request.proof->tag)) | (work->digest[1] ^ load64(request.proof->tag + 8)))
		return VERDICT_DROP_TAG;
	count_use(key);

	/* 8: answers that look nothing up */
	set_moment(&moment, setting, now_ms, monotonic_ms);
	begin_reply(&request, &moment, WIRE_REPLY_BIT | (encrypted ? WIRE_ENCRYPTED_BIT : 0), work);
	if (skewed)
		verdict = answer_nothing(&request, STATUS_CLOCK_SKEW, work);
	else if (!setting->ready)
		verdict = answer_nothing(&request, STATUS_NOT_READY, work);
	/* 9: look up, answer */
	else
		verdict = look_up(setting, &request, &moment, work);
	if (verdict == VERDICT_DROP_BUSY || verdict == VERDICT_ABORTED)
		return verdict;
	if (is_miss(&request, verdict)) {
		if (is_handed_up(&packet, key_id))
			return VERDICT_PASS_MISS;
		if (verdict == VERDICT_REPLY_PLACED)
			count_answer(bpf_ntohl(work->reply.lookup.backend_id));
	}
	if (seal_reply(&request, encrypted, work))
		return VERDICT_ABORTED;
	sum = write_reply(ctx, &request, work);
	if (!sum)
		return VERDICT_ABORTED;
	turn_headers(&packet, sum);
	return verdict;
}

inlined int action_of(enum verdict verdict)
{
	if (verdict <= VERDICT_PASS_SLOW_PATH || verdict == VERDICT_PASS_MISS)
		return XDP_PASS;
	if (verdict >= VERDICT_REPLY_CLOCK_SKEW && verdict <= VERDICT_REPLY_DENIED)
		return XDP_TX;
	return verdict == VERDICT_ABORTED ? XDP_ABORTED : XDP_DROP;
}

SEC("xdp")
int gateway(struct xdp_md *ctx)
{
	struct verdict_counts *counts;
	enum verdict verdict;
	__u32 zero = 0;

	counts = bpf_map_lookup_elem(&verdict_counts, &zero);
	if (!counts)
		return XDP_ABORTED;
	begin_timing(ctx, counts);
	verdict = answer(ctx);
	if (verdict < VERDICT_COUNT)
		counts->packets[verdict]++;
	if (counts->timed_for)
		end_timing(counts, verdict);
	return action_of(verdict);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
