/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Fuzz target: batches of changes to sessions, revocations and facts through apply_changes, and lookups while another
 * thread writes, beside a model of both. Input: steps of five bytes.
 */
#include "gateway.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	STEP_BYTES = 5,
	STEPS_MAX = 256,
	/* Hashes, of sessions and of facts alike. */
	NAMES = 6,
	/* Of each map. */
	CAPACITY = 4,
	BATCH_MAX = 64,
};

/* A step's first byte, modulo this; divided by it and modulo RECORDS, the kind of record that is looked up. */
enum step {
	PUT,
	DELETE,
	APPLY,
	/* Look up while the element is used again for another name. */
	RECYCLE,
	/* Look up while the writer stands still in the middle of a write over the record. */
	INTERRUPT,
	DENY,
	ALLOW,
	FORGET_DENIED,
	PUT_FACT,
	DELETE_FACT,
	/* Look up while all are told anew, and the telling ends before the copy is judged. */
	RETELL,
	STEPS,
};

enum record_kind {
	SESSION,
	REVOCATION,
	FACT,
	RECORDS,
};

union record {
	struct session session;
	struct denied denied;
	struct fact fact;
};

static struct {
	int is_held;
	union record record;
} model[RECORDS][NAMES];
static struct apply_result due;
static struct table_counts held_in_all;
static __u32 queued;

/* Mixed well, since the fuzzer could bend hashes of its own choosing until a torn record fits its check. */
static void hash_of(int name, uint8_t hash[16])
{
	for (int i = 0; i < 16; i += 8) {
		uint64_t x = (2 * name + i / 8 + 1) * 0x9e3779b97f4a7c15ull;

		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
		x = (x ^ x >> 27) * 0x94d049bb133111ebull;
		x ^= x >> 31;
		memcpy(hash + i, &x, 8);
	}
}

static int held_of(enum record_kind kind)
{
	int present = 0;

	for (int i = 0; i < NAMES; i++)
		present += model[kind][i].is_held;
	return present;
}

static void flag(int name, __u16 flags)
{
	if (model[SESSION][name].is_held)
		model[SESSION][name].record.session.flags = flags;
}

static int is_newer_than(__u32 generation, __u64 version, const struct change *change)
{
	return generation > change->generation || (generation == change->generation && version > change->version);
}

static void model_session(const struct change *change, int name)
{
	struct session *record = &model[SESSION][name].record.session;
	int *is_held = &model[SESSION][name].is_held;

	if (*is_held && is_newer_than(record->generation, record->version, change)) {
		due.skipped++;
	} else if (change->kind == CHANGE_DELETE) {
		*(*is_held ? &due.deleted : &due.skipped) += 1;
		*is_held = 0;
	} else if (!*is_held && held_of(SESSION) == CAPACITY) {
		due.refused++;
		held_in_all.refused++;
	} else {
		*(*is_held ? &due.replaced : &due.inserted) += 1;
		*is_held = 1;
		*record = (struct session){
			.version = change->version,
			.expires_ms = change->expires_ms,
			.generation = change->generation,
			.backend_id = change->backend_id,
			.flags = model[REVOCATION][name].is_held ? SESSION_DENIED : 0,
		};
	}
}

static void model_denied(const struct change *change, int name)
{
	struct denied *record = &model[REVOCATION][name].record.denied;
	int *is_held = &model[REVOCATION][name].is_held;

	if (change->kind == CHANGE_DENY) {
		if (!*is_held && held_of(REVOCATION) == CAPACITY) {
			due.denied_refused++;
			held_in_all.denied_refused++;
			return;
		}
		*is_held = 1;
		*record = (struct denied){ .until_ms = change->expires_ms, .generation = change->generation };
		due.denied++;
		flag(name, SESSION_DENIED);
	} else if (*is_held && (change->kind == CHANGE_ALLOW ||
				(record->until_ms == change->expires_ms && record->generation == change->generation))) {
		*is_held = 0;
		due.allowed++;
		flag(name, 0);
	}
}

static void model_fact(const struct change *change, int name)
{
	struct fact *record = &model[FACT][name].record.fact;
	int *is_held = &model[FACT][name].is_held;

	if (*is_held && record->generation > change->generation)
		return;
	if (change->kind == CHANGE_DELETE_FACT) {
		due.facts += *is_held;
		*is_held = 0;
	} else if (!*is_held && held_of(FACT) == CAPACITY) {
		due.facts_refused++;
		held_in_all.facts_refused++;
	} else {
		*is_held = 1;
		*record = (struct fact){
			.version = change->version,
			.generation = change->generation,
			.length = change->length,
		};
		memcpy(record->value, change->value, 24);
		due.facts++;
	}
}

/* Step: name, version or time, generation and time, backend or length and value. */
static void queue(const uint8_t step[STEP_BYTES], enum change_kind kind)
{
	struct change change = { .kind = kind, .version = step[2], .generation = step[3] % 4, .backend_id = step[4] };
	int name = step[1] % NAMES;

	if (queued == BATCH_MAX)
		return;
	hash_of(name, change.hash);
	change.expires_ms = kind == CHANGE_PUT ? step[3] / 4 * 1000 : step[2];
	change.length = step[4] % (WIRE_FACT_MAX + 1);
	memset(change.value, step[4], change.length);
	REQUIRE(!bpf_map_update_elem(&changes, &queued, &change, BPF_ANY));
	queued++;

	switch (kind) {
	case CHANGE_PUT:
	case CHANGE_DELETE:
		model_session(&change, name);
		return;
	case CHANGE_DENY:
	case CHANGE_ALLOW:
	case CHANGE_FORGET_DENIED:
		model_denied(&change, name);
		return;
	case CHANGE_PUT_FACT:
	case CHANGE_DELETE_FACT:
		model_fact(&change, name);
	}
}

static int is_same_record(enum record_kind kind, const union record *a, const union record *b)
{
	switch (kind) {
	case SESSION:
		return a->session.version == b->session.version && a->session.expires_ms == b->session.expires_ms &&
		       a->session.generation == b->session.generation &&
		       a->session.backend_id == b->session.backend_id && a->session.flags == b->session.flags;
	case REVOCATION:
		return a->denied.until_ms == b->denied.until_ms && a->denied.generation == b->denied.generation;
	default:
		return a->fact.version == b->fact.version && a->fact.generation == b->fact.generation &&
		       a->fact.length == b->fact.length && !memcmp(a->fact.value, b->fact.value, 24);
	}
}

/* A session is looked for by these: all are in one line of copies, or, without copies, beyond the last line. */
static const struct settings with_copies, without_copies = { .copy_lines = 0xffffffff };
static const struct settings *by = &with_copies;

static enum found find(enum record_kind kind, int name, union record *copy)
{
	struct session_key key;

	hash_of(name, key.hash);
	switch (kind) {
	case SESSION:
		return find_session(by, &key, &copy->session);
	case REVOCATION:
		return find_denied(&key, &copy->denied);
	default:
		return find_fact(&key, &copy->fact);
	}
}

/* Every record as the program sees it is as the model has it. */
static void require_same_records(void)
{
	for (enum record_kind kind = 0; kind < RECORDS; kind++) {
		for (int i = 0; i < NAMES; i++) {
			union record copy;
			enum found found = find(kind, i, &copy);

			REQUIRE(found == (model[kind][i].is_held ? RECORD_FOUND : RECORD_NONE));
			REQUIRE(found == RECORD_NONE || is_same_record(kind, &copy, &model[kind][i].record));
		}
	}
}

static void require_same_tables(void)
{
	const struct table_counts *counts;
	__u32 zero = 0;

	require_same_records();
	by = &without_copies;
	require_same_records();
	by = &with_copies;
	held_in_all.entries = held_of(SESSION);
	held_in_all.denied = held_of(REVOCATION);
	held_in_all.facts = held_of(FACT);
	counts = bpf_map_lookup_elem(&table_counts, &zero);
	REQUIRE(!memcmp(counts, &held_in_all, sizeof(held_in_all)));
	REQUIRE(HOST_MAP(&sessions)->count == held_in_all.entries);
	REQUIRE(HOST_MAP(&denied)->count == held_in_all.denied);
	REQUIRE(HOST_MAP(&facts)->count == held_in_all.facts);
}

static void apply(void)
{
	struct apply_result result = { .count = queued };

	REQUIRE(apply_changes(&result) == 0);
	due.count = queued;
	REQUIRE(!memcmp(&result, &due, sizeof(due)));
	due = (struct apply_result){ 0 };
	queued = 0;
	require_same_tables();
}

/* What a reader meets: the next `torn` lookups give fields of two records. */
static struct {
	enum record_kind kind;
	int torn, lookups;
	/* Which fields are the other record's, bit by bit, and how they change from one lookup to the next. */
	uint8_t fields, turn;
	union record other;
	union record seen;
} race;

#define FIELD(struct_name, member) { offsetof(struct struct_name, member), sizeof(((struct struct_name *)0)->member) }

/* Each is written by one store; a fact's value is taken for one of them here, and torn in its middle below. */
static const struct {
	const void *map;
	size_t size;
	struct {
		size_t at, size;
	} fields[6];
} records[RECORDS] = {
	{ &sessions,
	  sizeof(struct session),
	  { FIELD(session, version), FIELD(session, expires_ms), FIELD(session, generation), FIELD(session, backend_id),
	    FIELD(session, check), FIELD(session, flags) } },
	{ &denied,
	  sizeof(struct denied),
	  { FIELD(denied, until_ms), FIELD(denied, generation), FIELD(denied, check) } },
	{ &facts,
	  sizeof(struct fact),
	  { FIELD(fact, version), FIELD(fact, value), FIELD(fact, generation), FIELD(fact, length),
	    FIELD(fact, check) } },
};

/* Some fields of `value`, the others those of the other record: race.seen. */
static void mix(const void *value)
{
	memcpy(&race.seen, value, records[race.kind].size);
	for (int i = 0; i < 6; i++)
		if (race.fields & 1 << i)
			memcpy((uint8_t *)&race.seen + records[race.kind].fields[i].at,
			       (uint8_t *)&race.other + records[race.kind].fields[i].at,
			       records[race.kind].fields[i].size);
}

static void *tear(struct host_map *map, const void *key, void *value)
{
	(void)key;
	if (map->definition != records[race.kind].map)
		return value;
	race.lookups++;
	if (!value || race.torn == 0)
		return value;
	race.torn--;
	mix(value);
	if (race.kind == FACT && race.fields & 0x80)
		memcpy(race.seen.fact.value + 8, race.other.fact.value + 8, 8);
	race.fields += race.turn;
	return &race.seen;
}

static void seal(enum record_kind kind, int name, union record *record)
{
	uint8_t hash[16];

	hash_of(name, hash);
	switch (kind) {
	case SESSION:
		seal_session(hash, &record->session);
		return;
	case REVOCATION:
		record->denied.check = denied_check(hash, record->denied.until_ms, record->denied.generation);
		return;
	default:
		record->fact.check = fact_check(hash, record->fact.version, record->fact.value, record->fact.generation,
						record->fact.length);
	}
}

static enum found look_up_torn(int name, union record *copy)
{
	enum found found;

	race.lookups = 0;
	host_after_lookup = tear;
	by = &without_copies;
	found = find(race.kind, name, copy);
	by = &with_copies;
	host_after_lookup = NULL;
	REQUIRE(race.lookups <= LIMIT_RECORD_READS);
	return found;
}

/* While a copy is being written over, whether by its own session's or another's, the answer is still that session's. */
static void recycle_copy(int asked, int way)
{
	struct session_copies *line;
	struct session before;
	union record copy;
	__u32 zero = 0;

	line = bpf_map_lookup_elem(&session_copies, &zero);
	before = line->ways[way];
	mix(&before);
	line->ways[way] = race.seen.session;
	if (find(SESSION, asked, &copy) == RECORD_FOUND)
		REQUIRE(model[SESSION][asked].is_held && is_same_record(SESSION, &copy, &model[SESSION][asked].record));
	else
		REQUIRE(!model[SESSION][asked].is_held);
	line->ways[way] = before;
}

/* Step: name asked for, name whose record gets in between, fields, how often. */
static void recycle(const uint8_t step[STEP_BYTES])
{
	int asked = step[1] % NAMES, between = step[2] % NAMES;
	union record copy;

	race.torn = step[4] % (LIMIT_RECORD_READS + 8);
	race.fields = step[3];
	race.turn = step[4] / 64;
	race.other = model[race.kind][between].record;
	seal(race.kind, between, &race.other);
	if (race.kind == SESSION && model[SESSION][between].is_held)
		recycle_copy(asked, step[4] & 1);
	switch (look_up_torn(asked, &copy)) {
	case RECORD_FOUND:
		REQUIRE(model[race.kind][asked].is_held);
		REQUIRE(is_same_record(race.kind, &copy, &model[race.kind][asked].record));
		break;
	case RECORD_NONE:
		REQUIRE(!model[race.kind][asked].is_held);
		break;
	case RECORD_BUSY:
		REQUIRE(model[race.kind][asked].is_held);
		REQUIRE(step[4] % (LIMIT_RECORD_READS + 8) >= LIMIT_RECORD_READS);
		break;
	}
}

static struct settings setting;

/* Told anew, and the telling ended, between a reader's copy of the record and what it does next. */
static void *tell_anew(struct host_map *map, const void *key, void *value)
{
	(void)key;
	if (map->definition != records[race.kind].map || !value)
		return value;
	memcpy(&race.seen, value, records[race.kind].size);
	if (race.kind == REVOCATION)
		setting.denied_generation = race.seen.denied.generation + 1;
	else
		setting.facts_generation = race.seen.fact.generation + 1;
	return &race.seen;
}

/* Step: name asked for. Who is told anew is never taken for one of those that weren't. */
static void retell(const uint8_t step[STEP_BYTES])
{
	int name = step[1] % NAMES, is_held = model[race.kind][name].is_held;
	struct fact_reply reply = { 0 };
	struct moment moment = { 0 };
	struct session_key key;
	struct fact copy;

	hash_of(name, key.hash);
	setting = (struct settings){ 0 };
	host_after_lookup = tell_anew;
	if (race.kind == REVOCATION)
		REQUIRE(find_denied_now(&setting, 0, &key) ==
			(is_held && model[race.kind][name].record.denied.until_ms ? RECORD_FOUND : RECORD_NONE));
	else if (race.kind == FACT)
		REQUIRE(answer_fact(&setting, &moment, &key, &copy, &reply) ==
			(is_held ? VERDICT_REPLY_FOUND : VERDICT_REPLY_NOT_FOUND));
	host_after_lookup = NULL;
}

/* Step: name, version or time that is being written, fields that are written, backend or length that is being written.
 */
static void interrupt(const uint8_t step[STEP_BYTES])
{
	struct under_way before, *written;
	int name = step[1] % NAMES;
	union record copy;
	__u32 zero = 0;

	if (!model[race.kind][name].is_held)
		return;
	race.torn = LIMIT_RECORD_READS;
	race.fields = step[3];
	race.turn = 0;
	written = bpf_map_lookup_elem(&under_way, &zero);
	before = *written;
	memset(&race.other, 0, sizeof(race.other));
	switch (race.kind) {
	case SESSION:
		race.other.session =
			(struct session){ .version = step[2], .generation = 3, .backend_id = step[4], .flags = 1 };
		seal(race.kind, name, &race.other);
		written->session = race.other.session;
		break;
	case REVOCATION:
		race.other.denied = (struct denied){ .until_ms = step[2], .generation = 3 };
		seal(race.kind, name, &race.other);
		written->denied = race.other.denied;
		break;
	default:
		race.other.fact = (struct fact){ .version = step[2], .generation = 3, .length = step[4] % 25 };
		memset(race.other.fact.value, 0xcd, race.other.fact.length);
		seal(race.kind, name, &race.other);
		written->fact = race.other.fact;
	}
	REQUIRE(look_up_torn(name, &copy) == RECORD_FOUND);
	REQUIRE(is_same_record(race.kind, &copy, &race.other) ||
		is_same_record(race.kind, &copy, &model[race.kind][name].record));
	*written = before;
}

static void empty(struct host_map *map)
{
	map->max_entries = CAPACITY;
	host_map_clear(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session_copies no_copies = { 0 };
	struct under_way none = { 0 };
	__u32 zero = 0;

	if (size > STEP_BYTES * STEPS_MAX)
		return -1;
	empty(HOST_MAP(&sessions));
	empty(HOST_MAP(&denied));
	empty(HOST_MAP(&facts));
	memset(model, 0, sizeof(model));
	due = (struct apply_result){ 0 };
	held_in_all = (struct table_counts){ 0 };
	queued = 0;
	bpf_map_update_elem(&table_counts, &zero, &held_in_all, BPF_ANY);
	bpf_map_update_elem(&under_way, &zero, &none, BPF_ANY);
	bpf_map_update_elem(&session_copies, &zero, &no_copies, BPF_ANY);

	for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
		race.kind = data[0] / STEPS % RECORDS;
		switch (data[0] % STEPS) {
		case PUT:
			queue(data, CHANGE_PUT);
			break;
		case DELETE:
			queue(data, CHANGE_DELETE);
			break;
		case DENY:
			queue(data, CHANGE_DENY);
			break;
		case ALLOW:
			queue(data, CHANGE_ALLOW);
			break;
		case FORGET_DENIED:
			queue(data, CHANGE_FORGET_DENIED);
			break;
		case PUT_FACT:
			queue(data, CHANGE_PUT_FACT);
			break;
		case DELETE_FACT:
			queue(data, CHANGE_DELETE_FACT);
			break;
		case APPLY:
			apply();
			break;
		case RECYCLE:
			apply();
			recycle(data);
			break;
		case INTERRUPT:
			apply();
			interrupt(data);
			break;
		case RETELL:
			apply();
			retell(data);
		}
	}
	apply();
	return 0;
}
