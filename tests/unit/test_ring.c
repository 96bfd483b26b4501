// SPDX-License-Identifier: MIT
/* Rings, by one thread at both ends and by many, over shared memory and over two nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/lib_nodes.h"
#include "tests/unit/ring_rig.h"

static uint32_t kind; /* of the rings of the tests that run for both */

static void messages_come_in_order_whatever_their_size(void **state)
{
	struct rig_pair p = rig_ring("order", kind, 4096);
	size_t most = dsm_ring_message_max(p.out);
	uint64_t sent = 0, got = 0, x = 99, rounds = rig_cluster() ? 3000 : 60000;
	static uint8_t buf[4096];

	(void)state;
	while (got < rounds) {
		size_t size = rig_size(sent, most);
		void *room;
		ssize_t n;

		if (rig_next(&x) & 1 && dsm_ring_reserve(p.out, size, 0, &room) == 0) {
			/* One in four is smaller in the end, one in eight is none. */
			if (rig_next(&x) % 8 == 0) {
				assert_int_equal(dsm_ring_cancel(p.out, room), 0);
				continue;
			}
			rig_fill(room, size, sent++);
			assert_int_equal(dsm_ring_commit(p.out, room, size), 0);
		} else {
			rig_fill(buf, size, sent);
			sent += !dsm_ring_send(p.out, buf, size, 0);
		}
		if (rig_next(&x) % 3 == 0)
			continue;
		n = dsm_ring_recv(p.in, buf, sizeof(buf), 0);
		if (n == -EAGAIN)
			continue;
		assert_int_equal(n, rig_size(got, most));
		assert_true(rig_is(buf, (size_t)n, got));
		got++;
	}
	assert_int_equal(dsm_ring_validate(p.in), sent - got);
	rig_ring_end(&p, "order");
}

static void a_message_may_become_smaller_than_reserved(void **state)
{
	struct rig_pair p = rig_ring("shrink", kind, 2048);
	uint8_t buf[1024];
	void *room;

	(void)state;
	for (uint64_t i = 0; i < 500; i++) {
		size_t size = rig_size(i, 500);

		assert_int_equal(dsm_ring_reserve(p.out, 500, 0, &room), 0);
		rig_fill(room, size, i);
		assert_int_equal(dsm_ring_commit(p.out, room, 501 + 8), -EINVAL);
		assert_int_equal(dsm_ring_commit(p.out, room, size), 0);
		assert_int_equal(dsm_ring_commit(p.out, room, size), -EINVAL);
		assert_int_equal(dsm_ring_recv(p.in, buf, sizeof(buf), 0), size);
		assert_true(rig_is(buf, size, i));
	}
	rig_ring_end(&p, "shrink");
}

static void batches_are_seen_whole(void **state)
{
	struct rig_pair p = rig_ring("batch", kind, 65536);
	static uint8_t text[40][64];
	struct iovec v[40];
	struct dsm_ring_message m[64];
	uint64_t sent = 0, got = 0;

	(void)state;
	while (got < 4000) {
		for (unsigned int i = 0; i < 40; i++) {
			v[i] = (struct iovec){ text[i], rig_size(sent + i, 64) };
			rig_fill(text[i], v[i].iov_len, sent + i);
		}
		assert_int_equal(dsm_ring_send_many(p.out, v, 40, 0), 40);
		sent += 40;
		assert_int_equal(dsm_ring_peek_many(p.in, m, 64, 0), 40);
		for (int i = 0; i < 40; i++, got++) {
			assert_int_equal(m[i].size, rig_size(got, 64));
			assert_true(rig_is(m[i].data, m[i].size, got));
		}
		assert_int_equal(dsm_ring_release_many(p.in, m, 40), 0);
	}
	/* More than there is room for: what goes, goes. */
	v[0].iov_len = 0;
	for (unsigned int i = 0; i < 40; i++)
		v[i].iov_len = 64;
	for (sent = 0;; sent += (uint64_t)kind) {
		int n = dsm_ring_send_many(p.out, v, 40, 0);

		if (n == -EAGAIN)
			break;
		assert_true(n > 0 && n <= 40);
	}
	assert_int_equal(dsm_ring_send_many(p.out, v, 1, 1000), -ETIMEDOUT);
	rig_ring_end(&p, "batch");
}

static void a_full_or_empty_ring_says_so(void **state)
{
	struct rig_pair p = rig_ring("full", kind, 1024);
	size_t most = dsm_ring_message_max(p.out);
	struct dsm_ring_message m;
	struct dsm_ring_stat s;
	uint8_t buf[1024] = { 0 };
	uint64_t start;

	(void)state;
	assert_int_equal(dsm_ring_recv(p.in, buf, sizeof(buf), 0), -EAGAIN);
	start = test_now_ms();
	assert_int_equal(dsm_ring_recv(p.in, buf, sizeof(buf), 30000), -ETIMEDOUT);
	assert_true(test_now_ms() - start >= 29);
	assert_int_equal(dsm_ring_send(p.out, buf, most + 1, 0), -EMSGSIZE);
	assert_int_equal(dsm_ring_send(p.out, buf, most, 0), 0);
	assert_int_equal(dsm_ring_send(p.out, buf, most, 0), 0);
	assert_int_equal(dsm_ring_send(p.out, buf, most, 0), -EAGAIN);
	assert_int_equal(dsm_ring_send(p.out, buf, most, 5000), -ETIMEDOUT);
	assert_int_equal(dsm_ring_recv(p.in, buf, 10, 0), -EMSGSIZE);
	assert_int_equal(dsm_ring_stat(p.in, &s), 0);
	assert_int_equal(s.capacity, 1024);
	assert_true(s.used >= 2 * most && s.used <= 1024);
	assert_int_equal(dsm_ring_peek(p.in, 0, &m), 0);
	assert_int_equal(m.size, most);
	assert_int_equal(dsm_ring_send(p.out, buf, most, 0), -EAGAIN);
	assert_int_equal(dsm_ring_release(p.in, (const uint8_t *)m.data + 8), -EINVAL);
	assert_int_equal(dsm_ring_release(p.in, buf), -EINVAL);
	assert_int_equal(dsm_ring_release(p.in, m.data), 0);
	assert_int_equal(dsm_ring_release(p.in, m.data), -EINVAL);
	/* Not the greatest: it does not fit into what is left at the end. */
	assert_int_equal(dsm_ring_send(p.out, buf, most - 64, 0), 0);
	assert_int_equal(dsm_ring_recv(p.out, buf, 10, 0), -EPERM);
	assert_int_equal(dsm_ring_send(p.in, buf, 10, 0), -EPERM);
	rig_ring_end(&p, "full");
}

static void an_end_is_one_owners(void **state)
{
	struct rig_pair p = rig_ring("ends", DSM_RING_SPSC, 0);
	struct dsm_ring_message m;
	dsm_ring_t *other;

	(void)state;
	assert_int_equal(dsm_ring_open(seg[1], "ends", DSM_RING_PRODUCER, &other), -EBUSY);
	assert_int_equal(dsm_ring_open(seg[0], "ends", DSM_RING_CONSUMER, &other), -EBUSY);
	assert_int_equal(dsm_ring_open(seg[0], "ends", 0, &other), 0);
	assert_int_equal(dsm_ring_send(other, "", 0, 0), -EPERM);
	dsm_ring_close(other);
	assert_int_equal(dsm_ring_remove(seg[0], "ends"), -EBUSY);
	assert_int_equal(dsm_ring_open(seg[0], "nothing", 0, &other), -ENOENT);
	assert_int_equal(dsm_ring_send(p.out, "abc", 3, 0), 0);
	assert_int_equal(dsm_ring_peek(p.in, 0, &m), 0);
	/* Taken and not released: the next one gets it. */
	dsm_ring_close(p.in);
	assert_int_equal(dsm_ring_open(seg[0], "ends", DSM_RING_CONSUMER, &p.in), 0);
	assert_int_equal(dsm_ring_peek(p.in, 0, &m), 0);
	assert_memory_equal(m.data, "abc", 3);
	rig_ring_end(&p, "ends");
	assert_int_equal(dsm_ring_open(seg[0], "ends", 0, &other), -ENOENT);
}

/* ------------------------------------------------------------ threads */

struct stress {
	const char *name;
	dsm_segment_t *seg;
	uint64_t count; /* of messages of each producer */
	unsigned int producer;
	_Atomic uint64_t *left; /* to receive */
	_Atomic uint8_t *seen;	/* a flag for each message */
	bool failed;
};

static void *produce(void *arg)
{
	struct stress *s = arg;
	uint64_t m[16] = { 0 };
	dsm_ring_t *r;

	s->failed = dsm_ring_open(s->seg, s->name, DSM_RING_PRODUCER, &r);
	for (uint64_t i = 0; !s->failed && i < s->count; i++) {
		m[0] = s->producer * s->count + i;
		s->failed = dsm_ring_send(r, m, 8 + rig_size(i, 100), DEADLINE_MS * 1000);
	}
	dsm_ring_close(r);
	return NULL;
}

static void *consume(void *arg)
{
	struct stress *s = arg;
	uint64_t m[16], last[8];
	dsm_ring_t *r;

	memset(last, 0xff, sizeof(last));
	s->failed = dsm_ring_open(s->seg, s->name, DSM_RING_CONSUMER, &r);
	while (!s->failed && atomic_load(s->left)) {
		ssize_t n = dsm_ring_recv(r, m, sizeof(m), 5000);

		if (n == -ETIMEDOUT)
			continue;
		/* Each once, and those of one producer in its order. */
		s->failed = n < 8 || atomic_exchange(&s->seen[m[0]], 1) ||
			    (last[m[0] / s->count] != UINT64_MAX && last[m[0] / s->count] >= m[0]);
		if (s->failed)
			break;
		last[m[0] / s->count] = m[0];
		atomic_fetch_sub(s->left, 1);
	}
	dsm_ring_close(r);
	return NULL;
}

static void stress(uint32_t of_kind, unsigned int each, uint64_t count)
{
	struct dsm_ring_options o = { .capacity = 4096, .kind = of_kind };
	static _Atomic uint8_t seen[400000];
	_Atomic uint64_t left = each * count;
	struct stress s[8];
	pthread_t thread[8];
	dsm_ring_t *r;

	memset((void *)seen, 0, sizeof(seen));
	assert_int_equal(dsm_ring_create(seg[0], "stress", &o, &r), 0);
	for (unsigned int i = 0; i < 2 * each; i++) {
		s[i] = (struct stress){ "stress", seg[i % 2], count, i / 2, &left, seen, false };
		assert_int_equal(pthread_create(&thread[i], NULL, i % 2 ? consume : produce, &s[i]),
				 0);
	}
	for (unsigned int i = 0; i < 2 * each; i++) {
		pthread_join(thread[i], NULL);
		assert_false(s[i].failed);
	}
	assert_int_equal(left, 0);
	assert_int_equal(dsm_ring_validate(r), 0);
	dsm_ring_close(r);
	assert_int_equal(dsm_ring_remove(seg[0], "stress"), 0);
}

static void two_threads_wait_for_each_other(void **state)
{
	(void)state;
	stress(DSM_RING_SPSC, 1, rig_cluster() ? 2000 : 100000);
}

static void many_threads_get_each_message_once(void **state)
{
	(void)state;
	stress(DSM_RING_MPMC, rig_cluster() ? 2 : 4, rig_cluster() ? 150 : 20000);
}

/* ------------------------------------------------------------ waiting */

static void *send_later(void *arg)
{
	poll(NULL, 0, 20);
	assert_int_equal(dsm_ring_send(arg, "x", 1, 0), 0);
	return NULL;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

static void a_descriptor_tells_of_messages(void **state)
{
	struct rig_pair p = rig_ring("poll", kind, 0);
	int fd = dsm_ring_fd(p.in), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	char byte;

	(void)state;
	assert_true(fd >= 0 && epoll >= 0);
	assert_int_equal(dsm_ring_fd(p.in), fd);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		assert_int_equal(dsm_ring_arm(p.in), 0);
		assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
		assert_int_equal(pthread_create(&thread, NULL, send_later, p.out), 0);
		assert_int_equal(epoll_wait(epoll, &event, 1, DEADLINE_MS), 1);
		assert_int_equal(dsm_ring_arm(p.in), 1);
		assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
		assert_int_equal(dsm_ring_recv(p.in, &byte, 1, 0), 1);
		pthread_join(thread, NULL);
	}
	close(epoll);
	assert_int_equal(dsm_ring_fd(p.out), -EPERM);
	/* Closed while somebody waits for it. */
	assert_int_equal(dsm_ring_arm(p.in), 0);
	rig_ring_end(&p, "poll");
}

static void each_of_many_consumers_has_a_descriptor(void **state)
{
	struct rig_pair p = rig_ring("polls", DSM_RING_MPMC, 0);
	dsm_ring_t *in[2] = { p.in };
	int fd[2], got = 0;
	char byte;

	(void)state;
	assert_int_equal(dsm_ring_open(seg[1], "polls", DSM_RING_CONSUMER, &in[1]), 0);
	for (int i = 0; i < 2; i++) {
		fd[i] = dsm_ring_fd(in[i]);
		assert_true(fd[i] >= 0);
		assert_int_equal(dsm_ring_arm(in[i]), 0);
	}
	assert_int_equal(dsm_ring_send(p.out, "x", 1, 0), 0);
	for (int i = 0; i < 2; i++)
		assert_true(readable(fd[i], DEADLINE_MS));
	for (int i = 0; i < 2; i++)
		got += dsm_ring_recv(in[i], &byte, 1, 0) == 1;
	assert_int_equal(got, 1);
	dsm_ring_close(in[1]);
	rig_ring_end(&p, "polls");
}

/* What is the parent's stays the parent's; an MPMC ring is anybody's, by a descriptor of its own. */
static void a_child_has_no_part_in_its_parents_descriptor(void **state)
{
	struct rig_pair p = rig_ring("child", kind, 0);
	int fd = dsm_ring_fd(p.in);
	pid_t child;
	char byte;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(dsm_ring_arm(p.in), 0);
	child = fork();
	if (!child) {
		int of_child = dsm_ring_fd(p.in);
		bool good = of_child == -EPERM;

		if (kind == DSM_RING_MPMC)
			good = of_child >= 0 && dsm_ring_arm(p.in) == 0 &&
			       dsm_ring_send(p.out, "c", 1, 0) == 0 &&
			       readable(of_child, DEADLINE_MS);
		dsm_ring_close(p.in);
		_exit(!good);
	}
	rig_reap(child);
	if (kind == DSM_RING_SPSC) {
		assert_false(readable(fd, 0));
		assert_int_equal(dsm_ring_send(p.out, "p", 1, 0), 0);
	}
	assert_true(readable(fd, DEADLINE_MS));
	assert_int_equal(dsm_ring_recv(p.in, &byte, 1, 0), 1);
	rig_ring_end(&p, "child");
}

static void an_idle_wait_costs_next_to_nothing(void **state)
{
	struct rig_pair p = rig_ring("idle", kind, 0);
	uint64_t before, used, sleeps;
	char byte;

	(void)state;
	before = rig_cpu_us();
	assert_int_equal(dsm_ring_recv(p.in, &byte, 1, 1000000), -ETIMEDOUT);
	used = rig_cpu_us() - before;
	/* A thousandth; or twenty wake-ups, at up to six times what a bare one costs here now. */
	sleeps = rig_sleeps_cost_us(120);
	if (used > 1000 && used > sleeps)
		fail_msg("%llu us in a second, 120 sleeps %llu us", (unsigned long long)used,
			 (unsigned long long)sleeps);
	rig_ring_end(&p, "idle");
}

static void a_child_has_no_part_in_its_parents_ends(void **state)
{
	struct rig_pair p = rig_ring("fork", DSM_RING_SPSC, 0);
	char byte;
	pid_t child = fork();

	(void)state;
	if (!child) {
		int err = dsm_ring_send(p.out, "c", 1, 0);

		dsm_ring_close(p.out);
		_exit(err != -EPERM);
	}
	rig_reap(child);
	assert_int_equal(dsm_ring_send(p.out, "p", 1, 0), 0);
	assert_int_equal(dsm_ring_recv(p.in, &byte, 1, 0), 1);
	assert_int_equal(byte, 'p');
	rig_ring_end(&p, "fork");
}

static int spsc(void **state)
{
	(void)state;
	kind = DSM_RING_SPSC;
	return 0;
}

static int mpmc(void **state)
{
	(void)state;
	kind = DSM_RING_MPMC;
	return 0;
}

#define OF_KIND(of)                                                                                \
	cmocka_unit_test_setup(messages_come_in_order_whatever_their_size, of),                    \
		cmocka_unit_test_setup(a_message_may_become_smaller_than_reserved, of),            \
		cmocka_unit_test_setup(batches_are_seen_whole, of),                                \
		cmocka_unit_test_setup(a_full_or_empty_ring_says_so, of),                          \
		cmocka_unit_test_setup(a_descriptor_tells_of_messages, of),                        \
		cmocka_unit_test_setup(an_idle_wait_costs_next_to_nothing, of)
#define BOTH                                                                                       \
	OF_KIND(spsc), OF_KIND(mpmc), cmocka_unit_test(an_end_is_one_owners),                      \
		cmocka_unit_test(two_threads_wait_for_each_other),                                 \
		cmocka_unit_test(many_threads_get_each_message_once),                              \
		cmocka_unit_test(each_of_many_consumers_has_a_descriptor)

int main(void)
{
	const struct CMUnitTest host[] = {
		BOTH,
		cmocka_unit_test_setup(a_child_has_no_part_in_its_parents_descriptor, spsc),
#ifndef __SANITIZE_THREAD__ /* takes the child's thread for the parent's */
		cmocka_unit_test_setup(a_child_has_no_part_in_its_parents_descriptor, mpmc),
#endif
		cmocka_unit_test(a_child_has_no_part_in_its_parents_ends),
	};
	int failed = cmocka_run_group_tests(host, rig_open_host, rig_close_host);
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	const struct CMUnitTest cluster[] = { BOTH };

	failed += cmocka_run_group_tests(cluster, rig_open_cluster, rig_close_cluster);
#endif
	return failed;
}
