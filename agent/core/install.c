/* SPDX-License-Identifier: MIT */
/* The second half of a view change: everybody stands still, and the new view is put in force. */
#include "agent/core/state.h"

static void part_with(struct core *c, struct member *m)
{
	struct core_msg no = msg_new(c, MSG_EVICTED);

	c->parted += m->rec.state != MEMBER_LEAVING && !m->gone;
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
	struct deferred *d = c->early;

	c->stats.view_changes++;
	c->proposing = false;
	c->frozen = false;
	c->taking_over = false;
	c->forgot = 0;
	kept_forget(c);
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *m = c->members[i];

		m->prepared = m->reported = false;
		m->ended = m->rebuilt = m->rec.state == MEMBER_JOINING; /* has nothing to report */
		if (m->link)
			m->resync = false;
	}
	if (c->self->rec.state == MEMBER_LEAVING)
		c->state = CORE_LEAVING;
	act_identity(c);
	revoke_new_view(c);
	home_reset(c);
	lock_new_view(c);
	rwlock_new_view(c);
	barrier_new_view(c, c->new_master);
	topic_new_view(c);
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
void view_commit(struct core *c)
{
	struct rec_member recs[CORE_NODES_MAX];
	struct core_msg m;
	bool changed = c->new_master;
	size_t n = 0;

	c->someone_died = false;
	c->epoch = c->proposal; /* who is left out is told of the view that it is not in */
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (view_takes_part(c, p)) {
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
		view_send_state(c, p->rec.nid, true);
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

	if (!view_is_member(c) || !c->frozen || m->arg != c->promised || m->src != c->promised_to)
		return;
	for (size_t i = 0; i < m->nrecs; i++)
		listed |= recs[i].nid == c->nid;
	if (!listed) {
		view_reset(c, "the new view is without this node");
		return;
	}
	/* New to this node, too, which may have missed the view that made it master. */
	c->new_master = (m->flags & F_RESTORED) || c->master != m->nid;
	c->epoch = m->arg;
	c->master = m->nid;
	c->admitting = 0;
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
			member_del(
				c,
				recs[i].nid); /* heard of, but not in this view; its link stays */
	for (size_t i = 0; i < m->nrecs; i++) {
		struct member *old = member_find(c, recs[i].nid);
		struct rec_member rec = recs[i];
		struct member *p;
		bool forgetful;

		if (rec.state == MEMBER_JOINING)
			continue;
		/* Where a node can be reached is best known by those it talks to. */
		if (old && !addr_is_zero(&old->rec.addr) &&
		    (addr_is_zero(&rec.addr) || old->rec.uid == rec.uid))
			rec.addr = old->rec.addr;
		forgetful = old && old->rec.uid != rec.uid;
		if (forgetful && old->link) {
			link_id stale = old->link;

			link_close(c, stale);
		}
		p = member_add(c, &rec);
		if (p) {
			p->forgetful |= forgetful;
			/* Nothing was said to this life of it yet that could be missing. */
			if (forgetful)
				p->resync = false;
			member_attach(c, p);
			if (forgetful && !p->link)
				p->resync = true;
		}
	}
	install(c);
}
