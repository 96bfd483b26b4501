// SPDX-License-Identifier: MIT
/*
 * A channel whose other side is a process: it hangs, starves, is killed at random,
 * comes back; what operations do meanwhile, and who has the seats afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/channel_rig.h"
#include "tests/unit/segment_rig.h"

#define WORDS 64u

static int rounds = 200;
static dsm_channel_t *ch;

static int begin(void **state)
{
	(void)state;
	strcpy(uri, rig_uri("peer"));
	seg[0] = rig_segment(uri, 1u << 20);
	return 0;
}

static int end(void **state)
{
	int err;

	(void)state;
	dsm_channel_close(ch);
	ch = NULL;
	err = dsm_channel_remove(seg[0], RIG_NAME);
	if (err)
		print_error("%s\n", dsm_last_error());
	dsm_segment_close(seg[0]);
	return dsm_segment_unlink(uri, NULL) ? -1 : err;
}

static void open_here(uint32_t role, uint32_t stale, uint32_t take_over)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;

	o.role = role;
	o.stale = stale;
	o.take_over = take_over;
	o.retry_ms = 20;
	o.attempts = 5;
	if (dsm_channel_open(seg[0], RIG_NAME, &o, &ch))
		fail_msg("%s", dsm_last_error());
}

/* All words of a value are its number: whoever reads anything else exits. */
static void work(dsm_channel_t *c)
{
	uint64_t out[WORDS], in[WORDS], n = 0;

	for (;;) {
		size_t words = 1 + n % WORDS;
		int got;

		for (size_t i = 0; i < words; i++)
			out[i] = n;
		if (dsm_channel_write(c, out, words * 8))
			_exit(2);
		got = dsm_channel_read(c, in, sizeof(in), NULL);
		for (int i = 1; i < got / 8; i++)
			if (in[i] != in[0])
				_exit(3);
		if (got < 0 && got != -ENODATA)
			_exit(4);
		n++;
	}
}

static void stay_on_one(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		_exit(7);
}

/* Run only when nobody else wants the processor that the hogs are on. */
static void be_last(void)
{
	struct sched_param none = { 0 };

	stay_on_one();
	if (sched_setscheduler(0, SCHED_IDLE, &none))
		_exit(8);
}

/* A process in the seat @role that writes and reads until it is killed; @last: if nobody else runs. */
static pid_t peer(uint32_t role, bool last)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	dsm_channel_t *c;
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	o.role = role;
	o.stale = DSM_CHANNEL_NEVER;
	if (last)
		be_last();
	if (dsm_channel_connect(uri, RIG_NAME, &o, &c))
		_exit(5);
	work(c);
	_exit(0);
}

static void finish(pid_t pid)
{
	int status = 0;

	kill(pid, SIGKILL);
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void a_stopped_peer_is_stale_and_comes_back(void **state)
{
	pid_t pid;

	(void)state;
	open_here(DSM_CHANNEL_MASTER, DSM_CHANNEL_NEVER, 0);
	pid = peer(DSM_CHANNEL_SLAVE, false);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	kill(pid, SIGSTOP);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_STALE);
	assert_int_equal(dsm_channel_write(ch, "x", 1), 0);
	kill(pid, SIGCONT);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	finish(pid);
}

static void a_dead_peer_fails_operations_at_once(void **state)
{
	uint64_t began;
	char text[WORDS * 8];
	int n;
	pid_t pid;

	(void)state;
	open_here(DSM_CHANNEL_MASTER, DSM_CHANNEL_AT_ONCE, 0);
	pid = peer(DSM_CHANNEL_SLAVE, false);
	assert_true(dsm_channel_read_timed(ch, text, sizeof(text), 20000000, NULL) >= 0);
	finish(pid);
	began = rig_now_ms();
	while ((n = dsm_channel_read_timed(ch, text, sizeof(text), 20000000, NULL)) >= 0)
		;
	assert_int_equal(n, -EPIPE);
	assert_true(rig_now_ms() - began < 5000);
	assert_int_equal(dsm_channel_write(ch, "x", 1), -EPIPE);
}

static void reconnecting_ends_and_begins_again(void **state)
{
	pid_t pid;

	(void)state;
	open_here(DSM_CHANNEL_MASTER, DSM_CHANNEL_ON_TIMEOUT, 0);
	pid = peer(DSM_CHANNEL_SLAVE, false);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	finish(pid);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LOST);
	assert_int_equal(dsm_channel_write(ch, "x", 1), -EPIPE);
	dsm_channel_reconnect(ch);
	pid = peer(DSM_CHANNEL_SLAVE, false);
	UNTIL(!dsm_channel_write(ch, "x", 1) || (dsm_channel_reconnect(ch), false));
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	finish(pid);
}

static void a_restarted_master_has_its_channel_back(void **state)
{
	struct dsm_channel_info info;
	uint64_t first = 0, number = 0;
	char text[WORDS * 8];
	pid_t pid;

	(void)state;
	pid = peer(DSM_CHANNEL_MASTER, false);
	open_here(DSM_CHANNEL_SLAVE, DSM_CHANNEL_NEVER, 0);
	assert_true(dsm_channel_read_timed(ch, text, sizeof(text), 20000000, &first) >= 0);
	/* It has to be seen to be missed. */
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	finish(pid);
	while (dsm_channel_read_newer(ch, text, sizeof(text), &first) >= 0)
		;
	pid = peer(DSM_CHANNEL_MASTER, false);
	assert_true(dsm_channel_read_timed(ch, text, sizeof(text), 20000000, &number) >= 0);
	assert_true(number > first);
	UNTIL(!dsm_channel_info(ch, &info) && info.reconnects >= 1);
	assert_int_equal(info.master.seated, 2);
	assert_int_equal(dsm_channel_peer(ch), DSM_CHANNEL_LIVE);
	finish(pid);
}

static void a_slave_takes_over(void **state)
{
	pid_t pid;

	(void)state;
	pid = peer(DSM_CHANNEL_MASTER, false);
	open_here(DSM_CHANNEL_SLAVE, DSM_CHANNEL_NEVER, 1);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	assert_int_equal(dsm_channel_take_over(ch), -EBUSY);
	finish(pid);
	UNTIL(dsm_channel_role(ch) == DSM_CHANNEL_MASTER);
	pid = peer(DSM_CHANNEL_AUTO, false);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	assert_int_equal(dsm_channel_write(ch, "new master", 10), 0);
	finish(pid);
}

/* The segment is removed and made anew under a channel that a process has by its URI: it goes on there. */
static void a_remade_segment_is_gone_on_with(void **state)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
	char text[WORDS * 8];
	pid_t slave_pid, rival;
	int status;

	(void)state;
	open_here(DSM_CHANNEL_MASTER, DSM_CHANNEL_NEVER, 0);
	slave_pid = peer(DSM_CHANNEL_SLAVE, false);
	assert_true(dsm_channel_read_timed(ch, text, sizeof(text), 20000000, NULL) >= 0);
	/* One that waits in the old segment, and finds its seat taken in the new one. */
	assert_int_equal(dsm_segment_unlink(uri, NULL), 0);
	dsm_channel_close(ch);
	dsm_segment_close(seg[0]);
	seg[0] = rig_segment(uri, 1u << 20);
	o.role = DSM_CHANNEL_MASTER;
	o.stale = DSM_CHANNEL_NEVER;
	assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &ch), 0);
	assert_int_equal(dsm_channel_write(ch, "first", 5), 0);
	assert_true(dsm_channel_read_timed(ch, text, sizeof(text), 20000000, NULL) >= 0);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	/* A second slave has no room, and takes nobody's. */
	rival = fork();
	if (!rival) {
		dsm_channel_t *c;

		o.role = DSM_CHANNEL_SLAVE;
		_exit(dsm_channel_connect(uri, RIG_NAME, &o, &c) == -EBUSY ? 0 : 1);
	}
	assert_int_equal(waitpid(rival, &status, 0), rival);
	assert_int_equal(status, 0);
	assert_int_equal(dsm_channel_validate(ch), 0);
	finish(slave_pid);
}

static pid_t hog_beside(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	stay_on_one();
	for (;;)
		__asm__ volatile("");
}

static uint64_t beats_of_slave(void)
{
	struct dsm_channel_info info;

	assert_int_equal(dsm_channel_info(ch, &info), 0);
	return info.slave.beats;
}

/*
 * The peer is let run when nobody else wants its processor, which four always do: for more than
 * the time that makes one stale its heart does not beat, and it is called stale all the same never.
 */
static void who_starves_is_not_stale(void **state)
{
	uint64_t now, heard, beats, longest = 0, end = rig_now_ms() + RIG_DEADLINE_MS;
	pid_t hog[4], pid;
	bool stale = false;

	(void)state;
	open_here(DSM_CHANNEL_MASTER, DSM_CHANNEL_NEVER, 0);
	pid = peer(DSM_CHANNEL_SLAVE, true);
	UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
	for (int i = 0; i < 4; i++)
		hog[i] = hog_beside();
	heard = rig_now_ms();
	beats = beats_of_slave();
	/* Until it has starved for three times as long. */
	while (longest < 300 && rig_now_ms() < end) {
		poll(NULL, 0, 1);
		stale |= dsm_channel_peer(ch) != DSM_CHANNEL_LIVE;
		now = rig_now_ms();
		if (beats_of_slave() != beats)
			heard = now;
		beats = beats_of_slave();
		longest = now - heard > longest ? now - heard : longest;
	}
	for (int i = 0; i < 4; i++)
		finish(hog[i]);
	finish(pid);
	assert_false(stale);
	assert_true(longest >= 300);
}

/* From its last beat, of which there may be 40 ms ago, to when we look, which we may be late for. */
static void it_is_stale_after_the_time_that_was_asked_for(void **state)
{
	(void)state;
	for (uint32_t ms = 100; ms <= 400; ms += 300) {
		struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;
		uint64_t stopped, took;
		pid_t pid;

		o.role = DSM_CHANNEL_MASTER;
		o.stale = DSM_CHANNEL_NEVER;
		o.stale_ms = ms;
		assert_int_equal(dsm_channel_open(seg[0], RIG_NAME, &o, &ch), 0);
		pid = peer(DSM_CHANNEL_SLAVE, false);
		UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_LIVE);
		kill(pid, SIGSTOP);
		stopped = rig_now_ms();
		UNTIL(dsm_channel_peer(ch) == DSM_CHANNEL_STALE);
		took = rig_now_ms() - stopped;
		finish(pid);
		dsm_channel_close(ch);
		ch = NULL;
		assert_in_range(took, ms / 2, ms + 1000);
	}
}

/* Killed at any instruction: the next one sits down at once, and all that is read is whole. */
static void kills_leave_nothing_behind(void **state)
{
	char text[8] = { 1 };

	(void)state;
	srand((unsigned int)getpid());
	open_here(DSM_CHANNEL_MASTER, DSM_CHANNEL_NEVER, 0);
	for (int i = 0; i < rounds; i++) {
		pid_t pid = peer(DSM_CHANNEL_SLAVE, false);
		uint64_t value[WORDS], until = rig_now_ms() + (uint64_t)rand() % 8;

		do {
			int n = dsm_channel_read(ch, value, sizeof(value), NULL);

			for (int k = 1; k < n / 8; k++)
				assert_int_equal(value[k], value[0]);
			assert_int_equal(dsm_channel_write(ch, text, 8), 0);
		} while (rig_now_ms() < until);
		finish(pid);
		if (dsm_channel_validate(ch))
			fail_msg("round %d: %s", i, dsm_last_error());
	}
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_stopped_peer_is_stale_and_comes_back),
		TEST(a_dead_peer_fails_operations_at_once),
		TEST(reconnecting_ends_and_begins_again),
		TEST(a_restarted_master_has_its_channel_back),
		TEST(a_slave_takes_over),
		TEST(a_remade_segment_is_gone_on_with),
		TEST(who_starves_is_not_stale),
		TEST(it_is_stale_after_the_time_that_was_asked_for),
		TEST(kills_leave_nothing_behind),
	};

	if (argc > 1)
		rounds = atoi(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
