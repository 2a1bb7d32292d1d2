/*
 * What the sync is compared with, and measured by: a client in C that does nothing with what it reads.
 *
 *   pages SHA1 FEED PATTERN COUNT BYTES FORM FIELD MAX: all sessions, by the gateway's page script
 *   plain PATTERN COUNT FIELD: all sessions, by SCAN and pipelined HGET and PEXPIRETIME
 *   visible OBJECT CHANGES DAEMON HASHES PREFIX FEED RATE: one write after the other, until the kernel has it
 *   follow CPU HASHES PREFIX FEED RATE: the same, brought into a map of its own by a follower in C on that CPU
 *   burst MAP HASH SHA1 FEED ENTRIES SESSIONS LAST: entries by a script, until the kernel has the last one
 *
 * Each comes after the path of Redis's socket. `pages` and `plain`, in which the next request is under way while a
 * reply is read, print the number of sessions and the seconds; `visible` and `follow` p50, p99, p99.9 and the maximum
 * in microseconds; `burst` the seconds from the script's end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 18, OUT_BYTES = 1 << 21, KEYS_MAX = 1 << 14, KEY_MAX = 1100, ID_MAX = 64, WRITES_MAX = 1 << 20 };

static int server;
static char in[IN_BYTES], out[OUT_BYTES];
static size_t in_at, in_end, out_end;

static void fail(const char *what)
{
	fprintf(stderr, "client: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static double now(void)
{
	return (double)now_ns() / 1e9;
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

static int map_has(int map, const unsigned char *key)
{
	static unsigned char value[4096];

	return bpf_map_lookup_elem(map, key, value) == 0;
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

static unsigned char hashes[16 * WRITES_MAX];

static long read_hashes(const char *path)
{
	int file = open(path, O_RDONLY);
	long count = file < 0 ? 0 : read(file, hashes, sizeof(hashes)) / 16;

	if (count < 1)
		fail("read the hashes");
	return count;
}

/*
 * From now on the changes that a daemon makes are stamped: returns the map that has cookie hash -> CLOCK_MONOTONIC, ns.
 * argv: OBJECT CHANGES DAEMON
 */
static int stamps_of(char **argv)
{
	struct bpf_object *object = bpf_object__open_file(argv[0], NULL);
	struct bpf_program *program = object ? bpf_object__find_program_by_name(object, "stamp") : NULL;
	struct bpf_map *changes = object ? bpf_object__find_map_by_name(object, "changes") : NULL;
	struct bpf_map *constants = object ? bpf_object__find_map_by_name(object, ".rodata") : NULL;
	uint32_t daemon = (uint32_t)atol(argv[2]);

	/* Its only constant is the daemon. */
	if (!program || !changes || !constants || bpf_map__reuse_fd(changes, bpf_obj_get(argv[1])) < 0 ||
	    bpf_map__set_initial_value(constants, &daemon, sizeof(daemon)) < 0 || bpf_object__load(object) < 0 ||
	    !bpf_program__attach(program))
		fail("stamp the daemon's changes");
	return bpf_object__find_map_fd_by_name(object, "stamps");
}

static uint64_t stamp_of(int stamps, long write)
{
	uint64_t stamp = 0;

	return bpf_map_lookup_elem(stamps, hashes + 16 * write, &stamp) == 0 ? stamp : 0;
}

/* Nobody waits for a write before the next one is due, or looks whether it is there. argv: HASHES PREFIX FEED RATE */
static void visible(int stamps, char **argv)
{
	static double took[WRITES_MAX];
	static uint64_t sent[WRITES_MAX];
	long writes = read_hashes(argv[0]);
	double started = now(), rate = atof(argv[3]);

	prctl(PR_SET_TIMERSLACK, 1);
	for (long written = 0; written < writes; written++) {
		char key[KEY_MAX], sid[KEY_MAX / 2];
		double due = started + (double)written / rate;
		struct timespec wake = { .tv_sec = (time_t)due, .tv_nsec = (long)((due - (double)(time_t)due) * 1e9) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
		sprintf(sid, "%s%ld", argv[1], written);
		sprintf(key, "sess:%s", sid);
		command(8, "FCALL", "session_set", "2", key, argv[2], sid, "web-1", "3600000");
		sent[written] = now_ns();
		flush();
		discard_replies();
	}
	for (double written = now(); !stamp_of(stamps, writes - 1); usleep(1000)) {
		if (now() - written > 30)
			fail("a write that becomes visible");
	}
	for (long i = 0; i < writes; i++) {
		uint64_t stamp = stamp_of(stamps, i);

		if (stamp < sent[i])
			fail("a stamp for each write, after it");
		took[i] = (double)(stamp - sent[i]) / 1e3;
	}
	qsort(took, (size_t)writes, sizeof(*took), ascending);
	printf("%.0f %.0f %.0f %.0f\n", took[writes / 2], took[writes * 99 / 100], took[writes * 999 / 1000],
	       took[writes - 1]);
}

static void stamp(int stamps, long write)
{
	uint64_t time = 0;

	/* The update is the change that is measured: only the time after it can be kept, by a second one. */
	bpf_map_update_elem(stamps, hashes + 16 * write, &time, BPF_ANY);
	time = now_ns();
	bpf_map_update_elem(stamps, hashes + 16 * write, &time, BPF_ANY);
}

/* The feed's newest entry, or what is before any. */
static void newest_entry(const char *feed, char *id)
{
	strcpy(id, "0-0");
	command(6, "XREVRANGE", feed, "+", "-", "COUNT", "1");
	flush();
	if (array() == 1) {
		array();
		bulk(id, ID_MAX);
		skip();
	}
}

/* Follows the feed as the daemon does, without a check or an answer to anything: what remains is the machine's time. */
static void follow_feed(int stamps, const char *prefix, const char *feed, char *id)
{
	char name[KEY_MAX], value[KEY_MAX];

	for (;;) {
		command(8, "XREAD", "COUNT", "2000", "BLOCK", "60000", "STREAMS", feed, id);
		flush();
		if (array() < 0)
			return;
		array();
		bulk(NULL, 0);
		for (long entries = array(); entries > 0; entries--) {
			array();
			bulk(id, ID_MAX);
			for (long fields = array() / 2; fields > 0; fields--) {
				bulk(name, sizeof(name));
				bulk(value, sizeof(value));
				if (strcmp(name, "sid") == 0 && strncmp(value, prefix, strlen(prefix)) == 0)
					stamp(stamps, atol(value + strlen(prefix)));
			}
		}
	}
}

static void connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		fail("the socket's path");
	strcpy(address.sun_path, path);
	server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
}

/* argv: CPU HASHES PREFIX FEED RATE */
static void follow(const char *path, char **argv)
{
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, NULL, 16, 8, WRITES_MAX, NULL);
	char id[ID_MAX];
	cpu_set_t cpus;
	pid_t child;

	if (map < 0)
		fail("make a map");
	read_hashes(argv[1]);
	newest_entry(argv[3], id);
	child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CPU_ZERO(&cpus);
		CPU_SET(atoi(argv[0]), &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
			fail("take a CPU");
		connect_to(path);
		follow_feed(map, argv[2], argv[3], id);
		_exit(1);
	}
	visible(map, argv + 1);
	kill(child, SIGKILL);
}

static void burst(char **argv)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	unsigned char hash[16];
	int map = bpf_obj_get(argv[0]), file = open(argv[1], O_RDONLY);

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
	if (argc < 6)
		fail("arguments");
	const char *path = argv[1], *what = argv[2];
	char **args = argv + 3;

	connect_to(path);
	double started = now();

	if (strcmp(what, "visible") == 0) {
		visible(stamps_of(args), args + 3);
	} else if (strcmp(what, "follow") == 0) {
		follow(path, args);
	} else if (strcmp(what, "burst") == 0) {
		burst(args);
	} else {
		long sessions = strcmp(what, "pages") == 0 ? pages(args) : plain(args);

		printf("%ld %f\n", sessions, now() - started);
	}
	return 0;
}
