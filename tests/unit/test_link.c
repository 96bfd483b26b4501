// SPDX-License-Identifier: MIT
/* Links: real sockets on loopback, two ends in one loop, and strangers with plain sockets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "agent/listener.h"
#include "agent/log.h"
#include "agent/net/link.h"
#include "agent/net/wire.h"

#define DEADLINE_MS 5000

/* One end: a net and what it told its host. */
struct end {
	struct net *net;
	struct net_host host;
	link_id up, down; /* newest */
	unsigned int ups, downs, msgs;
	struct core_msg last;
	char pages[2 * 4096];
	uint64_t sum; /* of msg.a, which the flood test counts up */
};

static uv_loop_t loop;
static struct end a, b;
static int port;

static void on_up(void *ctx, link_id link, const struct core_addr *peer)
{
	struct end *e = ctx;

	(void)peer;
	e->up = link;
	e->ups++;
}

static void on_down(void *ctx, link_id link)
{
	struct end *e = ctx;

	e->down = link;
	e->downs++;
}

static void on_message(void *ctx, link_id link, const struct core_msg *m, const void *recs,
		       const void *pages)
{
	struct end *e = ctx;

	(void)link;
	(void)recs;
	e->last = *m;
	e->msgs++;
	e->sum += m->a;
	if (m->type == MSG_PAGE_DATA)
		memcpy(e->pages, pages, (size_t)(m->count > 2 ? 2 : m->count) * 4096);
}

static void end_open(struct end *e)
{
	struct net_config cfg = { &loop, &e->host, "test" };

	*e = (struct end){ 0 };
	e->host = (struct net_host){ e, on_up, on_down, on_message };
	e->net = net_new(&cfg);
	assert_non_null(e->net);
}

static int setup(void **state)
{
	(void)state;
	log_level_set(LOG_LEVEL_ERROR + 1);
	assert_int_equal(uv_loop_init(&loop), 0);
	end_open(&a);
	end_open(&b);
	port = net_listen(b.net, 0);
	assert_true(port > 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_free(a.net);
	net_free(b.net);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void wake(uv_timer_t *timer)
{
	(void)timer;
}

/* Runs the loop until *@count reaches @want. */
static void run_until(const unsigned int *count, unsigned int want)
{
	uint64_t deadline = now_ms() + DEADLINE_MS;
	uv_timer_t timer;

	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, wake, 20, 20); /* the loop looks at the deadline so often */
	while (*count < want && now_ms() < deadline) {
		net_flush(a.net);
		net_flush(b.net);
		uv_run(&loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_true(*count >= want);
}

static struct core_addr loopback(int to_port)
{
	struct core_addr addr = { .ip = { [10] = 0xff, 0xff, 127, 0, 0, 1 },
				  .port = (uint16_t)to_port };

	return addr;
}

static void connect_ends(void)
{
	struct core_addr to = loopback(port);

	net_connect(a.net, 1, &to);
	run_until(&a.ups, 1);
	run_until(&b.ups, 1);
	assert_int_equal(a.up, 1);
	assert_int_equal(b.up % 2, 0);
}

static void messages_arrive_whole_and_in_order(void **state)
{
	struct core_msg m = { .type = MSG_HEARTBEAT };
	uint64_t sum = 0;

	(void)state;
	connect_ends();
	for (unsigned int i = 1; i <= 1000; i++) {
		m.a = i;
		sum += i;
		assert_non_null(net_send(a.net, 1, &m, NULL));
	}
	run_until(&b.msgs, 1000);
	assert_int_equal(b.last.a, 1000);
	assert_int_equal(b.sum, sum);
}

static void what_one_pass_sends_is_one_write(void **state)
{
	struct core_msg m = { .type = MSG_HEARTBEAT };
	struct net_stats before, after;

	(void)state;
	connect_ends();
	net_stats_get(a.net, &before);
	for (unsigned int i = 0; i < 50; i++)
		net_send(a.net, 1, &m, NULL);
	net_flush(a.net);
	net_stats_get(a.net, &after);
	assert_int_equal(after.msgs_out - before.msgs_out, 50);
	assert_int_equal(after.writes - before.writes, 1);
}

static void pages_come_with_their_bytes(void **state)
{
	struct core_msg m = { .type = MSG_PAGE_DATA, .key = 7, .count = 2 };
	char *to;

	(void)state;
	connect_ends();
	to = net_send(b.net, b.up, &m, NULL);
	memset(to, 'p', 4096);
	memset(to + 4096, 'q', 4096);
	run_until(&a.msgs, 1);
	assert_int_equal(a.last.count, 2);
	assert_int_equal(a.pages[0], 'p');
	assert_int_equal(a.pages[4095], 'p');
	assert_int_equal(a.pages[8191], 'q');
}

static void more_than_the_socket_takes_arrives_in_the_end(void **state)
{
	struct core_msg m = { .type = MSG_PAGE_DATA, .key = 7, .count = CORE_MSG_PAGES };

	(void)state;
	connect_ends();
	for (unsigned int i = 0; i < 200; i++)
		memset(net_send(a.net, 1, &m, NULL), (int)i, (size_t)CORE_MSG_PAGES * 4096);
	run_until(&b.msgs, 200);
	assert_int_equal((unsigned char)b.pages[0], 199);
}

static void a_message_taken_back_leaves_no_gap(void **state)
{
	struct core_msg m = { .type = MSG_PAGE_DATA, .key = 7, .count = 1 };
	struct core_msg beat = { .type = MSG_HEARTBEAT, .a = 5 };

	(void)state;
	connect_ends();
	assert_non_null(net_send(a.net, 1, &m, NULL));
	net_unsend(a.net, 1);
	net_send(a.net, 1, &beat, NULL);
	run_until(&b.msgs, 1);
	assert_int_equal(b.last.type, MSG_HEARTBEAT);
	assert_int_equal(b.downs, 0);
}

static void a_message_of_our_own_that_is_wrong_is_not_sent(void **state)
{
	struct core_msg m = { .type = MSG_LEAVE, .a = 1 };

	(void)state;
	connect_ends();
	assert_null(net_send(a.net, 1, &m, NULL));
	assert_null(net_send(a.net, 99, &m, NULL)); /* no such link */
}

static void the_end_of_one_is_told_to_the_other(void **state)
{
	(void)state;
	connect_ends();
	net_close(a.net, 1);
	run_until(&b.downs, 1);
	assert_int_equal(b.down, b.up);
	assert_int_equal(a.downs, 0); /* who closes knows */
}

static void last_words_go_out_before_a_close(void **state)
{
	struct core_msg m = { .type = MSG_EVICTED, .arg = 4 };

	(void)state;
	connect_ends();
	net_send(a.net, 1, &m, NULL);
	net_close(a.net, 1);
	run_until(&b.msgs, 1);
	assert_int_equal(b.last.type, MSG_EVICTED);
}

static void nobody_there_is_a_link_down(void **state)
{
	struct core_addr to = loopback(1);

	(void)state;
	net_connect(a.net, 3, &to);
	run_until(&a.downs, 1);
	assert_int_equal(a.down, 3);
}

static void nobody_answering_is_a_link_down_in_bounded_time(void **state)
{
	/* A listener whose queue is full does not answer: so is a host that is gone. */
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int silent = socket(AF_INET, SOCK_STREAM, 0);
	struct core_addr to;

	(void)state;
	assert_int_equal(bind(silent, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(silent, 0), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&sa, &len), 0);
	to = loopback(ntohs(sa.sin_port));
	for (link_id id = 1; id < 11; id += 2)
		net_connect(a.net, id, &to);
	run_until(&a.downs, 1);
	close(silent);
}

static void a_port_in_use_is_refused(void **state)
{
	(void)state;
	assert_int_equal(net_listen(a.net, (uint16_t)port), -EADDRINUSE);
}

/* --- strangers --- */

static int stranger(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	run_until(&b.ups, b.ups + 1);
	return fd;
}

static void assert_turned_away(int fd)
{
	struct net_stats stats;

	run_until(&b.downs, 1);
	net_stats_get(b.net, &stats);
	assert_int_equal(stats.bad_frames, 1);
	assert_int_equal(stats.links, 0);
	close(fd);
}

static void put_frame(int fd, const struct core_msg *m, uint64_t seq)
{
	struct wire_header h;

	wire_seal(&h, m, seq);
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(write(fd, m, sizeof(*m)), sizeof(*m));
}

static void garbage_closes_only_its_own_link(void **state)
{
	struct core_msg m = { .type = MSG_HEARTBEAT };
	char junk[512];
	struct net_stats stats;
	int fd;

	(void)state;
	connect_ends();
	fd = stranger();
	memset(junk, 'G', sizeof(junk));
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	run_until(&b.downs, 1);
	net_send(a.net, 1, &m, NULL);
	run_until(&b.msgs, 1);
	net_stats_get(b.net, &stats);
	assert_int_equal(stats.links, 1);
	close(fd);
}

static void a_replayed_frame_closes_the_link(void **state)
{
	struct core_msg m = { .type = MSG_HEARTBEAT };
	int fd = stranger();

	(void)state;
	put_frame(fd, &m, 1);
	run_until(&b.msgs, 1);
	put_frame(fd, &m, 1);
	assert_turned_away(fd);
	assert_int_equal(b.msgs, 1);
}

static void another_clusters_greeting_is_turned_away(void **state)
{
	struct core_msg m = { .type = MSG_HELLO, .a = 1, .name = "other" };
	int fd = stranger();

	(void)state;
	put_frame(fd, &m, 1);
	assert_turned_away(fd);
	assert_int_equal(b.msgs, 0);
}

static void a_length_that_lies_closes_the_link(void **state)
{
	struct core_msg m = { .type = MSG_PAGE_DATA, .key = 1, .count = 1 };
	struct wire_header h;
	int fd = stranger();

	(void)state;
	wire_seal(&h, &m, 1);
	h.length = 96;
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(write(fd, &m, sizeof(m)), sizeof(m));
	assert_turned_away(fd);
}

static void half_a_frame_and_a_hangup_is_just_a_hangup(void **state)
{
	struct core_msg m = { .type = MSG_HEARTBEAT };
	struct wire_header h;
	int fd = stranger();

	(void)state;
	wire_seal(&h, &m, 1);
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	close(fd);
	run_until(&b.downs, 1);
	assert_int_equal(b.msgs, 0);
}

static void who_says_nothing_does_not_stay(void **state)
{
	int fd = stranger();

	(void)state;
	assert_turned_away(fd);
}

static void strangers_cannot_take_all_places(void **state)
{
	int fds[NET_STRANGERS_MAX + 20];
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct net_stats stats;

	(void)state;
	for (size_t i = 0; i < NET_STRANGERS_MAX + 20; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	run_until(&b.ups, NET_STRANGERS_MAX);
	for (int i = 0; i < 100; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	net_stats_get(b.net, &stats);
	assert_int_equal(stats.links, NET_STRANGERS_MAX);
	for (size_t i = 0; i < NET_STRANGERS_MAX + 20; i++)
		close(fds[i]);
}

/* As if all other descriptors were in use: the lowest free one is over the limit. */
static void descriptors_run_out(struct rlimit *ret_before)
{
	struct rlimit none;
	int lowest = dup(0);

	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_before), 0);
	none = (struct rlimit){ (rlim_t)lowest, ret_before->rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void who_comes_without_descriptors_waits_and_the_loop_rests(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct core_addr to = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	unsigned int turns = 0;
	struct rlimit before;
	uv_timer_t timer;
	uint64_t end;

	(void)state;
	descriptors_run_out(&before);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	net_connect(a.net, 1, &to); /* nor can anybody be dialled */
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, wake, 20, 20);
	for (end = now_ms() + 4 * LISTENER_PAUSE_MS; now_ms() < end; turns++)
		uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_in_range(turns, 1, 60); /* the timer's, and a few */
	assert_int_equal(a.downs, 1);
	assert_int_equal(b.ups, 0);
	run_until(&b.ups, 1);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_arrive_whole_and_in_order),
		TEST(what_one_pass_sends_is_one_write),
		TEST(pages_come_with_their_bytes),
		TEST(more_than_the_socket_takes_arrives_in_the_end),
		TEST(a_message_taken_back_leaves_no_gap),
		TEST(a_message_of_our_own_that_is_wrong_is_not_sent),
		TEST(the_end_of_one_is_told_to_the_other),
		TEST(last_words_go_out_before_a_close),
		TEST(nobody_there_is_a_link_down),
		TEST(nobody_answering_is_a_link_down_in_bounded_time),
		TEST(a_port_in_use_is_refused),
		TEST(garbage_closes_only_its_own_link),
		TEST(a_replayed_frame_closes_the_link),
		TEST(another_clusters_greeting_is_turned_away),
		TEST(a_length_that_lies_closes_the_link),
		TEST(half_a_frame_and_a_hangup_is_just_a_hangup),
		TEST(who_says_nothing_does_not_stay),
		TEST(strangers_cannot_take_all_places),
		TEST(who_comes_without_descriptors_waits_and_the_loop_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
