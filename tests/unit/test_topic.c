// SPDX-License-Identifier: MIT
/* Topics between two real agents, as libdsm's channels use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/pager/uffd.h"
#include "lib/context.h"
#include "lib/topic.h"
#include "tests/unit/lib_nodes.h"

static struct topic *opened(int n, const char *name, uint32_t size, uint32_t flags)
{
	struct topic *t = NULL;

	assert_int_equal(topic_open(node[n], name, size, flags, &t), 0);
	return t;
}

static void publish(struct topic *t, const void *bytes, uint32_t n)
{
	if (slots_write(&t->slots, bytes, n))
		syscall(SYS_futex, &t->slots.head->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	topic_changed(t);
}

static void publish_number(struct topic *t, uint64_t value)
{
	publish(t, &value, sizeof(value));
}

/* The newest value, 0: there is none. */
static uint64_t number_in(const struct topic *t)
{
	uint64_t value = 0, number;

	return slots_read(&t->slots, 0, &value, sizeof(value), &number) == sizeof(value) ? value
											 : 0;
}

static void a_value_comes_to_the_other_node(void **state)
{
	struct topic *p = opened(0, "speed", 64, TOPIC_PUBLISH);
	struct topic *s = opened(1, "speed", 64, TOPIC_SUBSCRIBE);

	(void)state;
	publish_number(p, 41);
	UNTIL(number_in(s) == 41);
	publish_number(p, 42);
	UNTIL(number_in(s) == 42);
	assert_int_equal(slots_newest(&s->slots), 2);
	assert_int_equal(topic_publishers(s), 1);
	topic_close(p);
	UNTIL(topic_publishers(s) == 0);
	assert_int_equal(number_in(s), 42);
	topic_close(s);
}

static void a_late_subscriber_gets_the_value_that_is_there(void **state)
{
	struct topic *p = opened(1, "late", 0, TOPIC_PUBLISH);
	struct topic *s;

	(void)state;
	publish_number(p, 7);
	assert_int_equal(p->head->rung, 0); /* nobody wanted it */
	s = opened(0, "late", 0, TOPIC_SUBSCRIBE);
	UNTIL(number_in(s) == 7);
	topic_close(s);
	UNTIL(atomic_load(&p->head->remote) == 0);
	topic_close(p);
}

static void one_node_shares_one_memory(void **state)
{
	struct topic *p = opened(0, "here", 16, TOPIC_PUBLISH);
	struct topic *s = opened(0, "here", 0, TOPIC_SUBSCRIBE);

	(void)state;
	publish_number(p, 3);
	assert_int_equal(number_in(s), 3);
	assert_int_equal(s->slots.size, 16);
	assert_true(topic_publishes(p));
	assert_false(topic_publishes(s));
	topic_close(s);
	topic_close(p);
}

static void wrong_requests_are_refused(void **state)
{
	struct topic *p = opened(0, "mine", 32, TOPIC_PUBLISH), *t = NULL;
	char name[TOPIC_NAME_MAX + 1];

	(void)state;
	memset(name, 'n', TOPIC_NAME_MAX);
	name[TOPIC_NAME_MAX] = '\0';
	assert_int_equal(topic_open(node[0], name, 0, TOPIC_PUBLISH, &t), -EINVAL);
	assert_int_equal(topic_open(node[0], "", 0, TOPIC_PUBLISH, &t), -EINVAL);
	assert_int_equal(topic_open(node[0], "a\nb", 0, TOPIC_PUBLISH, &t), -EINVAL);
	assert_int_equal(topic_open(node[0], "x", 0, 0, &t), -EINVAL);
	assert_int_equal(topic_open(node[0], "x", 0, TOPIC_TAKE, &t), -EINVAL);
	assert_int_equal(topic_open(node[0], "x", 0, 64, &t), -EINVAL);
	assert_int_equal(topic_open(node[0], "x", TOPIC_SIZE_MAX + 1, TOPIC_PUBLISH, &t),
			 -EMSGSIZE);
	assert_int_equal(topic_open(node[0], "mine", 33, TOPIC_SUBSCRIBE, &t), -EMSGSIZE);
	assert_int_equal(topic_open(node[0], "mine", 32, TOPIC_PUBLISH, &t), -EBUSY);
	assert_null(t);
	topic_close(p);
}

static void another_publisher_takes_over(void **state)
{
	struct topic *p = opened(0, "seat", 0, TOPIC_PUBLISH);
	struct topic *s = opened(1, "seat", 0, TOPIC_SUBSCRIBE), *q;
	uint32_t before;

	(void)state;
	publish_number(p, 1);
	UNTIL(number_in(s) == 1);
	before = topic_presence(p);
	q = opened(0, "seat", 0, TOPIC_PUBLISH | TOPIC_TAKE);
	assert_false(topic_publishes(p));
	assert_true(topic_publishes(q));
	assert_int_not_equal(topic_presence(p), before);
	publish_number(q, 2);
	UNTIL(number_in(s) == 2);
	/* And now from the other node. */
	topic_close(q);
	assert_int_equal(topic_role(s, TOPIC_SUBSCRIBE | TOPIC_PUBLISH), 0);
	publish_number(s, 3);
	assert_int_equal(topic_role(p, TOPIC_SUBSCRIBE), 0);
	UNTIL(number_in(p) == 3);
	topic_close(p);
	topic_close(s);
}

static void the_first_of_a_new_publisher_counts_on(void **state)
{
	struct topic *p = opened(0, "count", 0, TOPIC_PUBLISH);
	struct topic *s = opened(1, "count", 0, TOPIC_SUBSCRIBE);

	(void)state;
	for (uint64_t v = 1; v <= 9; v++)
		publish_number(p, v);
	UNTIL(number_in(s) == 9);
	assert_int_equal(slots_newest(&s->slots), 9);
	topic_close(p);
	p = opened(0, "count", 0, TOPIC_PUBLISH);
	publish_number(p, 100);
	UNTIL(number_in(s) == 100);
	assert_int_equal(slots_newest(&s->slots), 10);
	topic_close(p);
	topic_close(s);
}

/* --- sleeping --- */

static void *sleep_for_value(void *arg)
{
	struct topic *s = arg;
	struct slots_head *h = s->slots.head;
	const struct timespec second = { .tv_sec = 1 };

	while (!number_in(s)) {
		uint32_t bell = atomic_load(&h->bell);

		atomic_store(&h->waiting, 1);
		if (!number_in(s))
			syscall(SYS_futex, &h->bell, FUTEX_WAIT, bell, &second, NULL, 0);
	}
	return NULL;
}

static void a_value_wakes_who_sleeps_for_it(void **state)
{
	struct topic *p = opened(0, "wake", 0, TOPIC_PUBLISH);
	struct topic *s = opened(1, "wake", 0, TOPIC_SUBSCRIBE);
	pthread_t thread;
	uint32_t bell = atomic_load(&s->slots.head->bell);

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, sleep_for_value, s), 0);
	UNTIL(atomic_load(&s->slots.head->waiting));
	publish_number(p, 5);
	pthread_join(thread, NULL);
	assert_int_not_equal(atomic_load(&s->slots.head->bell), bell);
	topic_close(p);
	topic_close(s);
}

/* --- fast writers, long values --- */

#define LONG (128u << 10)
#define MANY 2000u

static _Atomic bool seen_some;	/* by the reader: the writer may come to its end */
static _Atomic uint32_t newest; /* what the writer ended with, 0: it still writes */

/* Goes on until some values were seen on their way: how many that takes is the scheduler's. */
static void *write_many(void *arg)
{
	static uint32_t words[LONG / 4];
	struct topic *p = arg;
	uint64_t deadline = test_now_ms() + DEADLINE_MS;
	uint32_t v;

	for (v = 1; v <= MANY || (!atomic_load(&seen_some) && test_now_ms() < deadline); v++) {
		uint32_t n = 1 + v * 31 % (LONG / 4);

		for (uint32_t i = 0; i < n; i++)
			words[i] = v;
		publish(p, words, n * 4);
	}
	atomic_store(&newest, v - 1);
	return NULL;
}

static void long_values_come_whole_and_in_order(void **state)
{
	static uint32_t words[LONG / 4];
	struct topic *p = opened(0, "long", LONG, TOPIC_PUBLISH);
	struct topic *s = opened(1, "long", LONG, TOPIC_SUBSCRIBE);
	uint64_t deadline = test_now_ms() + DEADLINE_MS;
	uint32_t last = 0, seen = 0;
	pthread_t thread;

	(void)state;
	UNTIL(atomic_load(&p->head->remote) == 1);
	assert_int_equal(pthread_create(&thread, NULL, write_many, p), 0);
	while ((!atomic_load(&newest) || last < atomic_load(&newest)) && test_now_ms() < deadline) {
		uint64_t number;
		int n = slots_read(&s->slots, 0, words, sizeof(words), &number);

		if (n <= 0)
			continue;
		assert_true(words[0] >= last);
		assert_int_equal(number, words[0]);
		assert_int_equal(n / 4, 1 + words[0] * 31 % (LONG / 4));
		for (int i = 1; i < n / 4; i++)
			assert_int_equal(words[i], words[0]);
		if (words[0] == last)
			continue;
		deadline = test_now_ms() +
			   DEADLINE_MS; /* a slow machine is no error, standing still is */
		last = words[0];
		atomic_store(&seen_some, ++seen > 2);
	}
	pthread_join(thread, NULL);
	assert_int_equal(last, atomic_load(&newest));
	assert_true(seen > 2);
	topic_close(p);
	topic_close(s);
}

/* A ring is rung for about every value that is sent, not for every one that is written. */
static void a_fast_writer_rings_seldom(void **state)
{
	struct topic *p = opened(0, "fast", 64, TOPIC_PUBLISH);
	struct topic *s = opened(1, "fast", 64, TOPIC_SUBSCRIBE);
	uint64_t before, rings = 0;

	(void)state;
	UNTIL(atomic_load(&p->head->remote) == 1);
	for (uint64_t v = 1; v <= 200000; v++) {
		before = atomic_load(&p->head->rung);
		publish_number(p, v);
		rings += !before && atomic_load(&p->head->rung);
	}
	UNTIL(number_in(s) == 200000);
	assert_true(rings < 100000);
	topic_close(p);
	topic_close(s);
}

static void what_does_not_fit_is_counted(void **state)
{
	struct topic *p = opened(0, "fit", 64, TOPIC_PUBLISH);
	struct topic *s = opened(1, "fit", 8, TOPIC_SUBSCRIBE);
	char bytes[64] = { 0 };

	(void)state;
	publish(p, bytes, 64);
	UNTIL(atomic_load(&s->head->refused) == 1);
	publish_number(p, 6);
	UNTIL(number_in(s) == 6);
	topic_close(p);
	topic_close(s);
}

/* --- deaths --- */

/* A child that publishes 8 on node 0 and waits to be killed. Ends with 1 where it cannot. */
static pid_t publisher_process(void)
{
	pid_t pid = fork();
	struct topic *p;

	if (pid)
		return pid;
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	if (topic_open(node[0], "mortal", 0, TOPIC_PUBLISH, &p))
		_exit(1);
	publish_number(p, 8);
	for (;;)
		pause();
}

static void a_killed_publisher_is_gone_and_its_value_stays(void **state)
{
	struct topic *s = opened(1, "mortal", 0, TOPIC_SUBSCRIBE);
	bool several = false;
	char why[128];
	pid_t pid;

	(void)state;
	/* Under userfaultfd, kernels before 6.4 let one program of a node map its memory. */
	if (node[0]->pager == CLIENT_PAGER_UFFD &&
	    (uffd_probe(&several, why, sizeof(why)) || !several)) {
		topic_close(s);
		skip();
	}
	pid = publisher_process();
	UNTIL(number_in(s) == 8);
	assert_int_equal(topic_publishers(s), 1);
	assert_int_equal(s->head->pid, pid);
	kill(pid, SIGKILL);
	UNTIL(topic_publishers(s) == 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(number_in(s), 8);
	topic_close(s);
}

static void a_topic_ends_with_its_agent(void **state)
{
	struct topic *p, *s = opened(0, "end", 0, TOPIC_SUBSCRIBE);
	dsm_t *third;

	(void)state;
	assert_int_equal(nodes_open((uint16_t)(port + 2), &third), 0);
	assert_int_equal(topic_open(third, "end", 0, TOPIC_PUBLISH, &p), 0);
	publish_number(p, 12);
	UNTIL(number_in(s) == 12);
	assert_false(topic_lost(p));
	kill(nodes_agent_pid(third), SIGKILL);
	UNTIL(topic_lost(p));
	assert_int_equal(topic_role(p, TOPIC_SUBSCRIBE), -ENOTCONN);
	UNTIL(topic_publishers(s) == 0);
	assert_int_equal(number_in(s), 12);
	topic_close(p);
	topic_close(s);
	dsm_close(third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_comes_to_the_other_node),
		cmocka_unit_test(a_late_subscriber_gets_the_value_that_is_there),
		cmocka_unit_test(one_node_shares_one_memory),
		cmocka_unit_test(wrong_requests_are_refused),
		cmocka_unit_test(another_publisher_takes_over),
		cmocka_unit_test(the_first_of_a_new_publisher_counts_on),
		cmocka_unit_test(a_value_wakes_who_sleeps_for_it),
		cmocka_unit_test(long_values_come_whole_and_in_order),
		cmocka_unit_test(a_fast_writer_rings_seldom),
		cmocka_unit_test(what_does_not_fit_is_counted),
		cmocka_unit_test(a_killed_publisher_is_gone_and_its_value_stays),
		cmocka_unit_test(a_topic_ends_with_its_agent),
	};

	return cmocka_run_group_tests_name("topics of the library", tests, nodes_setup,
					   nodes_teardown);
}
