/* SPDX-License-Identifier: MIT */
/*
 * The shell around the core of one node: turns what sockets, descriptors and
 * clients say into core events, and the core's actions into system calls.
 *
 * Threading: one thread, one libuv loop. One event is one core_step(); its
 * actions are carried out in order before the next. What comes up
 * meanwhile (a page that is revoked at once, a fault seen inside an install)
 * waits in a queue. Sends are only queued; just before the loop sleeps, and
 * after it has handled input, each link with something to say is written once.
 */
#ifndef DSM_AGENT_AGENT_H
#define DSM_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/client/server.h"
#include "agent/config.h"
#include "agent/core/core.h"
#include "agent/kept_file.h"
#include "agent/latency.h"
#include "agent/net/discover.h"
#include "agent/net/link.h"
#include "agent/pager/pager.h"
#include "agent/spin.h"
#include "agent/stash.h"

/* An ACT_REVOKE that met a page pinned for I/O; tried again until it works. */
struct revoke_retry {
	uint64_t key;
	uint32_t count, done; /* pages; how many of them are revoked */
	uint8_t how;
	struct revoke_retry *next;
};

/* An event that came up during a step. Owns what it points to. */
struct queued_event {
	struct core_event event;
	struct core_creq req;
	struct core_topic topic;
};

struct agent {
	uv_loop_t *loop;
	const struct config *cfg;
	uint64_t uid, start_us;
	struct core *core;
	struct net *net;
	struct discover *discover; /* NULL: none */
	struct server *server;
	const struct pager_ops *ops;
	struct pager *pager;
	struct stash *stash;
	struct kept_file *kept; /* NULL: the pager keeps no pages either */
	struct latency latency;
	struct watch *watches; /* descriptors of the pager */

	/* What the parts call; filled in by agent_wire(). */
	struct net_host net_host;
	struct discover_host discover_host;
	struct server_host server_host;
	struct pager_host pager_host;

	bool stepping;
	uint64_t last_us;	    /* time of the newest event stepped */
	struct queued_event *queue; /* ring of queue_size, a power of two */
	size_t queue_size, queue_head, queue_tail;
	const char *msg_pages;	    /* page bytes of the message that is stepped, or the value */
	const struct core_msg *msg; /* that message */

	struct revoke_retry *retries;
	uv_timer_t retry_timer, leave_timer;
	int timer_fd; /* timerfd: libuv's timers count milliseconds */
	uv_poll_t timer_poll;
	uint64_t timer_due; /* what it is set to; UINT64_MAX: nothing */
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* runs while the loop is not to sleep */
	struct spin spin;

	bool leaving, left;
	bool keep_pages; /* the end is no leave: what the module holds stays for our successor */
	int exit_status;
};

/* --- agent.c --- */
/*
 * Starts everything. 0, or an exit status (see dsmd(8)) after having said in
 * the log what is wrong; agent_stop() is due in both cases.
 */
int agent_start(struct agent *a, uv_loop_t *loop, const struct config *cfg);
/* Runs until the node has left, or cannot go on. Returns the exit status. */
int agent_run(struct agent *a);
/* Leaves the cluster, bounded in time; agent_run() returns then. Twice: at once. */
void agent_leave(struct agent *a);
/* Lets go of everything; the loop must run once more before @a may go. */
void agent_stop(struct agent *a);
/* ACT_STATE. @state: enum core_state. */
void agent_state_changed(struct agent *a, uint32_t state);

/* --- timers.c --- */
/* The clock of the core's events: monotonic microseconds. */
uint64_t agent_now_us(void);
uint64_t agent_now_ns(void);
/* An exit status, 0 for none. */
int agent_start_timers(struct agent *a);
/* agent_retry_revokes() is due soon. */
void agent_retry_later(struct agent *a);
#define AGENT_RETRY_MS 1 /* the end of I/O on a pinned page cannot be waited for */

/* --- step.c --- */
/* One event for the core, at once or after those that wait. */
void agent_event(struct agent *a, const struct core_event *ev);

/* --- actions.c --- */
void agent_act(struct agent *a, const struct core_action *act);
/* Tries pinned pages again. */
void agent_retry_revokes(struct agent *a);

/* --- wiring.c --- */
/* Fills in the calls that the parts make: they become events of the core. */
void agent_wire(struct agent *a);

#endif
