// SPDX-License-Identifier: MIT
/* Before programs, but not for long without a sleep. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/log.h"
#include "agent/priority.h"

#define DEADLINE_US 10000000u
#define NOBODY	    65534

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int policy(void)
{
	return sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
}

/* In a child: priorities cannot be given back. */
static int status_of(int (*part)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child)
		_exit(part());
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define SKIPPED 77

static int busy_and_back(void)
{
	uint64_t start = now_us(), lost;

	priority_raise();
	if (!priority_is_realtime())
		return SKIPPED;
	if (policy() != SCHED_RR || getpriority(PRIO_PROCESS, 0) != -20)
		return 1;
	while (policy() != SCHED_OTHER)
		if (now_us() - start > DEADLINE_US)
			return 2;
	if (priority_is_realtime() || getpriority(PRIO_PROCESS, 0) != -20)
		return 3;
	lost = now_us();
	priority_regain(lost);
	priority_regain(lost + PRIORITY_PAUSE_US - 1);
	if (policy() != SCHED_OTHER)
		return 4;
	priority_regain(lost + PRIORITY_PAUSE_US);
	return policy() == SCHED_RR && priority_is_realtime() ? 0 : 5;
}

static void who_is_busy_loses_it_for_a_while(void **state)
{
	int status = status_of(busy_and_back);

	(void)state;
	if (status == SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

static int busy_with_sleeps(void)
{
	const struct timespec short_sleep = { .tv_nsec = 1000000 };
	uint64_t start = now_us(), awake = start;

	priority_raise();
	if (!priority_is_realtime())
		return SKIPPED;
	while (now_us() - start < 2 * PRIORITY_BUSY_MS * 1000) {
		if (now_us() - awake < PRIORITY_BUSY_MS * 100)
			continue;
		nanosleep(&short_sleep, NULL);
		awake = now_us();
	}
	return policy() == SCHED_RR ? 0 : 1;
}

static void who_sleeps_between_keeps_it(void **state)
{
	int status = status_of(busy_with_sleeps);

	(void)state;
	if (status == SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

static int without_rights(void)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_RTPRIO, &none) || setrlimit(RLIMIT_NICE, &none) ||
	    (!getuid() && setresuid(NOBODY, NOBODY, NOBODY)))
		return SKIPPED;
	priority_raise();
	priority_regain(now_us());
	return priority_is_realtime() || policy() != SCHED_OTHER;
}

static void who_may_not_goes_on_without(void **state)
{
	int status = status_of(without_rights);

	(void)state;
	if (status == SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_busy_loses_it_for_a_while),
		cmocka_unit_test(who_sleeps_between_keeps_it),
		cmocka_unit_test(who_may_not_goes_on_without),
	};

	log_level_set(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
