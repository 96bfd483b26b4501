/* SPDX-License-Identifier: MIT */
/* Messages in: which part of the protocol hears what, and when; what comes too early waits here. */
#include "agent/core/state.h"

/* Belongs to one epoch: means nothing in another. */
static bool is_bound(uint16_t type)
{
	return type >= MSG_HOLDINGS;
}

/* Needs a directory, lock table or pool that stands. */
static bool needs_standing(const struct core_msg *m)
{
	switch (m->type) {
	case MSG_PAGE_REQUEST:
	case MSG_PAGE_QUERY:
	case MSG_EXTENT_REQUEST:
	case MSG_EXTENT_FREE:
	case MSG_REGION_REQUEST:
	case MSG_LOCK_REQUEST:
	case MSG_LOCK_MOVED:
	case MSG_RWLOCK_REQUEST:
	case MSG_RWLOCK_RELEASE:
	case MSG_BARRIER_LEAVE:
		return true;
	case MSG_BARRIER_ENTER:
		return !(m->flags & F_RESTORED);
	default:
		return false;
	}
}

static void on_page_msg(struct core *c, const struct core_msg *m)
{
	switch (m->type) {
	case MSG_PAGE_REQUEST:
		home_on_request(c, m);
		break;
	case MSG_PAGE_FORWARD:
	case MSG_INVALIDATE:
		revoke_on_msg(c, m);
		break;
	case MSG_PAGE_GRANT:
		request_on_grant(c, m);
		break;
	case MSG_PAGE_DATA:
		request_on_data(c, m);
		break;
	case MSG_INVALIDATE_ACK:
		request_on_ack(c, m);
		break;
	case MSG_PAGE_DONE:
		home_on_done(c, m);
		break;
	case MSG_OWNERSHIP:
		revoke_on_ownership(c, m);
		break;
	case MSG_PAGE_ERROR:
		request_on_error(c, m);
		break;
	case MSG_PAGE_RESTORE:
		revoke_on_restore(c, m);
		break;
	case MSG_PAGE_FORGET:
		revoke_on_forget(c, m);
		break;
	case MSG_PAGE_QUERY:
		home_on_query(c, m);
		break;
	case MSG_PAGE_INFO:
		asked_on_page_info(c, m);
		break;
	default:
		c->stats.messages_bad++;
	}
}

static void on_locks_held(struct core *c, const struct core_msg *m, const struct rec_lock *recs)
{
	for (size_t i = 0; i < m->nrecs; i++) {
		if (recs[i].kind == LOCK_RW_HELD || recs[i].kind == LOCK_RW_WANTED)
			rwlock_learn(c, m->src, &recs[i]);
		else
			lock_learn(c, m->src, &recs[i]);
	}
}

static void on_extents(struct core *c, const struct core_msg *m, const struct rec_extent *recs)
{
	for (size_t i = 0; i < m->nrecs; i++) {
		extent_put(c, &recs[i]);
		kept_extent(c, &recs[i]);
	}
}

static void on_bound_msg(struct core *c, const struct core_msg *m, const void *recs)
{
	switch (m->type) {
	case MSG_HOLDINGS:
		rebuild_on_holdings(c, m, recs);
		break;
	case MSG_HOLDINGS_END:
		rebuild_on_end(c, m->src);
		break;
	case MSG_LOCKS_HELD:
		on_locks_held(c, m, recs);
		break;
	case MSG_REBUILT:
		view_on_rebuilt(c, m->src);
		break;
	case MSG_EXTENT_REQUEST:
		pool_on_request(c, m);
		break;
	case MSG_EXTENT_REPLY:
		asked_on_extents(c, m, recs);
		break;
	case MSG_EXTENT_UPDATE:
		on_extents(c, m, recs);
		break;
	case MSG_EXTENT_FREE:
		pool_on_free(c, m);
		break;
	case MSG_EXTENT_FREED:
		pool_on_freed(c, m);
		break;
	case MSG_REGION_REQUEST:
		if (is_master(c))
			region_on_request(c, m);
		break;
	case MSG_REGION_REPLY:
		asked_on_region(c, m, recs);
		break;
	case MSG_REGION_UPDATE:
		region_on_update(c, m, recs);
		break;
	case MSG_LOCK_REQUEST:
	case MSG_LOCK_RECALL:
	case MSG_LOCK_GRANT:
	case MSG_LOCK_MOVED:
		lock_on_msg(c, m);
		break;
	case MSG_LOCK_PROBE:
		deadlock_on_msg(c, m);
		break;
	case MSG_RWLOCK_REQUEST:
	case MSG_RWLOCK_REPLY:
	case MSG_RWLOCK_RELEASE:
		rwlock_on_msg(c, m);
		break;
	case MSG_BARRIER_ENTER:
	case MSG_BARRIER_RELEASE:
	case MSG_BARRIER_LEAVE:
		barrier_on_msg(c, m);
		break;
	case MSG_TOPIC_SUBSCRIBE ... MSG_TOPIC_ACK:
		topic_on_msg(c, m, recs);
		break;
	default:
		on_page_msg(c, m);
	}
}

/* A message that is bound to an epoch, from a member or from this node itself. */
static void on_member_msg(struct core *c, link_id link, const struct core_msg *m, const void *recs)
{
	if (c->state != CORE_MEMBER && c->state != CORE_LEAVING && c->state != CORE_JOINING)
		return;
	if (m->epoch < c->epoch || (m->epoch == c->epoch && c->frozen)) {
		c->stats.messages_old++;
#ifndef DSM_MUTANT_OLD_EPOCH_ACCEPTED
		return;
#endif
	}
	if (m->epoch > c->epoch || !member_find(c, m->src) ||
	    (c->state == CORE_JOINING && m->type != MSG_REGION_UPDATE)) {
		if (m->type != MSG_PAGE_DATA && m->type != MSG_TOPIC_VALUE)
			deferred_add(&c->early_tail, link, m, recs);
		else
			c->stats.messages_bad++;
		return;
	}
	if (c->rebuilding && needs_standing(m)) {
		deferred_add(&c->held_tail, link, m, recs);
		return;
	}
	on_bound_msg(c, m, recs);
}

static void flush_early(struct core *c)
{
	struct deferred *d = c->early;

	if (!d)
		return;
	c->early = NULL;
	c->early_tail = &c->early;
	while (d) {
		struct deferred *next = d->next;

		d->next = NULL;
		*c->to_self_tail = d;
		c->to_self_tail = &d->next;
		d = next;
	}
}

/* A member hears of a newcomer. */
static void on_table(struct core *c, struct link *l, const struct core_msg *m,
		     const struct rec_member *recs)
{
	struct core_msg ack = msg_new(c, MSG_TABLE_ACK);

	if (c->state == CORE_JOINING) {
		seek_on_table(c, l, m, recs);
		flush_early(c);
		return;
	}
	if (c->state != CORE_MEMBER && c->state != CORE_LEAVING)
		return;
	if (m->nid != c->master || m->epoch != c->epoch || m->arg <= c->table_version)
		return;
	c->table_version = m->arg;
	ack.arg = m->arg;
	msg_send(c, c->master, &ack, NULL);
	for (size_t i = 0; i < m->nrecs; i++) {
		struct member *p;

		if (member_find(c, recs[i].nid) || recs[i].state != MEMBER_ACTIVE)
			continue;
		p = member_add(c, &recs[i]);
		if (p)
			member_attach(c, p);
	}
	flush_early(c);
}

static void on_evicted(struct core *c, const struct core_msg *m)
{
	if (!c->cluster || m->a != c->cluster || m->arg <= c->epoch)
		return;
	if (c->state == CORE_JOINING)
		seek_start(c);
	else if (c->state == CORE_LEAVING)
		view_on_leave_ok(c); /* its own LEAVE_OK comes over another link */
	else
		view_reset(c, "it was not heard for too long, and the others went on");
}

/* Membership: from members and from strangers. */
static bool on_open_msg(struct core *c, struct link *l, const struct core_event *ev)
{
	const struct core_msg *m = ev->msg;

	switch (m->type) {
	case MSG_HELLO:
		link_on_hello(c, l, m);
		return true;
	case MSG_DISCOVER:
	case MSG_OFFER:
	case MSG_ANNOUNCE:
		seek_on_datagram(c, ev, l);
		return true;
	case MSG_JOIN:
		admit_on_join(c, l, m);
		return true;
	case MSG_JOIN_REFUSED:
		seek_on_refused(c, m, ev->recs, l);
		return true;
	case MSG_NODE_TABLE:
		on_table(c, l, m, ev->recs);
		return true;
	case MSG_JOIN_READY:
		admit_on_ready(c, l);
		return true;
	case MSG_EVICTED:
		on_evicted(c, m);
		return true;
	default:
		return false;
	}
}

static void on_control_msg(struct core *c, struct link *l, const struct core_msg *m,
			   const void *recs)
{
	switch (m->type) {
	case MSG_HEARTBEAT:
		break;
	case MSG_LINK_LOST:
		view_on_link_lost(c, m);
		break;
	case MSG_LEAVE:
		view_on_leave(c, m->src);
		break;
	case MSG_LEAVE_OK:
		view_on_leave_ok(c);
		break;
	case MSG_DISSOLVE:
		if (m->src == c->master && m->nrecs == 1 && !pool_has_data(c))
			seek_on_dissolve(c, recs);
		break;
	case MSG_TAKEOVER:
		view_on_takeover(c, m);
		break;
	case MSG_TABLE_ACK:
		admit_on_ack(c, m);
		break;
	case MSG_PREPARE:
		view_on_prepare(c, l, m);
		break;
	case MSG_PREPARED:
		view_on_prepared(c, m);
		break;
	case MSG_STATE_REGIONS:
	case MSG_STATE_EXTENTS:
		view_on_state(c, m, recs);
		break;
	case MSG_VIEW:
		view_on_view(c, m, recs);
		break;
	default:
		c->stats.messages_bad++;
	}
}

/*
 * A restarted agent may hear of the view that takes it in before this node does,
 * and speak in it: its link is not yet known to be that of the member.
 */
static bool speaks_ahead(const struct core *c, const struct link *l, const struct member *from,
			 const struct core_msg *m)
{
#ifdef DSM_MUTANT_RESUMED_NOT_HEARD
	return false;
#endif
	return is_bound(m->type) && m->epoch > c->epoch && l->uid != from->rec.uid;
}

void dispatch_link(struct core *c, const struct core_event *ev)
{
	struct link *l = link_get(c, ev->link);
	const struct core_msg *m = ev->msg;
	struct member *from;

	if (!l)
		return;
	l->heard = c->now;
	if (on_open_msg(c, l, ev))
		return;
	/* From here on only members speak, each for itself. */
	if (!l->hello || l->nid != m->src || !m->src || l->cluster != c->cluster) {
		c->stats.messages_bad++;
		return;
	}
	if (link_is_replay(c, l, m))
		return;
	from = member_find(c, m->src);
	if (from && !from->link)
		member_attach(c, from);
	if (from && from->link != ev->link && !speaks_ahead(c, l, from, m))
		return; /* an older link of the same node */
	if (is_bound(m->type))
		on_member_msg(c, ev->link, m, ev->recs);
	else if (from)
		on_control_msg(c, l, m, ev->recs);
}

/* Kept until a view should say whose it is, and the view names another life of that node. */
static bool is_of_other_life(struct core *c, const struct deferred *d)
{
	const struct link *l = d->link ? link_get(c, d->link) : NULL;
	const struct member *from = l ? member_find(c, d->msg.src) : NULL;

	return from && l->uid != from->rec.uid;
}

void dispatch_to_self(struct core *c)
{
	struct deferred *d;

	while ((d = c->to_self)) {
		c->to_self = d->next;
		if (!c->to_self)
			c->to_self_tail = &c->to_self;
		if (d->msg.epoch > c->epoch || !is_of_other_life(c, d))
			on_member_msg(c, d->link, &d->msg, d->recs);
		d->next = NULL;
		deferred_free(d);
	}
}
