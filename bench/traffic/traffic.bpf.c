/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * The benchmarks' own programs: what sends (run in live-frame mode, BPF_F_TEST_XDP_LIVE_FRAMES, kernel 5.18), what
 * counts and samples answers at the sender's end, and what the gateway is compared with.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

enum {
	/* A LOOKUP over IPv4, and six bytes of Ethernet's padding; a BATCH of 64, padded likewise. */
	SMALL_WORDS = 16,
	LARGE_WORDS = 144,
	KINDS = 2,
	/* Where the payload is, and fields in it. */
	PAYLOAD = ETH_HLEN + 20 + 8,
	TYPE = PAYLOAD + 3,
	KEY_ID = PAYLOAD + 4,
	NONCE = PAYLOAD + 16,
	REPLY_BIT = 0x80,
	/* How a template is varied, packet by packet. */
	VARY_NONCE = 1,
	VARY_KEY_ID = 2,
	PACKETS_PER_CLOCK_READING = 16,
	CPUS_MAX = 64,
	SAMPLES = 512,
	ANSWERS_PER_SAMPLE = 1021,
	/* Answers that are not there by then are taken for lost. */
	PATIENCE_NS = 200000000,
};

/* Two kinds of packets, each at a rate of its own; a kind without packets has no templates. */
struct kind {
	/* Where its templates begin, and how many there are. */
	__u64 first;
	__u64 templates;
	/* Which is next. */
	__u64 next;
	/* A second; 0 = as many as go. */
	__u64 rate;
	__u64 vary;
	__u64 sent;
};

struct state {
	struct kind kinds[KINDS];
	/* At most so many packets are unanswered at any time; 0 = no such bound. */
	__u64 window;
	/* 1 = frames are made and not sent: what the sender alone costs. */
	__u64 withhold;
	/* CPUs that may count answers. */
	__u64 cpus;
	/* Runs in which nothing was due. */
	__u64 idle;
	__u64 lost;
	__u64 began_ns;
	__u64 now_ns;
	__u64 readings;
	/* Answers at the last look, and when their number last grew. */
	__u64 answers;
	__u64 progress_ns;
};

struct small_frame {
	__u64 words[SMALL_WORDS];
};

struct large_frame {
	__u64 words[LARGE_WORDS];
};

/* The loader makes one of them as large as is needed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct small_frame);
} small_frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct large_frame);
} large_frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct state);
} state SEC(".maps");

/* What came back, by CPU, each in a cache line of its own. */
struct counts {
	/* Replies of the gateway's protocol. */
	__u64 replies;
	/* Whatever else is UDP: echoes, answers of other servers. */
	__u64 others;
	/* Answers until the next sample is taken, and samples taken. */
	__u64 to_sample;
	__u64 samples;
	__u64 unused[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CPUS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* One in ANSWERS_PER_SAMPLE, the latest ones. */
struct sample {
	__u64 length;
	__u8 bytes[8 * LARGE_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SAMPLES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sample);
} samples SEC(".maps");

static __always_inline __u64 answers_of(const struct state *held)
{
	__u64 sum = 0;

	for (__u32 cpu = 0; cpu < CPUS_MAX && cpu < held->cpus; cpu++) {
		__u32 index = cpu;
		const struct counts *of_cpu = bpf_map_lookup_elem(&counts, &index);

		if (of_cpu)
			sum += of_cpu->replies + of_cpu->others;
	}
	return sum;
}

/* Whether one more packet may be unanswered. */
static __always_inline int has_room(struct state *held)
{
	__u64 sent = held->kinds[0].sent + held->kinds[1].sent, answers;

	if (!held->window || sent - held->lost - held->answers < held->window)
		return 1;
	answers = answers_of(held);
	if (answers != held->answers) {
		held->answers = answers;
		held->progress_ns = held->now_ns;
	} else if (held->now_ns - held->progress_ns > PATIENCE_NS) {
		held->lost = sent - answers;
		held->progress_ns = held->now_ns;
	}
	return sent - held->lost - held->answers < held->window;
}

/* Whether one more of this kind is to go out now. */
static __always_inline int is_due(const struct kind *kind, __u64 elapsed_ns)
{
	return kind->templates && (!kind->rate || kind->sent * 1000000000 < elapsed_ns * kind->rate);
}

/* The kind that is to be sent now. */
static __always_inline struct kind *due(struct state *held)
{
	struct kind *kind = NULL;

	if (held->readings++ % PACKETS_PER_CLOCK_READING == 0) {
		held->now_ns = bpf_ktime_get_ns();
		if (!held->began_ns)
			held->began_ns = held->progress_ns = held->now_ns;
	}
	if (is_due(&held->kinds[0], held->now_ns - held->began_ns))
		kind = &held->kinds[0];
	else if (is_due(&held->kinds[1], held->now_ns - held->began_ns))
		kind = &held->kinds[1];
	if (kind && has_room(held))
		return kind;
	held->idle++;
	return NULL;
}

static __always_inline __u32 next_template(struct kind *kind)
{
	__u32 index = kind->first + kind->next;

	if (++kind->next >= kind->templates)
		kind->next = 0;
	return index;
}

static __always_inline int finish(const struct state *held, struct kind *kind, void *data)
{
	if (kind->vary & VARY_NONCE)
		*(__u32 *)(data + NONCE) = bpf_get_prandom_u32();
	if (kind->vary & VARY_KEY_ID)
		*(__u32 *)(data + KEY_ID) = bpf_get_prandom_u32();
	kind->sent++;
	return held->withhold ? XDP_DROP : XDP_TX;
}

/* Frames are used again and again, and come back changed, so that each is written as a whole. */
SEC("xdp")
int generate_small(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct small_frame *frame;
	struct state *held;
	struct kind *kind;
	__u32 index = 0;

	held = bpf_map_lookup_elem(&state, &index);
	kind = held ? due(held) : NULL;
	if (!kind)
		return XDP_DROP;
	index = next_template(kind);
	frame = bpf_map_lookup_elem(&small_frames, &index);
	if (!frame || data + sizeof(*frame) > end)
		return XDP_ABORTED;
	for (int i = 0; i < SMALL_WORDS; i++)
		((__u64 *)data)[i] = frame->words[i];
	return finish(held, kind, data);
}

/* As generate_small, for frames of any length that is a multiple of 8. */
SEC("xdp")
int generate_large(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct large_frame *frame;
	struct state *held;
	struct kind *kind;
	__u32 index = 0;

	held = bpf_map_lookup_elem(&state, &index);
	kind = held ? due(held) : NULL;
	if (!kind)
		return XDP_DROP;
	index = next_template(kind);
	frame = bpf_map_lookup_elem(&large_frames, &index);
	if (!frame || data + NONCE + 4 > end)
		return XDP_ABORTED;
	for (int i = 0; i < LARGE_WORDS; i++) {
		if (data + 8 * i + 8 > end)
			break;
		*(__u64 *)(data + 8 * i) = frame->words[i];
	}
	return finish(held, kind, data);
}

/* A prime number of answers later than the last one, so that it is the answer to another template. */
static __always_inline void take_sample(struct xdp_md *ctx, struct counts *of_cpu)
{
	__u32 index = of_cpu->samples++ % SAMPLES;
	struct sample *sample = bpf_map_lookup_elem(&samples, &index);
	__u64 length = ctx->data_end - ctx->data;

	of_cpu->to_sample = ANSWERS_PER_SAMPLE - 1;
	/* otherwise clang checks a sum of it, of which the verifier learns nothing */
	asm volatile("" : "+r"(length));
	if (!sample || length < 1 || length > sizeof(sample->bytes))
		return;
	if (!bpf_xdp_load_bytes(ctx, 0, sample->bytes, length))
		sample->length = length;
}

/* The sender's end: takes every datagram that comes back. */
SEC("xdp")
int count(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(long)ctx->data;
	__u32 cpu = bpf_get_smp_processor_id();
	struct counts *held;

	if ((void *)(data + PAYLOAD + 8) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	held = bpf_map_lookup_elem(&counts, &cpu);
	if (!held || data[12] != ETH_P_IP >> 8 || data[13] != (ETH_P_IP & 0xff) || data[ETH_HLEN + 9] != IPPROTO_UDP)
		return XDP_PASS;
	if (data[PAYLOAD] == 0x53 && data[TYPE] & REPLY_BIT)
		held->replies++;
	else
		held->others++;
	if (held->to_sample)
		held->to_sample--;
	else
		take_sample(ctx, held);
	return XDP_DROP;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

/* The least that an answer costs: the frame as it came, MAC addresses turned round. */
SEC("xdp")
int echo(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u8 mac[ETH_ALEN];

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
