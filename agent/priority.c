// SPDX-License-Identifier: MIT
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/log.h"
#include "agent/priority.h"

static volatile sig_atomic_t realtime, lost;
static uint64_t lost_us; /* when that was seen; 0: not yet */

static bool realtime_take(void)
{
	/* Round robin: among agents nobody keeps the processor for long either. */
	const struct sched_param lowest = { .sched_priority = 1 };

	realtime = !sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest);
	return realtime;
}

/* Busy for too long. What is nice stays nice: that was set before. */
static void on_busy(int number)
{
	const struct sched_param none = { 0 };
	int err = errno;

	(void)number;
	if (!sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &none)) {
		realtime = false;
		lost = true;
	}
	errno = err;
}

/* False: there would be no watchdog. */
static bool watchdog_set(void)
{
	struct sigaction action = { .sa_handler = on_busy, .sa_flags = SA_RESTART };
	struct rlimit r;

	if (sigaction(SIGXCPU, &action, NULL) || getrlimit(RLIMIT_RTTIME, &r))
		return false;
	r.rlim_cur = PRIORITY_BUSY_MS * 1000;
	if (r.rlim_max != RLIM_INFINITY && r.rlim_max <= r.rlim_cur)
		return false; /* somebody wants it dead by then */
	return !setrlimit(RLIMIT_RTTIME, &r);
}

void priority_raise(void)
{
	if (setpriority(PRIO_PROCESS, 0, -20))
		log_debug("niceness stays as it is: %s", strerror(errno));
	if (!watchdog_set() || !realtime_take())
		log_debug("no real-time priority: %s", strerror(errno));
}

bool priority_is_realtime(void)
{
	return realtime;
}

void priority_regain(uint64_t now_us)
{
	if (!lost)
		return;
	if (!lost_us) {
		lost_us = now_us;
		return;
	}
	if (now_us - lost_us < PRIORITY_PAUSE_US)
		return;
	lost = false;
	lost_us = 0;
	realtime_take();
}
