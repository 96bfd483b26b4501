/* SPDX-License-Identifier: MIT */
/*
 * How a node finds its cluster, or founds one.
 *
 * A seeker says DISCOVER until a master answers, or until it has heard no
 * older seeker for a while: then it founds. Two that found at once meet by
 * their announcements: the one without data gives way (both without: the one
 * with the higher cluster id); two with data stay apart, and say so.
 */
#include <errno.h>
#include <string.h>

#include "agent/core/state.h"

#define JOIN_PATIENCE (2000 * MS)

static struct core_msg seek_msg(struct core *c, uint16_t type)
{
	struct core_msg m = msg_new(c, type);

	memcpy(m.name, c->cfg.cluster, sizeof(m.name));
	m.nid2 = c->nid;
	return m;
}

static void datagram(struct core *c, const struct core_msg *m, const struct core_addr *rec,
		     const struct core_addr *to)
{
	struct core_action *a = act_add(c, ACT_DATAGRAM);

	a->msg = *m;
	if (to)
		a->addr = *to;
	if (m->nrecs)
		a->recs = act_copy(c, rec, sizeof(*rec));
}

static struct core_msg discover_msg(struct core *c)
{
	struct core_msg m = seek_msg(c, MSG_DISCOVER);

	m.a = c->uid;
	m.b = c->cfg.weight;
	m.arg = c->cfg.port;
	m.flags = c->resuming ? F_RESUME : 0;
	return m;
}

/* One timer counts, the last that was armed: each start over arms one of its own. */
static void seek_arm(struct core *c, uint64_t after)
{
	c->seek_next = c->now + after;
	timer_arm(c, c->seek_next, TIMER_SEEK, 0);
}

/* Going on alone while the others wait would make two clusters of one: they wait for dead_ms. */
static void seek_be_patient(struct core *c)
{
	if (c->resuming)
		c->seek_deadline += (c->cfg.dead_ms < 10000 ? c->cfg.dead_ms : 10000) * MS;
}

void seek_start(struct core *c)
{
	struct core_action *a = act_add(c, ACT_STATE);

	c->state = CORE_SEEKING;
	a->state = c->state;
	/* Whatever a join that came to nothing left behind. */
	link_drop_all(c);
	member_clear(c);
	deferred_forget(c);
	c->cluster = 0;
	c->nid = c->master = 0;
	c->epoch = c->promised = 0;
	c->master_link = 0;
	c->seek_started = c->now;
	c->seek_deadline = c->now + c->cfg.elect_ms * MS;
	seek_be_patient(c);
	c->seek_sent = 0;
	for (size_t i = 0; i < c->cfg.nseeds; i++)
		link_dial(c, LINK_SEED, &c->seeds[i]);
	seek_arm(c, 0);
}

/*
 * The agent of a master was restarted: nobody else may know of the pages that
 * its node holds. They are taken to be at home here, until somebody knows better.
 */
static void seek_recover_extents(struct core *c, page_key key, struct page *p, void *ctx)
{
	struct rec_extent e = {
		.key = key, .count = 1, .home = c->nid, .flags = EXTENT_ORPHANED | EXTENT_GUESSED
	};

	(void)ctx;
	if (p->state != PAGE_INVALID && !extent_find(c, key))
		extent_put(c, &e);
}

static void seek_found(struct core *c)
{
	struct rec_member me = { .uid = c->uid, .chunks = c->cfg.chunks, .state = MEMBER_ACTIVE };

	link_drop_all(c);
	c->cluster = c->resuming ? c->cfg.resume_cluster
				 : (c->uid ^ (c->now * 0x9e3779b97f4a7c15ull)) | 1;
	c->nid = c->resuming ? c->cfg.resume_nid : 1;
	c->master = c->nid;
	c->epoch = (c->resuming ? c->cfg.resume_epoch : c->epoch) + 1;
	c->next_nid = c->nid;
	me.nid = c->nid;
	me.addr.port = c->cfg.port;
	member_add(c, &me);
	if (c->resuming) {
		kept_apply(c, true);
		kept_forget(c);
		page_each(c, seek_recover_extents, NULL);
		pool_count(c);
	}
	act_log(c, 1, "founded cluster %016llx as node %u", (unsigned long long)c->cluster, c->nid);
	c->resuming = false; /* alone: there is nobody to be taken in again by */
	seek_became_member(c);
	c->announce_next = c->now;
	seek_announce(c);
	rebuild_start(c);
}

void seek_became_member(struct core *c)
{
	struct core_action *a = act_add(c, ACT_STATE);

	c->state = CORE_MEMBER;
	/* Back among others: until their view takes it in again, this node knows nothing of theirs. */
	c->frozen = c->resuming;
	c->forgot = c->resuming ? c->now + 2 * c->cfg.dead_ms * MS : 0;
	c->frozen_at = c->now;
	c->resuming = false;
	c->promised = c->epoch;
	for (size_t i = 0; i < c->nlinks; i++) /* nobody beats for a newcomer */
		c->links[i].heard = c->now;
	for (size_t i = 0; i < c->nmembers;
	     i++) /* what was out of reach while joining counts from now */
		if (c->members[i] != c->self && !c->members[i]->link)
			c->members[i]->lost_at = c->now;
	a->state = c->state;
	act_identity(c);
	c->beat_next = c->now + c->cfg.dead_ms * MS / 4;
	timer_arm(c, c->beat_next, TIMER_BEAT, 0);
	client_ready(c);
	request_send_all(c);
	asked_send_all(c);
	topic_became_member(c);
}

/* A newcomer makes its links to all members; a dial that failed is tried again. */
static void dial_peers(struct core *c)
{
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		member_attach(c, p);
		if (p == c->self || p->link || p->rec.state == MEMBER_JOINING)
			continue;
		if (p->dialed_at && c->now - p->dialed_at < 300 * MS)
			continue;
		p->dialed_at = c->now;
		link_dial(c, LINK_PEER, &p->rec.addr);
	}
}

void seek_on_timer(struct core *c)
{
	struct core_msg m;

	if (c->now < c->seek_next)
		return;
	if (c->state == CORE_JOINING && c->now - c->join_since > JOIN_PATIENCE) {
		seek_start(c);
		return;
	}
	if (c->state == CORE_JOINING) {
		dial_peers(c);
		seek_check_links(c);
		seek_arm(c, 100 * MS);
		return;
	}
	if (c->state != CORE_SEEKING)
		return;
	if (c->cfg.found_at_once || c->now >= c->seek_deadline) {
		seek_found(c);
		return;
	}
	m = discover_msg(c);
	datagram(c, &m, NULL, NULL);
	c->seek_sent++;
	seek_arm(c, (c->seek_sent < 4 ? 10 : 40) * MS);
}

/*
 * What a node that can let others in says of itself. Without a master, the
 * one that will follow it says F_REFUSED: wait; a restarted master may come
 * to it at once (resumes).
 */
static bool offer_msg(struct core *c, uint16_t type, struct core_msg *m, struct core_addr *addr,
		      bool resumes)
{
	if (!admit_open(c, resumes) || (!is_master(c) && view_candidate(c) != c->nid))
		return false;
	*m = seek_msg(c, type);
	m->a = c->cluster;
	m->b = c->uid;
	m->arg = (uint32_t)c->nmembers;
	m->flags = pool_has_data(c) ? F_DATA : 0;
	if (!is_master(c) && !resumes)
		m->flags |= F_REFUSED;
	m->nrecs = 1;
	memset(addr, 0, sizeof(*addr)); /* zero: where this came from */
	addr->port = c->cfg.port;
	return true;
}

void seek_announce(struct core *c)
{
	struct core_msg m;
	struct core_addr addr;

	if (!is_master(c) || c->now < c->announce_next ||
	    !offer_msg(c, MSG_ANNOUNCE, &m, &addr, false))
		return;
	c->announce_next = c->now + 500 * MS;
	datagram(c, &m, &addr, NULL);
	for (size_t i = 0; i < c->cfg.nseeds; i++) {
		bool known = false;

		for (size_t k = 0; k < c->nlinks; k++)
			known |= !memcmp(c->links[k].addr.ip, c->seeds[i].ip, 16) &&
				 c->links[k].addr.port == c->seeds[i].port;
		if (!known)
			link_dial(c, LINK_SEED, &c->seeds[i]);
	}
}

static void answer(struct core *c, struct link *l, const struct core_addr *to, uint16_t type,
		   bool resumes)
{
	struct core_msg m;
	struct core_addr addr;

	if (!offer_msg(c, type, &m, &addr, resumes))
		return;
	if (l)
		msg_send_link(c, l->id, &m, &addr);
	else
		datagram(c, &m, &addr, to);
}

static void join_at(struct core *c, const struct core_addr *addr)
{
	struct core_action *a = act_add(c, ACT_STATE);

	c->state = CORE_JOINING;
	c->join_since = c->now;
	a->state = c->state;
	c->master_link = link_dial(c, LINK_MASTER, addr);
	seek_arm(c, 100 * MS);
}

/*
 * One cluster that was cut in two, and is whole again: the smaller part, or
 * of equal ones that with the younger master, was evicted without knowing it.
 */
static void meet_other_part(struct core *c, const struct core_msg *m)
{
	struct core_msg no = msg_new(c, MSG_EVICTED);

	if (m->arg < c->nmembers || (m->arg == c->nmembers && m->src > c->nid))
		return;
	/* A word of the master before this one may still have been on its way. */
	if (c->now - c->frozen_at < c->cfg.dead_ms * MS)
		return;
	no.arg = c->epoch + 1;
	no.a = c->cluster;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self)
			msg_send(c, c->members[i]->rec.nid, &no, NULL);
	view_reset(c, "it was cut off, and the larger part of the cluster went on");
}

/* Two masters of one name: does this one give way? */
static void meet(struct core *c, const struct core_msg *m, const struct core_addr *where,
		 struct link *l, const struct core_addr *from)
{
	bool data = pool_has_data(c), theirs = m->flags & F_DATA;
	struct core_msg d;

	if (!is_master(c) || c->frozen)
		return;
	if (m->a == c->cluster) {
		meet_other_part(c, m);
		return;
	}
	if (data && theirs) {
		if (c->split_logged != m->b)
			act_log(c, 3,
				"another cluster \"%.31s\" with data is in this network "
				"(%016llx): they stay apart",
				c->cfg.cluster, (unsigned long long)m->a);
		c->split_logged = m->b;
		return;
	}
	if (data > theirs || (data == theirs && c->cluster < m->a)) {
		if (m->type == MSG_ANNOUNCE)
			answer(c, l, from, MSG_OFFER, false);
		return;
	}
	d = msg_new(c, MSG_DISSOLVE);
	d.nrecs = 1;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self)
			msg_send(c, c->members[i]->rec.nid, &d, where);
	act_log(c, 1, "cluster %016llx joins cluster %016llx", (unsigned long long)c->cluster,
		(unsigned long long)m->a);
	seek_on_dissolve(c, where);
}

/* This node had no data: it starts afresh at another master. */
void seek_on_dissolve(struct core *c, const struct core_addr *addr)
{
	if (c->state != CORE_MEMBER)
		return;
	view_reset(c, NULL);
	c->state = CORE_SEEKING;
	join_at(c, addr);
}

/* DISCOVER, OFFER and ANNOUNCE, by datagram or (l set) over a link to a --join address. */
void seek_on_datagram(struct core *c, const struct core_event *ev, struct link *l)
{
	const struct core_msg *m = ev->msg;
	struct core_addr where = l ? l->addr : ev->addr;
	const struct core_addr *rec = ev->recs;

	if (memcmp(m->name, c->cfg.cluster, sizeof(m->name)))
		return;
	if (m->type == MSG_DISCOVER) {
		if (m->a == c->uid)
			return;
		if (c->state == CORE_SEEKING &&
		    (m->b < c->cfg.weight || (m->b == c->cfg.weight && m->a < c->uid)) &&
		    c->now - c->seek_started < 20 * c->cfg.elect_ms * MS)
			c->seek_deadline = c->now + c->cfg.elect_ms * MS;
		answer(c, l, &ev->addr, MSG_OFFER, m->flags & F_RESUME);
		return;
	}
	if (m->nrecs != 1 || m->b == c->uid)
		return;
	if (!addr_is_zero(rec))
		where = *rec;
	else
		where.port = rec->port;
	if (m->flags & F_REFUSED) {
		if (c->state == CORE_SEEKING) /* there is a cluster; it will have a master soon */
			c->seek_deadline = c->now + c->cfg.elect_ms * MS;
		return;
	}
	if (c->state == CORE_SEEKING) {
		/* Old pages fit nowhere else: others are joined when the old cluster is not found. */
		if (c->resuming && m->a != c->cfg.resume_cluster &&
		    c->now < c->seek_deadline - c->cfg.elect_ms * MS)
			return;
		if (c->resuming && m->a != c->cfg.resume_cluster)
			view_reset(c, "the old cluster is gone");
		join_at(c, &where);
	} else if (c->state == CORE_MEMBER) {
		meet(c, m, &where, l, &ev->addr);
	}
}

void seek_on_link(struct core *c, struct link *l)
{
	struct core_msg m;
	link_id id = l->id;

	if (l->kind == LINK_MASTER && c->state == CORE_JOINING && id == c->master_link) {
		m = msg_new(c, MSG_JOIN);
		m.a = c->uid;
		m.b = c->cfg.chunks;
		m.arg = c->cfg.port;
		if (c->resuming) {
			m.flags = F_RESUME;
			m.nid = c->cfg.resume_nid;
			m.key = c->cfg.resume_cluster;
		}
		msg_send_link(c, id, &m, NULL);
	} else if (l->kind == LINK_SEED) {
		m = discover_msg(c);
		if (c->state == CORE_SEEKING)
			msg_send_link(c, id, &m, NULL);
		else
			answer(c, l, NULL, MSG_ANNOUNCE, false);
	}
}

void seek_on_link_down(struct core *c, link_id id)
{
	if (c->state == CORE_JOINING && id == c->master_link) {
		seek_start(c);
	} else {
		seek_check_links(c);
	}
}

void seek_on_refused(struct core *c, const struct core_msg *m, const void *recs, struct link *l)
{
	const struct core_addr *rec = recs;
	struct core_addr there;

	if (c->state != CORE_JOINING || l->id != c->master_link)
		return;
	if (m->arg == ESTALE && c->resuming) {
		link_close(c, l->id);
		view_reset(c, "the cluster went on without this node");
		return;
	}
	if (m->nrecs == 1 && !addr_is_zero(rec)) {
		there = *rec;
		link_close(c, l->id);
		join_at(c, &there);
		return;
	}
	if (m->arg != EAGAIN)
		act_log(c, 3, "the master refuses this node: %s",
			m->arg == ENOSPC       ? "the cluster is full"
			: m->arg == EADDRINUSE ? "address in use by another node"
					       : "not now");
	link_close(c, l->id);
	c->state = CORE_SEEKING;
	c->seek_deadline = c->now + c->cfg.elect_ms * MS;
	seek_be_patient(c);
	seek_arm(c, 40 * MS);
}

/* A newcomer's table: who is there, and who it is itself. */
void seek_on_table(struct core *c, struct link *l, const struct core_msg *m,
		   const struct rec_member *recs)
{
	bool active = false;

	if (c->state != CORE_JOINING || l->id != c->master_link || !m->nid2)
		return;
	c->cluster = m->a;
	c->nid = m->nid2;
	c->master = m->nid;
	c->epoch = m->epoch;
	c->table_version = m->arg;
	c->join_since = c->now;
	for (size_t i = 0; i < c->nmembers; i++) {
		bool listed = false;

		for (size_t k = 0; k < m->nrecs; k++)
			listed |= recs[k].nid == c->members[i]->rec.nid;
		if (!listed)
			member_del(c, c->members[i--]->rec.nid);
	}
	for (size_t i = 0; i < m->nrecs; i++) {
		struct rec_member rec = recs[i];
		struct member *p;

		if (rec.nid == m->src && addr_is_zero(&rec.addr))
			rec.addr = l->addr;
		p = member_add(c, &rec);
		if (!p)
			continue;
		if (rec.nid == c->nid)
			active = rec.state == MEMBER_ACTIVE;
		if (rec.nid == m->src) {
			l->nid = rec.nid;
			l->uid = rec.uid;
			l->cluster = c->cluster;
			l->hello = true;
		}
	}
	dial_peers(c);
	if (active) {
		bool stood_in_for = c->resuming && m->src != m->nid;

		if (stood_in_for) {
			kept_apply(c, false);
			page_each(c, seek_recover_extents, NULL);
		}
		act_log(c, 1, "node %u of cluster %016llx, epoch %u", c->nid,
			(unsigned long long)c->cluster, c->epoch);
		for (size_t i = 0; i < c->nmembers; i++)
			c->members[i]->resync = c->members[i] != c->self && !c->members[i]->link;
		seek_became_member(c);
		if (stood_in_for) {
			/* The master, back without its tables: what it does not know is not untouched. */
			c->frozen = true;
			c->frozen_at = c->now;
		}
		return;
	}
	seek_check_links(c);
}

/*
 * Is there no need to wait for a link to this member? One that comes back must not be kept out
 * by who has died meanwhile, or whose agent is away as well: the view change that takes it in
 * sees to those.
 */
static bool does_without(const struct core *c, const struct member *p)
{
	return c->resuming && p->dialed_at &&
	       (!member_is_dialled(c, p) || c->now - c->join_since >= c->cfg.dead_ms * MS / 4);
}

/* Joining: are there links to all? */
void seek_check_links(struct core *c)
{
	struct core_msg m;

	if (c->state != CORE_JOINING || !c->nid)
		return;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		member_attach(c, p);
		if (p != c->self && p->rec.state != MEMBER_JOINING && !p->link &&
		    !does_without(c, p))
			return;
	}
	m = msg_new(c, MSG_JOIN_READY);
	m.arg = c->table_version;
	msg_send_link(c, c->master_link, &m, NULL);
}
