// SPDX-License-Identifier: MIT
/*
 * The C side of tests with Python: it turns everything it gets round and sends it back.
 *
 *   python_peer serve|ask|channel|map|heap URI [COUNT]
 */
#include <dsm/channel.h>
#include <dsm/connection.h>
#include <dsm/heap.h>
#include <dsm/map.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US 20000000
#define ROOM	    8192

static uint8_t bytes[ROOM];

static int failed(const char *what)
{
	fprintf(stderr, "python_peer: %s: %s\n", what, dsm_last_error());
	return 1;
}

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static void turn_round(size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		uint8_t first = bytes[i];

		bytes[i] = bytes[n - 1 - i];
		bytes[n - 1 - i] = first;
	}
}

static int serve(dsm_segment_t *seg, int count)
{
	dsm_listener_t *listener;
	dsm_conn_t *conn;
	ssize_t n;

	(void)count;
	if (dsm_listener_create(seg, "peer", NULL, &listener))
		return failed("listen");
	say("ready");
	if (dsm_listener_accept(listener, PATIENCE_US, &conn))
		return failed("accept");
	while ((n = dsm_conn_recv(conn, bytes, sizeof(bytes), PATIENCE_US)) >= 0) {
		turn_round((size_t)n);
		if (dsm_conn_send(conn, bytes, (size_t)n, PATIENCE_US))
			return failed("send");
	}
	dsm_conn_close(conn);
	dsm_listener_close(listener);
	return n == -EPIPE ? 0 : failed("recv");
}

static int ask(dsm_segment_t *seg, int count)
{
	dsm_conn_t *conn;
	int answers = 0;

	if (dsm_conn_open(seg, "peer", &conn))
		return failed("connect");
	for (int i = 0; i < count; i++) {
		char text[32];
		int n = snprintf(text, sizeof(text), "question %d", i);

		if (dsm_conn_send(conn, text, (size_t)n, PATIENCE_US) ||
		    dsm_conn_recv(conn, bytes, sizeof(bytes), PATIENCE_US) != n)
			return failed("ask");
		turn_round((size_t)n);
		answers += !memcmp(bytes, text, (size_t)n);
	}
	dsm_conn_close(conn);
	printf("%d answers\n", answers);
	return 0;
}

static int channel(dsm_segment_t *seg, int count)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch;
	int n;

	(void)count;
	o.role = DSM_CHANNEL_SLAVE;
	if (dsm_channel_open(seg, "peer", &o, &ch))
		return failed("open");
	say("ready");
	do {
		n = dsm_channel_read_timed(ch, bytes, sizeof(bytes), PATIENCE_US, NULL);
		if (n < 0)
			return failed("read");
		turn_round((size_t)n);
		if (dsm_channel_write(ch, bytes, (size_t)n))
			return failed("write");
	} while (n != 3 || memcmp(bytes, "dne", 3));
	dsm_channel_close(ch);
	return 0;
}

static int map(dsm_segment_t *seg, int count)
{
	dsm_map_t *m;
	ssize_t n;

	(void)count;
	if (dsm_map_open(seg, "peer", &m))
		return failed("open");
	n = dsm_map_get(m, "from Python", 11, bytes, sizeof(bytes) - 1, NULL);
	if (n < 0)
		return failed("get");
	bytes[n] = 0;
	say((char *)bytes);
	if (dsm_map_set(m, "from C", 6, "2", 1, NULL))
		return failed("set");
	dsm_map_close(m);
	return 0;
}

static int heap(dsm_segment_t *seg, int count)
{
	struct dsm_root root;
	dsm_heap_t *h;
	uint64_t off;

	(void)count;
	if (dsm_heap_open(seg, &h) || dsm_segment_root_get(seg, "block", &root))
		return failed("open");
	say(dsm_heap_ptr(h, root.offset));
	off = dsm_heap_alloc(h, 64);
	if (!off)
		return failed("alloc");
	memcpy(bytes, dsm_heap_ptr(h, root.offset), 5);
	turn_round(5);
	memcpy(dsm_heap_ptr(h, off), bytes, 5);
	if (dsm_segment_root_set(seg, "block", off) || dsm_heap_free(h, root.offset))
		return failed("give");
	dsm_heap_close(h);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*work)(dsm_segment_t *seg, int count);
	} works[] = { { "serve", serve },
		      { "ask", ask },
		      { "channel", channel },
		      { "map", map },
		      { "heap", heap } };
	dsm_segment_t *seg;

	if (argc < 3)
		return 2;
	if (dsm_segment_open(argv[2], NULL, &seg))
		return failed(argv[2]);
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (!strcmp(argv[1], works[i].name)) {
			int status = works[i].work(seg, argc > 3 ? atoi(argv[3]) : 1);

			dsm_segment_close(seg);
			return status;
		}
	}
	return 2;
}
