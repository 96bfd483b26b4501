/* SPDX-License-Identifier: MIT */
/*
 * Noticing what calls for a view change: members that are not heard, links
 * that were cut, proposals that came to nothing.
 */
#include <string.h>

#include "agent/core/state.h"

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
			view_out(c); /* nobody is left who stays */
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

/* On the way already; or a link is there, and only the word of whose it is has to come. */
bool member_is_dialled(const struct core *c, const struct member *m)
{
	for (size_t i = 0; i < c->nlinks; i++) {
		const struct link *l = &c->links[i];

		if (l->hello ? l->nid == m->rec.nid && l->said == c->nid && l->cluster == c->cluster
			     : l->kind == LINK_PEER &&
				       !memcmp(&l->addr, &m->rec.addr, sizeof(m->rec.addr)))
			return true;
	}
	return false;
}

/* Stands still for another's proposal, who can still be reached: a proposal of our own would only cross it. */
static bool awaits_view(const struct core *c)
{
	const struct member *m = c->frozen ? member_find(c, c->promised_to) : NULL;

	return m && m != c->self && m->link;
}

static void check_member(struct core *c, struct member *m)
{
	uint64_t limit = c->cfg.dead_ms * MS;
	struct link *l = link_get(c, m->link);
	struct core_msg r;

	/* Who is back, and in no view yet, is spoken to by nobody but who let it in. */
	if (c->now < c->forgot && m->link != c->master_link) {
		return;
	} else if (l && c->now - l->heard > limit) {
		link_close(c, l->id);
		m->lost_at = c->now - limit;
	}
	if (m->gone) {
		if (!m->link && !c->proposing && is_master(c) && !awaits_view(c))
			view_propose(c, "a node left");
		return;
	}
	if (!m->link) {
		if (c->nid > m->rec.nid && c->now - m->dialed_at >= redial_us(c) &&
		    !member_is_dialled(c, m) && !addr_is_zero(&m->rec.addr)) {
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

	if (!view_is_member(c))
		return;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *m = c->members[i];

		if (m != c->self && m->rec.state != MEMBER_JOINING && !m->resumes)
			check_member(c, m);
		if (!view_is_member(c))
			return;
	}
	if (c->proposing && c->now - c->proposed_at > limit) {
		for (size_t i = 0; i < c->nmembers; i++)
			if (view_takes_part(c, c->members[i]) && !c->members[i]->prepared)
				c->members[i]->evict = true;
		c->proposing = false;
		view_propose(c, "a member did not answer the last proposal");
	} else if (c->proposing) {
		view_check_prepared(c);
	} else if (c->again && (c->taking_over || view_candidate(c) == c->nid)) {
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

	if (!view_is_member(c))
		return;
#ifndef DSM_MUTANT_BEATS_MULTIPLY
	if (c->now < c->beat_next)
		return;
#endif
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self)
			msg_send(c, c->members[i]->rec.nid, &m, NULL);
	view_tick(c);
	if (!view_is_member(c))
		return;
	if (c->leaving && (c->self->rec.state == MEMBER_ACTIVE || is_master(c)) && !c->frozen)
		view_leave(c); /* the word of it may have been lost */
	if (!view_is_member(c))
		return;
	if (c->proposing)
		view_send_prepare(c);
	admit_tick(c);
	seek_announce(c);
	c->beat_next = c->now + redial_us(c);
	timer_arm(c, c->beat_next, TIMER_BEAT, 0);
}

void view_on_link_lost(struct core *c, const struct core_msg *m)
{
	struct member *lost = member_find(c, m->nid);
	struct member *from = member_find(c, m->src);

	if (!view_is_member(c) || !from)
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
	/* Back here already: the others hear of its new life by the next view. */
	if (lost->forgetful && lost->link)
		return;
	/* The two cannot both stay: the younger goes. */
	if (lost->rec.nid < from->rec.nid && lost->link)
		lost = from;
	act_log(c, 2, "nodes %u and %u cannot reach each other: node %u goes", m->nid, m->src,
		lost->rec.nid);
	lost->evict = true;
	view_propose(c, "a link between two members is lost");
}
