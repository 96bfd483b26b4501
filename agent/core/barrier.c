/* SPDX-License-Identifier: MIT */
/*
 * Barriers: arrivals are counted at the master. count 0 waits for every
 * active node of the view, else for so many arrivals. Each round has a
 * generation, so that after a view change nobody waits in a round that the
 * others have left already.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

/* --- the client's node --- */

/* The last generation of this barrier that released this node; 0: none yet. */
static uint32_t gen_seen(struct core *c, uint32_t id)
{
	return (uint32_t)(uintptr_t)map_get(&c->barrier_gens, id);
}

static void enter(struct core *c, const struct barrier_client *b, uint16_t flags)
{
	struct core_msg m = msg_new(c, MSG_BARRIER_ENTER);

	m.flags = flags;
	m.key = b->id;
	m.count = b->count;
	m.a = b->ticket;
	m.arg = 1;
	m.ver = gen_seen(c, b->id);
	msg_send(c, c->master, &m, NULL);
}

void barrier_client(struct core *c, const struct core_creq *req)
{
	struct barrier_client *b = core_alloc(sizeof(*b));

	b->id = req->id;
	b->count = (uint32_t)req->count;
	b->client = req->client;
	b->ticket = ++c->next_ticket;
	b->client_ticket = req->ticket;
	b->due = req->timeout_us == CORE_NO_TIMEOUT ? UINT64_MAX : c->now + req->timeout_us;
	map_put(&c->barrier_clients, b->ticket, b);
	timer_arm(c, b->due, TIMER_BARRIER, b->ticket);
	if (core_ready(c))
		enter(c, b, 0);
}

static void give_up(struct core *c, struct barrier_client *b)
{
	struct core_msg m = msg_new(c, MSG_BARRIER_LEAVE);

	m.key = b->id;
	m.a = b->ticket;
	if (core_ready(c))
		msg_send(c, c->master, &m, NULL);
	map_del(&c->barrier_clients, b->ticket);
	free(b);
}

void barrier_on_timer(struct core *c, uint64_t ticket)
{
	struct barrier_client *b = map_get(&c->barrier_clients, ticket);

	if (!b || b->due > c->now)
		return;
	act_answer(c, b->client, OP_BARRIER, b->client_ticket, ETIMEDOUT);
	give_up(c, b);
}

void barrier_client_gone(struct core *c, uint32_t client)
{
	size_t n;
	uint64_t *keys = map_keys(&c->barrier_clients, &n);

	for (size_t i = 0; i < n; i++) {
		struct barrier_client *b = map_get(&c->barrier_clients, keys[i]);

		if (b->client == client)
			give_up(c, b);
	}
	free(keys);
}

static void on_release(struct core *c, const struct core_msg *m)
{
	struct barrier_client *b = map_del(&c->barrier_clients, m->a);

	if (!m->arg)
		map_put(&c->barrier_gens, m->key, (void *)(uintptr_t)m->ver);
	if (!b)
		return;
	c->stats.barriers++;
	act_answer(c, b->client, OP_BARRIER, b->client_ticket, (int)m->arg);
	free(b);
}

/* --- the master --- */

static struct barrier *barrier_get(struct core *c, uint32_t id)
{
	struct barrier *b = map_get(&c->barriers, id);

	if (!b) {
		b = core_alloc(sizeof(*b));
		b->id = id;
		b->gen = 1;
		map_put(&c->barriers, id, b);
	}
	return b;
}

static void send_release(struct core *c, struct barrier *b, uint16_t nid, uint64_t ticket,
			 uint32_t gen, int err)
{
	struct core_msg m = msg_new(c, MSG_BARRIER_RELEASE);

	m.key = b->id;
	m.a = ticket;
	m.ver = gen;
	m.arg = (uint32_t)err;
	msg_send(c, nid, &m, NULL);
}

static size_t arrivals(const struct barrier *b)
{
	size_t n = 0;

	for (const struct arrival *a = b->head; a; a = a->next)
		n++;
	return n;
}

static bool arrived(const struct barrier *b, uint16_t nid)
{
	for (const struct arrival *a = b->head; a; a = a->next)
		if (a->nid == nid)
			return true;
	return false;
}

static bool complete(const struct core *c, const struct barrier *b)
{
	if (!b->head)
		return false;
	if (b->count)
		return arrivals(b) >= b->count;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i]->rec.state == MEMBER_ACTIVE &&
		    !arrived(b, c->members[i]->rec.nid))
			return false;
	return true;
}

static bool taken(const uint16_t *nids, size_t n, uint16_t nid)
{
	for (size_t i = 0; i < n; i++)
		if (nids[i] == nid)
			return true;
	return false;
}

static void release_round(struct core *c, struct barrier *b)
{
	struct arrival **at = &b->head;
	uint16_t nids[CORE_NODES_MAX];
	size_t n = 0;

	while (*at && (!b->count || n < b->count)) {
		struct arrival *a = *at;

		/* All nodes: one arrival of each; a second one is for the next round. */
		if (!b->count && taken(nids, n, a->nid)) {
			at = &a->next;
			continue;
		}
		if (n < CORE_NODES_MAX)
			nids[n] = a->nid;
		n++;
		*at = a->next;
		map_put(&b->released, a->nid, (void *)(uintptr_t)(a->ticket + 1));
		send_release(c, b, a->nid, a->ticket, b->gen, 0);
		free(a);
	}
	b->gen++;
}

static void check(struct core *c, struct barrier *b)
{
#ifdef DSM_MUTANT_BARRIER_ONE_SHORT
	if (b->count > 1 && arrivals(b) == b->count - 1)
		release_round(c, b);
#endif
	while (!c->rebuilding && complete(c, b))
		release_round(c, b);
}

static void on_enter(struct core *c, const struct core_msg *m)
{
	struct barrier *b = barrier_get(c, (uint32_t)m->key);
	uintptr_t done = (uintptr_t)map_get(&b->released, m->src);
	struct arrival **at;

	if ((m->flags & F_RESTORED) && m->ver >= b->gen)
		b->gen = m->ver + 1;
	if (!m->arg)
		return;
	if (done && m->a < done) {
		/* Released before; the word got lost in a view change. */
		send_release(c, b, m->src, m->a, b->gen - 1, 0);
		return;
	}
	if (b->head && b->count != m->count) {
		send_release(c, b, m->src, m->a, 0, EINVAL);
		return;
	}
	b->count = m->count;
	for (at = &b->head; *at; at = &(*at)->next)
		if ((*at)->nid == m->src && (*at)->ticket == m->a)
			return;
	*at = core_alloc(sizeof(**at));
	(*at)->nid = m->src;
	(*at)->ticket = m->a;
	(*at)->gen = m->flags & F_RESTORED ? m->ver : 0;
	check(c, b);
}

static void on_leave(struct core *c, const struct core_msg *m)
{
	struct barrier *b = barrier_get(c, (uint32_t)m->key);

	for (struct arrival **at = &b->head; *at; at = &(*at)->next) {
		struct arrival *a = *at;

		if (a->nid != m->src || a->ticket != m->a)
			continue;
		*at = a->next;
		free(a);
		return;
	}
}

void barrier_on_msg(struct core *c, const struct core_msg *m)
{
	if (m->type == MSG_BARRIER_ENTER)
		on_enter(c, m);
	else if (m->type == MSG_BARRIER_RELEASE)
		on_release(c, m);
	else
		on_leave(c, m);
}

/* --- view changes --- */

static void barrier_clear(struct barrier *b)
{
	while (b->head) {
		struct arrival *a = b->head;

		b->head = a->next;
		free(a);
	}
}

void barrier_new_view(struct core *c, bool new_master)
{
	uint64_t id;
	void *v;

	for (size_t i = 0; map_next(&c->barriers, &i, &id, &v);) {
		struct barrier *b = v;

		barrier_clear(b);
		if (new_master) {
			map_free(&b->released);
			b->gen = 1;
		}
	}
}

/* Which rounds this node has seen end, and where it waits. */
void barrier_report(struct core *c)
{
	size_t n;
	uint64_t *keys;

	keys = map_keys(&c->barrier_gens, &n);
	for (size_t i = 0; i < n; i++) {
		struct core_msg m = msg_new(c, MSG_BARRIER_ENTER);

		m.flags = F_RESTORED;
		m.key = keys[i];
		m.ver = gen_seen(c, (uint32_t)keys[i]);
		msg_send(c, c->master, &m, NULL);
	}
	free(keys);
	keys = map_keys(&c->barrier_clients, &n);
	for (size_t i = 0; i < n; i++)
		enter(c, map_get(&c->barrier_clients, keys[i]), F_RESTORED);
	free(keys);
}

void barrier_rebuilt(struct core *c)
{
	size_t n;
	uint64_t *keys;

	if (!is_master(c))
		return;
	keys = map_keys(&c->barriers, &n);
	for (size_t i = 0; i < n; i++) {
		struct barrier *b = map_get(&c->barriers, keys[i]);
		struct arrival **at = &b->head;

		/* Somebody has seen the round end that this one still waits in. */
		while (c->new_master && *at) {
			struct arrival *a = *at;

			if (!a->gen || a->gen + 1 >= b->gen) {
				at = &a->next;
				continue;
			}
			*at = a->next;
			send_release(c, b, a->nid, a->ticket, b->gen - 1, 0);
			free(a);
		}
		check(c, b);
	}
	free(keys);
}

void barrier_members_changed(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->barriers, &n);

	for (size_t i = 0; i < n; i++)
		check(c, map_get(&c->barriers, keys[i]));
	free(keys);
}

void barrier_lose_all(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->barrier_clients, &n);

	for (size_t i = 0; i < n; i++) {
		struct barrier_client *b = map_del(&c->barrier_clients, keys[i]);

		act_answer(c, b->client, OP_BARRIER, b->client_ticket, ECONNRESET);
		free(b);
	}
	free(keys);
	map_free(&c->barrier_gens);
	keys = map_keys(&c->barriers, &n);
	for (size_t i = 0; i < n; i++) {
		struct barrier *b = map_del(&c->barriers, keys[i]);

		barrier_clear(b);
		map_free(&b->released);
		free(b);
	}
	free(keys);
}
