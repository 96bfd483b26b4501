// SPDX-License-Identifier: MIT
/* Connections: opening, closing, dying, and a server of many; over shared memory and two nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib_nodes.h"
#include "tests/unit/ring_rig.h"

#define WAIT_US (DEADLINE_MS * 1000)

static dsm_listener_t *listener;

static int serve(void **state)
{
	struct dsm_listener_options o = { .ring_size = 1024, .max_conns = 100 };

	(void)state;
	if (dsm_listener_create(seg[0], "srv", &o, &listener)) {
		print_error("%s\n", dsm_last_error());
		return -1;
	}
	return 0;
}

static int serve_no_more(void **state)
{
	(void)state;
	dsm_listener_close(listener);
	listener = NULL;
	return dsm_listener_remove(seg[1], "srv");
}

static dsm_conn_t *client(void)
{
	dsm_conn_t *c;

	if (dsm_conn_open(seg[1], "srv", &c))
		fail_msg("%s", dsm_last_error());
	return c;
}

static dsm_conn_t *accepted(void)
{
	dsm_conn_t *c;

	if (dsm_listener_accept(listener, WAIT_US, &c))
		fail_msg("%s", dsm_last_error());
	return c;
}

static void both_sides_talk_and_close(void **state)
{
	dsm_conn_t *c, *s;
	char text[16];
	uint32_t pid, node_id;

	(void)state;
	c = client();
	/* At once, before it is accepted. */
	assert_int_equal(dsm_conn_send(c, "hello", 5, 0), 0);
	s = accepted();
	assert_int_equal(dsm_conn_recv(s, text, sizeof(text), WAIT_US), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(dsm_conn_send(s, "you", 3, 0), 0);
	assert_int_equal(dsm_conn_recv(c, text, sizeof(text), WAIT_US), 3);
	assert_int_equal(dsm_conn_peer(c, &pid, &node_id), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(dsm_listener_validate(seg[1], "srv"), 1);
	/* What was sent before the end is received. */
	assert_int_equal(dsm_conn_send(c, "bye", 3, 0), 0);
	dsm_conn_close(c);
	assert_int_equal(dsm_conn_send(s, "?", 1, 0), -EPIPE);
	assert_int_equal(dsm_conn_recv(s, text, sizeof(text), 0), 3);
	assert_int_equal(dsm_conn_recv(s, text, sizeof(text), 0), -EPIPE);
	assert_int_equal(dsm_conn_recv(s, text, sizeof(text), -1), -EPIPE);
	dsm_conn_close(s);
	assert_int_equal(dsm_listener_validate(seg[1], "srv"), 0);
	c = client();
	s = accepted();
	dsm_conn_close(s);
	assert_int_equal(dsm_conn_recv(c, text, sizeof(text), -1), -EPIPE);
	dsm_conn_close(c);
	assert_int_equal(dsm_listener_validate(seg[0], "srv"), 0);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, DEADLINE_MS) == 1;
}

static void a_descriptor_tells_of_messages_and_of_the_end(void **state)
{
	dsm_conn_t *c = client(), *s = accepted();
	dsm_ring_t *in = dsm_conn_in(s);
	int fd = dsm_ring_fd(in);
	char byte;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(dsm_ring_arm(in), 0);
	assert_int_equal(dsm_conn_send(c, "x", 1, 0), 0);
	assert_true(readable(fd));
	assert_int_equal(dsm_conn_recv(s, &byte, 1, 0), 1);
	assert_int_equal(dsm_ring_arm(in), 0);
	dsm_conn_close(c);
	assert_true(readable(fd));
	assert_int_equal(dsm_conn_recv(s, &byte, 1, 0), -EPIPE);
	assert_int_equal(dsm_ring_arm(in), 1);
	dsm_conn_close(s);
}

static void a_listener_says_what_there_is_to_do(void **state)
{
	dsm_conn_t *c[20], *s[20] = { NULL }, *which;
	char byte;

	(void)state;
	assert_int_equal(dsm_listener_wait(listener, 0, &which), -EAGAIN);
	assert_int_equal(dsm_listener_wait(listener, 20000, &which), -ETIMEDOUT);
	for (int i = 0; i < 20; i++)
		c[i] = client();
	for (int i = 0; i < 20; i++) {
		assert_int_equal(dsm_listener_wait(listener, WAIT_US, &which), DSM_CONN_NEW);
		s[i] = which;
		dsm_conn_set_data(which, &s[i]);
	}
	assert_int_equal(dsm_listener_wait(listener, 0, &which), -EAGAIN);
	for (int round = 0; round < 50; round++) {
		/* Two messages each of every third. */
		int sent = 0, got = 0;

		for (int i = round % 3; i < 20; i += 3, sent += 2)
			for (int k = 0; k < 2; k++)
				assert_int_equal(dsm_conn_send(c[i], "m", 1, 0), 0);
		for (; got < sent; got++) {
			assert_int_equal(dsm_listener_wait(listener, WAIT_US, &which),
					 DSM_CONN_READABLE);
			assert_ptr_equal(*(dsm_conn_t **)dsm_conn_data(which), which);
			assert_int_equal(dsm_conn_recv(which, &byte, 1, 0), 1);
		}
		assert_int_equal(dsm_listener_wait(listener, 0, &which), -EAGAIN);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(dsm_conn_send(c[i], "l", 1, 0), 0);
		dsm_conn_close(c[i]);
	}
	for (int left = 20; left;) {
		int event = dsm_listener_wait(listener, WAIT_US, &which);

		if (event == DSM_CONN_READABLE) {
			assert_int_equal(dsm_conn_recv(which, &byte, 1, 0), 1);
			continue;
		}
		assert_int_equal(event, DSM_CONN_GONE);
		assert_int_equal(dsm_conn_recv(which, &byte, 1, 0), -EPIPE);
		dsm_conn_close(which);
		left--;
	}
	assert_int_equal(dsm_listener_wait(listener, 0, &which), -EAGAIN);
}

static void places_are_used_again_and_end(void **state)
{
	struct dsm_listener_stat stat;
	dsm_conn_t *c[100], *s, *one_more;
	uint32_t places;

	(void)state;
	for (int i = 0; i < 300; i++) {
		dsm_conn_t *conn = client();

		s = accepted();
		dsm_conn_close(i & 1 ? conn : s);
		dsm_conn_close(i & 1 ? s : conn);
	}
	assert_int_equal(dsm_listener_stat(seg[1], "srv", &stat), 0);
	places = stat.places;
	assert_true(places < 50);
	assert_int_equal(stat.server_pid, getpid());
	for (int i = 0; i < 100; i++)
		c[i] = client();
	assert_int_equal(dsm_conn_open(seg[1], "srv", &one_more), -EAGAIN);
	assert_int_equal(dsm_listener_stat(seg[1], "srv", &stat), 0);
	assert_int_equal(stat.open, 100);
	for (int i = 0; i < 100; i++)
		dsm_conn_close(c[i]);
	for (int i = 0; i < 100; i++)
		dsm_conn_close(accepted());
	assert_int_equal(dsm_listener_validate(seg[1], "srv"), 0);
}

static void who_comes_when_nobody_serves_is_refused(void **state)
{
	struct dsm_listener_stat stat;
	dsm_listener_t *other;
	dsm_conn_t *c, *pending;
	char byte;

	(void)state;
	assert_int_equal(dsm_conn_open(seg[1], "nobody", &c), -ENOENT);
	assert_int_equal(dsm_listener_create(seg[1], "srv", NULL, &other), -EBUSY);
	assert_int_equal(dsm_listener_remove(seg[1], "srv"), -EBUSY);
	c = client();
	accepted();
	pending = client();
	dsm_listener_close(listener);
	assert_int_equal(dsm_conn_recv(c, &byte, 1, -1), -EPIPE);
	assert_int_equal(dsm_conn_recv(pending, &byte, 1, -1), -EPIPE);
	assert_int_equal(dsm_listener_stat(seg[1], "srv", &stat), 0);
	assert_int_equal(stat.server_pid, 0);
	assert_int_equal(dsm_listener_remove(seg[1], "srv"), -EBUSY);
	dsm_conn_close(c);
	dsm_conn_close(pending);
	assert_int_equal(dsm_listener_remove(seg[1], "srv"), 0);
	assert_int_equal(dsm_conn_open(seg[1], "srv", &c), -ENOENT);
	assert_int_equal(serve(state), 0);
}

/* ------------------------------------------------------------ deaths */

#define IN_TIME_MS 100
#define STALL_MS   5 /* longer ones excuse a late one */

/* What was noticed of a death just now was in time: true; or the machine had stalled: try again. */
static bool in_time(uint64_t killed_ms)
{
	uint64_t took = test_now_ms() - killed_ms, stall = rig_stall_end();

	if (took > IN_TIME_MS && stall < STALL_MS)
		fail_msg("a death was noticed after %llu ms", (unsigned long long)took);
	return took <= IN_TIME_MS;
}

static pid_t mortal_client(void)
{
	int told[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(told), 0);
	child = fork();
	if (!child) {
		dsm_conn_t *c;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dsm_conn_open(seg[1], "srv", &c) || write(told[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	close(told[0]);
	return child;
}

static uint64_t killed(pid_t child)
{
	uint64_t now = test_now_ms();

	rig_stall_begin();
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	return now;
}

/* Every way to be told: false, it took too long on a machine that stalled. */
static bool notice_a_dead_client(int way)
{
	pid_t child = mortal_client();
	dsm_conn_t *s = accepted(), *which;
	uint64_t killed_ms;
	ssize_t n;
	char byte;

	if (way == 3)
		while (!dsm_conn_send(s, "full", 4, 0))
			;
	if (way == 4) {
		assert_true(dsm_ring_fd(dsm_conn_in(s)) >= 0);
		assert_int_equal(dsm_ring_arm(dsm_conn_in(s)), 0);
	}
	killed_ms = killed(child);
	switch (way) {
	case 0:
		assert_int_equal(dsm_listener_wait(listener, WAIT_US, &which), DSM_CONN_GONE);
		assert_ptr_equal(which, s);
		break;
	case 1:
		assert_int_equal(dsm_conn_recv(s, &byte, 1, WAIT_US), -ECONNRESET);
		break;
	case 2: /* without ever waiting */
		while ((n = dsm_conn_recv(s, &byte, 1, 0)) == -EAGAIN)
			poll(NULL, 0, 1);
		assert_int_equal(n, -ECONNRESET);
		break;
	case 3:
		assert_int_equal(dsm_conn_send(s, "full", 4, WAIT_US), -ECONNRESET);
		break;
	default:
		assert_true(readable(dsm_ring_fd(dsm_conn_in(s))));
		assert_int_equal(dsm_conn_recv(s, &byte, 1, 0), -ECONNRESET);
	}
	dsm_conn_close(s);
	return in_time(killed_ms);
}

static void a_dead_client_is_noticed_in_time(void **state)
{
	(void)state;
	for (int way = 0; way < 5; way++)
		for (int good = 0, tries = 0; good < 3; tries++) {
			good += notice_a_dead_client(way);
			assert_true(tries < 100);
		}
	assert_int_equal(dsm_listener_validate(seg[1], "srv"), 0);
}

static void a_dead_server_is_noticed_and_followed(void **state)
{
	dsm_listener_t *l;
	dsm_conn_t *c, *pending;
	int told[2];
	uint64_t killed_ms;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(told), 0);
	child = fork();
	if (!child) {
		dsm_conn_t *s;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dsm_listener_create(seg[0], "mortal", NULL, &l) ||
		    write(told[1], "r", 1) != 1 || dsm_listener_accept(l, WAIT_US, &s) ||
		    write(told[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_int_equal(dsm_conn_open(seg[1], "mortal", &c), 0);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_int_equal(dsm_conn_open(seg[1], "mortal", &pending), 0);
	assert_int_equal(dsm_conn_send(pending, "w", 1, 0), 0);
	killed_ms = killed(child);
	assert_int_equal(dsm_conn_recv(c, &byte, 1, -1), -ECONNRESET);
	(void)in_time(killed_ms);
	/* The next server ends what was accepted and accepts what was not. */
	assert_int_equal(dsm_listener_create(seg[0], "mortal", NULL, &l), 0);
	dsm_conn_close(c);
	assert_int_equal(dsm_listener_accept(l, WAIT_US, &c), 0);
	assert_int_equal(dsm_conn_recv(c, &byte, 1, WAIT_US), 1);
	assert_int_equal(byte, 'w');
	dsm_listener_close(l);
	assert_int_equal(dsm_conn_recv(pending, &byte, 1, -1), -EPIPE);
	dsm_conn_close(pending);
	assert_int_equal(dsm_listener_validate(seg[0], "mortal"), 0);
	assert_int_equal(dsm_listener_remove(seg[0], "mortal"), 0);
	close(told[0]);
	close(told[1]);
}

static void an_idle_server_costs_next_to_nothing(void **state)
{
	struct rusage a, b;
	dsm_conn_t *c[50], *which;

	(void)state;
	for (int i = 0; i < 50; i++) {
		c[i] = client();
		accepted();
	}
	getrusage(RUSAGE_SELF, &a);
	assert_int_equal(dsm_listener_wait(listener, 500000, &which), -ETIMEDOUT);
	getrusage(RUSAGE_SELF, &b);
	/* Two per cent of half a second. */
	assert_true((b.ru_utime.tv_sec - a.ru_utime.tv_sec) * 1000000 +
			    (b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1000000 +
			    (b.ru_utime.tv_usec - a.ru_utime.tv_usec) +
			    (b.ru_stime.tv_usec - a.ru_stime.tv_usec) <
		    10000);
	for (int i = 0; i < 50; i++)
		dsm_conn_close(c[i]);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, serve, serve_no_more)
#define BOTH                                                                                       \
	SERVED(both_sides_talk_and_close), SERVED(a_descriptor_tells_of_messages_and_of_the_end),  \
		SERVED(a_listener_says_what_there_is_to_do),                                       \
		SERVED(places_are_used_again_and_end),                                             \
		SERVED(who_comes_when_nobody_serves_is_refused),                                   \
		SERVED(a_dead_client_is_noticed_in_time),                                          \
		cmocka_unit_test(a_dead_server_is_noticed_and_followed)

int main(void)
{
	const struct CMUnitTest host[] = {
		BOTH,
		SERVED(an_idle_server_costs_next_to_nothing),
	};
	int failed = cmocka_run_group_tests(host, rig_open_host, rig_close_host);
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	const struct CMUnitTest cluster[] = { BOTH };

	failed += cmocka_run_group_tests(cluster, rig_open_cluster, rig_close_cluster);
#endif
	return failed;
}
