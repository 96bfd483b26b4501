/* SPDX-License-Identifier: MIT */
/*
 * After a view change every member tells each home what it holds, and the
 * homes put their directories together from that. A home answers requests of
 * the new epoch when all members have spoken.
 *
 * What is true of the holdings, because transactions under the old epoch end
 * where they stand: a writer exists only once all other copies are gone, so a
 * higher version beats a lower one; bytes on their way are still stashed
 * where they came from.
 */
#include <stdlib.h>

#include "agent/core/state.h"

/* --- telling --- */

struct pile {
	struct rec_holding *recs;
	size_t n, cap;
};

struct piles {
	struct pile by_index[CORE_NODES_MAX];
};

static void pile_add(struct pile *pile, page_key key, uint8_t state, uint32_t ver)
{
	struct rec_holding *last = pile->n ? &pile->recs[pile->n - 1] : NULL;

	if (last && last->key + last->count == key && last->state == state && last->ver == ver &&
	    last->count < 1u << 20) {
		last->count++;
		return;
	}
	if (!pile->recs || pile->n == pile->cap) {
		pile->cap = pile->cap ? pile->cap * 2 : 64;
		pile->recs = core_realloc(pile->recs, pile->cap * sizeof(*pile->recs));
	}
	pile->recs[pile->n++] =
		(struct rec_holding){ .key = key, .count = 1, .ver = ver, .state = state };
}

/*
 * Bytes that were given to a node which died, as did the home that knew whether it
 * got them, and somebody else (or one of the two was another's): it may have written to the
 * page and passed it on among the dead. To bring these bytes back would have old data pass for new.
 */
static bool is_doubtful(const struct core *c, page_key key, const struct page *p,
			const struct rec_extent *e)
{
	return (p->flags & P_STASH) && (e->flags & EXTENT_ORPHANED) && c->parted > 1 &&
	       !member_find(c, (uint16_t)(uintptr_t)map_get(&c->given, key));
}

static void tell_page(struct core *c, page_key key, struct page *p, void *ctx)
{
	const struct rec_extent *e = extent_find(c, key);
	struct member *home = e ? member_find(c, e->home) : NULL;
	struct piles *piles = ctx;
	struct pile *pile;
	uint8_t state = p->state;

	if (!home) {
		if (p->state != PAGE_INVALID || (p->flags & P_STASH))
			page_drop(c, key, p);
		return;
	}
	pile = &piles->by_index[home->index];
	if (is_doubtful(c, key, p, e)) {
		page_stash_drop(c, key, p);
		pile_add(pile, key, HOLDING_TOUCHED, p->ver + 1);
	} else if (p->flags & P_STASH) {
		state = HOLDING_STASH;
	}
	if (state != PAGE_INVALID)
		pile_add(pile, key, state, p->ver);
	else if (((e->flags & EXTENT_ORPHANED) || home->forgetful) && p->ver)
		/* The old home's versions died with it: whoever had a copy says how new that was. */
		pile_add(pile, key, HOLDING_TOUCHED, p->ver);
	/* Its home once: what that knew stays true, and is said in every view, for the next may come too soon. */
	if (home != c->self && (p->flags & (P_TOUCHED | P_LOST)))
		pile_add(pile, key, p->flags & P_LOST ? HOLDING_LOST : HOLDING_TOUCHED, p->dir_ver);
}

/*
 * A page that the kernel cannot let go of yet (pinned for I/O) can still be
 * read here: nobody may be told that it is gone.
 */
void rebuild_start(struct core *c)
{
	c->rebuilding = true;
	c->drained = false;
	c->draining = 0;
	c->nlater = 0;
	c->report_due = true;
	if (!c->nrevoking)
		rebuild_report(c);
}

void rebuild_report(struct core *c)
{
	struct piles *piles = core_alloc(sizeof(*piles));
	struct core_msg m;

	c->report_due = false;
	page_each(c, tell_page, piles);
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *home = c->members[i];
		struct pile *pile = &piles->by_index[home->index];

		m = msg_new(c, MSG_HOLDINGS);
		msg_send_recs(c, home->rec.nid, &m, pile->recs, pile->n);
		free(pile->recs);
		home->forgetful = false;
	}
	free(piles);
	lock_report(c);
	barrier_report(c);
	m = msg_new(c, MSG_HOLDINGS_END);
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i]->rec.state != MEMBER_JOINING)
			msg_send(c, c->members[i]->rec.nid, &m, NULL);
}

/* --- listening --- */

/* What was reported as ver, a copy or a stash; by the time this is heard there may be a newer one. */
static void forget(struct core *c, uint16_t nid, page_key key, uint32_t ver, bool stash)
{
	struct core_msg m = msg_new(c, MSG_PAGE_FORGET);

	m.key = key;
	m.count = 1;
	m.ver = ver;
	m.flags = stash ? F_DATA : 0;
	msg_send_page(c, nid, &m, DATA_NONE);
}

static void forget_sharers(struct core *c, page_key key, struct page *p)
{
	for (int i = sharer_next(p, 0); i >= 0; i = sharer_next(p, (unsigned int)i + 1)) {
		struct member *m = member_by_index(c, (unsigned int)i);

		sharer_clear(p, (unsigned int)i);
		if (m)
			forget(c, m->rec.nid, key, p->dir_ver, false);
	}
}

static void hold_modified(struct core *c, page_key key, struct page *p, struct member *from,
			  uint32_t ver)
{
	if (p->owner && p->dir_ver > ver) {
		forget(c, from->rec.nid, key, ver, false);
		return;
	}
	if (p->owner)
		forget(c, p->owner, key, p->dir_ver, false);
	forget_sharers(c, key, p);
	p->owner = from->rec.nid;
	p->dir_ver = ver > p->dir_ver ? ver : p->dir_ver;
	p->flags |= P_TOUCHED;
}

static void hold_shared(struct core *c, page_key key, struct page *p, struct member *from,
			uint32_t ver)
{
	bool others = sharer_next(p, 0) >= 0;

	if (p->owner || (others && ver < p->dir_ver)) {
		forget(c, from->rec.nid, key, ver, false);
		return;
	}
	if (ver > p->dir_ver) {
		forget_sharers(c, key, p);
		p->dir_ver = ver;
	}
	sharer_set(p, from->index);
	p->flags |= P_TOUCHED;
}

/* Looked at when all have spoken. */
static void hold_for_later(struct core *c, const struct rec_holding *r, page_key key,
			   uint32_t count, uint16_t nid)
{
	if (c->nlater == c->later_cap) {
		c->later_cap = c->later_cap ? c->later_cap * 2 : 64;
		c->later = core_realloc(c->later, c->later_cap * sizeof(*c->later));
	}
	c->later[c->nlater++] = (struct rec_holding){
		.key = key, .count = count, .ver = r->ver, .state = r->state, .nid = nid
	};
}

static void hold_page(struct core *c, struct member *from, const struct rec_holding *r,
		      page_key key)
{
	struct page *p = page_get(c, key);

	switch (r->state) {
	case PAGE_MODIFIED:
		hold_modified(c, key, p, from, r->ver);
		break;
	case PAGE_SHARED:
		hold_shared(c, key, p, from, r->ver);
		break;
	case HOLDING_STASH:
		hold_for_later(c, r, key, 1, from->rec.nid);
		break;
	case HOLDING_LOST:
		p->flags |= P_LOST;
		break;
	case HOLDING_TOUCHED:
		p->flags |= P_TOUCHED;
		if (r->ver > p->dir_ver)
			p->dir_ver = r->ver;
		break;
	default:
		c->stats.messages_bad++;
	}
}

void rebuild_on_holdings(struct core *c, const struct core_msg *m, const struct rec_holding *recs)
{
	struct member *from = member_find(c, m->src);

	if (!c->rebuilding || !from)
		return;
	for (size_t i = 0; i < m->nrecs; i++) {
		if (recs[i].state == PAGE_SHARED && !recs[i].ver) {
			hold_for_later(c, &recs[i], recs[i].key, recs[i].count, m->src);
			continue;
		}
		for (uint32_t k = 0; k < recs[i].count; k++)
			hold_page(c, from, &recs[i], recs[i].key + k);
	}
}

/* --- standing --- */

static int later_order(const void *a, const void *b)
{
	const struct rec_holding *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->ver != y->ver)
		return x->ver > y->ver ? -1 : 1;
	return x->nid < y->nid ? -1 : x->nid > y->nid;
}

/*
 * A copy whose version its holder does not know (never written, or read back
 * by a restarted agent) is as good as any other: a writer would have had to
 * wait for its acknowledgement. But it says nothing of how new others are.
 */
static void settle_unknown(struct core *c, const struct rec_holding *r)
{
	struct member *who = member_find(c, r->nid);

	for (uint32_t k = 0; who && k < r->count; k++) {
		struct page *p = page_get(c, r->key + k);

		if (p->owner)
			forget(c, r->nid, r->key + k, 0, false);
		else
			sharer_set(p, who->index);
	}
}

/* Bytes that were on their way when the view changed: wanted again only where nobody has newer ones. */
static void settle_stashes(struct core *c)
{
	struct core_msg m = msg_new(c, MSG_PAGE_RESTORE);

	for (size_t i = 0; i < c->nlater; i++) {
		struct rec_holding *s = &c->later[i];
		struct page *p = page_get(c, s->key);
		struct member *who = member_find(c, s->nid);

		if (s->state != HOLDING_STASH)
			continue;
		/* Older than what somebody was seen to have: that died, and this is not the page any more. */
		if (p->owner || sharer_next(p, 0) >= 0 || !who || s->ver < p->dir_ver ||
		    (p->flags & P_LOST)) {
			forget(c, s->nid, s->key, s->ver, true);
			continue;
		}
		sharer_set(p, who->index);
		if (s->ver > p->dir_ver)
			p->dir_ver = s->ver;
		p->flags |= P_TOUCHED;
		m.key = s->key;
		m.count = 1;
		msg_send_page(c, s->nid, &m, DATA_NONE);
	}
}

static void settle(struct core *c)
{
	if (c->nlater)
		qsort(c->later, c->nlater, sizeof(*c->later), later_order);
	for (size_t i = 0; i < c->nlater; i++)
		if (c->later[i].state == PAGE_SHARED)
			settle_unknown(c, &c->later[i]);
	settle_stashes(c);
	c->nlater = 0;
}

struct survey {
	uint64_t lost;
	bool leavers;
};

/* All who hold the page are about to leave: it moves here. */
static void move_home(struct core *c, page_key key, struct page *p)
{
	struct member *owner = member_find(c, p->owner);
	struct request *r = map_get(&c->requests, key);

	if (owner ? owner->rec.state != MEMBER_LEAVING : sharer_next(p, 0) < 0)
		return;
	for (int i = sharer_next(p, 0); i >= 0; i = sharer_next(p, (unsigned int)i + 1)) {
		struct member *m = member_by_index(c, (unsigned int)i);

		if (m && m->rec.state != MEMBER_LEAVING)
			return;
	}
	if (!r)
		r = request_new(c, key, true, true);
	else if (!r->write)
		r->write_next = true;
	if (!r->drain)
		c->draining++;
	r->drain = true;
	request_send(c, r);
}

static void survey_page(struct core *c, page_key key, struct page *p, void *ctx)
{
	const struct rec_extent *e = extent_find(c, key);
	struct survey *s = ctx;

	if (!e || e->home != c->nid)
		return;
	if ((p->flags & P_TOUCHED) && !(p->flags & P_LOST) && !p->owner && sharer_next(p, 0) < 0) {
		p->flags |= P_LOST;
		c->stats.pages_lost++;
		s->lost++;
	}
	if (s->leavers)
		move_home(c, key, p);
}

void rebuild_drained(struct core *c)
{
	struct core_msg m = msg_new(c, MSG_REBUILT);

	if (c->rebuilding || c->draining || c->drained)
		return;
	c->drained = true;
	msg_send(c, c->master, &m, NULL);
}

static void stand(struct core *c)
{
	struct deferred *d = c->held;
	struct survey s = { 0 };

	c->rebuilding = false;
	settle(c);
	for (size_t i = 0; i < c->nmembers; i++)
		s.leavers |= c->members[i]->rec.state == MEMBER_LEAVING;
	s.leavers &= c->self->rec.state == MEMBER_ACTIVE;
	page_each(c, survey_page, &s);
	if (s.lost)
		act_log(c, 3,
			"%llu pages that only dead nodes had are lost; access to them gives SIGBUS",
			(unsigned long long)s.lost);
	kept_anew(c);
	lock_rebuilt(c);
	rwlock_rebuilt(c);
	barrier_rebuilt(c);
	c->held = NULL;
	c->held_tail = &c->held;
	while (d) {
		struct deferred *next = d->next;

		d->next = NULL;
		*c->to_self_tail = d;
		c->to_self_tail = &d->next;
		d = next;
	}
	rebuild_drained(c);
}

void rebuild_on_end(struct core *c, uint16_t nid)
{
	struct member *from = member_find(c, nid);

	if (!c->rebuilding || !from)
		return;
	from->ended = true;
	for (size_t i = 0; i < c->nmembers; i++)
		if (!c->members[i]->ended)
			return;
	stand(c);
}
