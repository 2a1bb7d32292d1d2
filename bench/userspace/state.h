/* SPDX-License-Identifier: MIT */
/*
 * What the server knows: settings, keys, backends, ring and sessions, read from a file that bench/userspace/state.ts
 * writes. Integers are little-endian. Sessions are in an open-addressing table: a slot is a cache line, probing is
 * linear, and no more than three quarters of the slots are taken.
 */
#ifndef BENCH_STATE_H
#define BENCH_STATE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites.h"

enum { BACKENDS_MAX = 65536, RING_SLOTS = 65537, KEYS_MAX = 256, KEY_SLOTS = 1024 };

struct file_header {
	uint64_t magic;
	uint64_t max_skew_ms, skew_budget;
	uint64_t stale_after_ms;
	/* Unix ms; 0 = never. */
	uint64_t in_step_ms;
	uint64_t keys, backends, sessions;
};

#define STATE_MAGIC 0x3165746174736762ULL

struct file_key {
	uint64_t not_before_ms, not_after_ms;
	uint32_t id, suite, encrypt, zero;
	uint8_t guard_key[16];
	uint8_t secret[SECRET_BYTES];
};

struct backend {
	uint8_t address[16];
	uint32_t id;
	uint16_t port;
	uint16_t active;
	uint32_t shed;
	uint32_t known;
};

struct file_session {
	uint8_t hash[16];
	uint64_t version;
	/* Unix ms; 0 = never. */
	uint64_t expires_ms;
	uint64_t backend_id;
};

struct slot {
	struct file_session session;
	uint64_t taken;
} __attribute__((aligned(64)));

struct key {
	uint32_t id, encrypt;
	uint64_t not_before_ms, not_after_ms;
	uint8_t guard_key[16];
	struct prf prf;
};

struct state {
	struct file_header settings;
	/* By id, open addressing; id 0 = free. */
	struct key keys[KEY_SLOTS];
	struct backend backends[BACKENDS_MAX];
	uint16_t placed[RING_SLOTS], moved[RING_SLOTS];
	struct slot *slots;
	uint64_t slot_count;
};

static inline uint64_t slot_of(const struct state *state, const uint8_t hash[16])
{
	uint64_t word;

	/* A cookie hash is a part of a SHA-256; who can choose it can choose session ids. */
	memcpy(&word, hash, 8);
	return (uint64_t)(((unsigned __int128)word * state->slot_count) >> 64);
}

static inline const struct file_session *find_session(const struct state *state, const uint8_t hash[16])
{
	uint64_t at = slot_of(state, hash);

	while (state->slots[at].taken) {
		if (!memcmp(state->slots[at].session.hash, hash, 16))
			return &state->slots[at].session;
		if (++at == state->slot_count)
			at = 0;
	}
	return NULL;
}

static inline void put_session(struct state *state, const struct file_session *session)
{
	uint64_t at = slot_of(state, session->hash);

	while (state->slots[at].taken && memcmp(state->slots[at].session.hash, session->hash, 16))
		if (++at == state->slot_count)
			at = 0;
	state->slots[at].session = *session;
	state->slots[at].taken = 1;
}

static inline const struct key *find_key(const struct state *state, uint32_t id)
{
	uint32_t at = id * 0x9e3779b1u % KEY_SLOTS;

	while (state->keys[at].id) {
		if (state->keys[at].id == id)
			return &state->keys[at];
		at = (at + 1) % KEY_SLOTS;
	}
	return NULL;
}

static inline void put_key(struct state *state, const struct file_key *from)
{
	uint32_t at = from->id * 0x9e3779b1u % KEY_SLOTS;
	struct key *key;

	while (state->keys[at].id)
		at = (at + 1) % KEY_SLOTS;
	key = &state->keys[at];
	key->id = from->id;
	key->encrypt = from->encrypt;
	key->not_before_ms = from->not_before_ms;
	key->not_after_ms = from->not_after_ms;
	memcpy(key->guard_key, from->guard_key, 16);
	prf_init(&key->prf, from->suite, from->secret);
}

/* A file that is not what it says ends the program. */
static inline void take(const uint8_t **at, const uint8_t *end, void *into, size_t bytes)
{
	if ((size_t)(end - *at) < bytes) {
		fprintf(stderr, "the state file ends too early\n");
		exit(1);
	}
	memcpy(into, *at, bytes);
	*at += bytes;
}

static inline struct state *read_state(const char *path)
{
	struct state *state = aligned_alloc(64, (sizeof(*state) + 63) / 64 * 64);
	int fd = open(path, O_RDONLY);
	const uint8_t *at, *end;
	struct stat file;
	size_t bytes;

	if (fd < 0 || fstat(fd, &file) || !state) {
		perror(path);
		exit(1);
	}
	at = mmap(NULL, file.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	end = at + file.st_size;
	memset(state, 0, sizeof(*state));
	take(&at, end, &state->settings, sizeof(state->settings));
	if (state->settings.magic != STATE_MAGIC || state->settings.keys > KEYS_MAX) {
		fprintf(stderr, "%s is no state file of this version\n", path);
		exit(1);
	}
	for (uint64_t i = 0; i < state->settings.keys; i++) {
		struct file_key key;

		take(&at, end, &key, sizeof(key));
		put_key(state, &key);
	}
	for (uint64_t i = 0; i < state->settings.backends; i++) {
		struct backend backend;

		take(&at, end, &backend, sizeof(backend));
		state->backends[backend.id % BACKENDS_MAX] = backend;
	}
	take(&at, end, state->placed, sizeof(state->placed));
	take(&at, end, state->moved, sizeof(state->moved));
	state->slot_count = state->settings.sessions * 4 / 3 + 16;
	bytes = state->slot_count * sizeof(struct slot);
	state->slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (state->slots == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	madvise(state->slots, bytes, MADV_HUGEPAGE);
	for (uint64_t i = 0; i < state->settings.sessions; i++) {
		struct file_session session;

		take(&at, end, &session, sizeof(session));
		put_session(state, &session);
	}
	munmap((void *)(end - file.st_size), file.st_size);
	close(fd);
	return state;
}

#endif
