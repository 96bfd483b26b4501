// SPDX-License-Identifier: MIT
/* Channels between two handles: values, roles, a peer that dies, hangs, comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/channel_rig.h"
#include "tests/unit/idle_cost.h"

static void values_go_both_ways(void **state)
{
	char text[DSM_CHANNEL_SIZE];
	uint64_t number = 0;

	(void)state;
	assert_int_equal(dsm_channel_role(master), DSM_CHANNEL_MASTER);
	assert_int_equal(dsm_channel_role(slave), DSM_CHANNEL_SLAVE);
	assert_int_equal(dsm_channel_size(slave), DSM_CHANNEL_SIZE);
	assert_int_equal(dsm_channel_read(slave, text, sizeof(text), NULL), -ENODATA);
	assert_int_equal(dsm_channel_write(master, "down", 4), 0);
	assert_int_equal(dsm_channel_write(slave, "upward", 6), 0);
	assert_int_equal(rig_read(slave, text, sizeof(text), &number), 4);
	assert_memory_equal(text, "down", 4);
	assert_int_equal(number, 1);
	assert_int_equal(rig_read(master, text, sizeof(text), &number), 6);
	assert_memory_equal(text, "upward", 6);
	assert_int_equal(dsm_channel_validate(master), 0);
}

static void a_value_is_new_once(void **state)
{
	uint64_t number = 0;
	char text[16];

	(void)state;
	assert_int_equal(dsm_channel_read_newer(slave, text, sizeof(text), NULL), -EAGAIN);
	assert_int_equal(dsm_channel_read_timed(slave, text, sizeof(text), 0, NULL), -EAGAIN);
	assert_int_equal(dsm_channel_write(master, "one", 3), 0);
	assert_int_equal(dsm_channel_wait(slave, 0, 5000000, &number), 0);
	assert_int_equal(number, 1);
	assert_int_equal(dsm_channel_read_newer(slave, text, sizeof(text), NULL), 3);
	assert_int_equal(dsm_channel_read_newer(slave, text, sizeof(text), NULL), -EAGAIN);
	assert_int_equal(dsm_channel_read(slave, text, sizeof(text), NULL), 3);
	assert_int_equal(dsm_channel_read_timed(slave, text, sizeof(text), 20000, NULL),
			 -ETIMEDOUT);
	assert_int_equal(dsm_channel_wait(slave, DSM_CHANNEL_LAST_READ, 0, NULL), -EAGAIN);
	assert_int_equal(dsm_channel_wait(slave, DSM_CHANNEL_LAST_READ, 20000, NULL), -ETIMEDOUT);
}

static void sizes_are_kept(void **state)
{
	char text[DSM_CHANNEL_SIZE + 1] = { 1 };

	(void)state;
	assert_int_equal(dsm_channel_write(master, text, sizeof(text)), -EMSGSIZE);
	assert_int_equal(dsm_channel_write(master, text, DSM_CHANNEL_SIZE), 0);
	assert_int_equal(dsm_channel_wait(slave, 0, 5000000, NULL), 0);
	assert_int_equal(dsm_channel_read(slave, text, 4095, NULL), -EMSGSIZE);
	assert_int_equal(dsm_channel_read_newer(slave, text, 4096, NULL), 4096);
	assert_int_equal(dsm_channel_write(master, NULL, 0), 0);
	assert_int_equal(dsm_channel_read_timed(slave, text, 0, 5000000, NULL), 0);
	assert_int_equal(dsm_channel_write(NULL, text, 1), -EINVAL);
	assert_int_equal(dsm_channel_write(master, NULL, 1), -EINVAL);
	assert_int_equal(dsm_channel_read(slave, NULL, 1, NULL), -EINVAL);
}

static void *late_writer(void *unused)
{
	(void)unused;
	poll(NULL, 0, 30);
	(void)dsm_channel_write(master, "late", 4);
	return NULL;
}

static void a_reader_sleeps_until_a_value_comes(void **state)
{
	pthread_t thread;
	char text[16];

	(void)state;
	for (int i = 0; i < 5; i++) {
		pthread_create(&thread, NULL, late_writer, NULL);
		assert_int_equal(dsm_channel_read_timed(slave, text, sizeof(text),
							i % 2 ? -1 : 20000000, NULL),
				 4);
		pthread_join(thread, NULL);
	}
}

static void written_read_and_missed_are_counted(void **state)
{
	struct dsm_channel_info info;
	uint64_t number = 0;
	char text[16];

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(dsm_channel_write(master, "x", 1), 0);
	assert_int_equal(dsm_channel_wait(slave, 9, 5000000, NULL), 0);
	assert_int_equal(dsm_channel_read(slave, text, sizeof(text), &number), 1);
	assert_int_equal(number, 10);
	assert_int_equal(dsm_channel_read(slave, text, sizeof(text), NULL), 1);
	assert_int_equal(dsm_channel_write(master, "yy", 2), 0);
	assert_int_equal(dsm_channel_read_timed(slave, text, sizeof(text), 5000000, NULL), 2);
	UNTIL(!dsm_channel_info(master, &info) && info.from_master.read >= 2);
	assert_int_equal(info.from_master.written, 11);
	assert_int_equal(info.from_master.read, 2);
	assert_int_equal(info.from_master.missed, 9);
	assert_int_equal(info.from_master.newest, 2);
	assert_int_equal(info.from_slave.written, 0);
	assert_int_equal(info.role, DSM_CHANNEL_MASTER);
	assert_int_equal(info.master.pid, getpid());
	assert_int_equal(info.slave.pid, getpid());
	assert_int_equal(info.slave.seated, 1);
}

/* How often both hearts beat at least in 300 ms of writing and reading. */
static uint64_t used_beats(struct dsm_channel_info *after)
{
	uint64_t end = rig_now_ms() + 300, of_master, of_slave;
	struct dsm_channel_info before;
	char text[8];

	assert_int_equal(dsm_channel_info(master, &before), 0);
	for (; rig_now_ms() < end; poll(NULL, 0, 2)) {
		(void)dsm_channel_write(master, "x", 1);
		(void)dsm_channel_read_newer(slave, text, sizeof(text), NULL);
	}
	assert_int_equal(dsm_channel_info(master, after), 0);
	of_master = after->master.beats - before.master.beats;
	of_slave = after->slave.beats - before.slave.beats;
	return of_master < of_slave ? of_master : of_slave;
}

static void hearts_beat_often_in_use_and_seldom_else(void **state)
{
	struct dsm_channel_info before, after;
	uint64_t beats, end;

	(void)state;
	if (rig_cluster())
		skip();
	UNTIL(dsm_channel_peer(master) == DSM_CHANNEL_LIVE);
	/* 1 ms apart where the machine lets them: in one of many thirds of a second. */
	end = rig_now_ms() + RIG_DEADLINE_MS;
	do
		beats = used_beats(&after);
	while (beats <= 30 && rig_now_ms() < end);
	assert_true(beats > 30);
	assert_true(after.from_master.rate > 10);
	/* Soon nobody is busy any more. */
	do {
		assert_int_equal(dsm_channel_info(master, &before), 0);
		poll(NULL, 0, 400);
		assert_int_equal(dsm_channel_info(master, &after), 0);
		beats = after.master.beats - before.master.beats;
	} while ((beats < 2 || beats > 20) && rig_now_ms() < end);
	assert_in_range(beats, 2, 20);
	assert_int_equal(dsm_channel_peer(master), DSM_CHANNEL_LIVE);
	assert_int_equal(dsm_channel_peer(slave), DSM_CHANNEL_LIVE);
}

static void *wait_in_vain(void *unused)
{
	char text[8];

	(void)unused;
	(void)dsm_channel_read_timed(slave, text, sizeof(text), 1600000, NULL);
	return NULL;
}

static void idle_ends_cost_next_to_nothing(void **state)
{
	pthread_t t;
	bool cheap;

	(void)state;
	UNTIL(dsm_channel_peer(master) == DSM_CHANNEL_LIVE);
	assert_int_equal(pthread_create(&t, NULL, wait_in_vain, NULL), 0);
	poll(NULL, 0, 500); /* busy no longer */
	cheap = idle_second_is_cheap();
	pthread_join(t, NULL);
	assert_true(cheap);
}

static void seats_are_taken_once(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch = NULL;

	(void)state;
	assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &ch), -EBUSY);
	assert_non_null(strstr(dsm_last_error(), "there already"));
	o.role = DSM_CHANNEL_MASTER;
	assert_int_equal(dsm_channel_open(seg[1], RIG_NAME, &o, &ch), -EBUSY);
	o.role = DSM_CHANNEL_SLAVE;
	assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &ch), -EBUSY);
	assert_int_equal(dsm_channel_remove(seg[0], RIG_NAME), -EBUSY);
	dsm_channel_close(slave);
	slave = NULL;
	UNTIL(dsm_channel_peer(master) == DSM_CHANNEL_ABSENT);
	o.role = DSM_CHANNEL_AUTO;
	assert_int_equal(dsm_channel_open(seg[1], RIG_NAME, &o, &slave), 0);
	assert_int_equal(dsm_channel_role(slave), DSM_CHANNEL_SLAVE);
	UNTIL(dsm_channel_peer(master) == DSM_CHANNEL_LIVE);
}

static void wrong_openings_are_refused(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *ch = NULL;

	(void)state;
	o.role = DSM_CHANNEL_OBSERVER;
	o.size = 64;
	assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &ch), -EMSGSIZE);
	o.size = DSM_CHANNEL_SIZE_MAX + 1;
	assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &ch), -EINVAL);
	o.size = 0;
	o.role = 9;
	assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &ch), -EINVAL);
	o.role = DSM_CHANNEL_SLAVE;
	assert_int_equal(dsm_channel_open(seg[0], "", &o, &ch), -EINVAL);
	assert_int_equal(dsm_channel_open(NULL, RIG_NAME, &o, &ch), -EINVAL);
	o.attempts = 2;
	o.retry_ms = 5;
	assert_int_equal(dsm_channel_open(seg[0], "none", &o, &ch), -ENOENT);
	assert_int_equal(dsm_segment_root_set(seg[0], "other", 4096), 0);
	assert_int_equal(dsm_channel_open(seg[0], "other", &o, &ch), -EMEDIUMTYPE);
	assert_int_equal(dsm_channel_remove(seg[0], "other"), -EMEDIUMTYPE);
	assert_int_equal(dsm_segment_root_remove(seg[0], "other"), 0);
}

static void observers_read_and_do_not_count(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	struct dsm_channel_info info;
	dsm_channel_t *up = NULL, *down = NULL;
	char text[16];

	(void)state;
	o.role = DSM_CHANNEL_OBSERVER;
	assert_int_equal(dsm_channel_write(master, "down", 4), 0);
	assert_int_equal(dsm_channel_open(seg[1], RIG_NAME, &o, &down), 0);
	o.observe = DSM_CHANNEL_SLAVE;
	assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &up), 0);
	assert_int_equal(dsm_channel_role(up), DSM_CHANNEL_OBSERVER);
	assert_int_equal(dsm_channel_read_timed(down, text, sizeof(text), 5000000, NULL), 4);
	assert_int_equal(dsm_channel_write(slave, "up", 2), 0);
	assert_int_equal(dsm_channel_read_timed(up, text, sizeof(text), 5000000, NULL), 2);
	assert_int_equal(dsm_channel_write(up, "x", 1), -EPERM);
	assert_int_equal(dsm_channel_take_over(up), -EPERM);
	assert_int_equal(dsm_channel_info(up, &info), 0);
	assert_int_equal(info.from_slave.read, 0);
	assert_int_equal(info.from_slave.written, 1);
	UNTIL(dsm_channel_peer(up) == DSM_CHANNEL_LIVE);
	dsm_channel_close(up);
	dsm_channel_close(down);
}

/* A child has the handle, but not the seat. */
static void a_child_of_fork_reads(void **state)
{
	char text[16];
	int status;
	pid_t pid;

	(void)state;
	if (rig_cluster())
		skip();
	assert_int_equal(dsm_channel_write(master, "before", 6), 0);
	pid = fork();
	if (!pid) {
		int n = dsm_channel_read_timed(slave, text, sizeof(text), 5000000, NULL);

		if (n == 6)
			n = dsm_channel_read_timed(slave, text, sizeof(text), 5000000, NULL);
		if (n != 5 || dsm_channel_write(slave, "x", 1) != -EPERM)
			_exit(1);
		dsm_channel_close(slave);
		dsm_channel_close(master);
		_exit(0);
	}
	poll(NULL, 0, 20);
	assert_int_equal(dsm_channel_write(master, "after", 5), 0);
	/* May be slow: the child reads one of the two, then waits for a newer one. */
	for (int i = 0; i < 500 && !waitpid(pid, &status, WNOHANG); i++) {
		poll(NULL, 0, 10);
		assert_int_equal(dsm_channel_write(master, "again", 5), 0);
		pid_t done = waitpid(pid, &status, WNOHANG);
		if (done == pid)
			break;
	}
	assert_int_equal(status, 0);
	assert_int_equal(dsm_channel_write(slave, "alive", 5), 0);
}

static void *write_many(void *text)
{
	for (int i = 0; i < 20000; i++)
		if (dsm_channel_write(master, text, 64))
			return text;
	return NULL;
}

static void threads_share_a_handle(void **state)
{
	static char a[64], b[64];
	pthread_t thread[2];
	void *failed[2];
	char text[64];
	uint64_t number;

	(void)state;
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	pthread_create(&thread[0], NULL, write_many, a);
	pthread_create(&thread[1], NULL, write_many, b);
	for (int i = 0; i < 20000; i++) {
		int n = dsm_channel_read(slave, text, sizeof(text), NULL);

		assert_true(n == -ENODATA || n == 64);
		for (int k = 1; k < n; k++)
			assert_int_equal(text[k], text[0]);
	}
	pthread_join(thread[0], &failed[0]);
	pthread_join(thread[1], &failed[1]);
	assert_null(failed[0]);
	assert_null(failed[1]);
	assert_int_equal(dsm_channel_wait(slave, 39999, 5000000, &number), 0);
	assert_int_equal(number, 40000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_pair, rig_pair_end)
	const struct CMUnitTest tests[] = {
		TEST(values_go_both_ways),
		TEST(a_value_is_new_once),
		TEST(sizes_are_kept),
		TEST(a_reader_sleeps_until_a_value_comes),
		TEST(written_read_and_missed_are_counted),
		TEST(hearts_beat_often_in_use_and_seldom_else),
		TEST(idle_ends_cost_next_to_nothing),
		TEST(seats_are_taken_once),
		TEST(wrong_openings_are_refused),
		TEST(observers_read_and_do_not_count),
		TEST(a_child_of_fork_reads),
		TEST(threads_share_a_handle),
	};

	return rig_run(tests);
}
