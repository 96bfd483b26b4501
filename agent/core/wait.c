/* SPDX-License-Identifier: MIT */
/* Waiting for a page to be taken away: how a program sleeps until another node writes. */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

static void wait_answer(struct core *c, struct page_waiter *w, int err)
{
	act_answer(c, w->client, OP_WAIT, w->ticket, err)->reply.val[0] = 1;
}

static uint64_t wake(struct core *c, page_key key)
{
	struct page_waiter **at = &c->page_waiters;
	uint64_t n = 0;

	while (*at) {
		struct page_waiter *w = *at;

		if (w->key != key) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		wait_answer(c, w, 0);
		free(w);
		n++;
	}
	return n;
}

void wait_wake_page(struct core *c, page_key key)
{
#ifndef DSM_MUTANT_WAKE_LOST
	if (c->page_waiters)
		wake(c, key);
#endif
}

void wait_client(struct core *c, const struct core_creq *req)
{
	struct page *p = page_find(c, req->key);
	struct page_waiter *w;

	if (req->op == OP_WAKE) {
		act_answer(c, req->client, OP_WAKE, req->ticket, 0)->reply.val[0] = wake(c,
											 req->key);
		return;
	}
	act_reply(c, req, 0); /* armed: what is read from now on is watched */
	w = core_alloc(sizeof(*w));
	w->key = req->key;
	w->client = req->client;
	w->ticket = req->ticket;
	w->due = req->timeout_us == CORE_NO_TIMEOUT ? UINT64_MAX : c->now + req->timeout_us;
	w->next = c->page_waiters;
	c->page_waiters = w;
	timer_arm(c, w->due, TIMER_WAIT, req->key);
	if (!p || p->state == PAGE_INVALID || (p->flags & P_REVOKING))
		wake(c, req->key); /* gone already: look again */
}

void wait_on_timer(struct core *c, page_key key)
{
	struct page_waiter **at = &c->page_waiters;

	while (*at) {
		struct page_waiter *w = *at;

		if (w->key != key || w->due > c->now) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		wait_answer(c, w, ETIMEDOUT);
		free(w);
	}
}

void wait_client_gone(struct core *c, uint32_t client)
{
	struct page_waiter **at = &c->page_waiters;

	while (*at) {
		struct page_waiter *w = *at;

		if (w->client != client) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
}
