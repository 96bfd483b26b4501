/* SPDX-License-Identifier: MIT */
/*
 * Reader-writer locks: a queue at the master, in order of arrival. Readers
 * that stand side by side go in together; nobody overtakes.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

/* How long a try waits for the master's answer, which never waits for a lock. */
#define TRY_US 1000000

/* --- the client's node --- */

static void send_rw(struct core *c, uint16_t to, uint16_t type, uint16_t flags, uint32_t id,
		    uint64_t ticket, int err)
{
	struct core_msg m = msg_new(c, type);

	m.flags = flags;
	m.key = id;
	m.a = ticket;
	m.arg = (uint32_t)err;
	msg_send(c, to, &m, NULL);
}

static void tell_master(struct core *c, uint16_t type, uint16_t flags, const struct rw_client *r)
{
	/* Not now: the view change reports what is held and wanted. */
	if (core_ready(c))
		send_rw(c, c->master, type, flags, r->id, r->ticket, 0);
}

void rwlock_client(struct core *c, const struct core_creq *req)
{
	struct rw_client *r = core_alloc(sizeof(*r));

	r->id = req->id;
	r->client = req->client;
	r->ticket = ++c->next_ticket;
	r->client_ticket = req->ticket;
	r->write = req->flags & F_WRITE;
	r->due = req->flags & F_TRY		      ? c->now + TRY_US
		 : req->timeout_us == CORE_NO_TIMEOUT ? UINT64_MAX
						      : c->now + req->timeout_us;
	map_put(&c->rw_clients, r->ticket, r);
	timer_arm(c, r->due, TIMER_RWLOCK, r->ticket);
	tell_master(c, MSG_RWLOCK_REQUEST, (uint16_t)(req->flags & (F_WRITE | F_TRY)), r);
}

static void drop_client(struct core *c, struct rw_client *r)
{
	map_del(&c->rw_clients, r->ticket);
	free(r);
}

void rwlock_unlock(struct core *c, const struct core_creq *req)
{
	bool write = req->flags & F_WRITE;
	uint64_t ticket;
	void *v;

	for (size_t i = 0; map_next(&c->rw_clients, &i, &ticket, &v);) {
		struct rw_client *r = v;

		if (r->id != req->id || r->client != req->client || r->write != write || !r->held)
			continue;
		tell_master(c, MSG_RWLOCK_RELEASE, write ? F_WRITE : 0, r);
		drop_client(c, r);
		act_reply(c, req, 0);
		return;
	}
	act_reply(c, req, EPERM);
}

void rwlock_on_timer(struct core *c, uint64_t ticket)
{
	struct rw_client *r = map_get(&c->rw_clients, ticket);

	if (!r || r->held || r->due > c->now)
		return;
	tell_master(c, MSG_RWLOCK_RELEASE, r->write ? F_WRITE : 0, r);
	act_answer(c, r->client, OP_RWLOCK, r->client_ticket, ETIMEDOUT);
	drop_client(c, r);
}

static void on_reply(struct core *c, const struct core_msg *m)
{
	struct rw_client *r = map_get(&c->rw_clients, m->a);

	if (!r || r->held) {
		/* Timed out or died meanwhile: its RELEASE is on its way. */
		return;
	}
	r->held = !m->arg;
	act_answer(c, r->client, OP_RWLOCK, r->client_ticket,
		   m->arg		     ? (int)m->arg
		   : m->flags & F_OWNER_DEAD ? EOWNERDEAD
					     : 0);
	if (!r->held)
		drop_client(c, r);
}

void rwlock_client_gone(struct core *c, uint32_t client)
{
	size_t n;
	uint64_t *keys = map_keys(&c->rw_clients, &n);

	for (size_t i = 0; i < n; i++) {
		struct rw_client *r = map_get(&c->rw_clients, keys[i]);

		if (r->client != client)
			continue;
		tell_master(c, MSG_RWLOCK_RELEASE,
			    (uint16_t)((r->write ? F_WRITE : 0) |
				       (r->held && r->write ? F_OWNER_DEAD : 0)),
			    r);
		drop_client(c, r);
	}
	free(keys);
}

/* --- the master --- */

static struct rwlock *rwlock_get(struct core *c, uint32_t id)
{
	struct rwlock *l = map_get(&c->rwlocks, id);

	if (!l) {
		l = core_alloc(sizeof(*l));
		l->id = id;
		map_put(&c->rwlocks, id, l);
	}
	return l;
}

/* Lets in from the front of the queue who may go in. */
static void serve(struct core *c, struct rwlock *l)
{
	bool readers = false;

	for (struct rw_entry *e = l->head; e; e = e->next) {
		bool may = e->write ? e == l->head : true;

		if (!e->held) {
			if (!may || (e->write && readers))
				return;
			e->held = true;
			send_rw(c, e->nid, MSG_RWLOCK_REPLY, l->dead ? F_OWNER_DEAD : 0, l->id,
				e->ticket, 0);
			l->dead = false;
		}
		if (e->write)
			return;
		readers = true;
	}
}

static struct rw_entry *entry_add(struct rwlock *l, uint16_t nid, uint64_t ticket, bool write)
{
	struct rw_entry *e, **at;

	/* A request and a report of it may cross in a view change. */
	for (at = &l->head; *at; at = &(*at)->next)
		if ((*at)->nid == nid && (*at)->ticket == ticket)
			return *at;
	e = core_alloc(sizeof(*e));
	e->nid = nid;
	e->ticket = ticket;
	e->write = write;
	*at = e;
	return e;
}

static void entry_del(struct rwlock *l, uint16_t nid, uint64_t ticket)
{
	for (struct rw_entry **at = &l->head; *at; at = &(*at)->next) {
		struct rw_entry *e = *at;

		if (e->nid != nid || e->ticket != ticket)
			continue;
		*at = e->next;
		free(e);
		return;
	}
}

static void on_request(struct core *c, const struct core_msg *m)
{
	struct rwlock *l = rwlock_get(c, (uint32_t)m->key);
	struct rw_entry *e = entry_add(l, m->src, m->a, m->flags & F_WRITE);

	serve(c, l);
	if (!e->held && (m->flags & F_TRY)) {
		entry_del(l, m->src, m->a);
		send_rw(c, m->src, MSG_RWLOCK_REPLY, 0, l->id, m->a, EBUSY);
	}
}

void rwlock_on_msg(struct core *c, const struct core_msg *m)
{
	struct rwlock *l;

	switch (m->type) {
	case MSG_RWLOCK_REQUEST:
		on_request(c, m);
		break;
	case MSG_RWLOCK_REPLY:
		on_reply(c, m);
		break;
	case MSG_RWLOCK_RELEASE:
		l = rwlock_get(c, (uint32_t)m->key);
		entry_del(l, m->src, m->a);
		l->dead |= (m->flags & F_OWNER_DEAD) != 0;
		serve(c, l);
		break;
	default:
		break;
	}
}

/* --- view changes --- */

void rwlock_new_view(struct core *c)
{
	uint64_t id;
	void *v;

	for (size_t i = 0; map_next(&c->rwlocks, &i, &id, &v);) {
		struct rwlock *l = v;

		while (l->head) {
			struct rw_entry *e = l->head;

			if (e->held && e->write && !member_find(c, e->nid))
				l->dead = true;
			l->head = e->next;
			free(e);
		}
	}
}

size_t rwlock_report(struct core *c, struct rec_lock *recs, size_t max, size_t skip)
{
	size_t n, k = 0;
	uint64_t *keys = map_keys(&c->rw_clients, &n);

	for (size_t i = skip; i < n && k < max; i++) {
		struct rw_client *r = map_get(&c->rw_clients, keys[i]);

		recs[k++] = (struct rec_lock){ .id = r->id,
					       .kind = r->held ? LOCK_RW_HELD : LOCK_RW_WANTED,
					       .flags = r->write ? F_WRITE : 0,
					       .ticket = r->ticket };
	}
	free(keys);
	return k;
}

void rwlock_learn(struct core *c, uint16_t nid, const struct rec_lock *r)
{
	struct rwlock *l = rwlock_get(c, r->id);
	struct rw_entry *e;

	if (r->kind == LOCK_RW_WANTED) {
		entry_add(l, nid, r->ticket, r->flags & F_WRITE);
		return;
	}
	e = core_alloc(sizeof(*e));
	e->nid = nid;
	e->ticket = r->ticket;
	e->write = r->flags & F_WRITE;
	e->held = true;
	e->next = l->head;
	l->head = e;
}

void rwlock_rebuilt(struct core *c)
{
	size_t n;
	uint64_t *keys;

	if (!is_master(c))
		return;
	keys = map_keys(&c->rwlocks, &n);
	for (size_t i = 0; i < n; i++)
		serve(c, map_get(&c->rwlocks, keys[i]));
	free(keys);
}

void rwlock_lose_all(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->rw_clients, &n);

	for (size_t i = 0; i < n; i++) {
		struct rw_client *r = map_get(&c->rw_clients, keys[i]);

		if (!r->held)
			act_answer(c, r->client, OP_RWLOCK, r->client_ticket, ECONNRESET);
		drop_client(c, r);
	}
	free(keys);
	rwlock_new_view(c);
}
