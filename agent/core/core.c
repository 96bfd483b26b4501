/* SPDX-License-Identifier: MIT */
/* Events in: which part of the protocol hears what, and when. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

struct core *core_new(const struct core_config *cfg, uint64_t now_us)
{
	struct core *c = core_alloc(sizeof(*c));

	c->cfg = *cfg;
	if (!c->cfg.dead_ms)
		c->cfg.dead_ms = 1500;
	if (!c->cfg.elect_ms)
		c->cfg.elect_ms = 150;
	if (!c->cfg.touch_pages)
		c->cfg.touch_pages = 16;
	if (!c->cfg.prefetch_pages)
		c->cfg.prefetch_pages = 32;
	if (cfg->nseeds) {
		c->seeds = core_alloc(cfg->nseeds * sizeof(*c->seeds));
		memcpy(c->seeds, cfg->seeds, cfg->nseeds * sizeof(*c->seeds));
	}
	c->uid = cfg->uid;
	c->now = now_us;
	c->next_link = 1;
	c->next_nid = 1;
	c->next_region = 1;
	c->next_ticket = cfg->weight; /* a later life of this node has higher ones */
	c->resuming = cfg->resume_cluster && cfg->resume_nid;
	c->state = CORE_SEEKING;
	c->held_tail = &c->held;
	c->early_tail = &c->early;
	c->to_self_tail = &c->to_self;
	c->pool_wait_tail = &c->pool_wait;
	c->topic_waits_tail = &c->topic_waits;
	timer_arm(c, now_us, TIMER_READY, 0); /* the first step is due at once */
	return c;
}

static void free_values(struct map *m)
{
	uint64_t key;
	void *v;

	for (size_t i = 0; map_next(m, &i, &key, &v);)
		free(v);
	map_free(m);
}

static void free_locks(struct core *c)
{
	uint64_t key;
	void *v;

	for (size_t i = 0; map_next(&c->locks, &i, &key, &v);) {
		struct lock *l = v;

		while (l->head) {
			struct lock_waiter *w = l->head;

			l->head = w->next;
			free(w);
		}
		while (l->queue) {
			struct nid_list *q = l->queue;

			l->queue = q->next;
			free(q);
		}
	}
	free_values(&c->locks);
}

void core_free(struct core *c)
{
	if (!c)
		return;
	home_reset(c);
	rwlock_lose_all(c);
	barrier_lose_all(c);
	topic_free_all(c);
	free_locks(c);
	free_values(&c->rwlocks);
	free_values(&c->leaves);
	free_values(&c->requests);
	free_values(&c->revokes);
	free_values(&c->asked);
	map_free(&c->given);
	map_free(&c->rw_clients);
	map_free(&c->barriers);
	map_free(&c->barrier_clients);
	while (c->freeing) {
		struct freeing *f = c->freeing;

		c->freeing = f->next;
		free(f);
	}
	while (c->page_waiters) {
		struct page_waiter *w = c->page_waiters;

		c->page_waiters = w->next;
		free(w);
	}
	while (c->joiners) {
		struct joiner *j = c->joiners;

		c->joiners = j->next;
		free(j);
	}
	member_clear(c);
	extent_clear(c);
	deferred_forget(c);
	deferred_free(c->to_self);
	deferred_free(c->pool_wait);
	free(c->dropping);
	free(c->links);
	free(c->regions);
	free(c->later);
	free(c->seeds);
	free(c->timers);
	free(c->ready_waiters);
	act_free(c);
	free(c);
}

void core_resume_page(struct core *c, page_key key, uint32_t count, enum page_state state)
{
	for (uint32_t i = 0; i < count; i++)
		page_get(c, key + i)->state = (uint8_t)state;
}

/* --- messages --- */

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

static void on_bound_msg(struct core *c, const struct core_msg *m, const void *recs)
{
	const struct rec_extent *e = recs;

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
		for (size_t i = 0; i < m->nrecs; i++)
			extent_put(c, &e[i]);
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
	return is_bound(m->type) && m->epoch > c->epoch && l->uid != from->rec.uid;
}

static void on_link_msg(struct core *c, const struct core_event *ev)
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

/* --- a step --- */

static void on_timer(struct core *c, const struct timer *t)
{
	switch (t->kind) {
	case TIMER_SEEK:
		seek_on_timer(c);
		break;
	case TIMER_BEAT:
		view_beat(c);
		break;
	case TIMER_REVOKE:
		revoke_on_timer(c, t->arg);
		break;
	case TIMER_LOCK:
		lock_on_timer(c, (uint32_t)t->arg);
		break;
	case TIMER_RWLOCK:
		rwlock_on_timer(c, t->arg);
		break;
	case TIMER_BARRIER:
		barrier_on_timer(c, t->arg);
		break;
	case TIMER_WAIT:
		wait_on_timer(c, t->arg);
		break;
	case TIMER_READY:
		client_ready_timer(c);
		break;
	}
}

/* Kept until a view should say whose it is, and the view names another life of that node. */
static bool is_of_other_life(struct core *c, const struct deferred *d)
{
	const struct link *l = d->link ? link_get(c, d->link) : NULL;
	const struct member *from = l ? member_find(c, d->msg.src) : NULL;

	return from && l->uid != from->rec.uid;
}

static void run_to_self(struct core *c)
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

static void first_step(struct core *c)
{
	struct rec_region r = { .size = c->cfg.region_size,
				.base = c->cfg.region_base,
				.name = "default" };

	c->started = true;
	region_learn(c, &r);
	seek_start(c);
}

static void on_event(struct core *c, const struct core_event *ev)
{
	switch (ev->type) {
	case EV_LINK_UP:
		link_on_up(c, ev);
		break;
	case EV_LINK_DOWN:
		link_on_down(c, ev->link);
		break;
	case EV_MSG:
		on_link_msg(c, ev);
		break;
	case EV_DATAGRAM:
		seek_on_datagram(c, ev, NULL);
		break;
	case EV_FAULT:
		request_fault(c, ev->key, ev->count, ev->write, ev->prefetch);
		break;
	case EV_REVOKED:
		revoke_done(c, ev->key, ev->count);
		break;
	case EV_CLIENT:
		client_request(c, ev->req);
		break;
	case EV_CLIENT_GONE:
		client_gone(c, ev->client);
		break;
	case EV_LEAVE:
		view_leave(c);
		break;
	case EV_TOPIC:
		topic_interest(c, ev->topic);
		break;
	case EV_TOPIC_CHANGED:
		push_changed(c, ev->key);
		break;
	default:
		break;
	}
}

void core_step(struct core *c, const struct core_event *ev)
{
	struct timer t;

	act_reset(c);
	if (ev->now_us > c->now)
		c->now = ev->now_us;
	if (!c->started)
		first_step(c);
	on_event(c, ev);
	run_to_self(c);
	while (timer_pop(c, &t)) {
		on_timer(c, &t);
		run_to_self(c);
	}
}

const struct core_action *core_actions(const struct core *c, size_t *ret_n)
{
	*ret_n = c->nactions;
	return c->actions;
}

uint64_t core_deadline(const struct core *c)
{
	return c->ntimers ? c->timers[0].due : UINT64_MAX;
}
