/* SPDX-License-Identifier: MIT */
/*
 * The protocol of docs/protocol.md, from the asking end. What it is for says session_gateway.h.
 *
 * Numbers are read and written byte by byte, so neither alignment nor the host's byte order matters.
 */
#include "session_gateway.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

enum {
	TYPE_LOOKUP = 1,
	TYPE_BATCH = 2,
	TYPE_FACT = 3,
	TYPE_REPLY = 0x80,
	TYPE_ENCRYPTED = 0x40,

	MAGIC = 0x5347,
	VERSION = 1,

	HEADER_SIZE = 24,
	TAG_SIZE = 16,
	GUARD_SIZE = 8,
	GUARD_KEY_SIZE = 16,
	PRF_SIZE = 32,
	SHA256_SIZE = 32,

	/* Where things are; the rest of a batch follows its hashes or entries. */
	AT_TYPE = 3,
	AT_KEY_ID = 4,
	AT_TIME = 8,
	AT_NONCE = 16,
	SINGLE_REQUEST_TAG_AT = 40,
	SINGLE_REPLY_TAG_AT = 64,
	BATCH_ITEMS_AT = 32,
	BATCH_ITEM_SIZE = 16,
};

struct sgw_key {
	uint32_t id;
	bool encrypt;
	uint8_t guard_key[GUARD_KEY_SIZE];
	/* F under this key: starting it anew needs neither the secret nor a look for the algorithm. */
	EVP_MAC_CTX *prf;
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
};

/* Integers in bytes */

static uint64_t read_be(const uint8_t *from, int size)
{
	uint64_t value = 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | from[i];
	return value;
}

static void write_be(uint8_t *to, uint64_t value, int size)
{
	for (int i = size - 1; i >= 0; i--) {
		to[i] = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t read_le64(const uint8_t *from)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | from[i];
	return value;
}

static void write_le64(uint8_t *to, uint64_t value)
{
	for (int i = 0; i < 8; i++) {
		to[i] = (uint8_t)value;
		value >>= 8;
	}
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	uint8_t seen = 0;

	for (size_t i = 0; i < size; i++)
		seen |= bytes[i];
	return seen == 0;
}

/* SipHash-2-4, of which libcrypto's form costs a context for each message (Aumasson and Bernstein, 2012) */

struct siphash {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_rounds(struct siphash *s, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		s->v0 += s->v1;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static void sip_word(struct siphash *s, uint64_t word)
{
	s->v3 ^= word;
	sip_rounds(s, 2);
	s->v0 ^= word;
}

static uint64_t sip_output(struct siphash *s)
{
	sip_rounds(s, 4);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* `out_size` 8 or 16; `size` a multiple of 8, as all of the protocol's messages are. */
static void siphash(const uint8_t key[16], const uint8_t *message, size_t size, uint8_t *out, size_t out_size)
{
	const uint64_t k0 = read_le64(key), k1 = read_le64(key + 8);
	struct siphash s = {
		k0 ^ 0x736f6d6570736575,
		k1 ^ 0x646f72616e646f6d ^ (out_size == 16 ? 0xee : 0),
		k0 ^ 0x6c7967656e657261,
		k1 ^ 0x7465646279746573,
	};

	for (size_t at = 0; at < size; at += 8)
		sip_word(&s, read_le64(message + at));
	sip_word(&s, (uint64_t)size << 56);
	s.v2 ^= out_size == 16 ? 0xee : 0xff;
	write_le64(out, sip_output(&s));
	if (out_size == 16) {
		s.v1 ^= 0xdd;
		write_le64(out + 8, sip_output(&s));
	}
}

/* Keys */

/* F of the key over one message. */
static int prf(struct sgw_key *key, const uint8_t *message, size_t size, uint8_t out[PRF_SIZE])
{
	size_t written = 0;

	/* Without a key: the one it was made with. */
	if (!EVP_MAC_init(key->prf, NULL, 0, NULL) || !EVP_MAC_update(key->prf, message, size) ||
	    !EVP_MAC_final(key->prf, out, &written, PRF_SIZE) || written != PRF_SIZE)
		return SGW_CRYPTO;
	return SGW_OK;
}

static EVP_MAC_CTX *prf_context(enum sgw_suite suite, const uint8_t secret[SGW_SECRET_SIZE])
{
	char digest[] = "SHA256";
	const OSSL_PARAM hmac[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, suite == SGW_BLAKE2S ? "BLAKE2SMAC" : "HMAC", NULL);
	EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

	/* The context keeps what it needs of it. */
	EVP_MAC_free(mac);
	if (context != NULL &&
	    !EVP_MAC_init(context, secret, SGW_SECRET_SIZE, suite == SGW_HMAC_SHA256 ? hmac : NULL)) {
		EVP_MAC_CTX_free(context);
		return NULL;
	}
	return context;
}

int sgw_key_new(struct sgw_key **key, uint32_t id, enum sgw_suite suite, const uint8_t secret[SGW_SECRET_SIZE],
		bool encrypt)
{
	static const char label[] = "session-gateway guard v1";
	struct sgw_key *made;
	uint8_t guard[PRF_SIZE];

	*key = NULL;
	if (id == 0 || (suite != SGW_HMAC_SHA256 && suite != SGW_BLAKE2S))
		return SGW_INVALID;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return SGW_CRYPTO;
	made->id = id;
	made->encrypt = encrypt;
	made->prf = prf_context(suite, secret);
	made->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	made->digest = EVP_MD_CTX_new();
	if (made->prf == NULL || made->sha256 == NULL || made->digest == NULL ||
	    prf(made, (const uint8_t *)label, sizeof(label) - 1, guard) != SGW_OK) {
		sgw_key_free(made);
		return SGW_CRYPTO;
	}
	memcpy(made->guard_key, guard, sizeof(made->guard_key));
	OPENSSL_cleanse(guard, sizeof(guard));
	*key = made;
	return SGW_OK;
}

void sgw_key_free(struct sgw_key *key)
{
	if (key == NULL)
		return;
	EVP_MAC_CTX_free(key->prf);
	EVP_MD_CTX_free(key->digest);
	EVP_MD_free(key->sha256);
	OPENSSL_cleanse(key, sizeof(*key));
	free(key);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next word of a text, and the text after it; an empty word at its end. */
static const char *next_word(const char **text, size_t *size)
{
	const char *word = *text;

	while (is_space(*word))
		word++;
	*size = 0;
	while (word[*size] != '\0' && !is_space(word[*size]))
		(*size)++;
	*text = word + *size;
	return word;
}

static bool is_word(const char *word, size_t size, const char *wanted)
{
	return size == strlen(wanted) && memcmp(word, wanted, size) == 0;
}

/* 0 where it isn't a whole number from 1 to 4294967295. */
static uint32_t parse_id(const char *word, size_t size)
{
	uint64_t id = 0;

	if (size > 10)
		return 0;
	for (size_t i = 0; i < size; i++) {
		if (word[i] < '0' || word[i] > '9')
			return 0;
		id = 10 * id + (uint64_t)(word[i] - '0');
	}
	return id <= UINT32_MAX ? (uint32_t)id : 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse_secret(const char *word, size_t size, uint8_t secret[SGW_SECRET_SIZE])
{
	if (size != 2 * SGW_SECRET_SIZE)
		return false;
	for (size_t i = 0; i < SGW_SECRET_SIZE; i++) {
		const int high = hex_digit(word[2 * i]), low = hex_digit(word[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		secret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

int sgw_key_parse(struct sgw_key **key, const char *text)
{
	uint8_t secret[SGW_SECRET_SIZE];
	enum sgw_suite suite = SGW_HMAC_SHA256;
	const char *word;
	bool encrypt = false;
	size_t size;
	uint32_t id;
	int result = SGW_INVALID;

	*key = NULL;
	word = next_word(&text, &size);
	id = parse_id(word, size);
	word = next_word(&text, &size);
	if (is_word(word, size, "blake2s"))
		suite = SGW_BLAKE2S;
	else if (!is_word(word, size, "hmac-sha256"))
		return SGW_INVALID;
	word = next_word(&text, &size);
	if (parse_secret(word, size, secret)) {
		word = next_word(&text, &size);
		if (is_word(word, size, "encrypt")) {
			encrypt = true;
			next_word(&text, &size);
		}
		if (size == 0)
			result = sgw_key_new(key, id, suite, secret, encrypt);
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	return result;
}

int sgw_stamp_now(struct sgw_stamp *stamp)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0 || RAND_bytes(stamp->nonce, sizeof(stamp->nonce)) != 1)
		return SGW_CRYPTO;
	stamp->time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return SGW_OK;
}

int sgw_hash(struct sgw_key *key, const void *bytes, size_t size, uint8_t hash[SGW_HASH_SIZE])
{
	uint8_t whole[SHA256_SIZE];

	if (size == 0)
		return SGW_INVALID;
	if (!EVP_DigestInit_ex2(key->digest, key->sha256, NULL) || !EVP_DigestUpdate(key->digest, bytes, size) ||
	    !EVP_DigestFinal_ex(key->digest, whole, NULL))
		return SGW_CRYPTO;
	memcpy(hash, whole, SGW_HASH_SIZE);
	return SGW_OK;
}

/* Requests */

static size_t size_of(uint8_t type, size_t count)
{
	return type == TYPE_BATCH ? SGW_BATCH_SIZE(count) : SGW_SINGLE_SIZE;
}

static size_t request_tag_at(uint8_t type, size_t count)
{
	return type == TYPE_BATCH ? BATCH_ITEMS_AT + BATCH_ITEM_SIZE * count : SINGLE_REQUEST_TAG_AT;
}

static size_t reply_tag_at(uint8_t type, size_t count)
{
	return type == TYPE_BATCH ? BATCH_ITEMS_AT + BATCH_ITEM_SIZE * count : SINGLE_REPLY_TAG_AT;
}

/* Of a BATCH the guard covers its first 32 bytes and the tag, else all up to and with the tag. */
static void write_guard(const struct sgw_key *key, uint8_t type, uint8_t *bytes, size_t tag_at)
{
	uint8_t covered[BATCH_ITEMS_AT + TAG_SIZE];
	uint8_t *guard = bytes + tag_at + TAG_SIZE;

	if (type != TYPE_BATCH) {
		siphash(key->guard_key, bytes, tag_at + TAG_SIZE, guard, GUARD_SIZE);
		return;
	}
	memcpy(covered, bytes, BATCH_ITEMS_AT);
	memcpy(covered + BATCH_ITEMS_AT, bytes + tag_at, TAG_SIZE);
	siphash(key->guard_key, covered, sizeof(covered), guard, GUARD_SIZE);
}

/* `bytes` is filled from the header's end up to the tag, and zero after it. */
static int finish(struct sgw_key *key, const struct sgw_stamp *stamp, uint8_t type, size_t count,
		  struct sgw_request *request, uint8_t *bytes)
{
	const size_t tag_at = request_tag_at(type, count);
	uint8_t m[PRF_SIZE];
	int result;

	write_be(bytes, MAGIC, 2);
	bytes[2] = VERSION;
	bytes[AT_TYPE] = type;
	write_be(bytes + AT_KEY_ID, key->id, 4);
	write_be(bytes + AT_TIME, stamp->time_ms, 8);
	memcpy(bytes + AT_NONCE, stamp->nonce, SGW_NONCE_SIZE);
	result = prf(key, bytes, tag_at, m);
	if (result != SGW_OK)
		return result;
	memcpy(bytes + tag_at, m, TAG_SIZE);
	write_guard(key, type, bytes, tag_at);

	request->type = type;
	request->encrypted = key->encrypt;
	request->count = (uint16_t)count;
	request->key_id = key->id;
	memcpy(request->nonce, stamp->nonce, SGW_NONCE_SIZE);
	memcpy(request->reply_key, m + TAG_SIZE, SGW_REPLY_KEY_SIZE);
	return SGW_OK;
}

static int single(struct sgw_key *key, const struct sgw_stamp *stamp, uint8_t type, const void *text, size_t size,
		  struct sgw_request *request, uint8_t bytes[SGW_SINGLE_SIZE])
{
	int result;

	memset(bytes, 0, SGW_SINGLE_SIZE);
	result = sgw_hash(key, text, size, bytes + HEADER_SIZE);
	return result == SGW_OK ? finish(key, stamp, type, 1, request, bytes) : result;
}

int sgw_lookup(struct sgw_key *key, const struct sgw_stamp *stamp, const void *session_id, size_t size,
	       struct sgw_request *request, uint8_t bytes[SGW_SINGLE_SIZE])
{
	return single(key, stamp, TYPE_LOOKUP, session_id, size, request, bytes);
}

int sgw_fact(struct sgw_key *key, const struct sgw_stamp *stamp, const void *name, size_t size,
	     struct sgw_request *request, uint8_t bytes[SGW_SINGLE_SIZE])
{
	return single(key, stamp, TYPE_FACT, name, size, request, bytes);
}

int sgw_batch(struct sgw_key *key, const struct sgw_stamp *stamp, const uint8_t (*hashes)[SGW_HASH_SIZE], size_t count,
	      struct sgw_request *request, uint8_t *bytes)
{
	if (count < 1 || count > SGW_BATCH_MAX)
		return SGW_INVALID;
	memset(bytes, 0, SGW_BATCH_SIZE(count));
	write_be(bytes + HEADER_SIZE, count, 2);
	memcpy(bytes + BATCH_ITEMS_AT, hashes, count * SGW_HASH_SIZE);
	return finish(key, stamp, TYPE_BATCH, count, request, bytes);
}

/* Replies */

/* XORs the bytes from the header's end up to the tag with the key stream that the tag selects. */
static void apply_key_stream(const uint8_t reply_key[SGW_REPLY_KEY_SIZE], uint8_t *bytes, size_t tag_at)
{
	uint8_t input[TAG_SIZE + 8], stream[16];
	uint64_t block = 0;

	memcpy(input, bytes + tag_at, TAG_SIZE);
	for (size_t at = HEADER_SIZE; at < tag_at; at += sizeof(stream), block++) {
		write_le64(input + TAG_SIZE, block);
		siphash(reply_key, input, sizeof(input), stream, sizeof(stream));
		for (size_t i = 0; i < sizeof(stream) && at + i < tag_at; i++)
			bytes[at + i] ^= stream[i];
	}
}

/*
 * Checks that a datagram is the reply to a request, and copies it to `plain`, in the clear. What takes no secret is
 * checked first, so that a stray datagram costs little.
 */
static int open_reply(const struct sgw_request *request, uint8_t type, const void *datagram, size_t size,
		      uint8_t plain[SGW_DATAGRAM_MAX])
{
	const uint8_t *bytes = datagram;
	uint8_t tag[TAG_SIZE];
	size_t tag_at;

	if (request->type != type || request->count < 1 || request->count > SGW_BATCH_MAX)
		return SGW_INVALID;
	if (size != size_of(type, request->count))
		return SGW_REFUSED;
	if (read_be(bytes, 2) != MAGIC || bytes[2] != VERSION ||
	    bytes[AT_TYPE] != (type | TYPE_REPLY | (request->encrypted ? TYPE_ENCRYPTED : 0)) ||
	    read_be(bytes + AT_KEY_ID, 4) != request->key_id ||
	    memcmp(bytes + AT_NONCE, request->nonce, SGW_NONCE_SIZE) != 0)
		return SGW_REFUSED;
	tag_at = reply_tag_at(type, request->count);
	if (!is_zero(bytes + tag_at + TAG_SIZE, size - tag_at - TAG_SIZE))
		return SGW_REFUSED;
	memcpy(plain, bytes, size);
	if (request->encrypted)
		apply_key_stream(request->reply_key, plain, tag_at);
	siphash(request->reply_key, plain, tag_at, tag, sizeof(tag));
	/* Without an early exit, so that the time it takes says nothing of the right tag. */
	return CRYPTO_memcmp(tag, plain + tag_at, sizeof(tag)) == 0 ? SGW_OK : SGW_REFUSED;
}

int sgw_check(const struct sgw_request *request, const void *datagram, size_t size, struct sgw_reply *reply)
{
	uint8_t plain[SGW_DATAGRAM_MAX];
	const int result = open_reply(request, TYPE_LOOKUP, datagram, size, plain);

	if (result != SGW_OK)
		return result;
	if (plain[24] > SGW_DENIED || read_be(plain + 28, 4) > UINT16_MAX)
		return SGW_REFUSED;
	reply->time_ms = read_be(plain + AT_TIME, 8);
	reply->status = plain[24];
	reply->flags = plain[25];
	reply->port = (uint16_t)read_be(plain + 26, 2);
	reply->backend_id = (uint16_t)read_be(plain + 28, 4);
	memcpy(reply->address, plain + 32, SGW_ADDRESS_SIZE);
	reply->version = read_be(plain + 48, 8);
	reply->ttl_s = (uint32_t)read_be(plain + 56, 4);
	reply->age_ms = (uint32_t)read_be(plain + 60, 4);
	return SGW_OK;
}

int sgw_check_fact(const struct sgw_request *request, const void *datagram, size_t size, struct sgw_fact_reply *reply)
{
	uint8_t plain[SGW_DATAGRAM_MAX];
	const int result = open_reply(request, TYPE_FACT, datagram, size, plain);
	size_t value_size;

	if (result != SGW_OK)
		return result;
	value_size = read_be(plain + 26, 2);
	if (plain[24] >= SGW_DENIED || value_size > SGW_FACT_MAX ||
	    !is_zero(plain + 28 + value_size, SGW_FACT_MAX - value_size))
		return SGW_REFUSED;
	reply->time_ms = read_be(plain + AT_TIME, 8);
	reply->status = plain[24];
	reply->flags = plain[25];
	reply->value_size = (uint8_t)value_size;
	memcpy(reply->value, plain + 28, SGW_FACT_MAX);
	reply->version = read_be(plain + 52, 8);
	reply->age_ms = (uint32_t)read_be(plain + 60, 4);
	return SGW_OK;
}

int sgw_check_batch(const struct sgw_request *request, const void *datagram, size_t size,
		    struct sgw_batch_entry *entries, uint64_t *time_ms, uint32_t *age_ms)
{
	uint8_t plain[SGW_DATAGRAM_MAX];
	const int result = open_reply(request, TYPE_BATCH, datagram, size, plain);

	if (result != SGW_OK)
		return result;
	if (read_be(plain + 24, 2) != request->count || read_be(plain + 26, 2) != 0)
		return SGW_REFUSED;
	for (size_t i = 0; i < request->count; i++)
		if (plain[BATCH_ITEMS_AT + BATCH_ITEM_SIZE * i] > SGW_DENIED)
			return SGW_REFUSED;
	for (size_t i = 0; i < request->count; i++) {
		const uint8_t *from = plain + BATCH_ITEMS_AT + BATCH_ITEM_SIZE * i;

		entries[i].status = from[0];
		entries[i].flags = from[1];
		entries[i].backend_id = (uint16_t)read_be(from + 2, 2);
		entries[i].ttl_s = (uint32_t)read_be(from + 4, 4);
		entries[i].version = read_be(from + 8, 8);
	}
	if (time_ms != NULL)
		*time_ms = read_be(plain + AT_TIME, 8);
	if (age_ms != NULL)
		*age_ms = (uint32_t)read_be(plain + 28, 4);
	return SGW_OK;
}

const uint8_t *sgw_nonce(const void *datagram, size_t size)
{
	return size < HEADER_SIZE ? NULL : (const uint8_t *)datagram + AT_NONCE;
}

const char *sgw_status_name(uint8_t status)
{
	static const char *const names[] = { "FOUND", "NOT_FOUND", "CLOCK_SKEW", "NOT_READY", "DENIED" };

	return status < sizeof(names) / sizeof(*names) ? names[status] : "?";
}

const char *sgw_address_text(const struct sgw_reply *reply, char text[SGW_ADDRESS_TEXT_SIZE])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char host[INET6_ADDRSTRLEN];

	text[0] = '\0';
	if (is_zero(reply->address, SGW_ADDRESS_SIZE))
		return text;
	if (memcmp(reply->address, mapped, sizeof(mapped)) == 0) {
		const uint8_t *a = reply->address + sizeof(mapped);

		snprintf(text, SGW_ADDRESS_TEXT_SIZE, "%u.%u.%u.%u:%u", a[0], a[1], a[2], a[3], reply->port);
	} else if (inet_ntop(AF_INET6, reply->address, host, sizeof(host)) != NULL) {
		snprintf(text, SGW_ADDRESS_TEXT_SIZE, "[%s]:%u", host, reply->port);
	}
	return text;
}
