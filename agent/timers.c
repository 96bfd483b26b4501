// SPDX-License-Identifier: MIT
/* The agent's clock, its timers, and what happens around each wait of the loop. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/exit_status.h"
#include "agent/log.h"
#include "agent/priority.h"

uint64_t agent_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t agent_now_us(void)
{
	return agent_now_ns() / 1000;
}

/*
 * The timer is set again only when something is due earlier than what it
 * waits for: deadlines mostly move away, and an early wake-up costs less than
 * a system call in every pass.
 */
static void timer_settle(struct agent *a)
{
	uint64_t due = core_deadline(a->core), server_due = server_deadline(a->server);
	struct itimerspec spec = { 0 };

	if (server_due < due)
		due = server_due;
	if (due >= a->timer_due)
		return;
	a->timer_due = due;
	/* Zero would disarm it: what is overdue is due now. */
	spec.it_value.tv_sec = (time_t)(due / 1000000);
	spec.it_value.tv_nsec = (long)(due % 1000000) * 1000 + !due;
	timerfd_settime(a->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void on_timer(uv_poll_t *handle, int status, int events)
{
	struct agent *a = handle->data;
	struct core_event ev = { .type = EV_TICK, .now_us = agent_now_us() };
	static const struct itimerspec off;

	(void)status;
	(void)events;
	if (core_deadline(a->core) <= ev.now_us)
		agent_event(a, &ev);
	server_tick(a->server, ev.now_us);
	priority_regain(ev.now_us);
	/* Setting it clears what there is to read; a timer with nothing to wait for must be turned off for that. */
	a->timer_due = UINT64_MAX;
	timer_settle(a);
	if (a->timer_due == UINT64_MAX)
		timerfd_settime(a->timer_fd, 0, &off, NULL);
}

static void on_idle(uv_idle_t *handle)
{
	(void)handle; /* that it runs is all: the loop does not sleep then */
}

/*
 * While it looks for an answer it lets other agents of this processor run: with
 * all nodes on one of them the answer can come only so, and comes without a sleep.
 */
static void spin_settle(struct agent *a)
{
	bool active = uv_is_active((uv_handle_t *)&a->idle), waiting, wanted;

	if (!a->spin.limit_ns)
		return;
	waiting = a->latency.pending || server_waiting(a->server);
	/* Who does not wait needs no clock. */
	wanted = spin_wanted(&a->spin, waiting, waiting ? agent_now_ns() : 0);
	if (wanted && !active)
		uv_idle_start(&a->idle, on_idle);
	else if (!wanted && active)
		uv_idle_stop(&a->idle);
	if (wanted && priority_is_realtime())
		sched_yield();
}

/* Other nodes first: see server_flush(). */
static void flush(struct agent *a)
{
	net_flush(a->net);
	if (server_flush(a->server))
		net_flush(a->net); /* a session that did not take its answer ended */
}

static void on_prepare(uv_prepare_t *handle)
{
	struct agent *a = handle->data;

	flush(a);
	timer_settle(a);
	spin_settle(a);
}

static void on_check(uv_check_t *handle)
{
	struct agent *a = handle->data;

	flush(a);
}

static void on_retry(uv_timer_t *timer)
{
	agent_retry_revokes(timer->data);
}

int agent_start_timers(struct agent *a)
{
	a->timer_due = UINT64_MAX;
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (a->timer_fd < 0 || uv_poll_init(a->loop, &a->timer_poll, a->timer_fd)) {
		log_error("no timer: %s", strerror(errno));
		return DSMD_EXIT_FAILED;
	}
	a->timer_poll.data = a;
	uv_poll_start(&a->timer_poll, UV_READABLE, on_timer);
	uv_timer_init(a->loop, &a->retry_timer);
	a->retry_timer.data = a;
	uv_timer_init(a->loop, &a->leave_timer);
	a->leave_timer.data = a;
	uv_prepare_init(a->loop, &a->prepare);
	a->prepare.data = a;
	uv_prepare_start(&a->prepare, on_prepare);
	uv_idle_init(a->loop, &a->idle);
	a->spin.limit_ns = (uint64_t)a->cfg->spin_us * 1000;
	uv_check_init(a->loop, &a->check);
	a->check.data = a;
	uv_check_start(&a->check, on_check);
	return 0;
}

void agent_retry_later(struct agent *a)
{
	if (!uv_is_active((uv_handle_t *)&a->retry_timer))
		uv_timer_start(&a->retry_timer, on_retry, AGENT_RETRY_MS, AGENT_RETRY_MS);
}
