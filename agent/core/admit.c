/* SPDX-License-Identifier: MIT */
/*
 * The master lets nodes in, one at a time: it gives an id and the table of
 * members, the newcomer makes a link to each and says JOIN_READY, the master
 * tells everybody. No view change is needed: the newcomer holds nothing.
 *
 * A restarted agent that wants its old place back comes the same way, but
 * ends in a view change, for it does hold pages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

static void refuse(struct core *c, link_id link, int err)
{
	struct core_msg m = msg_new(c, MSG_JOIN_REFUSED);
	struct member *master = member_find(c, c->master);
	struct core_addr where;

	memset(&where, 0, sizeof(where));
	m.arg = (uint32_t)err;
	m.nrecs = 1;
	if (err == EAGAIN && master && master != c->self)
		where = master->rec.addr;
	msg_send_link(c, link, &m, &where);
}

static void fill_table(const struct core *c, struct rec_member *recs)
{
	for (size_t i = 0; i < c->nmembers; i++)
		recs[i] = c->members[i]->rec;
}

/* The table to one node, its own line marked; addresses as this node sees them. */
void admit_send_table(struct core *c, uint16_t nid)
{
	struct rec_member recs[CORE_NODES_MAX];
	struct core_msg m = msg_new(c, MSG_NODE_TABLE);

	fill_table(c, recs);
	m.a = c->cluster;
	m.nid = c->master;
	m.nid2 = nid;
	m.arg = c->table_version;
	m.nrecs = (uint16_t)c->nmembers;
	msg_send(c, nid, &m, recs);
}

static bool joining_already(const struct core *c, uint64_t uid)
{
	for (const struct joiner *j = c->joiners; j; j = j->next)
		if (j->uid == uid)
			return true;
	return false;
}

/* Who only wants to go must let in those who are missing: nothing goes on without them. */
bool admit_open(const struct core *c, bool resumes)
{
	return c->state == CORE_MEMBER ||
	       (c->state == CORE_LEAVING && resumes && c->self->rec.state == MEMBER_ACTIVE);
}

/*
 * May this node act for a master that is not there, towards somebody who was restarted and asks
 * for its place? It may be the master itself, or one that would be dead before there is another.
 */
static bool stands_in(struct core *c, const struct core_msg *m)
{
	struct member *master = member_find(c, c->master);

	return admit_open(c, true) && (m->flags & F_RESUME) && master && master != c->self &&
	       !master->link && (m->nid != c->master || master->rec.uid != m->a) &&
	       view_candidate(c) == c->nid;
}

static void put_off_newcomer(struct core *c)
{
	struct member *m = member_find(c, c->admitting);

	if (!m || m->resumes)
		return;
	link_close(c, m->link);
	admit_link_lost(c, 0);
}

void admit_on_join(struct core *c, struct link *l, const struct core_msg *m)
{
	struct joiner *j, **at;
	struct member *old = NULL;

	if (!is_master(c) || !admit_open(c, m->flags & F_RESUME)) {
		if (!stands_in(c, m)) {
			refuse(c, l->id, EAGAIN);
			return;
		}
	}
	if (m->flags & F_RESUME) {
		old = m->key == c->cluster ? member_find(c, m->nid) : NULL;
		if (!old || old == c->self) {
			refuse(c, l->id, ESTALE);
			return;
		}
	} else if (c->nmembers >= CORE_NODES_MAX) {
		refuse(c, l->id, ENOSPC);
		return;
	}
	if (joining_already(c, m->a))
		return;
	j = core_alloc(sizeof(*j));
	j->link = l->id;
	j->uid = m->a;
	j->chunks = m->b;
	j->addr = l->addr;
	j->addr.port = (uint16_t)m->arg;
	j->nid = old ? m->nid : 0;
	/* A newcomer has time, and may not get in at all before this one is; its place waits for dead_ms only. */
	for (at = &c->joiners; *at && (!old || (*at)->nid); at = &(*at)->next)
		;
	j->next = *at;
	*at = j;
	l->uid = m->a;
	if (old)
		put_off_newcomer(c);
	admit_next(c);
}

/* One that is missing, the master itself perhaps, wants in again. */
static bool takes_back(const struct core *c)
{
	const struct member *m = member_find(c, c->admitting);

	return (m && m->resumes) || (c->joiners && c->joiners->nid);
}

static uint16_t admit_nid(struct core *c)
{
	do {
		if (c->next_nid == 0 || c->next_nid == UINT16_MAX)
			c->next_nid = 1;
		else if (!member_find(c, c->next_nid))
			break;
		else
			c->next_nid++;
	} while (true);
	return c->next_nid++;
}

/* This node stands still for a proposer that has gone, or that comes back without knowing of it. */
static bool is_abandoned(const struct core *c)
{
	const struct member *m = member_find(c, c->promised_to);

	return m && m != c->self && (!m->link || m->resumes);
}

/* A view change is under way or must come: whoever is let in now might not be heard of by all. */
static bool not_now(const struct core *c)
{
	if (takes_back(c))
		return c->proposing || (c->frozen && !is_abandoned(c));
	return c->frozen || c->proposing || c->leaving || view_must_wait(c);
}

void admit_next(struct core *c)
{
	struct joiner *j = c->joiners;
	struct rec_member rec;
	struct member *m;
	struct link *l;
	link_id link;

	if (c->admitting || !j || not_now(c) || !admit_open(c, j->nid))
		return;
	c->joiners = j->next;
	link = j->link;
	l = link_get(c, link);
	/* Put out while it waited: what it holds is not true any more. */
	if (l && j->nid && !member_find(c, j->nid)) {
		refuse(c, link, ESTALE);
		l = NULL;
	}
	if (!l) {
		free(j);
		admit_next(c);
		return;
	}
	memset(&rec, 0, sizeof(rec));
	rec.uid = j->uid;
	rec.chunks = j->chunks;
	rec.addr = j->addr;
	rec.nid = j->nid ? j->nid : admit_nid(c);
	rec.state = MEMBER_JOINING;
	m = member_add(c, &rec);
	if (!m) {
		refuse(c, l->id, ENOSPC);
		free(j);
		admit_next(c);
		return;
	}
	m->resumes = j->nid != 0;
	free(j);
	if (m->link && m->link != l->id)
		link_close(c, m->link);
	l = link_get(c, link);
	l->nid = rec.nid;
	l->uid = rec.uid;
	l->cluster = c->cluster;
	l->hello = true;
	m->link = l->id;
	m->lost_at = 0;
	m->resync = false;
	c->admitting = rec.nid;
	c->admit_since = c->now;
	c->table_version++;
	c->admit_version = 0;
	admit_send_table(c, rec.nid);
}

/* Everybody has heard: the newcomer is a member. */
static void admit_finish(struct core *c, struct member *m)
{
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (p != c->self && p != m && p->table_acked < c->admit_version)
			return;
	}
	c->admitting = 0;
	c->admit_version = 0;
	m->rec.state = MEMBER_ACTIVE;
	m->table_acked = c->table_version;
	act_log(c, 1, "node %u joined", m->rec.nid);
	kept_not_alone(c);
	region_send_all(c, m->rec.nid, MSG_REGION_UPDATE);
	admit_send_table(c, m->rec.nid);
	pool_tell_successor(c, m);
	barrier_members_changed(c);
	admit_next(c);
}

void admit_on_ready(struct core *c, struct link *l)
{
	struct member *m = member_find(c, c->admitting);

	if (!c->admitting || !m || m->link != l->id || not_now(c))
		return; /* the table goes out again when the view stands */
	if (m->resumes) {
		c->admitting = 0;
		m->rec.state = MEMBER_ACTIVE;
		m->resumes = false;
		m->forgetful = true;
		act_log(c, 1, "node %u is back", m->rec.nid);
		admit_send_table(c,
				 m->rec.nid); /* a member again: it takes part in the view change */
		c->taking_over = !is_master(
			c); /* which the master of before, back without its tables, must accept */
		view_propose(c, "a node took its place again");
		admit_next(c); /* the view may wait for just the one that asks, too */
		return;
	}
	if (c->admit_version)
		return;
	/* First all others know the newcomer: a master that dies now leaves no member that only some know of. */
	c->admit_version = ++c->table_version;
	m->rec.state = MEMBER_ACTIVE;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self && c->members[i] != m)
			admit_send_table(c, c->members[i]->rec.nid);
	m->rec.state = MEMBER_JOINING;
	admit_finish(c, m);
}

void admit_on_ack(struct core *c, const struct core_msg *m)
{
	struct member *from = member_find(c, m->src), *joiner = member_find(c, c->admitting);

	if (!from || !is_master(c))
		return;
	from->table_acked = m->arg;
	if (joiner && c->admit_version && !not_now(c))
		admit_finish(c, joiner);
}

/* As lost as it was before; it may ask once more, and its death is looked for again. */
static void resume_failed(struct member *m)
{
	m->rec.state = MEMBER_ACTIVE;
	m->rec.uid = 0; /* neither of its lives has a link here */
	m->resumes = false;
}

/* A newcomer that does not get through is forgotten; a member is only missed. */
void admit_link_lost(struct core *c, link_id link)
{
	struct joiner **at = &c->joiners;
	struct member *m = member_find(c, c->admitting);

	while (*at) {
		struct joiner *j = *at;

		if (j->link != link) {
			at = &j->next;
			continue;
		}
		*at = j->next;
		free(j);
	}
	if (c->admitting && m && !m->link) {
		c->admitting = 0;
		if (m->resumes)
			resume_failed(m);
		else
			member_del(c, m->rec.nid);
		if (c->admit_version && is_master(c)) /* others count it as a member by now */
			view_propose(c, "a newcomer went before it was in");
		c->admit_version = 0;
		admit_next(c);
	}
}

void admit_tick(struct core *c)
{
	struct member *m = member_find(c, c->admitting);

	if (c->admitting && m && c->now - c->admit_since > 2 * c->cfg.dead_ms * MS) {
		act_log(c, 2, "node %u asked to join but did not reach all members in time",
			c->admitting);
		link_close(c, m->link);
		admit_link_lost(c, 0);
	}
}
