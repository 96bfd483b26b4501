// SPDX-License-Identifier: MIT
/* Discovery over real sockets: several agents on one host and one port, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "agent/log.h"
#include "agent/net/discover.h"
#include "agent/net/wire.h"

#define AGENTS 3

struct ear {
	struct discover *d;
	struct discover_host host;
	unsigned int heard[MSG_TYPES];
	struct core_addr from; /* of the newest DISCOVER */
	struct core_msg last;
};

static uv_loop_t loop;
static struct ear ears[AGENTS];
static uint16_t port;
static unsigned int offers; /* heard by all of them */

static void on_datagram(void *ctx, const struct core_msg *m, const void *recs,
			const struct core_addr *from)
{
	struct ear *e = ctx;

	(void)recs;
	e->heard[m->type]++;
	e->last = *m;
	offers += m->type == MSG_OFFER;
	if (m->type == MSG_DISCOVER)
		e->from = *from;
}

static uint16_t free_udp_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	close(fd);
	return ntohs(sa.sin_port);
}

static int setup(void **state)
{
	(void)state;
	log_level_set(LOG_LEVEL_ERROR + 1);
	assert_int_equal(uv_loop_init(&loop), 0);
	port = free_udp_port();
	offers = 0;
	for (int i = 0; i < AGENTS; i++) {
		struct discover_config cfg = { &loop, &ears[i].host, "test", port };

		memset(&ears[i], 0, sizeof(ears[i]));
		ears[i].host = (struct discover_host){ &ears[i], on_datagram };
		assert_int_equal(discover_open(&cfg, &ears[i].d), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < AGENTS; i++)
		discover_close(ears[i].d);
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

static void run_until(const unsigned int *count, unsigned int want)
{
	uint64_t deadline = now_ms() + 3000;
	uv_timer_t timer;

	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, wake, 10, 10);
	while (*count < want && now_ms() < deadline)
		uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_true(*count >= want);
}

static struct core_msg discover_msg(uint16_t tcp_port)
{
	return (struct core_msg){
		.type = MSG_DISCOVER, .a = 5, .b = 6, .arg = tcp_port, .name = "test"
	};
}

static void all_on_the_host_hear_a_broadcast(void **state)
{
	struct core_msg m = discover_msg(4711);

	(void)state;
	discover_broadcast(ears[0].d, &m, NULL);
	for (int i = 0; i < AGENTS; i++) {
		run_until(&ears[i].heard[MSG_DISCOVER], 1);
		assert_int_equal(ears[i].from.port, 4711); /* what one can dial */
	}
}

/* Behind a firewall that lets pass nothing else; on a host of several agents one of them hears it. */
static void an_answer_goes_to_the_known_port_too(void **state)
{
	struct core_msg ask = discover_msg(4711);
	struct core_msg answer = {
		.type = MSG_OFFER, .a = 1, .b = 2, .arg = 3, .name = "test", .nrecs = 1
	};
	struct core_addr rec = { .port = 9900 };

	(void)state;
	discover_broadcast(ears[0].d, &ask, NULL);
	run_until(&ears[1].heard[MSG_DISCOVER], 1);
	discover_send(ears[1].d, &ears[1].from, &answer, &rec);
	run_until(&offers, 2);
}

static void an_answer_reaches_just_who_asked(void **state)
{
	struct core_msg ask = discover_msg(4711);
	struct core_msg answer = {
		.type = MSG_OFFER, .a = 1, .b = 2, .arg = 3, .name = "test", .nrecs = 1
	};
	struct core_addr rec = { .port = 9900 };

	(void)state;
	/* Tried often: by chance alone it would reach the right one once in a while. */
	for (unsigned int k = 1; k <= 20; k++) {
		discover_broadcast(ears[0].d, &ask, NULL);
		run_until(&ears[1].heard[MSG_DISCOVER], k);
		discover_send(ears[1].d, &ears[1].from, &answer, &rec);
		run_until(&ears[0].heard[MSG_OFFER], k);
	}
}

static void other_clusters_are_not_heard(void **state)
{
	struct core_msg m = discover_msg(1), ours = discover_msg(2);
	struct discover_stats stats;

	(void)state;
	strcpy(m.name, "other");
	discover_broadcast(ears[0].d, &m, NULL);
	discover_broadcast(ears[0].d, &ours, NULL);
	run_until(&ears[1].heard[MSG_DISCOVER], 1);
	assert_int_equal(ears[1].last.arg, 2);
	discover_stats_get(ears[1].d, &stats);
	assert_true(stats.foreign >= 1);
}

static void throw_bytes(const void *bytes, size_t size)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(0x7fffffff) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)), 0);
	assert_int_equal(sendto(fd, bytes, size, 0, (struct sockaddr *)&sa, sizeof(sa)),
			 (ssize_t)size);
	close(fd);
}

static void malformed_datagrams_are_counted_and_forgotten(void **state)
{
	struct {
		struct wire_header header;
		struct core_msg msg;
		char more[8];
	} d;
	struct core_msg m = discover_msg(3);
	struct discover_stats stats;
	char big[3000];

	(void)state;
	memset(big, 'x', sizeof(big));
	throw_bytes(big, 10);
	throw_bytes(big, sizeof(big));
	memset(&d, 0, sizeof(d));
	wire_seal(&d.header, &m, 0);
	d.msg = m;
	throw_bytes(&d, sizeof(d)); /* longer than it says */
	d.header.version++;
	throw_bytes(&d, sizeof(d) - sizeof(d.more));
	d.header.version--;
	d.msg.nid = 4; /* a field of no use */
	throw_bytes(&d, sizeof(d) - sizeof(d.more));
	discover_broadcast(ears[0].d, &m, NULL);
	run_until(&ears[1].heard[MSG_DISCOVER], 1);
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	discover_stats_get(ears[1].d, &stats);
	assert_int_equal(stats.refused, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_on_the_host_hear_a_broadcast),
		TEST(an_answer_reaches_just_who_asked),
		TEST(an_answer_goes_to_the_known_port_too),
		TEST(other_clusters_are_not_heard),
		TEST(malformed_datagrams_are_counted_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
