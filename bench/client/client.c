/* SPDX-License-Identifier: MIT */
/*
 * A closed-loop client: every connection has so many questions under way and asks the next one when one is answered.
 * Bound to a CPU, which it never gives up, so that nothing has to wake it. Every answer is checked.
 *
 *     bench-client PROTOCOL ADDRESS PORT CONNECTIONS DEPTH RATE MILLISECONDS CPU SESSIONS [STATE]
 *
 * RATE is questions a second, 0 = as many as go; with a rate there is one question under way at a time, and its time
 * counts from when it was due, so that an answer that is late makes the next ones late. STATE holds the key for the
 * gateway's protocol. Prints JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "histogram.h"
#include "protocols.h"

enum { CONNECTIONS_MAX = 1024, DEPTH_MAX = 64, BUFFER = 16384, EVENTS = 64 };

/* After that a datagram is taken for lost, and a connection for dead. */
static const uint64_t PATIENCE_NS = 200000000, CONNECTION_PATIENCE_NS = 10000000000;

struct connection {
	int fd;
	/* Questions under way: a ring. */
	struct question questions[DEPTH_MAX];
	uint32_t first, under_way;
	uint8_t in[BUFFER], out[DEPTH_MAX * REQUEST_MAX];
	uint32_t received;
};

static const struct protocol *protocol;
static struct connection *connections[CONNECTIONS_MAX];
static struct histogram times;
static uint64_t answered, wrong, lost;
static uint32_t sessions, depth, random_state = 1;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint32_t random_session(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return (uint64_t)random_state * sessions >> 32;
}

static struct connection *open_connection(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct connection *connection = calloc(1, sizeof(*connection));
	int one = 1;

	if (!connection || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		fail("connection");
	connection->fd = socket(AF_INET, protocol->socket_type, 0);
	if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&to, sizeof(to)))
		fail("connect");
	if (protocol->socket_type == SOCK_STREAM &&
	    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		fail("TCP_NODELAY");
	return connection;
}

/* Asks until `depth` questions are under way. `since_ns` = when they were due. */
static void ask(struct connection *connection, uint64_t since_ns)
{
	uint32_t length = 0;

	while (connection->under_way < depth) {
		uint32_t at = (connection->first + connection->under_way++) % DEPTH_MAX;
		struct question *question = &connection->questions[at];

		question->session = random_session();
		question->sent_ns = since_ns;
		length += protocol->ask(question, connection->out + length);
	}
	for (uint32_t sent = 0; sent < length;) {
		ssize_t more = send(connection->fd, connection->out + sent, length - sent, MSG_NOSIGNAL);

		if (more < 0 && errno != EAGAIN && errno != ECONNREFUSED)
			fail("send");
		sent += more > 0 ? more : 0;
	}
}

/* Takes what has come in. Returns how many answers that was. */
static uint32_t take_answers(struct connection *connection)
{
	ssize_t more = recv(connection->fd, connection->in + connection->received, BUFFER - connection->received,
			    MSG_DONTWAIT);
	uint32_t at = 0, length, answers = 0;
	uint64_t now = now_ns();

	if (more < 0 && (errno == EAGAIN || errno == ECONNREFUSED))
		return 0;
	if (more <= 0)
		fail("recv");
	connection->received += more;
	while (connection->under_way && (length = protocol->length(connection->in + at, connection->received - at))) {
		struct question *question = &connection->questions[connection->first];
		int right = protocol->is_right(question, connection->in + at, length);

		at += length;
		/* late, to a question that was given up */
		if (right < 0)
			continue;
		wrong += !right;
		answered++;
		answers++;
		add_time(&times, now - question->sent_ns);
		connection->first = (connection->first + 1) % DEPTH_MAX;
		connection->under_way--;
		if (at == connection->received)
			break;
	}
	if (protocol->socket_type == SOCK_DGRAM)
		connection->received = 0;
	else
		memmove(connection->in, connection->in + at, connection->received -= at);
	return answers;
}

/* One question at a time, each when it is due. */
static void ask_at_rate(struct connection *connection, uint64_t rate, uint64_t end_ns)
{
	uint64_t began_ns = now_ns(), now, due_ns;

	for (uint64_t i = 0;; i++) {
		due_ns = rate ? began_ns + i * 1000000000 / rate : now_ns();
		do {
			now = now_ns();
			if (now >= end_ns)
				return;
		} while (now < due_ns);
		ask(connection, due_ns);
		while (!take_answers(connection)) {
			uint64_t waited_ns = now_ns() - now;

			if (waited_ns < PATIENCE_NS)
				continue;
			if (protocol->socket_type == SOCK_STREAM) {
				if (waited_ns > CONNECTION_PATIENCE_NS)
					fail("no answer");
				continue;
			}
			lost++;
			connection->under_way = 0;
			break;
		}
	}
}

static void ask_as_fast_as_it_goes(int count, uint64_t end_ns)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(0);

	for (int i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = connections[i] };

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i]->fd, &event))
			fail("epoll");
		ask(connections[i], now_ns());
	}
	while (now_ns() < end_ns) {
		int ready = epoll_wait(epoll, events, EVENTS, 0);

		for (int i = 0; i < ready; i++)
			if (take_answers(events[i].data.ptr))
				ask(events[i].data.ptr, now_ns());
	}
}

static void prepare_gateway(const char *path)
{
	const struct state *state = read_state(path);
	uint8_t digest[32];
	char name[32];

	for (int i = 0; i < KEY_SLOTS && !client_key; i++)
		if (state->keys[i].id)
			client_key = &state->keys[i];
	cookie_hashes = calloc(sessions, 16);
	if (!client_key || !cookie_hashes)
		fail("no key");
	for (uint32_t i = 0; i < sessions; i++) {
		SHA256((uint8_t *)name, snprintf(name, sizeof(name), "session-%u", i), digest);
		memcpy(cookie_hashes[i], digest, 16);
	}
	nonces = now_ns();
}

int main(int argc, char **argv)
{
	uint64_t began_ns, rate;
	cpu_set_t own;
	int count;

	for (size_t i = 0; argc >= 10 && i < sizeof(PROTOCOLS) / sizeof(*PROTOCOLS); i++)
		if (!strcmp(argv[1], PROTOCOLS[i].name))
			protocol = &PROTOCOLS[i];
	count = argc >= 10 ? atoi(argv[4]) : 0;
	depth = argc >= 10 ? atoi(argv[5]) : 0;
	rate = argc >= 10 ? strtoull(argv[6], NULL, 10) : 0;
	sessions = argc >= 10 ? atoi(argv[9]) : 0;
	if (!protocol || count < 1 || count > CONNECTIONS_MAX || depth < 1 || depth > DEPTH_MAX || !sessions ||
	    (rate && (count > 1 || depth > 1))) {
		fprintf(stderr, "usage: bench-client PROTOCOL ADDRESS PORT CONNECTIONS DEPTH RATE MILLISECONDS CPU "
				"SESSIONS [STATE]\n");
		return 2;
	}
	CPU_ZERO(&own);
	CPU_SET(atoi(argv[8]), &own);
	if (sched_setaffinity(0, sizeof(own), &own))
		fail("CPU");
	if (protocol->ask == gateway_ask)
		prepare_gateway(argc > 10 ? argv[10] : "");
	for (int i = 0; i < count; i++)
		connections[i] = open_connection(argv[2], atoi(argv[3]));
	began_ns = now_ns();
	if (count == 1 && depth == 1)
		ask_at_rate(connections[0], rate, began_ns + strtoull(argv[7], NULL, 10) * 1000000);
	else
		ask_as_fast_as_it_goes(count, began_ns + strtoull(argv[7], NULL, 10) * 1000000);
	printf("{\"answered\":%lu,\"wrong\":%lu,\"lost\":%lu,\"elapsedNs\":%lu,\"p50Ns\":%lu,\"p99Ns\":%lu,\"p999Ns\":%"
	       "lu}\n",
	       answered, wrong, lost, now_ns() - began_ns, quantile(&times, 500000), quantile(&times, 990000),
	       quantile(&times, 999000));
	return 0;
}
