/* SPDX-License-Identifier: MIT */
/*
 * View changes: the one answer to every loss. A node that dies, a link that
 * may have lost messages, a node that leaves, a master that is gone: a
 * proposer (the master, or the oldest reachable node when the master is not)
 * stops everybody (PREPARE, PREPARED), then installs a new view under a
 * higher epoch (VIEW). Whatever was in flight under the old epoch is void;
 * rebuild.c puts the directories together again from what each member holds.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

static bool is_member(const struct core *c)
{
	return c->state == CORE_MEMBER || c->state == CORE_LEAVING;
}

/* Who should be master as far as this node can see. */
uint16_t view_candidate(const struct core *c)
{
	const struct member *master = member_find(c, c->master);

	if (master && (master == c->self || master->link))
		return c->master;
	for (size_t i = 0; i < c->nmembers; i++) {
		const struct member *m = c->members[i];

		if (m->rec.state == MEMBER_ACTIVE && (m == c->self || m->link))
			return m->rec.nid;
	}
	return c->nid;
}

static bool is_dead(const struct core *c, const struct member *m)
{
	return m != c->self && !m->link && c->now - m->lost_at >= c->cfg.dead_ms * MS;
}

static bool takes_part(const struct core *c, const struct member *m)
{
	return m == c->self || (m->rec.state != MEMBER_JOINING && !m->evict && !m->gone && !is_dead(c, m));
}

/* Somebody is out of reach, but not for long enough to go on without. */
bool view_must_wait(const struct core *c)
{
	for (size_t i = 0; i < c->nmembers; i++) {
		const struct member *m = c->members[i];

		/* Or was told to leave and has not hung up: it may read shared pages until then. */
		if (m->gone ? m->link != 0 : m != c->self && !m->link && takes_part(c, m))
			return true;
	}
	return false;
}

static void commit(struct core *c);

static void check_prepared(struct core *c)
{
	if (view_must_wait(c))
		return;
	for (size_t i = 0; i < c->nmembers; i++)
		if (takes_part(c, c->members[i]) && !c->members[i]->prepared)
			return;
	commit(c);
}

/* To everybody who has not answered yet. */
static void send_prepare(struct core *c)
{
	struct core_msg m = msg_new(c, MSG_PREPARE);

	m.nid = c->nid;
	m.arg = c->proposal;
	m.flags = c->taking_over ? F_GRANT : 0;
	for (size_t i = 0; i < c->nmembers; i++)
		if (takes_part(c, c->members[i]) && !c->members[i]->prepared)
			msg_send(c, c->members[i]->rec.nid, &m, NULL);
}

void view_propose(struct core *c, const char *why)
{
	struct member *joiner = member_find(c, c->admitting);

	if (!is_member(c))
		return;
	if (c->proposing || (joiner && joiner->resumes) || view_must_wait(c)) {
		c->again = true;
		return;
	}
	act_log(c, 1, "view change after epoch %u: %s", c->epoch, why);
	c->proposing = true;
	c->again = false;
	c->frozen = true;
	c->frozen_at = c->proposed_at = c->now;
	c->proposal = (c->promised > c->epoch ? c->promised : c->epoch) + 1;
	c->promised = c->proposal;
	c->promised_to = c->nid;
	c->new_master = c->master != c->nid;
	for (size_t i = 0; i < c->nmembers; i++)
		c->members[i]->prepared = c->members[i] == c->self;
	send_prepare(c);
	check_prepared(c);
}

static void send_state(struct core *c, uint16_t nid, bool regions)
{
	struct core_msg m = msg_new(c, MSG_STATE_EXTENTS);

	if (regions)
		region_send_all(c, nid, MSG_STATE_REGIONS);
	msg_send_recs(c, nid, &m, c->extents.e, c->extents.n);
}

static void answer_prepare(struct core *c, const struct core_msg *m, struct core_msg *r)
{
	if (m->nid != c->master)
		send_state(c, m->nid, true);
	r->a = c->next_nid;
	r->b = c->next_region;
	msg_send(c, m->nid, r, NULL);
}

void view_on_prepare(struct core *c, struct link *l, const struct core_msg *m)
{
	struct core_msg r = msg_new(c, MSG_PREPARED);
	struct member *master = member_find(c, c->master);
	struct member *from = member_find(c, m->nid);
	bool master_gone = !is_master(c) && (!master || !master->link);

	if (!is_member(c) || !from || from->link != l->id)
		return; /* a newcomer hears of it again when it is a member */
	r.arg = m->arg;
	if (c->frozen && m->arg == c->promised && m->nid == c->promised_to) {
		answer_prepare(c, m, &r);
		return;
	}
	/* A proposer of a later epoch has a view behind it that we missed. */
	if (m->arg <= c->promised ||
	    !(m->nid == c->master || (m->flags & F_GRANT) || master_gone || m->epoch > c->epoch)) {
		r.flags = F_REFUSED;
		r.nid = c->master;
		r.a = c->promised;
		msg_send(c, m->nid, &r, NULL);
		return;
	}
	c->proposing = false;
	c->frozen = true;
	c->frozen_at = c->now;
	c->promised = m->arg;
	c->promised_to = m->nid;
	answer_prepare(c, m, &r);
}

void view_on_prepared(struct core *c, const struct core_msg *m)
{
	struct member *from = member_find(c, m->src);

	if (!c->proposing || !from)
		return;
	if (m->flags & F_REFUSED) {
		if (m->a > c->promised)
			c->promised = (uint32_t)m->a;
		if (m->epoch > c->epoch) { /* a view was installed without us: its master must take us in again */
			c->proposing = false;
			c->master = m->nid;
			return;
		}
		if (m->arg != c->proposal)
			return;
		c->proposing = false;
		/* Its promise is to someone else, or it hears the master: try again unless that ends it. */
		if (is_master(c))
			view_propose(c, "a member had promised a higher epoch");
		return;
	}
	if (m->arg != c->proposal)
		return;
	if (m->a > c->next_nid)
		c->next_nid = (uint16_t)m->a;
	if (m->b > c->next_region)
		c->next_region = (uint16_t)m->b;
	from->prepared = true;
	check_prepared(c);
}

/* What a member knows, for a new master; or what the master decided, before VIEW. */
void view_on_state(struct core *c, const struct core_msg *m, const void *recs)
{
	if (!c->frozen || !(c->proposing || m->src == c->promised_to))
		return;
	if (m->type == MSG_STATE_REGIONS) {
		const struct rec_region *r = recs;

		for (size_t i = 0; i < m->nrecs; i++)
			region_learn(c, &r[i]);
		return;
	}
	for (size_t i = 0; i < m->nrecs; i++) {
		const struct rec_extent *e = (const struct rec_extent *)recs + i;

		/* A proposer takes what it does not know; a member what the proposer decided. */
		if (c->proposing)
			extent_fill(c, e);
		else
			extent_put(c, e);
	}
}

/* --- installing --- */

static void part_with(struct core *c, struct member *m)
{
	struct core_msg no = msg_new(c, MSG_EVICTED);

	no.arg = c->epoch;
	no.a = c->cluster;
	if (m->link) {
		msg_send_link(c, m->link, &no, NULL);
		link_close(c, m->link);
	}
	member_del(c, m->rec.nid);
}

static void install(struct core *c)
{
	struct core_action *a;
	struct deferred *d = c->early;

	c->stats.view_changes++;
	c->proposing = false;
	c->frozen = false;
	c->taking_over = false;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *m = c->members[i];

		m->prepared = m->reported = false;
		m->ended = m->rebuilt = m->rec.state == MEMBER_JOINING; /* has nothing to report */
		if (m->link)
			m->resync = false;
	}
	if (c->self->rec.state == MEMBER_LEAVING)
		c->state = CORE_LEAVING;
	a = act_add(c, ACT_IDENTITY);
	a->cluster = c->cluster;
	a->nid = c->nid;
	a->epoch = c->epoch;
	revoke_new_view(c);
	home_reset(c);
	lock_new_view(c);
	rwlock_new_view(c);
	barrier_new_view(c, c->new_master);
	rebuild_start(c);
	c->early = NULL;
	c->early_tail = &c->early;
	while (d) { /* those of this epoch come again; the rest finds its way back */
		struct deferred *next = d->next;

		d->next = NULL;
		*c->to_self_tail = d;
		c->to_self_tail = &d->next;
		d = next;
	}
	request_send_all(c);
	asked_send_all(c);
	if (c->leaving && (c->self->rec.state == MEMBER_ACTIVE || is_master(c) || c->nmembers == 1))
		view_leave(c);
}

/* Proposer: everybody stands still. */
static void commit(struct core *c)
{
	struct rec_member recs[CORE_NODES_MAX];
	struct core_msg m;
	bool changed = c->new_master;
	size_t n = 0;

	c->someone_died = false;
	c->epoch = c->proposal; /* who is left out is told of the view that it is not in */
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (takes_part(c, p)) {
			if (p->leaves)
				p->rec.state = MEMBER_LEAVING;
			recs[n++] = p->rec;
		} else if (p->rec.state == MEMBER_JOINING) {
			recs[n++] = p->rec; /* named so that nobody hangs up on it */
		} else {
			if (!p->gone) {
				c->someone_died = true;
				act_log(c, 2, "node %u is dead", p->rec.nid);
			}
			pool_member_gone(c, p->rec.nid);
			part_with(c, p);
			i--;
		}
	}
	c->master = c->nid;
	c->table_version++;
	pool_rehome(c);
	m = msg_new(c, MSG_VIEW);
	m.nid = c->nid;
	m.arg = c->epoch;
	m.a = c->cluster;
	m.b = c->table_version;
	m.nid2 = c->next_nid;
	m.flags = changed ? F_RESTORED : 0;
	m.nrecs = (uint16_t)n;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (p == c->self || p->rec.state == MEMBER_JOINING)
			continue;
		send_state(c, p->rec.nid, true);
		msg_send(c, p->rec.nid, &m, recs);
	}
	install(c);
	c->announce_next = 0;
	pool_restart_freeing(c);
	c->admit_version = 0;
	if (c->admitting) /* the others may have heard of it, and forgotten it with this view */
		admit_send_table(c, c->admitting);
	if (c->again)
		view_propose(c, "something happened during the last one");
	else
		admit_next(c);
}

void view_on_view(struct core *c, const struct core_msg *m, const struct rec_member *recs)
{
	bool listed = false;

	if (!is_member(c) || !c->frozen || m->arg != c->promised || m->src != c->promised_to)
		return;
	for (size_t i = 0; i < m->nrecs; i++)
		listed |= recs[i].nid == c->nid;
	if (!listed) {
		view_reset(c, "the new view is without this node");
		return;
	}
	c->epoch = m->arg;
	c->master = m->nid;
	c->admitting = 0;
	c->new_master = m->flags & F_RESTORED;
	c->table_version = (uint32_t)m->b;
	if (m->nid2 > c->next_nid)
		c->next_nid = m->nid2;
	for (size_t i = 0; i < c->nmembers; i++) {
		bool stays = false;

		for (size_t k = 0; k < m->nrecs; k++)
			stays |= recs[k].nid == c->members[i]->rec.nid;
		if (!stays)
			part_with(c, c->members[i--]);
	}
	for (size_t i = 0; i < m->nrecs; i++)
		if (recs[i].state == MEMBER_JOINING)
			member_del(c, recs[i].nid); /* heard of, but not in this view; its link stays */
	for (size_t i = 0; i < m->nrecs; i++) {
		struct member *old = member_find(c, recs[i].nid);
		struct rec_member rec = recs[i];
		struct member *p;

		if (rec.state == MEMBER_JOINING)
			continue;
		/* Where a node can be reached is best known by those it talks to. */
		if (old && !addr_is_zero(&old->rec.addr) && (addr_is_zero(&rec.addr) || old->rec.uid == rec.uid))
			rec.addr = old->rec.addr;
		if (old && old->rec.uid != rec.uid && old->link) {
			link_id stale = old->link;

			link_close(c, stale);
		}
		p = member_add(c, &rec);
		if (p)
			member_attach(c, p);
	}
	install(c);
}

/* --- noticing --- */

static void out(struct core *c);

static void dead(struct core *c, struct member *m)
{
	struct core_msg r;

	if (is_master(c)) {
		if (!c->proposing)
			view_propose(c, "a node does not answer");
		return;
	}
	if (m->rec.nid == c->master) {
		if (view_candidate(c) != c->nid || c->proposing)
			return;
		if (c->self->rec.state == MEMBER_ACTIVE)
			view_propose(c, "the master does not answer");
		else if (c->leaving)
			out(c); /* nobody is left who stays */
		return;
	}
	if (m->reported)
		return;
	m->reported = true;
	r = msg_new(c, MSG_LINK_LOST);
	r.nid = m->rec.nid;
	msg_send(c, c->master, &r, NULL);
}

static uint64_t redial_us(const struct core *c)
{
	uint64_t part = c->cfg.dead_ms * MS / 8;

	return part < 100 * MS ? part : 100 * MS;
}

static bool dialling(const struct core *c, const struct member *m)
{
	for (size_t i = 0; i < c->nlinks; i++)
		if (c->links[i].kind == LINK_PEER && !c->links[i].hello &&
		    !memcmp(&c->links[i].addr, &m->rec.addr, sizeof(m->rec.addr)))
			return true;
	return false;
}

static void check_member(struct core *c, struct member *m)
{
	uint64_t limit = c->cfg.dead_ms * MS;
	struct link *l = link_get(c, m->link);
	struct core_msg r;

	if (l && c->now - l->heard > limit) {
		link_close(c, l->id);
		m->lost_at = c->now - limit;
	}
	if (m->gone) {
		if (!m->link && !c->proposing)
			view_propose(c, "a node left");
		return;
	}
	if (!m->link) {
		if (c->nid > m->rec.nid && c->now - m->dialed_at >= redial_us(c) && !dialling(c, m) &&
		    !addr_is_zero(&m->rec.addr)) {
			m->dialed_at = c->now;
			link_dial(c, LINK_PEER, &m->rec.addr);
		}
		if (c->now - m->lost_at >= limit)
			dead(c, m);
	} else if (m->resync) {
		m->resync = false;
		if (c->proposing) { /* it may have missed the proposal */
			c->proposing = false;
			view_propose(c, "a member came back meanwhile");
		} else if (is_master(c)) {
			view_propose(c, "a link was cut for a moment");
		} else if (m->rec.nid != c->master) {
			r = msg_new(c, MSG_LINK_LOST);
			r.nid = m->rec.nid;
			r.flags = F_RESTORED;
			msg_send(c, c->master, &r, NULL);
		}
	}
}

void view_tick(struct core *c)
{
	uint64_t limit = c->cfg.dead_ms * MS;
	struct core_msg r;

	if (!is_member(c))
		return;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *m = c->members[i];

		if (m != c->self && m->rec.state != MEMBER_JOINING && !m->resumes)
			check_member(c, m);
		if (!is_member(c))
			return;
	}
	if (c->proposing && c->now - c->proposed_at > limit) {
		for (size_t i = 0; i < c->nmembers; i++)
			if (takes_part(c, c->members[i]) && !c->members[i]->prepared)
				c->members[i]->evict = true;
		c->proposing = false;
		view_propose(c, "a member did not answer the last proposal");
	} else if (c->proposing) {
		check_prepared(c);
	} else if (c->again && view_candidate(c) == c->nid) {
		view_propose(c, "something happened that could not be seen to at once");
	} else if (c->frozen && c->now - c->frozen_at > limit) {
		c->frozen_at = c->now;
		if (view_candidate(c) == c->nid) {
			view_propose(c, "the last view change came to nothing");
			return;
		}
		r = msg_new(c, MSG_LINK_LOST);
		r.nid = c->nid;
		r.flags = F_RESTORED;
		msg_send(c, view_candidate(c), &r, NULL);
	}
}

void view_beat(struct core *c)
{
	struct core_msg m = msg_new(c, MSG_HEARTBEAT);
	if (!is_member(c))
		return;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self)
			msg_send(c, c->members[i]->rec.nid, &m, NULL);
	view_tick(c);
	if (!is_member(c))
		return;
	if (c->leaving && (c->self->rec.state == MEMBER_ACTIVE || is_master(c)) && !c->frozen)
		view_leave(c); /* the word of it may have been lost */
	if (!is_member(c))
		return;
	if (c->proposing)
		send_prepare(c);
	admit_tick(c);
	seek_announce(c);
	timer_arm(c, c->now + redial_us(c), TIMER_BEAT, 0);
}

void view_on_link_lost(struct core *c, const struct core_msg *m)
{
	struct member *lost = member_find(c, m->nid);
	struct member *from = member_find(c, m->src);

	if (!is_member(c) || !from)
		return;
	/* Whom this node waits for missed the last view and waits for this node: one of them must begin. */
	if (view_candidate(c) != c->nid && !(m->src == view_candidate(c) && m->epoch < c->epoch))
		return;
	if (m->flags & F_RESTORED) {
		view_propose(c, "a link between two members was cut for a moment");
		return;
	}
	if (!lost || lost == c->self || lost->rec.state == MEMBER_JOINING)
		return;
	/* The two cannot both stay: the younger goes. */
	if (lost->rec.nid < from->rec.nid && lost->link)
		lost = from;
	act_log(c, 2, "nodes %u and %u cannot reach each other: node %u goes", m->nid, m->src, lost->rec.nid);
	lost->evict = true;
	view_propose(c, "a link between two members is lost");
}

/* --- leaving --- */

static void out(struct core *c)
{
	struct core_action *a;

	link_drop_all(c);
	c->state = CORE_OUT;
	lock_lose_all(c);
	rwlock_lose_all(c);
	barrier_lose_all(c);
	request_fail_all(c, ESHUTDOWN);
	asked_fail_all(c, ESHUTDOWN);
	a = act_add(c, ACT_STATE);
	a->state = CORE_OUT;
}

void view_leave(struct core *c)
{
	struct core_msg m = msg_new(c, MSG_LEAVE);
	struct core_action *a;

	if (c->state == CORE_OUT)
		return;
	if (!is_member(c) || c->nmembers == 1) {
		c->leaving = true;
		out(c);
		return;
	}
	if (c->state != CORE_LEAVING) {
		c->state = CORE_LEAVING;
		a = act_add(c, ACT_STATE);
		a->state = c->state;
	}
	if (!c->leaving) {
		c->leaving = true;
		request_fail_all(c, ESHUTDOWN);
		asked_fail_all(c, ESHUTDOWN);
	}
	if (!is_master(c)) {
		msg_send(c, c->master, &m, NULL);
		return;
	}
	m.type = MSG_TAKEOVER;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (p == c->self || p->rec.state != MEMBER_ACTIVE || !p->link)
			continue;
		c->proposing = false;
		msg_send(c, p->rec.nid, &m, NULL);
		return;
	}
	if (view_must_wait(c)) /* once more when it is back, or dead */
		return;
	/* Nobody stays who could take anything over: the others go as well. */
	m.type = MSG_LEAVE_OK;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self && c->members[i]->rec.state == MEMBER_LEAVING)
			msg_send(c, c->members[i]->rec.nid, &m, NULL);
	out(c);
}

void view_on_leave(struct core *c, uint16_t nid)
{
	struct member *m = member_find(c, nid);

	if (!m || !is_master(c) || m->rec.state != MEMBER_ACTIVE || m->leaves)
		return;
	m->leaves = true;
	view_propose(c, "a node leaves");
}

void view_on_takeover(struct core *c, const struct core_msg *m)
{
	struct member *master = member_find(c, c->master);

	if (!is_member(c) || !master || m->src != c->master || c->taking_over)
		return;
	master->leaves = true;
	c->taking_over = true;
	c->proposing = false;
	view_propose(c, "the master leaves");
}

void view_on_rebuilt(struct core *c, uint16_t nid)
{
	struct member *m = member_find(c, nid);
	struct core_msg ok = msg_new(c, MSG_LEAVE_OK);

	if (!m || !is_master(c))
		return;
	m->rebuilt = true;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i]->rec.state != MEMBER_JOINING && !c->members[i]->rebuilt)
			return;
	pool_moved(c);
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (p->rec.state != MEMBER_LEAVING || p->gone || p == c->self)
			continue;
		act_log(c, 1, "node %u left", p->rec.nid);
		msg_send(c, p->rec.nid, &ok, NULL);
		p->gone = true; /* and out of the view once it has hung up: its programs have stopped reading then */
	}
}

void view_on_leave_ok(struct core *c)
{
	if (c->state == CORE_LEAVING)
		out(c);
}

/* --- starting over --- */

static void lose_page(struct core *c, page_key key, struct page *p, void *ctx)
{
	(void)ctx;
	page_drop(c, key, p);
}

static void lose_regions(struct core *c)
{
	while (c->nregions > 1)
		region_forget(c, c->regions[c->nregions - 1].region);
}

void view_reset(struct core *c, const char *why)
{
	struct core_action *a;

	if (why) {
		act_log(c, 3, "this node is out of its cluster: %s; its pages are lost", why);
		a = act_add(c, ACT_STATE);
		a->state = CORE_EVICTED;
	}
	home_reset(c);
	revoke_new_view(c);
	page_each(c, lose_page, NULL);
	page_forget_all(c);
	extent_clear(c);
	lose_regions(c);
	lock_lose_all(c);
	if (why) {
		request_fail_all(c, EIO);
		asked_fail_all(c, ECONNRESET);
		rwlock_lose_all(c);
		barrier_lose_all(c);
	} else {
		rwlock_new_view(c);
		barrier_new_view(c, true);
	}
	link_drop_all(c);
	member_clear(c);
	while (c->joiners) {
		struct joiner *j = c->joiners;

		c->joiners = j->next;
		free(j);
	}
	c->cluster = 0;
	c->nid = c->master = 0;
	c->epoch = c->promised = 0;
	c->next_nid = 1;
	c->next_region = 1;
	c->admitting = 0;
	c->report_due = false;
	c->frozen = c->proposing = c->rebuilding = c->again = c->resuming = c->taking_over = false;
	/* Another life: messages to the old one are not for us. */
	c->uid = c->uid * 6364136223846793005ull + 1442695040888963407ull;
	if (c->leaving)
		out(c);
	else if (why)
		seek_start(c);
}
