// SPDX-License-Identifier: MIT
#include "tests/unit/idle_cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <time.h>

static uint64_t processor_us(clockid_t of)
{
	struct timespec t;

	clock_gettime(of, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t wakeups_us(unsigned int n)
{
	uint64_t before = processor_us(CLOCK_THREAD_CPUTIME_ID);

	for (int i = 0; i < 20; i++)
		poll(NULL, 0, 10);
	return (processor_us(CLOCK_THREAD_CPUTIME_ID) - before) * n / 20;
}

bool idle_second_is_cheap(void)
{
	uint64_t used = processor_us(CLOCK_PROCESS_CPUTIME_ID), bare;

	poll(NULL, 0, 1000);
	used = processor_us(CLOCK_PROCESS_CPUTIME_ID) - used;
	bare = wakeups_us(200);
	if (used <= 1000 || used <= bare)
		return true;
	print_error("%llu us in a second, 200 wake-ups %llu us\n", (unsigned long long)used,
		    (unsigned long long)bare);
	return false;
}
