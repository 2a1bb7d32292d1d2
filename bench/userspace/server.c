/* SPDX-License-Identifier: MIT */
/*
 * What one would write instead of the kernel program: the protocol served in user space, as fast as sockets allow.
 *
 *     bench-server STATE serve ADDRESS PORT THREADS FIRST-CPU
 *     bench-server STATE answer UNIX-MS        datagrams on standard input, replies on standard output, for tests
 *
 * A thread has a socket of its own (SO_REUSEPORT) and a CPU of its own, takes and sends up to 64 datagrams a system
 * call, and asks the memory for all their sessions before it answers the first. Prints "ready" when it serves.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>

#include "respond.h"

enum { BURST = 64, THREADS_MAX = 64, RECEIVE_BUFFER = 256 << 20, SEND_BUFFER = 16 << 20 };

struct burst {
	struct mmsghdr in[BURST], out[BURST];
	struct iovec in_parts[BURST], out_parts[BURST];
	struct sockaddr_in from[BURST];
	uint8_t requests[BURST][(DATAGRAM_MAX + 63) / 64 * 64], replies[BURST][(DATAGRAM_MAX + 63) / 64 * 64];
};

struct worker {
	const struct state *state;
	int socket, cpu;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t coarse_unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int open_socket(const char *address, int port)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1, receive = RECEIVE_BUFFER, send = SEND_BUFFER;

	if (fd < 0 || inet_pton(AF_INET, address, &own.sin_addr) != 1)
		fail("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
		fail("SO_REUSEPORT");
	/* past the system's limits, so that no burst is lost for want of room */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof(receive)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send, sizeof(send)))
		fail("buffers");
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)))
		fail("bind");
	return fd;
}

static struct burst *make_burst(void)
{
	struct burst *burst = aligned_alloc(64, (sizeof(*burst) + 63) / 64 * 64);

	if (!burst)
		fail("memory");
	memset(burst, 0, sizeof(*burst));
	for (int i = 0; i < BURST; i++) {
		burst->in_parts[i] = (struct iovec){ burst->requests[i], DATAGRAM_MAX };
		burst->in[i].msg_hdr.msg_iov = &burst->in_parts[i];
		burst->in[i].msg_hdr.msg_iovlen = 1;
		burst->in[i].msg_hdr.msg_name = &burst->from[i];
		burst->out[i].msg_hdr.msg_iov = &burst->out_parts[i];
		burst->out[i].msg_hdr.msg_iovlen = 1;
		burst->out[i].msg_hdr.msg_namelen = sizeof(burst->from[i]);
	}
	return burst;
}

/* Returns how many replies there are. */
static int answer(const struct state *state, struct moment *moment, struct burst *burst, int received)
{
	int replies = 0;

	for (int i = 0; i < received; i++)
		prefetch_sessions(state, burst->requests[i], burst->in[i].msg_len);
	moment->now_ms = coarse_unix_ms();
	for (int i = 0; i < received; i++) {
		if (!respond(state, moment, burst->requests[i], burst->in[i].msg_len, burst->replies[replies]))
			continue;
		burst->out_parts[replies] = (struct iovec){ burst->replies[replies], burst->in[i].msg_len };
		burst->out[replies++].msg_hdr.msg_name = &burst->from[i];
	}
	return replies;
}

static void *serve(void *argument)
{
	const struct worker *worker = argument;
	struct burst *burst = make_burst();
	struct moment moment = { 0 };
	cpu_set_t own;

	CPU_ZERO(&own);
	CPU_SET(worker->cpu, &own);
	if (sched_setaffinity(0, sizeof(own), &own))
		fail("CPU");
	for (;;) {
		int received, replies;

		for (int i = 0; i < BURST; i++)
			burst->in[i].msg_hdr.msg_namelen = sizeof(burst->from[i]);
		received = recvmmsg(worker->socket, burst->in, BURST, MSG_WAITFORONE, NULL);
		if (received < 0)
			continue;
		replies = answer(worker->state, &moment, burst, received);
		for (int sent = 0; sent < replies;) {
			int more = sendmmsg(worker->socket, burst->out + sent, replies - sent, 0);

			/* one that can't be sent is not sent, as the kernel would do */
			sent += more > 0 ? more : 1;
		}
	}
	return NULL;
}

/* Datagrams with their lengths before them, 4 bytes; a length of 0 is the answer to what is not answered. */
static int answer_standard_input(const struct state *state, uint64_t now_ms)
{
	uint8_t request[2048], reply[DATAGRAM_MAX];
	struct moment moment = { .now_ms = now_ms };
	uint32_t length, answered;

	while (fread(&length, 4, 1, stdin) == 1) {
		if (length > sizeof(request) || fread(request, 1, length, stdin) != length)
			return 1;
		answered = respond(state, &moment, request, length, reply) ? length : 0;
		fwrite(&answered, 4, 1, stdout);
		fwrite(reply, 1, answered, stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	const struct state *state;
	pthread_t thread;
	int threads;

	if (argc == 4 && !strcmp(argv[2], "answer"))
		return answer_standard_input(read_state(argv[1]), strtoull(argv[3], NULL, 10));
	threads = argc == 7 && !strcmp(argv[2], "serve") ? atoi(argv[5]) : 0;
	if (threads < 1 || threads > THREADS_MAX) {
		fprintf(stderr,
			"usage: bench-server STATE serve ADDRESS PORT THREADS FIRST-CPU | STATE answer UNIX-MS\n");
		return 2;
	}
	state = read_state(argv[1]);
	for (int i = 0; i < threads; i++) {
		workers[i] = (struct worker){ state, open_socket(argv[3], atoi(argv[4])), atoi(argv[6]) + i };
		if (i > 0 && pthread_create(&thread, NULL, serve, &workers[i]))
			fail("thread");
	}
	puts("ready");
	fflush(stdout);
	serve(&workers[0]);
	return 0;
}
