/* SPDX-License-Identifier: MIT */
/*
 * View changes: the one answer to every loss. A node that dies, a link that
 * may have lost messages, a node that leaves, a master that is gone: a
 * proposer (the master, or the oldest reachable node when the master is not)
 * stops everybody (PREPARE, PREPARED), then installs a new view under a
 * higher epoch (VIEW). Whatever was in flight under the old epoch is void;
 * rebuild.c puts the directories together again from what each member holds.
 */
#include "agent/core/state.h"

bool view_is_member(const struct core *c)
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

bool view_takes_part(const struct core *c, const struct member *m)
{
	return m == c->self ||
	       (m->rec.state != MEMBER_JOINING && !m->evict && !m->gone && !is_dead(c, m));
}

/* Somebody is out of reach, but not for long enough to go on without. */
bool view_must_wait(const struct core *c)
{
	for (size_t i = 0; i < c->nmembers; i++) {
		const struct member *m = c->members[i];

		/* Or was told to leave and has not hung up: it may read shared pages until then. */
		if (m->gone ? m->link != 0 : m != c->self && !m->link && view_takes_part(c, m))
			return true;
	}
	return false;
}

void view_check_prepared(struct core *c)
{
	if (view_must_wait(c))
		return;
	for (size_t i = 0; i < c->nmembers; i++)
		if (view_takes_part(c, c->members[i]) && !c->members[i]->prepared)
			return;
	view_commit(c);
}

/* To everybody who has not answered yet. */
void view_send_prepare(struct core *c)
{
	struct core_msg m = msg_new(c, MSG_PREPARE);

	m.nid = c->nid;
	m.arg = c->proposal;
	m.flags = c->taking_over ? F_GRANT : 0;
	for (size_t i = 0; i < c->nmembers; i++)
		if (view_takes_part(c, c->members[i]) && !c->members[i]->prepared)
			msg_send(c, c->members[i]->rec.nid, &m, NULL);
}

void view_propose(struct core *c, const char *why)
{
	struct member *joiner = member_find(c, c->admitting);

	if (!view_is_member(c))
		return;
	/* Who knows nothing leaves it to those who do, unless they are gone. */
	if (c->proposing || (joiner && joiner->resumes) || view_must_wait(c) ||
	    c->now < c->forgot) {
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
	c->new_master = c->master != c->nid || c->forgot;
	for (size_t i = 0; i < c->nmembers; i++)
		c->members[i]->prepared = c->members[i] == c->self;
	view_send_prepare(c);
	view_check_prepared(c);
}

void view_send_state(struct core *c, uint16_t nid, bool regions)
{
	struct core_msg m = msg_new(c, MSG_STATE_EXTENTS);

	if (regions)
		region_send_all(c, nid, MSG_STATE_REGIONS);
	msg_send_recs(c, nid, &m, c->extents.e, c->extents.n);
}

static void answer_prepare(struct core *c, const struct core_msg *m, struct core_msg *r)
{
	if (m->nid != c->master)
		view_send_state(c, m->nid, true);
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

	if (!view_is_member(c) || !from || from->link != l->id)
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
		if (m->epoch >
		    c->epoch) { /* a view was installed without us: its master must take us in again */
			c->proposing = false;
			c->master = m->nid;
			return;
		}
		if (m->arg != c->proposal)
			return;
		c->proposing = false;
		/* Its promise is to someone else, or it hears the master: try again unless that ends it. */
		/* The master is there after all, and has a proposal of its own: one of the two must give way. */
		if (m->src == c->master)
			c->taking_over = false;
		if (is_master(c) || c->taking_over)
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
	view_check_prepared(c);
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
