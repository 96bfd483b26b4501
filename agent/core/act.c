/* SPDX-License-Identifier: MIT */
/* Actions and messages out of the core. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

#define MERGE_BACK 8

struct core_action *act_add(struct core *c, uint32_t type)
{
	struct core_action *a;

	if (c->nactions == c->actions_cap) {
		c->actions_cap = c->actions_cap ? c->actions_cap * 2 : 64;
		c->actions = core_realloc(c->actions, c->actions_cap * sizeof(*a));
	}
	a = &c->actions[c->nactions++];
	memset(a, 0, sizeof(*a));
	a->type = type;
	return a;
}

/* Blocks are never moved: what points into them stays right for the whole step. */
void *act_copy(struct core *c, const void *bytes, size_t n)
{
	struct block *b = c->arena;
	size_t need = (n + 15) & ~(size_t)15;
	void *p;

	if (!b || b->cap - b->used < need) {
		size_t cap = need > 16384 ? need : 16384;

		b = core_alloc(sizeof(*b) + cap);
		b->cap = cap;
		b->next = c->arena;
		c->arena = b;
	}
	p = b->bytes + b->used;
	b->used += need;
	if (n)
		memcpy(p, bytes, n);
	return p;
}

void act_reset(struct core *c)
{
	c->nactions = 0;
	while (c->arena && c->arena->next) {
		struct block *b = c->arena;

		c->arena = b->next;
		free(b);
	}
	if (c->arena)
		c->arena->used = 0;
}

void act_free(struct core *c)
{
	act_reset(c);
	free(c->arena);
	free(c->actions);
}

void act_log(struct core *c, int level, const char *fmt, ...)
{
	struct core_action *a;
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	a = act_add(c, ACT_LOG);
	a->level = (uint8_t)level;
	a->text = act_copy(c, text, strlen(text) + 1);
}

struct core_action *act_answer(struct core *c, uint32_t client, uint32_t op, uint64_t ticket,
			       int err)
{
	struct core_action *a = act_add(c, ACT_REPLY);

	a->reply.client = client;
	a->reply.op = op;
	a->reply.ticket = ticket;
	a->reply.err = err;
	return a;
}

void act_reply(struct core *c, const struct core_creq *req, int err)
{
	act_answer(c, req->client, req->op, req->ticket, err);
}

static bool run_has(uint64_t first, uint32_t count, page_key key)
{
	return key >= first && key - first < count;
}

/* May the page's action join this earlier one? */
static bool act_joins(const struct core_action *a, uint32_t type, page_key key, bool write,
		      uint8_t src, uint32_t first_page, uint8_t how, int err)
{
	return a->type == type && a->write == write && a->src == src && a->how == how &&
	       a->err == err && a->key + a->count == key && a->count < CORE_MSG_PAGES &&
	       (src != DATA_MSG || a->first_page + a->count == first_page);
}

void act_page(struct core *c, uint32_t type, page_key key, bool write, uint8_t src,
	      uint32_t first_page, uint8_t how, int err)
{
	struct core_action *a;

	for (size_t back = 1; back <= MERGE_BACK && back <= c->nactions; back++) {
		a = &c->actions[c->nactions - back];
		if (act_joins(a, type, key, write, src, first_page, how, err)) {
			a->count++;
			return;
		}
		/* Never step over anything else said about this page. */
		if (a->type == ACT_SEND ? run_has(a->msg.key, a->msg.count, key)
					: run_has(a->key, a->count, key))
			break;
	}
	a = act_add(c, type);
	a->key = key;
	a->count = 1;
	a->write = write;
	a->src = src;
	a->first_page = first_page;
	a->how = how;
	a->err = err;
}

/* What is kept is of this view, or newer: else it would not be believed with this identity. */
void act_identity(struct core *c)
{
	struct core_action *a;

	if (!c->forgot) /* what it kept before is still the best that it can say */
		kept_anew(c);
	a = act_add(c, ACT_IDENTITY);
	a->cluster = c->cluster;
	a->nid = c->nid;
	a->epoch = c->epoch;
}

struct core_msg msg_new(const struct core *c, uint16_t type)
{
	struct core_msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.src = c->nid;
	m.epoch = c->epoch;
	return m;
}

/* Keeps a message for later. */
void deferred_add(struct deferred ***tail, link_id link, const struct core_msg *m, const void *recs)
{
	struct deferred *d = core_alloc(sizeof(*d));

	d->link = link;
	d->msg = *m;
	if (m->nrecs && recs) {
		size_t n = m->nrecs * core_msg_rec_size(m->type);

		d->recs = core_alloc(n);
		memcpy(d->recs, recs, n);
	}
	**tail = d;
	*tail = &d->next;
}

void deferred_free(struct deferred *d)
{
	while (d) {
		struct deferred *next = d->next;

		free(d->recs);
		free(d);
		d = next;
	}
}

/* Another cluster's numbers of nodes and epochs may be equal to the old one's: nothing of it is kept. */
void deferred_forget(struct core *c)
{
	deferred_free(c->early);
	c->early = NULL;
	c->early_tail = &c->early;
	deferred_free(c->held);
	c->held = NULL;
	c->held_tail = &c->held;
}

static void msg_to_self(struct core *c, const struct core_msg *m, const void *recs)
{
	deferred_add(&c->to_self_tail, 0, m, recs);
}

void msg_send_link(struct core *c, link_id link, const struct core_msg *m, const void *recs)
{
	struct core_action *a = act_add(c, ACT_SEND);

	a->link = link;
	a->msg = *m;
	if (m->nrecs)
		a->recs = act_copy(c, recs, m->nrecs * core_msg_rec_size(m->type));
}

void msg_send(struct core *c, uint16_t nid, const struct core_msg *m, const void *recs)
{
	link_id link;

	if (nid == c->nid) {
		msg_to_self(c, m, recs);
		return;
	}
	link = link_of(c, nid);
	if (link)
		msg_send_link(c, link, m, recs);
}

/* Any number of records, in as many messages as it takes; none: nothing is sent. */
void msg_send_recs(struct core *c, uint16_t nid, struct core_msg *m, const void *recs, size_t n)
{
	size_t size = core_msg_rec_size(m->type), part;

	for (size_t i = 0; i < n; i += part) {
		part = n - i < CORE_MSG_RECS ? n - i : CORE_MSG_RECS;
		m->nrecs = (uint16_t)part;
		msg_send(c, nid, m, (const char *)recs + i * size);
	}
}

static bool msg_joins(const struct core_action *a, link_id link, const struct core_msg *m,
		      uint8_t src)
{
	const struct core_msg *o = &a->msg;

	return a->type == ACT_SEND && a->link == link && a->src == src && o->type == m->type &&
	       o->flags == m->flags && o->nid == m->nid && o->nid2 == m->nid2 && o->ver == m->ver &&
	       o->arg == m->arg && o->a == m->a && o->b == m->b && o->key + o->count == m->key &&
	       o->count + m->count <= CORE_MSG_PAGES;
}

void msg_send_page(struct core *c, uint16_t nid, const struct core_msg *m, uint8_t src)
{
	struct core_action *a;
	link_id link;

	if (nid == c->nid) {
		msg_to_self(c, m, NULL);
		return;
	}
	link = link_of(c, nid);
	if (!link)
		return;
	for (size_t back = 1; back <= MERGE_BACK && back <= c->nactions; back++) {
		a = &c->actions[c->nactions - back];
		if (msg_joins(a, link, m, src)) {
			a->msg.count += m->count;
			return;
		}
		/* What a request rests on (an extent that its home is told of) comes before it. */
		if (a->type == ACT_SEND && a->link == link && a->msg.type >= MSG_EXTENT_REQUEST)
			break;
		if (a->type == ACT_SEND ? run_has(a->msg.key, a->msg.count, m->key) ||
						  run_has(m->key, m->count, a->msg.key)
					: run_has(a->key, a->count, m->key))
			break;
	}
	a = act_add(c, ACT_SEND);
	a->link = link;
	a->src = src;
	a->msg = *m;
}
