/* SPDX-License-Identifier: MIT */
/* Going: by wish, handing everything over first; or put out, losing it all. */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

void view_out(struct core *c)
{
	struct core_action *a;

	link_drop_all(c);
	c->state = CORE_OUT;
	lock_lose_all(c);
	rwlock_lose_all(c);
	barrier_lose_all(c);
	topic_lose_all(c);
	request_fail_all(c, ESHUTDOWN);
	asked_fail_all(c, ESHUTDOWN);
	a = act_add(c, ACT_STATE);
	a->state = CORE_OUT;
}

/* Told that it may go, and in the view still. */
static bool somebody_goes(const struct core *c)
{
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i]->gone)
			return true;
	return false;
}

void view_leave(struct core *c)
{
	struct core_msg m = msg_new(c, MSG_LEAVE);
	struct core_action *a;

	if (c->state == CORE_OUT)
		return;
	if (!view_is_member(c) || c->nmembers == 1) {
		c->leaving = true;
		view_out(c);
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
	/* A successor would not know that it was told to go, and miss it for as long as one that died. */
	if (somebody_goes(c))
		return; /* again in the view without it */
	/* Once more when all are there, or dead: who takes over could not let anybody in. */
	if (view_must_wait(c) || c->proposing)
		return;
	m.type = MSG_TAKEOVER;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (p == c->self || p->rec.state != MEMBER_ACTIVE || !p->link)
			continue;
		msg_send(c, p->rec.nid, &m, NULL);
		return;
	}
	/* Nobody stays who could take anything over: the others go as well. */
	m.type = MSG_LEAVE_OK;
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self && c->members[i]->rec.state == MEMBER_LEAVING)
			msg_send(c, c->members[i]->rec.nid, &m, NULL);
	view_out(c);
}

void view_on_leave(struct core *c, uint16_t nid)
{
	struct member *m = member_find(c, nid);

	if (!m || !is_master(c) || m->rec.state != MEMBER_ACTIVE || m->leaves)
		return;
#ifndef DSM_MUTANT_LEAVING_MASTER_PROPOSES
	/*
	 * A master that goes itself has asked another to take over: a proposal of its own would
	 * cross that one's, and the members would stand still until both have timed out. Whoever
	 * wants to leave says so again to the new master.
	 */
	if (c->leaving)
		return;
#endif
	m->leaves = true;
	view_propose(c, "a node leaves");
}

void view_on_takeover(struct core *c, const struct core_msg *m)
{
	struct member *master = member_find(c, c->master);

	if (!view_is_member(c) || !master || m->src != c->master || c->taking_over)
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

	/* Whom a master that goes itself let go, its successor would miss: see view_leave(). */
	if (!m || !is_master(c) || c->leaving)
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
		p->gone =
			true; /* and out of the view once it has hung up: its programs have stopped reading then */
	}
}

void view_on_leave_ok(struct core *c)
{
	if (c->state == CORE_LEAVING)
		view_out(c);
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
	kept_forget(c);
	kept_anew(c); /* before the pages go: what is kept says where they are */
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
	topic_lose_all(c);
	link_drop_all(c);
	member_clear(c);
	deferred_forget(c);
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
		view_out(c);
	else if (why)
		seek_start(c);
}
