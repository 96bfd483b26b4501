// SPDX-License-Identifier: MIT
/* Channels of a cluster's segment: the master on one node, the slave on the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dsm/channel.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/pager/uffd.h"
#include "lib/context.h"
#include "tests/unit/idle_cost.h"
#include "tests/unit/lib_nodes.h"

#define URI	   "dsm:channels"
#define NAME	   "across"
#define TIMEOUT_US (DEADLINE_MS * 1000ll)
#define MANY	   20000u
#define TOPIC_MOST 262144u /* the most bytes that the agents push */

static dsm_segment_t *seg[2]; /* by node */
static dsm_channel_t *master, *slave;

static int open_segments(void **state)
{
	struct dsm_segment_options o = { .size = 1u << 20, .max_size = 16u << 20 };

	if (nodes_setup(state))
		return -1;
	o.ctx = node[0];
	if (dsm_segment_create(URI, &o, &seg[0])) {
		print_error("%s\n", dsm_last_error());
		return -1;
	}
	o.ctx = node[1];
	return dsm_segment_open(URI, &o, &seg[1]);
}

static int close_segments(void **state)
{
	dsm_segment_close(seg[1]);
	dsm_segment_close(seg[0]);
	if (dsm_segment_unlink(URI, node[0]))
		return -1;
	return nodes_teardown(state);
}

static dsm_channel_t *opened(int at, uint32_t role)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch = NULL;

	o.role = role;
	if (dsm_channel_open(seg[at], NAME, &o, &ch))
		fail_msg("%s", dsm_last_error());
	return ch;
}

static int pair(void **state)
{
	(void)state;
	master = opened(0, DSM_CHANNEL_MASTER);
	slave = opened(1, DSM_CHANNEL_SLAVE);
	return 0;
}

static int pair_end(void **state)
{
	(void)state;
	dsm_channel_close(master);
	dsm_channel_close(slave);
	master = slave = NULL;
	if (!dsm_channel_remove(seg[0], NAME))
		return 0;
	print_error("%s\n", dsm_last_error());
	return -1;
}

static void write_number(dsm_channel_t *ch, uint64_t value)
{
	assert_int_equal(dsm_channel_write(ch, &value, sizeof(value)), 0);
}

/* The next new value, which has to be a number. */
static uint64_t next_number(dsm_channel_t *ch, uint64_t *number)
{
	uint64_t value = 0;
	int n = dsm_channel_read_timed(ch, &value, sizeof(value), TIMEOUT_US, number);

	if (n != sizeof(value))
		fail_msg("%d: %s", n, dsm_last_error());
	return value;
}

/* Reads until @value comes, which others before it may do; its number. */
static uint64_t read_up_to(dsm_channel_t *ch, uint64_t value)
{
	uint64_t number = 0;

	while (next_number(ch, &number) != value)
		;
	return number;
}

/* --- values --- */

static void values_go_both_ways(void **state)
{
	uint64_t number = 0;
	char text[16];

	(void)state;
	assert_int_equal(dsm_channel_role(master), DSM_CHANNEL_MASTER);
	assert_int_equal(dsm_channel_role(slave), DSM_CHANNEL_SLAVE);
	assert_int_equal(dsm_channel_read(slave, text, sizeof(text), NULL), -ENODATA);
	for (uint64_t i = 1; i <= 50; i++) {
		write_number(master, i);
		assert_int_equal(next_number(slave, &number), i);
		assert_int_equal(number, i);
		write_number(slave, i + 1000);
		assert_int_equal(next_number(master, &number), i + 1000);
		assert_int_equal(number, i);
	}
	assert_int_equal(dsm_channel_validate(master), 0);
	assert_int_equal(dsm_channel_validate(slave), 0);
}

static void a_value_is_new_once(void **state)
{
	uint64_t number = 0;
	char text[16];

	(void)state;
	assert_int_equal(dsm_channel_read_newer(slave, text, sizeof(text), NULL), -EAGAIN);
	assert_int_equal(dsm_channel_read_timed(slave, text, sizeof(text), 20000, NULL),
			 -ETIMEDOUT);
	assert_int_equal(dsm_channel_write(master, "one", 3), 0);
	assert_int_equal(dsm_channel_wait(slave, 0, TIMEOUT_US, &number), 0);
	assert_int_equal(number, 1);
	assert_int_equal(dsm_channel_read_newer(slave, text, sizeof(text), NULL), 3);
	assert_int_equal(dsm_channel_read_newer(slave, text, sizeof(text), NULL), -EAGAIN);
	assert_int_equal(dsm_channel_read(slave, text, sizeof(text), NULL), 3);
	assert_int_equal(dsm_channel_wait(slave, DSM_CHANNEL_LAST_READ, 20000, NULL), -ETIMEDOUT);
}

static void *write_many(void *arg)
{
	for (uint64_t i = 1; i <= MANY; i++)
		if (dsm_channel_write(arg, &i, sizeof(i)))
			return arg;
	return NULL;
}

/* Each value says its own number: what is read is what was written under it. */
static void numbers_grow_up_to_the_newest(void **state)
{
	struct dsm_channel_info info;
	uint64_t last = 0, number, seen = 0;
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, write_many, master), 0);
	while (last < MANY) {
		uint64_t value = next_number(slave, &number);

		assert_int_equal(value, number);
		assert_true(number > last);
		last = number;
		seen++;
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(last, MANY);
	assert_int_equal(dsm_channel_info(slave, &info), 0);
	assert_int_equal(info.from_master.written, MANY);
	UNTIL(!dsm_channel_info(master, &info) && info.from_master.read == seen);
	assert_int_equal(info.from_master.missed, MANY - seen);
}

static void *write_late(void *arg)
{
	poll(NULL, 0, 30);
	(void)dsm_channel_write(arg, "late", 4);
	return NULL;
}

static void a_reader_sleeps_until_a_value_comes(void **state)
{
	pthread_t thread;
	char text[16];

	(void)state;
	for (int i = 0; i < 4; i++) {
		dsm_channel_t *from = i % 2 ? slave : master, *to = i % 2 ? master : slave;

		assert_int_equal(pthread_create(&thread, NULL, write_late, from), 0);
		assert_int_equal(dsm_channel_read_timed(to, text, sizeof(text),
							i < 2 ? -1 : TIMEOUT_US, NULL),
				 4);
		pthread_join(thread, NULL);
	}
}

static void values_have_a_most_size(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	static char text[DSM_CHANNEL_SIZE + 1];
	dsm_channel_t *ch = NULL;

	(void)state;
	assert_int_equal(dsm_channel_write(master, text, sizeof(text)), -EMSGSIZE);
	assert_int_equal(dsm_channel_write(master, text, DSM_CHANNEL_SIZE), 0);
	assert_int_equal(dsm_channel_wait(slave, 0, TIMEOUT_US, NULL), 0);
	assert_int_equal(dsm_channel_read(slave, text, DSM_CHANNEL_SIZE - 1, NULL), -EMSGSIZE);
	assert_int_equal(dsm_channel_read(slave, text, sizeof(text), NULL), DSM_CHANNEL_SIZE);
	o.size = 64;
	assert_int_equal(dsm_channel_open(seg[1], NAME, &o, &ch), -EMSGSIZE);
	/* More than the agents push: refused before there is anything. */
	o.size = TOPIC_MOST + 1;
	assert_int_equal(dsm_channel_open(seg[1], "huge", &o, &ch), -EMSGSIZE);
	assert_null(ch);
	assert_int_equal(dsm_channel_remove(seg[1], "huge"), -ENOENT);
	o.size = TOPIC_MOST;
	assert_int_equal(dsm_channel_open(seg[1], "huge", &o, &ch), 0);
	dsm_channel_close(ch);
	assert_int_equal(dsm_channel_remove(seg[1], "huge"), 0);
}

static void an_observer_reads_either_side(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *from_master, *from_slave;
	uint64_t number = 0;

	(void)state;
	write_number(master, 5);
	write_number(slave, 6);
	assert_int_equal(next_number(slave, NULL), 5);
	assert_int_equal(next_number(master, NULL), 6);
	o.role = DSM_CHANNEL_OBSERVER;
	assert_int_equal(dsm_channel_open(seg[1], NAME, &o, &from_master), 0);
	o.observe = DSM_CHANNEL_SLAVE;
	assert_int_equal(dsm_channel_open(seg[0], NAME, &o, &from_slave), 0);
	assert_int_equal(next_number(from_master, &number), 5);
	assert_int_equal(number, 1);
	assert_int_equal(next_number(from_slave, NULL), 6);
	write_number(master, 7);
	write_number(slave, 8);
	assert_int_equal(next_number(from_master, &number), 7);
	assert_int_equal(number, 2);
	assert_int_equal(next_number(from_slave, NULL), 8);
	assert_int_equal(dsm_channel_write(from_master, "no", 2), -EPERM);
	UNTIL(dsm_channel_peer(from_master) == DSM_CHANNEL_LIVE);
	dsm_channel_close(from_slave);
	dsm_channel_close(from_master);
}

/* No message goes anywhere, and nobody is needed: neither agent runs meanwhile. */
static void seats_tell_on_which_node_they_are(void **state)
{
	struct dsm_channel_info info;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dsm_channel_info(i ? slave : master, &info), 0);
		assert_int_equal(info.master.node, 1);
		assert_int_equal(info.slave.node, 2);
	}
}

static void reading_is_local(void **state)
{
	uint64_t value = 0;
	bool same = true;

	(void)state;
	write_number(master, 77);
	assert_int_equal(next_number(slave, NULL), 77);
	kill(nodes_agent_pid(node[0]), SIGSTOP);
	kill(nodes_agent_pid(node[1]), SIGSTOP);
	for (int i = 0; i < 1000; i++)
		same &= dsm_channel_read(slave, &value, sizeof(value), NULL) == sizeof(value) &&
			value == 77;
	kill(nodes_agent_pid(node[0]), SIGCONT);
	kill(nodes_agent_pid(node[1]), SIGCONT);
	assert_true(same);
}

/* --- coming and going --- */

static void idle_ends_cost_next_to_nothing(void **state)
{
	(void)state;
	UNTIL(dsm_channel_peer(master) == DSM_CHANNEL_LIVE);
	write_number(master, 1);
	assert_int_equal(next_number(slave, NULL), 1);
	assert_true(idle_second_is_cheap());
}

static void who_closes_comes_back_and_counts_on(void **state)
{
	uint64_t number = 0;

	(void)state;
	UNTIL(dsm_channel_peer(slave) == DSM_CHANNEL_LIVE);
	write_number(master, 1);
	write_number(master, 2);
	assert_int_equal(read_up_to(slave, 2), 2);
	dsm_channel_close(master);
	UNTIL(dsm_channel_peer(slave) == DSM_CHANNEL_ABSENT);
	/* The last value stays. */
	assert_int_equal(dsm_channel_read(slave, &number, sizeof(number), NULL), 8);
	master = opened(0, DSM_CHANNEL_MASTER);
	write_number(master, 3);
	assert_int_equal(next_number(slave, &number), 3);
	assert_int_equal(number, 3);
	UNTIL(dsm_channel_peer(slave) == DSM_CHANNEL_LIVE);
	/* And the same with the slave, which has seen number 3 and nothing since. */
	dsm_channel_close(slave);
	slave = opened(1, DSM_CHANNEL_SLAVE);
	write_number(slave, 4);
	assert_int_equal(next_number(master, &number), 4);
	assert_int_equal(number, 1);
}

static void the_last_value_outlives_its_users(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *observer;
	uint64_t number = 0, value = 0;

	(void)state;
	write_number(master, 11);
	write_number(slave, 12);
	assert_int_equal(next_number(slave, NULL), 11);
	assert_int_equal(next_number(master, NULL), 12);
	for (int i = 0; i < 3; i++) {
		dsm_channel_close(master);
		dsm_channel_close(slave);
		master = opened(0, DSM_CHANNEL_MASTER);
		slave = opened(1, DSM_CHANNEL_SLAVE);
		/* Both have read it: it is there, and not new. */
		assert_int_equal(dsm_channel_read_newer(slave, &value, 8, NULL), -EAGAIN);
		assert_int_equal(dsm_channel_read(slave, &value, 8, &number), 8);
		assert_int_equal(value, 11);
		assert_int_equal(number, 1);
		assert_int_equal(dsm_channel_read(master, &value, 8, NULL), 8);
		assert_int_equal(value, 12);
	}
	dsm_channel_close(master);
	dsm_channel_close(slave);
	/* Without anybody in a seat. */
	o.role = DSM_CHANNEL_OBSERVER;
	assert_int_equal(dsm_channel_open(seg[0], NAME, &o, &observer), 0);
	assert_int_equal(dsm_channel_read(observer, &value, 8, NULL), 8);
	assert_int_equal(value, 11);
	dsm_channel_close(observer);
	/* What comes next is newer. */
	master = opened(0, DSM_CHANNEL_MASTER);
	slave = opened(1, DSM_CHANNEL_SLAVE);
	write_number(master, 13);
	assert_int_equal(next_number(slave, &number), 13);
	assert_int_equal(number, 2);
}

/* Node 1 has a value of its own time there, but it is not the last. */
static void what_was_overtaken_is_not_taken_for_the_last(void **state)
{
	uint64_t value = 0;

	(void)state;
	write_number(master, 21);
	assert_int_equal(next_number(slave, NULL), 21);
	dsm_channel_close(slave);
	write_number(master, 22);
	dsm_channel_close(master);
	master = NULL;
	slave = opened(1, DSM_CHANNEL_SLAVE);
	/* It may have come in that moment. */
	if (dsm_channel_read(slave, &value, 8, NULL) != -ENODATA)
		assert_int_equal(value, 22);
	master = opened(0, DSM_CHANNEL_MASTER);
	write_number(master, 23);
	assert_int_equal(read_up_to(slave, 23), 3);
}

static void who_comes_back_has_read_what_it_read(void **state)
{
	struct dsm_channel_info info;
	uint64_t number = 0, value;

	(void)state;
	for (uint64_t i = 1; i <= 3; i++) {
		write_number(master, i);
		assert_int_equal(next_number(slave, NULL), i);
	}
	dsm_channel_close(slave);
	slave = opened(1, DSM_CHANNEL_SLAVE);
	/* The value is there at once, and is not new. */
	assert_int_equal(dsm_channel_read(slave, &value, sizeof(value), NULL), sizeof(value));
	assert_int_equal(dsm_channel_read_newer(slave, &value, sizeof(value), NULL), -EAGAIN);
	write_number(master, 4);
	assert_int_equal(next_number(slave, &number), 4);
	assert_int_equal(number, 4);
	assert_int_equal(dsm_channel_info(slave, &info), 0);
	assert_int_equal(info.from_master.written, 4);
	assert_int_equal(info.from_master.read, 4);
	assert_int_equal(info.from_master.missed, 0);
}

/* Nobody has the channel open for a while, so no agent has its values. */
static void numbers_go_on_when_all_had_closed(void **state)
{
	uint64_t number = 0;

	write_number(master, 1);
	write_number(master, 2);
	assert_int_equal(read_up_to(slave, 2), 2);
	dsm_channel_close(master);
	dsm_channel_close(slave);
	(void)pair(state);
	write_number(master, 3);
	assert_int_equal(next_number(slave, &number), 3);
	assert_int_equal(number, 3);
}

static void the_next_master_may_be_on_the_other_node(void **state)
{
	uint64_t number = 0;

	(void)state;
	write_number(master, 1);
	write_number(master, 2);
	assert_int_equal(read_up_to(slave, 2), 2);
	dsm_channel_close(master);
	master = opened(1, DSM_CHANNEL_MASTER);
	write_number(master, 3);
	assert_int_equal(next_number(slave, &number), 3);
	assert_int_equal(number, 3);
	write_number(slave, 4);
	assert_int_equal(next_number(master, NULL), 4);
}

static void a_seat_is_for_one(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch = NULL;

	(void)state;
	o.role = DSM_CHANNEL_MASTER;
	assert_int_equal(dsm_channel_open(seg[1], NAME, &o, &ch), -EBUSY);
	o.role = DSM_CHANNEL_AUTO;
	assert_int_equal(dsm_channel_open(seg[1], NAME, &o, &ch), -EBUSY);
	assert_int_equal(dsm_channel_remove(seg[1], NAME), -EBUSY);
	/* Nobody lost anything by it. */
	write_number(master, 9);
	assert_int_equal(next_number(slave, NULL), 9);
}

/* --- deaths --- */

/* Under userfaultfd, kernels before 6.4 let one program of a node map its memory. */
static bool several_programs(void)
{
	bool several = false;
	char why[128];

	return node[0]->pager != CLIENT_PAGER_UFFD ||
	       (!uffd_probe(&several, why, sizeof(why)) && several);
}

/* A child that is master on node 0, writes @value and waits to be killed. */
static pid_t master_process(uint64_t value)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch;
	pid_t pid = fork();

	if (pid)
		return pid;
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	o.role = DSM_CHANNEL_MASTER;
	if (dsm_channel_open(seg[0], NAME, &o, &ch)) {
		print_error("child: %s\n", dsm_last_error());
		_exit(1);
	}
	if (dsm_channel_write(ch, &value, sizeof(value)))
		_exit(2);
	for (;;)
		pause();
}

static void kill_master(pid_t pid)
{
	uint64_t begin;
	int status;

	UNTIL(dsm_channel_peer(slave) == DSM_CHANNEL_LIVE);
	begin = test_now_ms();
	kill(pid, SIGKILL);
	UNTIL(dsm_channel_peer(slave) == DSM_CHANNEL_STALE);
	if (test_now_ms() - begin > 1500)
		fail_msg("stale after %u ms", (unsigned int)(test_now_ms() - begin));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void a_killed_master_is_noticed_and_followed(void **state)
{
	uint64_t number = 0;
	pid_t pid;

	(void)state;
	if (!several_programs())
		skip();
	dsm_channel_close(master);
	master = NULL;
	for (uint64_t i = 1; i <= 5; i++) {
		pid = master_process(i);
		assert_int_equal(next_number(slave, &number), i);
		assert_int_equal(number, i);
		kill_master(pid);
		/* What it wrote last stays. */
		assert_int_equal(dsm_channel_read(slave, &number, sizeof(number), NULL), 8);
		assert_int_equal(number, i);
	}
	master = opened(0, DSM_CHANNEL_MASTER);
	write_number(master, 100);
	assert_int_equal(next_number(slave, &number), 100);
	assert_int_equal(number, 6);
	UNTIL(dsm_channel_peer(slave) == DSM_CHANNEL_LIVE);
	write_number(slave, 101);
	assert_int_equal(next_number(master, NULL), 101);
}

static void a_slave_takes_a_dead_masters_seat(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	pid_t pid;

	(void)state;
	if (!several_programs())
		skip();
	dsm_channel_close(master);
	dsm_channel_close(slave);
	o.role = DSM_CHANNEL_SLAVE;
	o.take_over = 1;
	assert_int_equal(dsm_channel_open(seg[1], NAME, &o, &slave), 0);
	pid = master_process(1);
	assert_int_equal(next_number(slave, NULL), 1);
	UNTIL(dsm_channel_peer(slave) == DSM_CHANNEL_LIVE);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	UNTIL(dsm_channel_role(slave) == DSM_CHANNEL_MASTER);
	/* The handles' names are what they were to be. */
	master = slave;
	slave = opened(0, DSM_CHANNEL_SLAVE);
	write_number(master, 2);
	assert_int_equal(read_up_to(slave, 2), 2);
	write_number(slave, 3);
	assert_int_equal(next_number(master, NULL), 3);
}

#define ON_PAIR(test) cmocka_unit_test_setup_teardown(test, pair, pair_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_PAIR(values_go_both_ways),
		ON_PAIR(a_value_is_new_once),
		ON_PAIR(numbers_grow_up_to_the_newest),
		ON_PAIR(a_reader_sleeps_until_a_value_comes),
		ON_PAIR(values_have_a_most_size),
		ON_PAIR(an_observer_reads_either_side),
		ON_PAIR(seats_tell_on_which_node_they_are),
		ON_PAIR(reading_is_local),
		ON_PAIR(idle_ends_cost_next_to_nothing),
		ON_PAIR(who_closes_comes_back_and_counts_on),
		ON_PAIR(who_comes_back_has_read_what_it_read),
		ON_PAIR(the_last_value_outlives_its_users),
		ON_PAIR(what_was_overtaken_is_not_taken_for_the_last),
		ON_PAIR(numbers_go_on_when_all_had_closed),
		ON_PAIR(the_next_master_may_be_on_the_other_node),
		ON_PAIR(a_seat_is_for_one),
		ON_PAIR(a_killed_master_is_noticed_and_followed),
		ON_PAIR(a_slave_takes_a_dead_masters_seat),
	};

	return cmocka_run_group_tests_name("channels of two nodes", tests, open_segments,
					   close_segments);
}
