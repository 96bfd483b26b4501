/* SPDX-License-Identifier: MIT */
/*
 * Threads that wait for each other's locks in a circle would wait for ever.
 * Each node asks now and then, for its threads that hold a lock and have waited for
 * another one for a while: who has that one, and does he wait, too? The question
 * goes from holder to holder, to where each token is, as in Chandy, Misra and Haas
 * (1983). When it comes round to the wait that it began with there is a circle.
 *
 * Or there was: a lock may have changed hands behind the question's back. So it
 * goes round once more, after the first answer, and counts only when it met the very same
 * waits. Who waits without a break neither takes nor leaves a lock, so all
 * these waits were there at the moment between the two rounds.
 *
 * Every wait waits for one holder, so circles do not meet. Of each one a single
 * wait gives way: that of the highest node, and at that node the youngest.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

#define HOPS_MAX 1024 /* waits in a circle, and what leads into it: then the question is dropped */

static uint64_t period(const struct core *c)
{
	return c->cfg.deadlock_ms * MS;
}

void deadlock_wait(struct core *c, struct lock_waiter *w)
{
	w->wait = ++c->lock_waits;
	w->since = c->now;
	if (c->deadlock_armed || !c->cfg.deadlock_ms)
		return;
	c->deadlock_armed = true;
	timer_arm(c, c->now + period(c), TIMER_DEADLOCK, 0);
}

/* What a client waits for; a client asks for one thing at a time. */
static struct lock_waiter *waiting(const struct core *c, uint32_t client, struct lock **ret)
{
	uint64_t id;
	void *v;

	for (size_t i = 0; map_next(&c->locks, &i, &id, &v);) {
		struct lock *l = v;

		for (struct lock_waiter *w = l->head; w; w = w->next)
			if (w->client == client) {
				*ret = l;
				return w;
			}
	}
	return NULL;
}

/* Of two waits in a circle: is that one to find it, not this one? */
static bool gives_way(uint16_t nid, uint64_t wait, const struct core_msg *m)
{
	return nid != m->nid ? nid > m->nid : wait > m->a;
}

static uint64_t mix(uint64_t way, uint16_t nid, uint64_t wait)
{
	way = (way ^ wait) * 0x9e3779b97f4a7c15ull;
	way = (way ^ (way >> 29) ^ nid) * 0xbf58476d1ce4e5b9ull;
	return way ^ (way >> 32);
}

static void ask(struct core *c, struct lock *l, struct lock_waiter *w);

/* The question is back where it began. */
static void on_circle(struct core *c, struct lock *l, struct lock_waiter *w,
		      const struct core_msg *m)
{
#ifdef DSM_MUTANT_DEADLOCK_UNSURE
	lock_refuse(c, l, w, EDEADLK);
	return;
#endif
	if (w->way == m->b && m->ver <= w->way_round)
		return; /* asked before that way was seen */
	if (w->way == m->b) {
		act_log(c, 2, "client %u would wait for lock %u for ever: refused", w->client,
			l->id);
		lock_refuse(c, l, w, EDEADLK);
		return;
	}
	w->way = m->b;
	w->way_round = w->round;
	ask(c, l, w);
}

/* To where the token of the lock is, as far as this node knows. */
static void send_on(struct core *c, struct core_msg *m, const struct lock *l)
{
	uint16_t to = is_master(c) ? (l ? l->token_nid : 0) : c->master;

	/* On its way, or somebody else's by now: that is not for ever. */
	if ((m->flags & F_GRANT) || !to || to == c->nid)
		return;
	m->flags = is_master(c) ? F_GRANT : 0;
	m->src = c->nid;
	msg_send(c, to, m, NULL);
}

static void follow(struct core *c, struct core_msg *m)
{
	for (;;) {
		struct lock *l = map_get(&c->locks, (uint32_t)m->key);
		uint32_t word = l ? atomic_load_explicit(l->word, memory_order_acquire)
				  : LOCK_WORD_ABSENT;
		struct lock_waiter *w;

		if (word == LOCK_WORD_ABSENT) {
			send_on(c, m, l);
			return;
		}
		w = word & LOCK_WORD_HELD ? waiting(c, word & LOCK_WORD_CLIENT, &l) : NULL;
		if (!w)
			return;
		if (m->nid == c->nid && m->a == w->wait) {
			on_circle(c, l, w, m);
			return;
		}
		if (gives_way(c->nid, w->wait, m) || ++m->arg > HOPS_MAX)
			return;
		m->b = mix(m->b, c->nid, w->wait);
		m->key = l->id;
		m->flags = 0;
	}
}

static void ask(struct core *c, struct lock *l, struct lock_waiter *w)
{
	struct core_msg m = msg_new(c, MSG_LOCK_PROBE);

	m.key = l->id;
	m.nid = c->nid;
	m.a = w->wait;
	m.ver = ++w->round;
	m.b = mix(0, c->nid, w->wait);
	follow(c, &m);
}

void deadlock_on_msg(struct core *c, const struct core_msg *m)
{
	struct core_msg on = *m;

	follow(c, &on);
}

/* Only who holds a lock can be waited for. */
static bool holds_any(const struct core *c, uint32_t client)
{
	uint64_t id;
	void *v;

	for (size_t i = 0; map_next(&c->locks, &i, &id, &v);) {
		const struct lock *l = v;
		uint32_t word = atomic_load_explicit(l->word, memory_order_relaxed);

		if ((word & LOCK_WORD_HELD) && (word & LOCK_WORD_CLIENT) == client)
			return true;
	}
	return false;
}

/* At most one question for a lock and tick: its first refusal changes the list. */
static bool look_at(struct core *c, struct lock *l)
{
	for (struct lock_waiter *w = l->head; w; w = w->next) {
		uint64_t refused = c->lock_refused;

		if (c->now - w->since < period(c) || !holds_any(c, w->client))
			continue;
		ask(c, l, w);
		if (c->lock_refused != refused)
			return true;
	}
	return l->head != NULL;
}

void deadlock_on_timer(struct core *c)
{
	bool any = false;
	size_t n;
	uint64_t *keys = map_keys(&c->locks, &n);

	for (size_t i = 0; i < n; i++) {
		struct lock *l = map_get(&c->locks, keys[i]);

		any |= l->head && core_ready(c) ? look_at(c, l) : l->head != NULL;
	}
	free(keys);
	c->deadlock_armed = any;
	if (any)
		timer_arm(c, c->now + period(c), TIMER_DEADLOCK, 0);
}
