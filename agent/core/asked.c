/* SPDX-License-Identifier: MIT */
/* Requests to the master (memory, regions) and to homes (page queries) that wait for an answer. */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

static void asked_go(struct core *c, struct asked *a)
{
	const struct rec_extent *e;
	uint16_t to = c->master;

	if (!core_ready(c) || a->sent)
		return;
	if (a->msg.type == MSG_PAGE_QUERY) {
		e = extent_find(c, a->msg.key);
		to = e ? e->home : c->nid;
	}
	a->sent = true;
	a->msg.src = c->nid;
	a->msg.epoch = c->epoch;
	msg_send(c, to, &a->msg, NULL);
}

/* req NULL: the core asks for itself. */
void asked_send(struct core *c, struct core_msg *m, const struct core_creq *req)
{
	struct asked *a = core_alloc(sizeof(*a));

	a->ticket = ++c->next_ticket;
	a->msg = *m;
	a->msg.a = a->ticket;
	if (req) {
		a->client = req->client;
		a->op = req->op;
		a->client_ticket = req->ticket;
	}
	map_put(&c->asked, a->ticket, a);
	asked_go(c, a);
}

static void asked_answer(struct core *c, const struct asked *a, int err, const uint64_t *val, int n)
{
	struct core_action *r;

	if (!a->client)
		return;
	r = act_answer(c, a->client, a->op, a->client_ticket, err);
	for (int i = 0; i < n; i++)
		r->reply.val[i] = val[i];
}

/* EXTENT_FREE came: releases of that memory must not be repeated, it may be somebody else's by then. */
void asked_freed(struct core *c, uint64_t first, uint64_t end)
{
	uint64_t ticket;
	void *v;

	for (size_t i = 0; map_next(&c->asked, &i, &ticket, &v);) {
		struct asked *a = v;

		if (a->msg.type == MSG_EXTENT_REQUEST && a->msg.arg == EXTENT_RELEASE &&
		    a->msg.key >= first && a->msg.key < end)
			a->freed = true;
	}
}

/* After a view change. The master knows repeated requests by their ticket, a new master does not. */
void asked_send_all(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->asked, &n);

	for (size_t i = 0; i < n; i++) {
		struct asked *a = map_get(&c->asked, keys[i]);

		if (!a)
			continue;
		if (a->freed && c->new_master) {
			map_del(&c->asked, keys[i]);
			asked_answer(c, a, 0, NULL, 0);
			free(a);
			continue;
		}
		a->sent = false;
		asked_go(c, a);
	}
	free(keys);
}

void asked_on_extents(struct core *c, const struct core_msg *m, const struct rec_extent *recs)
{
	struct asked *a = map_del(&c->asked, m->a);
	uint64_t val[4] = { 0 };

	for (size_t i = 0; i < m->nrecs; i++) {
		extent_put(c, &recs[i]);
		if (!is_master(c)) /* which did so when it gave them out */
			kept_extent(c, &recs[i]);
	}
	if (!a)
		return;
	if (a->op == OP_PAGE_QUERY && a->client && !m->arg) {
		struct core_creq again = { .client = a->client,
					   .op = a->op,
					   .ticket = a->client_ticket,
					   .key = a->msg.key };

		/* Its home is known now. */
		if (extent_find(c, again.key)) {
			client_request(c, &again);
			free(a);
			return;
		}
	}
	if (a->op) {
		val[0] = m->key;
		if (m->nrecs) {
			val[0] = recs[0].key;
			val[1] = recs[0].count;
			val[2] = recs[0].home;
			val[3] = recs[0].flags;
		}
		if (a->op == OP_EXTENTS && m->nrecs)
			val[0] = recs[m->nrecs - 1].key + recs[m->nrecs - 1].count;
		if (!m->arg && (a->op == OP_ALLOC || a->op == OP_ALLOC_AT))
			c->refused_logged = false;
		if (m->arg == ENOMEM && !c->refused_logged) {
			c->refused_logged = true;
			act_log(c, 2,
				"the pool of donated memory is exhausted: an allocation failed");
		}
		asked_answer(c, a, (int)m->arg, val, 4);
	} else {
		if (m->arg == ENOMEM && !c->exhausted_logged) {
			c->exhausted_logged = true;
			act_log(c, 3,
				"the pool of donated memory is exhausted: first touches give "
				"SIGBUS");
		}
		request_extent_known(c, a->msg.key, a->msg.count, (int)m->arg);
	}
	free(a);
}

void asked_on_region(struct core *c, const struct core_msg *m, const struct rec_region *recs)
{
	struct asked *a = map_del(&c->asked, m->a);
	uint64_t val[3] = { 0 };

	if (m->nrecs) {
		region_learn(c, recs);
		val[0] = recs->region;
		val[1] = recs->size;
		val[2] = recs->base;
	}
	if (a)
		asked_answer(c, a, (int)m->arg, val, 3);
	free(a);
}

void asked_on_page_info(struct core *c, const struct core_msg *m)
{
	struct asked *a = map_del(&c->asked, m->a);
	const struct rec_extent *e = extent_find(c, m->key);
	struct page *p = page_find(c, m->key);
	uint64_t val[6] = { 0 };

	if (!a)
		return;
	val[0] = map_get(&c->requests, m->key) ? PAGE_PENDING : p ? p->state : PAGE_INVALID;
	val[1] = m->nid ? m->nid : e ? e->home : 0;
	val[2] = m->ver;
	val[3] = m->arg;
	val[4] = e ? e->home : 0;
	val[5] = m->b;
	asked_answer(c, a, 0, val, 6);
	free(a);
}

void asked_client_gone(struct core *c, uint32_t client)
{
	uint64_t ticket;
	void *v;

	for (size_t i = 0; map_next(&c->asked, &i, &ticket, &v);) {
		struct asked *a = v;

		/* Carried out all the same; nobody is told. */
		if (a->client == client)
			a->client = 0;
	}
}

void asked_fail_all(struct core *c, int err)
{
	size_t n;
	uint64_t *keys = map_keys(&c->asked, &n);

	for (size_t i = 0; i < n; i++) {
		struct asked *a = map_del(&c->asked, keys[i]);

		asked_answer(c, a, err, NULL, 0);
		free(a);
	}
	free(keys);
}
