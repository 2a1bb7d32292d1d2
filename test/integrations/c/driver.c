/*
 * Drives integrations/c/session_gateway.c for c.test.ts: one line of input for each exchange, one of output.
 *
 * In:  <kind> <key as text, its words joined by commas> <time_ms> <nonce> <ids in hex, joined by commas> <reply in hex>
 * Out: <request in hex> <fields of the reply, joined by commas> <hostile replies that were refused>
 *
 * Every datagram is read from a heap block of just its size, so that the address sanitizer sees each byte too many.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session_gateway.h"

static void fail(const char *what)
{
	fprintf(stderr, "driver: %s\n", what);
	exit(1);
}

static uint8_t *from_hex(const char *hex, size_t *size)
{
	uint8_t *bytes;

	*size = strlen(hex) / 2;
	bytes = malloc(*size ? *size : 1);
	for (size_t i = 0; i < *size; i++) {
		unsigned int value;

		if (sscanf(hex + 2 * i, "%2x", &value) != 1)
			fail("not hex");
		bytes[i] = (uint8_t)value;
	}
	return bytes;
}

static void print_hex(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		printf("%02x", bytes[i]);
}

static struct sgw_batch_entry entries[SGW_BATCH_MAX];

/* @returns what the check says; with `print` the fields as well */
static int check(const struct sgw_request *request, const uint8_t *datagram, size_t size, bool print)
{
	struct sgw_reply reply;
	struct sgw_fact_reply fact;
	uint64_t time_ms;
	uint32_t age_ms;
	char text[SGW_ADDRESS_TEXT_SIZE];
	int result;

	switch (request->type) {
	case 1:
		result = sgw_check(request, datagram, size, &reply);
		if (result == SGW_OK && print) {
			printf("%" PRIu64 ",%u,%u,%u,%u,", reply.time_ms, reply.status, reply.flags, reply.port,
			       reply.backend_id);
			print_hex(reply.address, sizeof(reply.address));
			printf(",%" PRIu64 ",%u,%u,%s,%s", reply.version, reply.ttl_s, reply.age_ms,
			       sgw_address_text(&reply, text), sgw_status_name(reply.status));
		}
		return result;
	case 3:
		result = sgw_check_fact(request, datagram, size, &fact);
		if (result == SGW_OK && print) {
			printf("%" PRIu64 ",%u,%u,", fact.time_ms, fact.status, fact.flags);
			print_hex(fact.value, fact.value_size);
			printf(",%" PRIu64 ",%u", fact.version, fact.age_ms);
		}
		return result;
	default:
		result = sgw_check_batch(request, datagram, size, entries, &time_ms, &age_ms);
		if (result == SGW_OK && print) {
			printf("%" PRIu64 ",%u", time_ms, age_ms);
			for (size_t i = 0; i < request->count; i++)
				printf(",%u,%u,%u,%u,%" PRIu64, entries[i].status, entries[i].flags,
				       entries[i].backend_id, entries[i].ttl_s, entries[i].version);
		}
		return result;
	}
}

/* The reply torn at every length, with a byte too many, and with each bit flipped. */
static unsigned int refuse_hostile(const struct sgw_request *request, const uint8_t *reply, size_t size)
{
	unsigned int refused = 0;
	uint8_t *copy;

	for (size_t length = 0; length <= size + 1; length++) {
		if (length == size)
			continue;
		copy = calloc(1, length ? length : 1);
		memcpy(copy, reply, length < size ? length : size);
		refused += check(request, copy, length, false) == SGW_REFUSED;
		free(copy);
	}
	copy = malloc(size);
	memcpy(copy, reply, size);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		refused += check(request, copy, size, false) == SGW_REFUSED;
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	if (check(request, copy, size, false) != SGW_OK || memcmp(copy, reply, size) != 0)
		fail("the reply is not what it was");
	free(copy);
	return refused;
}

int main(void)
{
	static char line[16384];
	static uint8_t hashes[SGW_BATCH_MAX][SGW_HASH_SIZE];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		const char *kind = strtok(line, " \n"), *key_text;
		char *key_words = strtok(NULL, " \n"), *time = strtok(NULL, " \n"), *nonce_hex = strtok(NULL, " \n");
		char *ids = strtok(NULL, " \n"), *reply_hex = strtok(NULL, " \n");
		struct sgw_key *key;
		struct sgw_stamp stamp;
		struct sgw_request request;
		uint8_t *bytes, *id, *nonce, *reply;
		size_t size, id_size, nonce_size, reply_size, count = 0;
		int result;

		if (reply_hex == NULL)
			fail("found fewer than six words in a line");
		for (char *c = key_words; *c != '\0'; c++)
			if (*c == ',')
				*c = ' ';
		key_text = key_words;
		if (sgw_key_parse(&key, key_text) != SGW_OK)
			fail("the key was refused");
		nonce = from_hex(nonce_hex, &nonce_size);
		stamp.time_ms = strtoull(time, NULL, 10);
		memcpy(stamp.nonce, nonce, sizeof(stamp.nonce));
		if (strcmp(kind, "batch") == 0) {
			for (char *one = strtok(ids, ","); one != NULL; one = strtok(NULL, ",")) {
				id = from_hex(one, &id_size);
				if (count == SGW_BATCH_MAX || sgw_hash(key, id, id_size, hashes[count++]) != SGW_OK)
					fail("an id was refused");
				free(id);
			}
			size = SGW_BATCH_SIZE(count);
			bytes = malloc(size);
			result =
				sgw_batch(key, &stamp, (const uint8_t(*)[SGW_HASH_SIZE])hashes, count, &request, bytes);
		} else {
			size = SGW_SINGLE_SIZE;
			bytes = malloc(size);
			id = from_hex(ids, &id_size);
			result = (strcmp(kind, "fact") == 0 ? sgw_fact : sgw_lookup)(key, &stamp, id, id_size, &request,
										     bytes);
			free(id);
		}
		if (result != SGW_OK)
			fail("the request was refused");
		/* What a reply needs is in the request, so a key may go meanwhile. */
		sgw_key_free(key);
		print_hex(bytes, size);
		printf(" ");
		reply = from_hex(reply_hex, &reply_size);
		if (check(&request, reply, reply_size, true) != SGW_OK)
			fail("the reply was refused");
		if (sgw_nonce(reply, 23) != NULL || memcmp(sgw_nonce(reply, reply_size), nonce, nonce_size) != 0)
			fail("sgw_nonce");
		printf(" %u\n", refuse_hostile(&request, reply, reply_size));
		free(nonce);
		free(bytes);
		free(reply);
	}
	return 0;
}
