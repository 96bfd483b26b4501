/* SPDX-License-Identifier: MIT */
/*
 * Locks. The right to hand a lock out is a token, which stays at the node
 * that had it last. The master knows where each token is and keeps the queue
 * of nodes that want it; it recalls the token for the first of them, and the
 * holder passes it on directly. At a node, waiters are served in order; when
 * another node waits, at most HANDOFFS_MAX local ones go before it.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

#define HANDOFFS_MAX 8
#define TRY_US	     10000 /* how long a try asks elsewhere when the token is not here */

static struct lock *lock_get(struct core *c, uint32_t id)
{
	struct lock *l = map_get(&c->locks, id);

	if (l)
		return l;
	l = core_alloc(sizeof(*l));
	l->id = id;
	l->tail = &l->head;
	l->queue_tail = &l->queue;
	l->word = &l->own_word;
	l->slot = UINT32_MAX;
	if (c->slots_used < c->cfg.nlock_words) {
		l->slot = c->slots_used++;
		l->word = (_Atomic uint32_t *)((char *)c->cfg.lock_words +
					       (size_t)l->slot * c->cfg.lock_stride);
	}
	map_put(&c->locks, id, l);
	return l;
}

static uint32_t word_get(struct lock *l)
{
	return atomic_load_explicit(l->word, memory_order_acquire);
}

static void word_set(struct lock *l, uint32_t w)
{
	atomic_store_explicit(l->word, w, memory_order_release);
}

static bool word_cas(struct lock *l, uint32_t old, uint32_t new)
{
	return atomic_compare_exchange_strong(l->word, &old, new);
}

static void send_lock(struct core *c, uint16_t to, uint16_t type, uint16_t flags,
		      const struct lock *l, uint16_t about)
{
	struct core_msg m = msg_new(c, type);

	m.key = l->id;
	m.flags = flags;
	m.nid = about;
	msg_send(c, to, &m, NULL);
}

static void request_token(struct core *c, struct lock *l)
{
	if (l->requested || !core_ready(c))
		return;
	l->requested = true;
	send_lock(c, c->master, MSG_LOCK_REQUEST, 0, l, 0);
}

static void lock_reply(struct core *c, struct lock *l, uint32_t client, uint64_t ticket, int err)
{
	act_answer(c, client, OP_LOCK, ticket, err)->reply.val[0] = l->slot;
}

static void on_moved(struct core *c, struct lock *l, uint16_t nid);

/* --- the node's side --- */

static void waiter_add(struct core *c, struct lock *l, const struct core_creq *req,
		       uint64_t timeout)
{
	struct lock_waiter *w = core_alloc(sizeof(*w));

	w->client = req->client;
	w->ticket = req->ticket;
	w->due = timeout == CORE_NO_TIMEOUT ? UINT64_MAX : c->now + timeout;
	*l->tail = w;
	l->tail = &w->next;
	timer_arm(c, w->due, TIMER_LOCK, l->id);
	deadlock_wait(c, w);
}

static struct lock_waiter *waiter_pop(struct lock *l)
{
	struct lock_waiter *w = l->head;

	l->head = w->next;
	if (!l->head)
		l->tail = &l->head;
	return w;
}

/* Token here, lock free and no program can take it meanwhile: who is next? */
static void pass_on(struct core *c, struct lock *l, bool dead)
{
	struct lock_waiter *w;

	if (l->recall && (!l->head || l->handoffs >= HANDOFFS_MAX) && !c->frozen) {
		uint16_t to = l->recall;

		l->recall = 0;
		l->handoffs = 0;
#ifndef DSM_MUTANT_TOKEN_KEPT
		word_set(l, LOCK_WORD_ABSENT);
#else
		word_set(l, LOCK_WORD_FREE);
#endif
		l->gave_dead = dead;
		send_lock(c, to, MSG_LOCK_GRANT,
			  (uint16_t)((dead ? F_OWNER_DEAD : 0) | (is_master(c) ? F_GRANT : 0)), l,
			  0);
		if (is_master(c))
			on_moved(c, l, to);
		if (l->head)
			request_token(c, l);
		return;
	}
	if (!l->head) {
		word_set(l, dead ? LOCK_WORD_DEAD : LOCK_WORD_FREE);
		return;
	}
	w = waiter_pop(l);
	if (l->recall)
		l->handoffs++;
	word_set(l, lock_word_held(w->client) | (l->head || l->recall ? LOCK_WORD_WAIT : 0));
	c->stats.lock_local++;
	lock_reply(c, l, w->client, w->ticket, dead ? EOWNERDEAD : 0);
	free(w);
}

/* Makes sure that the holder's unlock comes to the agent. False: it is not held any more. */
static bool word_mark_wait(struct lock *l, uint32_t w)
{
	return (w & LOCK_WORD_WAIT) || word_cas(l, w, w | LOCK_WORD_WAIT);
}

void lock_client(struct core *c, const struct core_creq *req)
{
	struct lock *l = lock_get(c, req->id);
	bool try = req->flags & F_TRY;
	uint32_t w;

	for (;;) {
		w = word_get(l);
		if (w == LOCK_WORD_ABSENT) {
			waiter_add(c, l, req, try ? TRY_US : req->timeout_us);
			request_token(c, l);
			return;
		}
		if (w == LOCK_WORD_FREE || w == LOCK_WORD_DEAD) {
			if (!word_cas(l, w, lock_word_held(req->client)))
				continue;
			c->stats.lock_local++;
			lock_reply(c, l, req->client, req->ticket,
				   w == LOCK_WORD_DEAD ? EOWNERDEAD : 0);
			return;
		}
		if ((w & LOCK_WORD_CLIENT) == req->client || try) {
			lock_reply(c, l, req->client, req->ticket, try ? EBUSY : EDEADLK);
			return;
		}
		if (!word_mark_wait(l, w))
			continue;
		waiter_add(c, l, req, req->timeout_us);
		return;
	}
}

void lock_unlock(struct core *c, const struct core_creq *req)
{
	struct lock *l = map_get(&c->locks, req->id);
	uint32_t w = l ? word_get(l) : 0;

	if (!l || !(w & LOCK_WORD_HELD) || (w & LOCK_WORD_CLIENT) != req->client) {
		act_reply(c, req, EPERM);
		return;
	}
	pass_on(c, l, false);
	act_reply(c, req, 0);
}

static void recall(struct core *c, struct lock *l, uint16_t next)
{
	uint32_t w;

	l->recall = next;
	l->handoffs = 0;
	for (;;) {
		w = word_get(l);
		if (w == LOCK_WORD_ABSENT)
			return; /* on its way here; passed on when it was used once */
		if (w & LOCK_WORD_HELD) {
			if (word_mark_wait(l, w))
				return;
			continue;
		}
		/* Shut programs out while the token leaves. */
		if (word_cas(l, w, LOCK_WORD_ABSENT)) {
			pass_on(c, l, w == LOCK_WORD_DEAD);
			return;
		}
	}
}

static void token_here(struct core *c, struct lock *l, bool dead, bool by_master)
{
	l->requested = false;
	l->gave_dead = false;
	c->stats.lock_remote++;
	/* The master knows where it sent it itself; word of that could come after word of the next move. */
	if (!by_master)
		send_lock(c, c->master, MSG_LOCK_MOVED, 0, l, 0);
	if (!l->recall || l->head) {
		pass_on(c, l, dead);
		return;
	}
	/* Recalled on its way, and nobody here wants it any more. */
	word_set(l, LOCK_WORD_ABSENT);
	pass_on(c, l, dead);
}

/* A waiter that must not go on waiting. */
void lock_refuse(struct core *c, struct lock *l, struct lock_waiter *gone, int err)
{
	struct lock_waiter **at = &l->head;

	while (*at != gone)
		at = &(*at)->next;
	*at = gone->next;
	if (!*at)
		l->tail = at;
	c->lock_refused++;
	lock_reply(c, l, gone->client, gone->ticket, err);
	free(gone);
}

void lock_on_timer(struct core *c, uint32_t id)
{
	struct lock *l = map_get(&c->locks, id);
	struct lock_waiter **at;

	if (!l)
		return;
	for (at = &l->head; *at;) {
		struct lock_waiter *w = *at;

		if (w->due > c->now) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		lock_reply(c, l, w->client, w->ticket, ETIMEDOUT);
		free(w);
	}
	l->tail = at;
}

void lock_client_gone(struct core *c, uint32_t client)
{
	size_t n;
	uint64_t *keys = map_keys(&c->locks, &n);

	for (size_t i = 0; i < n; i++) {
		struct lock *l = map_get(&c->locks, keys[i]);
		struct lock_waiter **at = &l->head;
		uint32_t w;

		while (*at) {
			struct lock_waiter *gone = *at;

			if (gone->client != client) {
				at = &gone->next;
				continue;
			}
			*at = gone->next;
			free(gone);
		}
		l->tail = at;
		w = word_get(l);
		if (!(w & LOCK_WORD_HELD) || (w & LOCK_WORD_CLIENT) != client)
			continue;
		act_log(c, 2, "client %u died holding lock %u: handed on as owner-dead", client,
			l->id);
#ifndef DSM_MUTANT_OWNER_DEATH_IGNORED
		pass_on(c, l, true);
#endif
	}
	free(keys);
}

/* --- the master's side --- */

static void queue_add(struct lock *l, uint16_t nid)
{
	struct nid_list *q = core_alloc(sizeof(*q));

	q->nid = nid;
	*l->queue_tail = q;
	l->queue_tail = &q->next;
}

static uint16_t queue_pop(struct lock *l)
{
	struct nid_list *q = l->queue;
	uint16_t nid = q->nid;

	l->queue = q->next;
	if (!l->queue)
		l->queue_tail = &l->queue;
	free(q);
	return nid;
}

/* The token moves to the first of the queue. */
static void queue_serve(struct core *c, struct lock *l)
{
	if (!l->queue || l->recalled)
		return;
	if (!l->token_nid) {
		l->token_nid = queue_pop(l);
		l->gave_dead = l->token_dead;
		send_lock(c, l->token_nid, MSG_LOCK_GRANT,
			  (uint16_t)(F_GRANT | (l->token_dead ? F_OWNER_DEAD : 0)), l, 0);
		l->token_dead = false;
	}
	if (l->queue) {
		l->recalled = true;
		send_lock(c, l->token_nid, MSG_LOCK_RECALL, 0, l, l->queue->nid);
	}
}

static void on_moved(struct core *c, struct lock *l, uint16_t nid)
{
	if (l->queue && l->queue->nid == nid && l->recalled) {
		queue_pop(l);
		l->recalled = false;
	}
	l->token_nid = nid;
	queue_serve(c, l);
}

void lock_on_msg(struct core *c, const struct core_msg *m)
{
	struct lock *l = lock_get(c, (uint32_t)m->key);

	switch (m->type) {
	case MSG_LOCK_REQUEST:
#ifdef DSM_MUTANT_LOCK_NOT_FIFO
		if (l->queue && l->queue->next) {
			struct nid_list *q = core_alloc(sizeof(*q));

			q->nid = m->src;
			q->next = l->queue->next;
			l->queue->next = q;
			break;
		}
#endif
		queue_add(l, m->src);
		queue_serve(c, l);
		break;
	case MSG_LOCK_RECALL:
		recall(c, l, m->nid);
		break;
	case MSG_LOCK_GRANT:
		token_here(c, l, m->flags & F_OWNER_DEAD, m->flags & F_GRANT);
		break;
	case MSG_LOCK_MOVED:
		on_moved(c, l, m->src);
		break;
	default:
		break;
	}
}

/* --- view changes --- */

void lock_new_view(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->locks, &n);

	for (size_t i = 0; i < n; i++) {
		struct lock *l = map_get(&c->locks, keys[i]);

		while (l->queue)
			queue_pop(l);
		l->requested = false;
		l->recall = 0;
		l->handoffs = 0;
		l->token_nid = 0;
		if (l->token_dead && !is_master(c)) /* the new master has to hear it */
			l->gave_dead = true;
		l->token_dead &= is_master(c) && !c->new_master;
		l->recalled = false;
	}
	free(keys);
}

void lock_report(struct core *c)
{
	struct rec_lock *recs;
	struct core_msg m = msg_new(c, MSG_LOCKS_HELD);
	size_t n, k = 0;
	uint64_t *keys = map_keys(&c->locks, &n);

	recs = core_alloc((2 * n + c->rw_clients.used + 1) * sizeof(*recs));
	for (size_t i = 0; i < n; i++) {
		struct lock *l = map_get(&c->locks, keys[i]);
		uint32_t w = word_get(l);

		if (c->state == CORE_LEAVING && (w == LOCK_WORD_FREE || w == LOCK_WORD_DEAD) &&
		    word_cas(l, w, LOCK_WORD_ABSENT)) { /* the token stays with those who stay */
			recs[k++] = (struct rec_lock){ .id = l->id };
			l->gave_dead = w ==
				       LOCK_WORD_DEAD; /* told below, in this view and the next */
		} else if (w != LOCK_WORD_ABSENT) {
			recs[k++] = (struct rec_lock){ .id = l->id, .kind = LOCK_TOKEN_HELD };
		} else if (l->head && !l->requested) {
			l->requested = true;
			recs[k++] = (struct rec_lock){ .id = l->id, .kind = LOCK_TOKEN_WANTED };
		} else if (is_master(c)) {
			recs[k++] = (struct rec_lock){ .id = l->id };
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct lock *l = map_get(&c->locks, keys[i]);

		/* The token may not have arrived. */
		if (l->gave_dead && word_get(l) == LOCK_WORD_ABSENT)
			recs[k++] = (struct rec_lock){ .id = l->id, .flags = F_OWNER_DEAD };
	}
	free(keys);
	k += rwlock_report(c, recs + k, c->rw_clients.used, 0);
	msg_send_recs(c, c->master, &m, recs, k);
	free(recs);
}

void lock_learn(struct core *c, uint16_t nid, const struct rec_lock *r)
{
	struct lock *l = lock_get(c, r->id);

	if (r->flags & F_OWNER_DEAD)
		l->token_dead = true;
	if (r->kind == LOCK_TOKEN_HELD)
		l->token_nid = nid;
	else if (r->kind == LOCK_TOKEN_WANTED)
		queue_add(l, nid);
}

/* Tokens that nobody reported were on their way, or died with a node: made anew. */
void lock_rebuilt(struct core *c)
{
	size_t n;
	uint64_t *keys;

	if (!is_master(c))
		return;
	keys = map_keys(&c->locks, &n);
	for (size_t i = 0; i < n; i++) {
		struct lock *l = map_get(&c->locks, keys[i]);

		l->token_dead = !l->token_nid && (l->token_dead || c->someone_died);
		queue_serve(c, l);
	}
	free(keys);
}

/* Out of the cluster: no token here is worth anything. */
void lock_lose_all(struct core *c)
{
	size_t n;
	uint64_t *keys;

	lock_new_view(c);
	keys = map_keys(&c->locks, &n);
	for (size_t i = 0; i < n; i++) {
		struct lock *l = map_get(&c->locks, keys[i]);

		word_set(l, LOCK_WORD_ABSENT);
		while (l->head) {
			struct lock_waiter *w = waiter_pop(l);

			lock_reply(c, l, w->client, w->ticket, ECONNRESET);
			free(w);
		}
	}
	free(keys);
}
