/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Compiled only for its BTF, from which src/abi.ts is generated: one member for each enum and struct
 * of abi.h that TypeScript is to know.
 */
#include "abi.h"

struct abi {
	enum wire wire;
	enum request_type request_type;
	enum status status;
	enum flag flag;
	enum verdict verdict;
	enum layout layout;
	enum limit limit;
	enum suite suite;
	enum shed shed;
	enum session_flag session_flag;
	enum change_kind change_kind;
	enum latency_kind latency_kind;
	enum latency_scale latency_scale;
	enum miss miss;

	struct wire_header wire_header;
	struct lookup_request lookup_request;
	struct lookup_reply lookup_reply;
	struct fact_reply fact_reply;
	struct batch_prefix batch_prefix;
	struct batch_entry batch_entry;

	struct wall_clock wall_clock;
	struct settings settings;
	struct key key;
	struct key_fingerprint key_fingerprint;
	struct address address;
	struct network network;
	struct backend backend;
	struct ring_slot ring_slot;
	struct session_key session_key;
	struct session session;
	struct session_copies session_copies;
	struct denied denied;
	struct fact fact;
	struct under_way under_way;
	struct change change;
	struct apply_result apply_result;
	struct table_counts table_counts;
	struct verdict_counts verdict_counts;
	struct latencies latencies;
	struct trace_control trace_control;
	struct traced_packet traced_packet;
	struct skew_budget skew_budget;
	struct responder responder;
	struct miss_bucket miss_bucket;
	struct daemon_answers daemon_answers;
};

struct abi abi;
