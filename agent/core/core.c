/* SPDX-License-Identifier: MIT */
/* A core from its making to its end, and its steps: events in, timers that are due. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

struct core *core_new(const struct core_config *cfg, uint64_t now_us)
{
	struct core *c = core_alloc(sizeof(*c));

	c->cfg = *cfg;
	if (!c->cfg.dead_ms)
		c->cfg.dead_ms = 1500;
	if (!c->cfg.elect_ms)
		c->cfg.elect_ms = 150;
	if (!c->cfg.deadlock_ms)
		c->cfg.deadlock_ms = 100;
	if (c->cfg.deadlock_ms == CORE_NO_DEADLOCK_CHECK)
		c->cfg.deadlock_ms = 0;
	if (!c->cfg.touch_pages)
		c->cfg.touch_pages = 16;
	if (!c->cfg.prefetch_pages)
		c->cfg.prefetch_pages = 32;
	if (cfg->nseeds) {
		c->seeds = core_alloc(cfg->nseeds * sizeof(*c->seeds));
		memcpy(c->seeds, cfg->seeds, cfg->nseeds * sizeof(*c->seeds));
	}
	c->uid = cfg->uid;
	c->now = now_us;
	c->next_link = 1;
	c->next_nid = 1;
	c->next_region = 1;
	c->next_ticket = cfg->weight; /* a later life of this node has higher ones */
	c->resuming = cfg->resume_cluster && cfg->resume_nid;
	c->state = CORE_SEEKING;
	c->held_tail = &c->held;
	c->early_tail = &c->early;
	c->to_self_tail = &c->to_self;
	c->pool_wait_tail = &c->pool_wait;
	c->topic_waits_tail = &c->topic_waits;
	timer_arm(c, now_us, TIMER_READY, 0); /* the first step is due at once */
	return c;
}

static void free_values(struct map *m)
{
	uint64_t key;
	void *v;

	for (size_t i = 0; map_next(m, &i, &key, &v);)
		free(v);
	map_free(m);
}

static void free_locks(struct core *c)
{
	uint64_t key;
	void *v;

	for (size_t i = 0; map_next(&c->locks, &i, &key, &v);) {
		struct lock *l = v;

		while (l->head) {
			struct lock_waiter *w = l->head;

			l->head = w->next;
			free(w);
		}
		while (l->queue) {
			struct nid_list *q = l->queue;

			l->queue = q->next;
			free(q);
		}
	}
	free_values(&c->locks);
}

void core_free(struct core *c)
{
	if (!c)
		return;
	home_reset(c);
	rwlock_lose_all(c);
	barrier_lose_all(c);
	topic_free_all(c);
	free_locks(c);
	free_values(&c->rwlocks);
	free_values(&c->leaves);
	free_values(&c->requests);
	free_values(&c->revokes);
	free_values(&c->asked);
	map_free(&c->given);
	map_free(&c->rw_clients);
	map_free(&c->barriers);
	map_free(&c->barrier_clients);
	while (c->freeing) {
		struct freeing *f = c->freeing;

		c->freeing = f->next;
		free(f);
	}
	while (c->page_waiters) {
		struct page_waiter *w = c->page_waiters;

		c->page_waiters = w->next;
		free(w);
	}
	while (c->joiners) {
		struct joiner *j = c->joiners;

		c->joiners = j->next;
		free(j);
	}
	member_clear(c);
	extent_clear(c);
	deferred_forget(c);
	deferred_free(c->to_self);
	deferred_free(c->pool_wait);
	free(c->dropping);
	free(c->links);
	free(c->regions);
	free(c->later);
	free(c->seeds);
	kept_forget(c);
	free(c->timers);
	free(c->ready_waiters);
	act_free(c);
	free(c);
}

void core_resume_page(struct core *c, page_key key, uint32_t count, enum page_state state)
{
	for (uint32_t i = 0; i < count; i++)
		page_get(c, key + i)->state = (uint8_t)state;
}

/* --- a step --- */

static void on_timer(struct core *c, const struct timer *t)
{
	switch (t->kind) {
	case TIMER_SEEK:
		seek_on_timer(c);
		break;
	case TIMER_BEAT:
		view_beat(c);
		break;
	case TIMER_REVOKE:
		revoke_on_timer(c, t->arg);
		break;
	case TIMER_LOCK:
		lock_on_timer(c, (uint32_t)t->arg);
		break;
	case TIMER_RWLOCK:
		rwlock_on_timer(c, t->arg);
		break;
	case TIMER_BARRIER:
		barrier_on_timer(c, t->arg);
		break;
	case TIMER_WAIT:
		wait_on_timer(c, t->arg);
		break;
	case TIMER_DEADLOCK:
		deadlock_on_timer(c);
		break;
	case TIMER_READY:
		client_ready_timer(c);
		break;
	}
}

static void first_step(struct core *c)
{
	struct rec_region r = { .size = c->cfg.region_size,
				.base = c->cfg.region_base,
				.name = "default" };

	c->started = true;
	region_learn(c, &r);
	seek_start(c);
}

static void on_event(struct core *c, const struct core_event *ev)
{
	switch (ev->type) {
	case EV_LINK_UP:
		link_on_up(c, ev);
		break;
	case EV_LINK_DOWN:
		link_on_down(c, ev->link);
		break;
	case EV_MSG:
		dispatch_link(c, ev);
		break;
	case EV_DATAGRAM:
		seek_on_datagram(c, ev, NULL);
		break;
	case EV_FAULT:
		request_fault(c, ev->key, ev->count, ev->write, ev->prefetch);
		break;
	case EV_REVOKED:
		revoke_done(c, ev->key, ev->count);
		break;
	case EV_CLIENT:
		client_request(c, ev->req);
		break;
	case EV_CLIENT_GONE:
		client_gone(c, ev->client);
		break;
	case EV_LEAVE:
		view_leave(c);
		break;
	case EV_TOPIC:
		topic_interest(c, ev->topic);
		break;
	case EV_TOPIC_CHANGED:
		push_changed(c, ev->key);
		break;
	default:
		break;
	}
}

void core_step(struct core *c, const struct core_event *ev)
{
	struct timer t;

	act_reset(c);
	if (ev->now_us > c->now)
		c->now = ev->now_us;
	if (!c->started)
		first_step(c);
	on_event(c, ev);
	dispatch_to_self(c);
	while (timer_pop(c, &t)) {
		on_timer(c, &t);
		dispatch_to_self(c);
	}
}

const struct core_action *core_actions(const struct core *c, size_t *ret_n)
{
	*ret_n = c->nactions;
	return c->actions;
}

uint64_t core_deadline(const struct core *c)
{
	return c->ntimers ? c->timers[0].due : UINT64_MAX;
}
