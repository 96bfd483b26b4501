// SPDX-License-Identifier: MIT
/* floor_map_redis SOCKET CPU [COUNT]: a redis server over a unix socket, one request at a time. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/map_trace.h"

#define SET_ANSWER 5u			   /* "+OK\r\n" */
#define GET_ANSWER (6u + TRACE_VALUE + 2u) /* "$100\r\n", the value, "\r\n" */

static int fd;

static void dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die(path);
}

static void request(const char *text, size_t size, char *answer, size_t expected)
{
	if (write(fd, text, size) != (ssize_t)size)
		die("write");
	for (size_t got = 0; got < expected;) {
		ssize_t n = read(fd, answer + got, expected - got);

		if (n <= 0)
			die("read");
		got += (size_t)n;
	}
}

static void set(const char *key, const char *value)
{
	char text[256], answer[SET_ANSWER];
	int n = snprintf(text, sizeof(text), "*3\r\n$3\r\nSET\r\n$14\r\n%s\r\n$100\r\n", key);

	memcpy(text + n, value, TRACE_VALUE);
	memcpy(text + n + TRACE_VALUE, "\r\n", 2);
	request(text, (size_t)n + TRACE_VALUE + 2, answer, sizeof(answer));
}

static void get(const char *key, char *value)
{
	char text[64], answer[GET_ANSWER];
	int n = snprintf(text, sizeof(text), "*2\r\n$3\r\nGET\r\n$14\r\n%s\r\n", key);

	request(text, (size_t)n, answer, sizeof(answer));
	memcpy(value, answer + 6, TRACE_VALUE);
}

int main(int argc, char **argv)
{
	size_t count = argc > 3 ? (size_t)atol(argv[3]) : 50000;
	char first[TRACE_VALUE] = "";

	if (argc < 3)
		return 2;
	pin(atoi(argv[2]));
	trace_begin();
	dial(argv[1]);
	for (unsigned int i = 0; i < TRACE_KEYS; i++)
		set(trace_keys[i], first);
	TRACE_RUN("redis_get", count, get(key, value));
	TRACE_RUN("redis_set", count, set(key, value));
	close(fd);
	return 0;
}
