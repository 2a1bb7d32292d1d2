/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Fuzz target: batches of changes to the session table through apply_changes, and lookups while another thread writes,
 * beside a model of both. Input: steps of five bytes.
 */
#include "gateway.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	STEP_BYTES = 5,
	STEPS_MAX = 256,
	SESSIONS = 6,
	CAPACITY = 4,
	BATCH_MAX = 64,
};

/* A step's first byte, modulo this. */
enum step {
	PUT,
	DELETE,
	APPLY,
	/* Look up while the element is used again for another session. */
	RECYCLE,
	/* Look up while the writer stands still in the middle of a write over the record. */
	INTERRUPT,
	STEPS,
};

struct model_session {
	int is_held;
	struct session record;
};

static struct model_session model[SESSIONS];
static struct apply_result due;
static __u64 refused_in_all;
static __u32 queued;

/* Mixed well, since the fuzzer could bend hashes of its own choosing until a torn record fits its check. */
static void hash_of(int session, uint8_t hash[16])
{
	for (int i = 0; i < 16; i += 8) {
		uint64_t x = (2 * session + i / 8 + 1) * 0x9e3779b97f4a7c15ull;

		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
		x = (x ^ x >> 27) * 0x94d049bb133111ebull;
		x ^= x >> 31;
		memcpy(hash + i, &x, 8);
	}
}

static void queue(const uint8_t step[STEP_BYTES], enum change_kind kind)
{
	struct change change = {
		.kind = kind,
		.version = step[2],
		.generation = step[3] % 4,
		.expires_ms = kind == CHANGE_PUT ? step[3] / 4 * 1000 : 0,
		.backend_id = kind == CHANGE_PUT ? step[4] : 0,
	};
	struct model_session *held = &model[step[1] % SESSIONS];
	int present = 0;

	if (queued == BATCH_MAX)
		return;
	hash_of(step[1] % SESSIONS, change.hash);
	REQUIRE(!bpf_map_update_elem(&changes, &queued, &change, BPF_ANY));
	queued++;

	for (int i = 0; i < SESSIONS; i++)
		present += model[i].is_held;
	if (held->is_held &&
	    (held->record.generation > change.generation ||
	     (held->record.generation == change.generation && held->record.version > change.version))) {
		due.skipped++;
	} else if (kind == CHANGE_DELETE) {
		*(held->is_held ? &due.deleted : &due.skipped) += 1;
		held->is_held = 0;
	} else if (!held->is_held && present == CAPACITY) {
		due.refused++;
	} else {
		*(held->is_held ? &due.replaced : &due.inserted) += 1;
		held->is_held = 1;
		held->record = (struct session){
			.version = change.version,
			.expires_ms = change.expires_ms,
			.generation = change.generation,
			.backend_id = change.backend_id,
		};
	}
}

static int is_same_record(const struct session *a, const struct session *b)
{
	return a->version == b->version && a->expires_ms == b->expires_ms && a->generation == b->generation &&
	       a->backend_id == b->backend_id;
}

/* Every session as the program sees it is as the model has it. */
static void require_same_tables(void)
{
	const struct table_counts *counts;
	__u32 zero = 0, present = 0;

	for (int i = 0; i < SESSIONS; i++) {
		struct session_key key;
		struct session copy;
		enum found found;

		hash_of(i, key.hash);
		found = find_session(&key, &copy);
		REQUIRE(found == (model[i].is_held ? SESSION_FOUND : SESSION_NONE));
		REQUIRE(found == SESSION_NONE || is_same_record(&copy, &model[i].record));
		present += model[i].is_held;
	}
	counts = bpf_map_lookup_elem(&table_counts, &zero);
	REQUIRE(counts->entries == present && HOST_MAP(&sessions)->count == present);
	REQUIRE(counts->refused == refused_in_all);
}

static void apply(void)
{
	struct apply_result result = { .count = queued };

	REQUIRE(apply_changes(&result) == 0);
	REQUIRE(result.inserted == due.inserted && result.replaced == due.replaced && result.deleted == due.deleted);
	REQUIRE(result.skipped == due.skipped && result.refused == due.refused);
	refused_in_all += due.refused;
	due = (struct apply_result){ 0 };
	queued = 0;
	require_same_tables();
}

/* What a reader meets: the next `torn` lookups give words of two records. */
static struct {
	int torn, lookups;
	/* Which words are the other record's, bit by bit, and how they change from one lookup to the next. */
	uint8_t words, turn;
	struct session other;
	struct session seen;
} race;

static void *tear(struct host_map *map, const void *key, void *value)
{
	(void)key;
	if (map->definition != &sessions)
		return value;
	race.lookups++;
	if (!value || race.torn == 0)
		return value;
	race.torn--;
	race.seen = *(struct session *)value;
	if (race.words & 1)
		race.seen.version = race.other.version;
	if (race.words & 2)
		race.seen.expires_ms = race.other.expires_ms;
	if (race.words & 4)
		race.seen.generation = race.other.generation;
	if (race.words & 8)
		race.seen.backend_id = race.other.backend_id;
	if (race.words & 16)
		race.seen.check = race.other.check;
	race.words += race.turn;
	return &race.seen;
}

static __u64 check_of(int session, const struct session *record)
{
	uint8_t hash[16];

	hash_of(session, hash);
	return session_check(hash, record->version, record->expires_ms,
			     session_generation_backend(record->generation, record->backend_id));
}

static enum found look_up_torn(int session, struct session *copy)
{
	struct session_key key;
	enum found found;

	hash_of(session, key.hash);
	race.lookups = 0;
	host_after_lookup = tear;
	found = find_session(&key, copy);
	host_after_lookup = NULL;
	REQUIRE(race.lookups <= LIMIT_RECORD_READS);
	return found;
}

/* Step: session asked for, session whose record gets in between, words, how often. */
static void recycle(const uint8_t step[STEP_BYTES])
{
	int asked = step[1] % SESSIONS, between = step[2] % SESSIONS;
	struct session copy;

	race.torn = step[4] % (LIMIT_RECORD_READS + 8);
	race.words = step[3];
	race.turn = step[4] / 64;
	race.other = model[between].record;
	race.other.check = check_of(between, &race.other);
	switch (look_up_torn(asked, &copy)) {
	case SESSION_FOUND:
		REQUIRE(model[asked].is_held && is_same_record(&copy, &model[asked].record));
		break;
	case SESSION_NONE:
		REQUIRE(!model[asked].is_held);
		break;
	case SESSION_BUSY:
		REQUIRE(model[asked].is_held && step[4] % (LIMIT_RECORD_READS + 8) >= LIMIT_RECORD_READS);
		break;
	}
}

/* Step: session, version that is being written, words that are written, backend that is being written. */
static void interrupt(const uint8_t step[STEP_BYTES])
{
	struct session before, copy, *written;
	int session = step[1] % SESSIONS;
	__u32 zero = 0;

	if (!model[session].is_held)
		return;
	race.torn = LIMIT_RECORD_READS;
	race.words = step[3];
	race.turn = 0;
	race.other = (struct session){ .version = step[2], .generation = 3, .backend_id = step[4] };
	race.other.check = check_of(session, &race.other);

	written = bpf_map_lookup_elem(&under_way, &zero);
	before = *written;
	*written = race.other;
	REQUIRE(look_up_torn(session, &copy) == SESSION_FOUND);
	REQUIRE(is_same_record(&copy, &race.other) || is_same_record(&copy, &model[session].record));
	*written = before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct table_counts counts = { 0 };
	struct session none = { 0 };
	__u32 zero = 0;

	if (size > STEP_BYTES * STEPS_MAX)
		return -1;
	HOST_MAP(&sessions)->max_entries = CAPACITY;
	host_map_clear(HOST_MAP(&sessions));
	bpf_map_update_elem(&table_counts, &zero, &counts, BPF_ANY);
	bpf_map_update_elem(&under_way, &zero, &none, BPF_ANY);
	memset(model, 0, sizeof(model));
	due = (struct apply_result){ 0 };
	refused_in_all = queued = 0;

	for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
		switch (data[0] % STEPS) {
		case PUT:
			queue(data, CHANGE_PUT);
			break;
		case DELETE:
			queue(data, CHANGE_DELETE);
			break;
		case APPLY:
			apply();
			break;
		case RECYCLE:
			apply();
			recycle(data);
			break;
		default:
			apply();
			interrupt(data);
		}
	}
	apply();
	return 0;
}
