// SPDX-License-Identifier: MIT
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/log.h"

#define QUEUE_FIRST 64

static bool queue_grow(struct agent *a)
{
	size_t n = a->queue_tail - a->queue_head,
	       size = a->queue_size ? 2 * a->queue_size : QUEUE_FIRST;
	struct queued_event *bigger = malloc(size * sizeof(*bigger));

	if (!bigger)
		return false;
	for (size_t i = 0; i < n; i++)
		bigger[i] = a->queue[(a->queue_head + i) & (a->queue_size - 1)];
	free(a->queue);
	a->queue = bigger;
	a->queue_size = size;
	a->queue_head = 0;
	a->queue_tail = n;
	return true;
}

static void queue_push(struct agent *a, const struct core_event *ev)
{
	struct queued_event *q;

	if (a->queue_tail - a->queue_head == a->queue_size && !queue_grow(a)) {
		/* An event that is lost breaks the protocol's promises: better no agent than a wrong one. */
		log_error("no memory for an event: giving up");
		abort();
	}
	q = &a->queue[a->queue_tail++ & (a->queue_size - 1)];
	q->event = *ev;
	if (ev->req)
		q->req = *ev->req;
	if (ev->topic)
		q->topic = *ev->topic;
}

static void step(struct agent *a, const struct core_event *ev)
{
	const struct core_action *actions;
	struct core_event in_order;
	size_t n;

	/* What waited in the queue comes after what did not: time goes forward only. */
	if (ev->now_us < a->last_us) {
		in_order = *ev;
		in_order.now_us = a->last_us;
		ev = &in_order;
	}
	a->last_us = ev->now_us;
	core_step(a->core, ev);
	actions = core_actions(a->core, &n);
	for (size_t i = 0; i < n; i++)
		agent_act(a, &actions[i]);
}

void agent_event(struct agent *a, const struct core_event *ev)
{
	struct queued_event q;

#ifdef DSM_MUTANT_EVENT_IN_STEP_LOST
	if (a->stepping)
		return;
#endif
	if (a->stepping) {
		queue_push(a, ev);
		return;
	}
	a->stepping = true;
	step(a, ev);
	while (a->queue_head != a->queue_tail) {
		/* A copy: the queue may grow under the step. */
		q = a->queue[a->queue_head++ & (a->queue_size - 1)];
		if (q.event.req)
			q.event.req = &q.req;
		if (q.event.topic)
			q.event.topic = &q.topic;
		a->msg_pages = NULL;
		a->msg = NULL;
		step(a, &q.event);
	}
	a->stepping = false;
}
