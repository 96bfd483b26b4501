/* SPDX-License-Identifier: MIT */
/* Links to other nodes, and the members of the view they belong to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

bool addr_is_zero(const struct core_addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->ip, zero, sizeof(zero));
}

/* --- links --- */

struct link *link_get(struct core *c, link_id id)
{
	for (size_t i = 0; i < c->nlinks; i++)
		if (c->links[i].id == id)
			return &c->links[i];
	return NULL;
}

struct link *link_add(struct core *c, link_id id, uint8_t kind, const struct core_addr *addr)
{
	struct link *l;

	if (c->nlinks == c->links_cap) {
		c->links_cap = c->links_cap ? c->links_cap * 2 : 16;
		c->links = core_realloc(c->links, c->links_cap * sizeof(*l));
	}
	l = &c->links[c->nlinks++];
	memset(l, 0, sizeof(*l));
	l->id = id;
	l->kind = kind;
	l->since = c->now;
	l->heard = c->now;
	if (addr)
		l->addr = *addr;
	return l;
}

link_id link_dial(struct core *c, uint8_t kind, const struct core_addr *addr)
{
	struct core_action *a = act_add(c, ACT_CONNECT);
	link_id id = c->next_link;

	c->next_link += 2;
	a->link = id;
	a->addr = *addr;
	link_add(c, id, kind, addr);
	return id;
}

static void link_forget(struct core *c, link_id id)
{
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *m = c->members[i];

		if (m->link != id)
			continue;
		m->link = 0;
		m->lost_at = c->now;
		m->resync = true;
	}
	for (size_t i = 0; i < c->nlinks; i++)
		if (c->links[i].id == id) {
			memmove(&c->links[i], &c->links[i + 1],
				(--c->nlinks - i) * sizeof(*c->links));
			return;
		}
}

void link_close(struct core *c, link_id id)
{
	struct core_action *a;

	if (!id || !link_get(c, id))
		return;
	a = act_add(c, ACT_CLOSE);
	a->link = id;
	link_forget(c, id);
}

void link_drop_all(struct core *c)
{
	while (c->nlinks)
		link_close(c, c->links[0].id);
}

static void send_hello(struct core *c, link_id id)
{
	struct core_msg m = msg_new(c, MSG_HELLO);

	struct link *l = link_get(c, id);

	if (l)
		l->said = c->nid;
	m.a = c->uid;
	m.b = c->cluster;
	m.nid = c->nid;
	m.arg = c->cfg.port;
	memcpy(m.name, c->cfg.cluster, sizeof(m.name));
	msg_send_link(c, id, &m, NULL);
}

/*
 * Who dials speaks first, and the other's HELLO is the answer to that: a
 * newcomer that has it knows that it is known there, and can be answered.
 */
void link_on_up(struct core *c, const struct core_event *ev)
{
	struct link *l = link_get(c, ev->link);

	if (!l)
		l = link_add(c, ev->link, LINK_ACCEPTED, &ev->addr);
	l->up = true;
	l->heard = c->now;
	if (l->kind == LINK_ACCEPTED)
		return;
	send_hello(c, ev->link);
	seek_on_link(c, l);
}

void link_on_down(struct core *c, link_id id)
{
	if (!link_get(c, id))
		return;
	link_forget(c, id);
	admit_link_lost(c, id);
	seek_on_link_down(c, id);
	view_tick(c);
}

static bool link_is_stranger(struct core *c, const struct link *l)
{
	struct member *m;

	if (!c->cluster || l->cluster != c->cluster || !l->nid || c->state == CORE_SEEKING)
		return false;
	m = member_find(c, l->nid);
	/* Ids only grow: one below the highest that we do not know was put out. */
	return !m && l->nid < c->next_nid;
}

void link_on_hello(struct core *c, struct link *l, const struct core_msg *m)
{
	struct core_msg no = msg_new(c, MSG_EVICTED);
	struct member *peer;

	if (memcmp(m->name, c->cfg.cluster, sizeof(m->name))) {
		act_log(c, 2,
			"a node of cluster \"%.31s\" called; this is cluster \"%.31s\": link "
			"closed",
			m->name, c->cfg.cluster);
		link_close(c, l->id);
		return;
	}
	l->hello = true;
	l->epoch = 0;
	l->uid = m->a;
	l->cluster = m->b;
	l->nid = m->nid;
	l->addr.port = (uint16_t)m->arg;
	if (l->uid == c->uid) { /* dialled ourselves by a --join address */
		link_close(c, l->id);
		return;
	}
	if (link_is_stranger(c, l)) {
		no.arg = c->epoch;
		no.a = c->cluster;
		msg_send_link(c, l->id, &no, NULL);
		link_close(c, l->id);
		return;
	}
	if (l->kind == LINK_ACCEPTED)
		send_hello(c, l->id);
	peer = c->cluster && l->cluster == c->cluster ? member_find(c, l->nid) : NULL;
	if (peer)
		member_attach(c, peer);
	seek_check_links(c);
}

/* A node's view only grows while it keeps a link, and what it says on one link arrives in order. */
bool link_is_replay(struct core *c, struct link *l, const struct core_msg *m)
{
	if (m->epoch >= l->epoch) {
		l->epoch = m->epoch;
		return false;
	}
	c->stats.messages_replayed++;
	if (!l->replays)
		act_log(c, 2,
			"a message of epoch %u came over the link to node %u after one of epoch "
			"%u: replayed, and dropped",
			m->epoch, l->nid, l->epoch);
	l->replays = true;
	return true;
}

/* --- members --- */

/*
 * The link to a node, 0: none. A newcomer may ask for pages before the master's
 * word of it is here; who must answer it finds it by its HELLO.
 */
link_id link_of(const struct core *c, uint16_t nid)
{
	const struct member *m = member_find(c, nid);

	if (m)
		return m->link;
	for (size_t i = c->nlinks; i-- > 0;) {
		const struct link *l = &c->links[i];

		if (l->up && l->hello && l->nid == nid && l->cluster == c->cluster)
			return l->id;
	}
	return 0;
}

static size_t member_place(const struct core *c, uint16_t nid)
{
	size_t lo = 0, hi = c->nmembers;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->members[mid]->rec.nid < nid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct member *member_find(const struct core *c, uint16_t nid)
{
	size_t i = member_place(c, nid);

	return i < c->nmembers && c->members[i]->rec.nid == nid ? c->members[i] : NULL;
}

struct member *member_by_index(const struct core *c, unsigned int index)
{
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i]->index == index)
			return c->members[i];
	return NULL;
}

static int member_index(struct core *c, bool self)
{
	if (self)
		return 0;
	for (int i = 1; i < CORE_NODES_MAX; i++)
		if (!c->index_used[i])
			return i;
	return -1;
}

/* NULL: the view is full. The record replaces an older one of the same id. */
struct member *member_add(struct core *c, const struct rec_member *rec)
{
	struct member *m = member_find(c, rec->nid);
	size_t i;
	int index;

	if (m) {
		m->rec = *rec;
		return m;
	}
	index = member_index(c, rec->nid == c->nid);
	if (index < 0)
		return NULL;
	c->index_used[index] = 1;
	m = core_alloc(sizeof(*m));
	m->rec = *rec;
	m->index = (uint8_t)index;
	m->ended = m->rebuilt = true; /* a newcomer has nothing to report */
	m->lost_at = c->now;
	c->members = core_realloc(c->members, (c->nmembers + 1) * sizeof(*c->members));
	i = member_place(c, rec->nid);
	memmove(&c->members[i + 1], &c->members[i], (c->nmembers - i) * sizeof(*c->members));
	c->members[i] = m;
	c->nmembers++;
	if (rec->nid == c->nid)
		c->self = m;
	if (rec->nid >= c->next_nid)
		c->next_nid = (uint16_t)(rec->nid + 1);
	return m;
}

void member_del(struct core *c, uint16_t nid)
{
	size_t i = member_place(c, nid);
	struct member *m;

	if (i == c->nmembers || c->members[i]->rec.nid != nid)
		return;
	m = c->members[i];
	if (nid == c->nid)
		c->self = NULL;
	c->index_used[m->index] = 0;
	memmove(&c->members[i], &c->members[i + 1], (--c->nmembers - i) * sizeof(*c->members));
	free(m);
}

void member_clear(struct core *c)
{
	while (c->nmembers)
		member_del(c, c->members[0]->rec.nid);
	free(c->members);
	c->members = NULL;
}

/*
 * Both ends must take the same link of two, which there are when both dialled:
 * the one that the younger node made, and of those the newest. A link counts
 * when each end knows who the other is; that of a JOIN does by what the master says.
 */
static bool link_serves(const struct core *c, const struct link *l, const struct member *m)
{
	return l->up && l->hello && l->nid == m->rec.nid && l->uid == m->rec.uid &&
	       l->cluster == c->cluster && (l->said == c->nid || l->id == c->master_link);
}

/* A join goes over one link from its first word to its last: no better one replaces that meanwhile. */
static bool joins_over(const struct core *c, const struct member *m)
{
#ifdef DSM_MUTANT_JOIN_LINK_REPLACED
	return false;
#endif
	return c->state == CORE_JOINING ? m->link == c->master_link : m->rec.nid == c->admitting;
}

/* Finds the link whose HELLO named the member; another one that it had is closed. */
void member_attach(struct core *c, struct member *m)
{
	uint16_t best_dialer = 0;
	link_id best = 0;

	if (m == c->self || (m->link && joins_over(c, m)))
		return;
	for (size_t i = 0; i < c->nlinks; i++) {
		struct link *l = &c->links[i];
		uint16_t dialer = l->kind == LINK_ACCEPTED ? m->rec.nid : c->nid;

		if (!link_serves(c, l, m) || dialer < best_dialer)
			continue;
		best_dialer = dialer;
		best = l->id;
	}
	if (!best || best == m->link)
		return;
	if (m->link) {
		link_id old = m->link;

		m->link = 0;
		m->resync = true;
		link_close(c, old);
	}
	m->link = best;
	link_get(c, best)->heard =
		c->now; /* nobody beats on a link before it belongs to a member */
	m->lost_at = 0;
	m->reported = false;
	if (m->resync)
		view_tick(c);
}
