/* SPDX-License-Identifier: MIT */
/*
 * sgw-lookup: asks gateways over UDP where a session belongs, or what a fact's value is, as a load balancer in C would.
 * An example of session_gateway.h, and a tool for machines without Node.js.
 *
 *	sgw-lookup --key-file FILE --server 192.0.2.1[:6464] [--server …] [--timeout MS] [--fact] SID
 *
 * SID - reads it from standard input. Exit status: 0 an answer came, 1 none, 2 wrong usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "session_gateway.h"

enum { SERVERS_MAX = 16, ID_MAX = 1024, KEY_FILE_MAX = 512 };

struct options {
	const char *key_file;
	const char *servers[SERVERS_MAX];
	int server_count;
	int timeout_ms;
	bool is_fact;
	/* session id or name of a fact */
	char id[ID_MAX + 1];
	size_t id_size;
};

/* What a gateway says: of the two replies the one that was asked for, and what both have. */
struct answer {
	struct sgw_reply lookup;
	struct sgw_fact_reply fact;
	uint8_t status;
	uint8_t flags;
	uint32_t age_ms;
	/* Unix times: the gateway's when it answered, this machine's when it asked */
	uint64_t time_ms;
	uint64_t asked_ms;
};

static const char usage[] =
	"usage: sgw-lookup --key-file FILE --server HOST[:PORT] [--server …] [--timeout MS] [--fact] SID\n"
	"  --key-file FILE  one line, `<id> <suite> <64 hex digits> [encrypt]`; not readable by others\n"
	"  --server         a gateway, at most 16, asked one after the other until one's answer is not stale;\n"
	"                   IPv6 as [2001:db8::1]:6464; port 6464\n"
	"  --timeout MS     how long each may take, 1 to 60000; 1000\n"
	"  --fact           SID is the name of a fact\n"
	"  SID              session id; - reads it from standard input\n"
	"Exit status: 0 an answer came, 1 none, 2 wrong usage.\n";

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wrong_usage(const char *what, const char *found)
{
	fprintf(stderr, "sgw-lookup: %s%s\n%s", what, found, usage);
	return 2;
}

static int read_id(struct options *options, const char *argument)
{
	if (strcmp(argument, "-") != 0) {
		options->id_size = strlen(argument);
		if (options->id_size <= ID_MAX)
			memcpy(options->id, argument, options->id_size);
	} else {
		options->id_size = fread(options->id, 1, sizeof(options->id), stdin);
		/* A line's end is echo's, not the id's. */
		if (options->id_size > 0 && options->id[options->id_size - 1] == '\n')
			options->id_size--;
	}
	if (options->id_size < 1 || options->id_size > ID_MAX)
		return wrong_usage("SID: allowed: 1 to 1024 bytes", "");
	return 0;
}

static int parse_options(struct options *options, int argc, char **argv)
{
	const char *id = NULL;

	options->timeout_ms = 1000;
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];
		const bool takes_value = strcmp(name, "--key-file") == 0 || strcmp(name, "--server") == 0 ||
					 strcmp(name, "--timeout") == 0;

		if (takes_value && ++i == argc)
			return wrong_usage("found no value after ", name);
		if (strcmp(name, "--key-file") == 0) {
			options->key_file = argv[i];
		} else if (strcmp(name, "--server") == 0) {
			if (options->server_count == SERVERS_MAX)
				return wrong_usage("found more than 16 servers", "");
			options->servers[options->server_count++] = argv[i];
		} else if (strcmp(name, "--timeout") == 0) {
			char *end;
			const long ms = strtol(argv[i], &end, 10);

			if (*end != '\0' || end == argv[i] || ms < 1 || ms > 60000)
				return wrong_usage("--timeout: allowed: 1 to 60000, found ", argv[i]);
			options->timeout_ms = (int)ms;
		} else if (strcmp(name, "--fact") == 0) {
			options->is_fact = true;
		} else if (strncmp(name, "--", 2) == 0) {
			return wrong_usage("found an unknown option, ", name);
		} else if (id != NULL) {
			/* Not shown: it may be a session id. */
			return wrong_usage("found more than one SID", "");
		} else {
			id = name;
		}
	}
	if (id == NULL || options->key_file == NULL || options->server_count == 0)
		return wrong_usage("needed are --key-file, --server and SID", "");
	return read_id(options, id);
}

static struct sgw_key *read_key(const char *path)
{
	char text[KEY_FILE_MAX + 1];
	struct sgw_key *key = NULL;
	struct stat status;
	size_t size;
	int result;
	FILE *file = fopen(path, "r");

	if (file == NULL || fstat(fileno(file), &status) != 0) {
		fprintf(stderr, "sgw-lookup: %s: %s\n", path, strerror(errno));
		if (file != NULL)
			fclose(file);
		return NULL;
	}
	if (status.st_mode & (S_IROTH | S_IWOTH)) {
		fprintf(stderr, "sgw-lookup: %s: found a file that others can read or write: chmod 600 it\n", path);
		fclose(file);
		return NULL;
	}
	size = fread(text, 1, KEY_FILE_MAX, file);
	fclose(file);
	text[size] = '\0';
	result = sgw_key_parse(&key, text);
	explicit_bzero(text, sizeof(text));
	if (result == SGW_INVALID)
		fprintf(stderr, "sgw-lookup: %s: allowed: `<id> hmac-sha256|blake2s <64 hex digits> [encrypt]`\n",
			path);
	else if (result != SGW_OK)
		fprintf(stderr, "sgw-lookup: libcrypto has no such suite here, or no memory\n");
	return key;
}

/* A socket that takes datagrams of this server alone; -1 with a message where there is none. */
static int connect_to(const char *server)
{
	char host[256], port[8] = "6464";
	const char *end, *colon = strrchr(server, ':');
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found;
	int descriptor, error;

	if (*server == '[') {
		end = strchr(++server, ']');
		if (colon != NULL && end != NULL && colon != end + 1)
			colon = NULL;
	} else {
		/* Of a bare IPv6 address none of the colons is a port's. */
		if (colon != strchr(server, ':'))
			colon = NULL;
		end = colon != NULL ? colon : server + strlen(server);
	}
	if (end == NULL || (size_t)(end - server) >= sizeof(host) ||
	    (colon != NULL && strlen(colon + 1) >= sizeof(port))) {
		fprintf(stderr, "sgw-lookup: --server: allowed: host:port\n");
		return -1;
	}
	memcpy(host, server, (size_t)(end - server));
	host[end - server] = '\0';
	if (colon != NULL)
		strcpy(port, colon + 1);
	error = getaddrinfo(host, port, &hints, &found);
	if (error != 0) {
		fprintf(stderr, "sgw-lookup: %s: %s\n", host, gai_strerror(error));
		return -1;
	}
	descriptor = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (descriptor >= 0 && connect(descriptor, found->ai_addr, found->ai_addrlen) != 0) {
		close(descriptor);
		descriptor = -1;
	}
	if (descriptor < 0)
		fprintf(stderr, "sgw-lookup: %s: %s\n", host, strerror(errno));
	freeaddrinfo(found);
	return descriptor;
}

static void print_age(uint32_t age_ms, uint8_t flags)
{
	if (age_ms == SGW_NEVER)
		printf(" age_ms=never");
	else
		printf(" age_ms=%u", age_ms);
	printf("%s%s%s\n", flags & SGW_MOVED ? " moved" : "", flags & SGW_PLACED ? " placed" : "",
	       flags & SGW_STALE ? " stale" : "");
}

static void print_lookup(const struct sgw_reply *reply)
{
	char text[SGW_ADDRESS_TEXT_SIZE];

	printf("%s", sgw_status_name(reply->status));
	if (reply->backend_id != 0)
		printf(" backend=%u address=%s", reply->backend_id, sgw_address_text(reply, text));
	if (reply->version != 0 && reply->ttl_s == SGW_NEVER)
		printf(" ttl_s=never");
	else if (reply->version != 0)
		printf(" ttl_s=%u", reply->ttl_s);
	print_age(reply->age_ms, reply->flags);
}

static void print_fact(const struct sgw_fact_reply *reply)
{
	printf("%s", sgw_status_name(reply->status));
	if (reply->status == SGW_FOUND) {
		/* In hex, since it may be any bytes. */
		printf(" version=%" PRIu64 " value=", reply->version);
		for (size_t i = 0; i < reply->value_size; i++)
			printf("%02x", reply->value[i]);
	}
	print_age(reply->age_ms, reply->flags);
}

static bool check(const struct options *options, const struct sgw_request *request, const uint8_t *datagram,
		  size_t size, struct answer *answer)
{
	if (options->is_fact) {
		if (sgw_check_fact(request, datagram, size, &answer->fact) != SGW_OK)
			return false;
		answer->status = answer->fact.status;
		answer->flags = answer->fact.flags;
		answer->age_ms = answer->fact.age_ms;
		answer->time_ms = answer->fact.time_ms;
	} else {
		if (sgw_check(request, datagram, size, &answer->lookup) != SGW_OK)
			return false;
		answer->status = answer->lookup.status;
		answer->flags = answer->lookup.flags;
		answer->age_ms = answer->lookup.age_ms;
		answer->time_ms = answer->lookup.time_ms;
	}
	return true;
}

/* One try at one gateway. Whether an authentic reply came. */
static bool ask(const struct options *options, struct sgw_key *key, int descriptor, struct answer *answer)
{
	const int64_t deadline = now_ms() + options->timeout_ms;
	struct sgw_stamp stamp;
	struct sgw_request request;
	uint8_t bytes[SGW_SINGLE_SIZE], datagram[SGW_DATAGRAM_MAX];
	const int made = sgw_stamp_now(&stamp) != SGW_OK ? SGW_CRYPTO
			 : options->is_fact ? sgw_fact(key, &stamp, options->id, options->id_size, &request, bytes)
					    : sgw_lookup(key, &stamp, options->id, options->id_size, &request, bytes);

	if (made != SGW_OK || send(descriptor, bytes, sizeof(bytes), 0) < 0)
		return false;
	for (;;) {
		struct pollfd wanted = { .fd = descriptor, .events = POLLIN };
		const int64_t left = deadline - now_ms();
		ssize_t size;

		if (left <= 0 || poll(&wanted, 1, (int)left) <= 0)
			return false;
		/* Nobody listens there: the network says so as an error of the socket. */
		size = recv(descriptor, datagram, sizeof(datagram), MSG_DONTWAIT);
		if (size < 0)
			return false;
		if (!check(options, &request, datagram, (size_t)size, answer))
			continue;
		answer->asked_ms = stamp.time_ms;
		return true;
	}
}

/* Asks until there is an answer that is not stale; of stale ones the freshest is kept. Whether there is one. */
static bool ask_all(const struct options *options, struct sgw_key *key, struct answer *best)
{
	bool is_any = false, is_fresh = false;

	for (int i = 0; i < options->server_count && !is_fresh; i++) {
		const char *server = options->servers[i];
		const int descriptor = connect_to(server);
		struct answer next;
		bool is_reply;

		if (descriptor < 0)
			continue;
		is_reply = ask(options, key, descriptor, &next);
		close(descriptor);
		if (!is_reply) {
			fprintf(stderr, "sgw-lookup: %s: no answer\n", server);
		} else if (next.status == SGW_NOT_READY) {
			fprintf(stderr, "sgw-lookup: %s: NOT_READY\n", server);
		} else if (next.status == SGW_CLOCK_SKEW) {
			fprintf(stderr, "sgw-lookup: %s: CLOCK_SKEW: its clock less this one's is %" PRId64 " ms\n",
				server, (int64_t)(next.time_ms - next.asked_ms));
		} else {
			is_fresh = !(next.flags & SGW_STALE);
			if (!is_any || is_fresh || next.age_ms < best->age_ms)
				*best = next;
			is_any = true;
		}
	}
	return is_any;
}

int main(int argc, char **argv)
{
	static struct options options;
	struct answer answer;
	struct sgw_key *key;
	int status = parse_options(&options, argc, argv);

	if (status != 0)
		return status;
	key = read_key(options.key_file);
	if (key == NULL)
		return 2;
	status = !ask_all(&options, key, &answer);
	if (status != 0)
		fprintf(stderr, "sgw-lookup: no gateway has an answer. Where there is none at all: is the key in force "
				"there, and this machine allowed to ask?\n");
	else if (options.is_fact)
		print_fact(&answer.fact);
	else
		print_lookup(&answer.lookup);
	sgw_key_free(key);
	return status;
}
