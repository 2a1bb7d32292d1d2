/*
 * What the sync is compared with, and measured by: a client in C that does nothing with what it reads.
 *
 *   client SOCKET pages SHA1 FEED PATTERN COUNT BYTES FORM FIELD MAX   all sessions, by the gateway's page script
 *   client SOCKET plain PATTERN COUNT FIELD                            all sessions, by SCAN and pipelined HGET and
 * PEXPIRETIME client SOCKET visible MAP HASHES PREFIX FEED RATE                  one write after the other, until the
 * kernel has it client SOCKET burst MAP HASH SHA1 FEED ENTRIES SESSIONS LAST       entries by a script, until the
 * kernel has the last one
 *
 * `pages` and `plain`, in which the next request is under way while a reply is read, print the number of sessions and
 * the seconds; `visible` prints p50, p99, p99.9 and the maximum in microseconds; `burst` the seconds from the script's
 * end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 18, OUT_BYTES = 1 << 21, KEYS_MAX = 1 << 14, KEY_MAX = 1100, WRITES_MAX = 1 << 20 };

static int server;
static char in[IN_BYTES], out[OUT_BYTES];
static size_t in_at, in_end, out_end;

static void fail(const char *what)
{
	fprintf(stderr, "client: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fill(void)
{
	ssize_t bytes = read(server, in, sizeof(in));

	if (bytes <= 0)
		fail("read");
	in_at = 0;
	in_end = (size_t)bytes;
}

static char next_byte(void)
{
	if (in_at == in_end)
		fill();
	return in[in_at++];
}

/* The number of a line like ":12", whose first byte was read. */
static long number(void)
{
	long value = 0, sign = 1;

	for (char byte = next_byte(); byte != '\r'; byte = next_byte()) {
		if (byte == '-')
			sign = -1;
		else
			value = 10 * value + byte - '0';
	}
	next_byte();
	return sign * value;
}

static void take(char *to, size_t bytes)
{
	while (bytes > 0) {
		if (in_at == in_end)
			fill();
		size_t part = in_end - in_at < bytes ? in_end - in_at : bytes;

		if (to) {
			memcpy(to, in + in_at, part);
			to += part;
		}
		in_at += part;
		bytes -= part;
	}
}

/* Reads a bulk string; returns its length, -1 for none. */
static long bulk(char *to, size_t room)
{
	if (next_byte() != '$')
		fail("a bulk string");
	long bytes = number();

	if (bytes < 0)
		return -1;
	if (to && (size_t)bytes >= room)
		fail("a longer string than there is room for");
	take(to, (size_t)bytes);
	if (to)
		to[bytes] = 0;
	take(NULL, 2);
	return bytes;
}

static long array(void)
{
	if (next_byte() != '*')
		fail("a list");
	return number();
}

static void skip(void)
{
	long bytes;

	switch (next_byte()) {
	case ':':
		number();
		break;
	case '$':
		bytes = number();
		if (bytes >= 0)
			take(NULL, (size_t)bytes + 2);
		break;
	case '*':
		for (long left = number(); left > 0; left--)
			skip();
		break;
	default:
		fail("a reply");
	}
}

static void flush(void)
{
	for (size_t at = 0; at < out_end;) {
		ssize_t bytes = write(server, out + at, out_end - at);

		if (bytes <= 0)
			fail("write");
		at += (size_t)bytes;
	}
	out_end = 0;
}

static void command(int count, ...)
{
	va_list args;

	if (out_end + (size_t)count * (KEY_MAX + 16) > sizeof(out))
		flush();
	out_end += (size_t)sprintf(out + out_end, "*%d\r\n", count);
	va_start(args, count);
	while (count-- > 0) {
		const char *arg = va_arg(args, const char *);

		out_end += (size_t)sprintf(out + out_end, "$%zu\r\n%s\r\n", strlen(arg), arg);
	}
	va_end(args);
}

static void ask_page(char **argv, const char *cursor)
{
	command(11, "EVALSHA_RO", argv[0], "1", argv[1], cursor, argv[2], argv[3], argv[4], argv[5], argv[6], argv[7]);
	flush();
}

static long pages(char **argv)
{
	long sessions = 0;
	char cursor[32] = "0";

	ask_page(argv, cursor);
	do {
		long length = array();

		bulk(cursor, sizeof(cursor));
		if (strcmp(cursor, "0") != 0)
			ask_page(argv, cursor);
		for (long left = length - 1; left > 0; left--)
			skip();
		sessions += (length - 2) / 3;
	} while (strcmp(cursor, "0") != 0);
	return sessions;
}

/* One SCAN is asked for ahead, and the values of its keys together with the next one. */
static long plain(char **argv)
{
	static char key[KEY_MAX];
	long sessions = 0, keys = 0;
	char cursor[32] = "0";

	command(6, "SCAN", cursor, "MATCH", argv[0], "COUNT", argv[1]);
	for (int last = 0; !last;) {
		long before = keys;

		flush();
		if (array() != 2)
			fail("a page");
		bulk(cursor, sizeof(cursor));
		last = strcmp(cursor, "0") == 0;
		if (!last)
			command(6, "SCAN", cursor, "MATCH", argv[0], "COUNT", argv[1]);
		keys = array();
		for (long i = 0; i < keys; i++) {
			bulk(key, sizeof(key));
			command(3, "HGET", key, argv[2]);
			command(2, "PEXPIRETIME", key);
		}
		flush();
		sessions += keys;
		for (long i = 0; i < 2 * before; i++)
			skip();
		if (last) {
			for (long i = 0; i < 2 * keys; i++)
				skip();
		}
		/* The next page's SCAN was answered before these keys' values, which are read in the next turn. */
	}
	return sessions;
}

static int map_open(const char *path)
{
	union bpf_attr attr = { .pathname = (uint64_t)path };

	return (int)syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
}

static int map_has(int map, const unsigned char *key)
{
	static unsigned char value[4096];
	union bpf_attr attr = { .map_fd = (uint32_t)map, .key = (uint64_t)key, .value = (uint64_t)value };

	return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) == 0;
}

static int ascending(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/* Replies are read and not looked at: what was refused never becomes visible, and that is noticed. */
static void discard_replies(void)
{
	while (recv(server, in, sizeof(in), MSG_DONTWAIT) > 0)
		;
}

static void visible(char **argv)
{
	static unsigned char hashes[16 * WRITES_MAX];
	static double sent[WRITES_MAX], took[WRITES_MAX];
	const struct timespec pause = { .tv_nsec = 10000 };
	int map = map_open(argv[0]), file = open(argv[1], O_RDONLY);
	long writes, written = 0, seen = 0;
	double rate = atof(argv[4]), started, waited;

	if (map < 0 || file < 0)
		fail("open the map or the hashes");
	writes = read(file, hashes, sizeof(hashes)) / 16;
	if (writes < 1)
		fail("read the hashes");
	prctl(PR_SET_TIMERSLACK, 1);
	started = waited = now();
	while (seen < writes) {
		char key[KEY_MAX], sid[KEY_MAX / 2];
		double time = now();

		for (; written < writes && time >= started + (double)written / rate; written++) {
			sprintf(sid, "%s%ld", argv[2], written);
			sprintf(key, "sess:%s", sid);
			command(8, "FCALL", "session_set", "2", key, argv[3], sid, "web-1", "3600000");
			flush();
			sent[written] = now();
		}
		for (; seen < written && map_has(map, hashes + 16 * seen); seen++)
			took[seen] = 1e6 * (now() - sent[seen]);
		if (seen == written)
			waited = time;
		if (time - waited > 30)
			fail("a write that becomes visible");
		discard_replies();
		nanosleep(&pause, NULL);
	}
	qsort(took, (size_t)writes, sizeof(*took), ascending);
	printf("%.0f %.0f %.0f %.0f\n", took[writes / 2], took[writes * 99 / 100], took[writes * 999 / 1000],
	       took[writes - 1]);
}

static void burst(char **argv)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	unsigned char hash[16];
	int map = map_open(argv[0]), file = open(argv[1], O_RDONLY);

	if (map < 0 || file < 0 || read(file, hash, sizeof(hash)) != sizeof(hash))
		fail("open the map or the hash");
	command(7, "EVALSHA", argv[2], "1", argv[3], argv[4], argv[5], argv[6]);
	flush();
	skip();
	double added = now();

	while (!map_has(map, hash)) {
		if (now() - added > 120)
			fail("an entry that reaches the kernel");
		nanosleep(&pause, NULL);
	}
	printf("%f\n", now() - added);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (argc < 6 || strlen(argv[1]) >= sizeof(address.sun_path))
		fail("arguments");
	strcpy(address.sun_path, argv[1]);
	server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	double started = now();

	if (strcmp(argv[2], "visible") == 0 || strcmp(argv[2], "burst") == 0) {
		(strcmp(argv[2], "visible") == 0 ? visible : burst)(argv + 3);
		return 0;
	}
	long sessions = strcmp(argv[2], "pages") == 0 ? pages(argv + 3) : plain(argv + 3);

	printf("%ld %f\n", sessions, now() - started);
	return 0;
}
