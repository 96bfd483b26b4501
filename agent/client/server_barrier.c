// SPDX-License-Identifier: MIT
/*
 * Barriers of all nodes. The core counts nodes; here a node's programs become
 * one arrival: the node has arrived when each of its programs has a thread
 * that waits. The arrival is made under a client number of its own, so that
 * it can be taken back when a waiter gives up or dies.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/client/server_priv.h"
#include "agent/core/msg.h"

#define BARRIERS_KEPT 32 /* idle ones stay ready for the next round */

static bool waits_at(const struct session *c, uint32_t id)
{
	return c->wait == WAIT_BARRIER && c->barrier == id;
}

static bool program_waits(const struct server *s, uint32_t program, uint32_t id)
{
	for (const struct session *c = s->sessions; c; c = c->next)
		if (c->program == program && waits_at(c, id))
			return true;
	return false;
}

static bool all_programs_wait(const struct server *s, uint32_t id)
{
	bool any = false;

	for (const struct session *c = s->sessions; c; c = c->next) {
		if (!(c->hello & HELLO_PROGRAM))
			continue;
		if (program_waits(s, c->number, id))
			any = true;
#ifndef DSM_MUTANT_NODE_ARRIVES_EARLY
		else
			return false;
#endif
	}
	return any;
}

static struct node_barrier *barrier_find(struct server *s, uint32_t id)
{
	struct node_barrier *b = s->barriers;

	while (b && b->id != id)
		b = b->next;
	return b;
}

static struct node_barrier *barrier_make(struct server *s, uint32_t id)
{
	struct node_barrier *b = barrier_find(s, id);
	uint32_t number;

	if (b)
		return b;
	number = server_number(s);
	b = number ? calloc(1, sizeof(*b)) : NULL;
	if (!b)
		return NULL;
	b->id = id;
	b->number = number;
	s->node_numbers[number] = true;
	b->next = s->barriers;
	s->barriers = b;
	s->nbarriers++;
	return b;
}

/* The core forgets the arrival, if there is one. */
static void arrival_withdraw(struct server *s, struct node_barrier *b)
{
	struct core_event ev = {
		.type = EV_CLIENT_GONE,
		.client = b->number,
		.now_us = s->cfg.host->now_us(s->cfg.host->ctx),
	};

	b->arrived = false;
	s->cfg.host->event(s->cfg.host->ctx, &ev);
}

static void barrier_free(struct server *s, struct node_barrier *b)
{
	struct node_barrier **at = &s->barriers;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	s->node_numbers[b->number] = false;
	s->nbarriers--;
	free(b);
}

static void arrival_make(struct server *s, struct node_barrier *b)
{
	struct core_creq req = {
		.client = b->number,
		.op = OP_BARRIER,
		.ticket = ++b->round,
		.id = b->id,
		.timeout_us = CORE_NO_TIMEOUT,
	};
	struct core_event ev = {
		.type = EV_CLIENT,
		.req = &req,
		.now_us = s->cfg.host->now_us(s->cfg.host->ctx),
	};

	b->arrived = true;
	s->cfg.host->event(s->cfg.host->ctx, &ev);
}

static void barrier_review(struct server *s, struct node_barrier *b)
{
	bool all = all_programs_wait(s, b->id);

	if (all && !b->arrived)
		arrival_make(s, b);
	else if (!all && b->arrived)
		arrival_withdraw(s, b);
}

void barrier_wait(struct session *c, const struct client_req *req)
{
	struct server *s = c->srv;
	struct node_barrier *b = barrier_make(s, req->id);
	uint64_t now = s->cfg.host->now_us(s->cfg.host->ctx);

	if (!b) {
		packet_error(c, ENOMEM);
		return;
	}
	c->wait = WAIT_BARRIER;
	c->barrier = req->id;
	if (__builtin_add_overflow(now, req->timeout_us, &c->due_us))
		c->due_us = UINT64_MAX;
	if (c->due_us < s->barrier_due)
		s->barrier_due = c->due_us;
	barrier_review(s, b);
}

void barrier_session_gone(struct session *c)
{
	/* A program that went may have been the one the others waited for. */
	if (!(c->hello & HELLO_PROGRAM) && c->wait != WAIT_BARRIER)
		return;
	c->wait = WAIT_NOTHING;
	for (struct node_barrier *b = c->srv->barriers; b; b = b->next)
		barrier_review(c->srv, b);
}

/* Everybody who waits at @b has the answer @err. */
static void barrier_release(struct server *s, struct node_barrier *b, int err)
{
	struct session *next;

	b->arrived = false;
	for (struct session *c = s->sessions; c; c = next) {
		next = c->next;
		if (!waits_at(c, b->id))
			continue;
		c->wait = WAIT_NOTHING;
		request_barrier_done(c, err);
	}
}

bool barrier_reply(struct server *s, const struct core_reply *reply)
{
	struct node_barrier *b = s->barriers;

	if (reply->client >= CLIENT_NUMBERS || !s->node_numbers[reply->client])
		return false;
	while (b && b->number != reply->client)
		b = b->next;
	/* An answer that crossed a withdrawal is for nobody. */
	if (!b || !b->arrived || reply->ticket != b->round)
		return true;
	barrier_release(s, b, reply->err);
	if (s->nbarriers > BARRIERS_KEPT && !b->arrived) {
		arrival_withdraw(s, b);
		barrier_free(s, b);
	}
	return true;
}

uint64_t barrier_deadline(const struct server *s)
{
	return s->barrier_due;
}

void barrier_tick(struct server *s, uint64_t now_us)
{
	struct session *next;

	if (now_us < s->barrier_due)
		return;
	s->barrier_due = UINT64_MAX;
	for (struct session *c = s->sessions; c; c = next) {
		next = c->next;
		if (c->wait != WAIT_BARRIER)
			continue;
		if (c->due_us > now_us) {
			if (c->due_us < s->barrier_due)
				s->barrier_due = c->due_us;
			continue;
		}
		c->wait = WAIT_NOTHING;
		packet_error(c, ETIMEDOUT);
		barrier_review(s, barrier_find(s, c->barrier));
	}
}

void barriers_free(struct server *s)
{
	while (s->barriers)
		barrier_free(s, s->barriers);
}
