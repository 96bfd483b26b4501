/* SPDX-License-Identifier: MIT */
/*
 * The agent's place among those who want a processor.
 *
 * Programs and their agent often share a processor, and the agent works for
 * microseconds while everybody waits for it. So it asks for the lowest real-time
 * priority: it never queues behind a program that computes, whereas agents do
 * not interrupt each other in the middle of a send, which costs a switch more.
 * Where that is not allowed it is as nice as it may be.
 *
 * Who computes for long has no claim to it: after PRIORITY_BUSY_MS without a
 * sleep the kernel's watchdog (RLIMIT_RTTIME) takes the real-time priority away,
 * until the agent has been an ordinary process for PRIORITY_PAUSE_US.
 *
 * Threading: the loop's thread, and a signal handler that only changes the
 * policy and a flag.
 */
#ifndef DSM_AGENT_PRIORITY_H
#define DSM_AGENT_PRIORITY_H

#include <stdbool.h>
#include <stdint.h>

#define PRIORITY_BUSY_MS  500u
#define PRIORITY_PAUSE_US 1000000u

/* For the calling thread, once, when it starts. Failure is no error: the log hears of it. */
void priority_raise(void);

/*
 * True: sched_yield() lets other agents run, and nobody else. Else it would
 * let a program that computes run for a whole time slice.
 */
bool priority_is_realtime(void);

/* Called now and then: takes the priority back that was lost by being busy. @now_us: agent_now_us(). */
void priority_regain(uint64_t now_us);

#endif
