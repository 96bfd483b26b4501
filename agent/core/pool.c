/* SPDX-License-Identifier: MIT */
/*
 * The pool of donated memory, at the master: extents are given on first touch
 * or by allocation, each with a home that pays for it from its donated
 * chunks; the one who asks comes first, then whoever has most.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

#define ALLOC_FIRST                                                                                \
	(0x4000000000ull /                                                                         \
	 4096) /* allocations in the default region: above what programs choose themselves */
#define WHOLE_REGION UINT32_MAX

bool pool_has_data(const struct core *c)
{
	return c->extents.n || c->nregions > 1 || c->locks.used || c->rwlocks.used ||
	       c->barriers.used;
}

static uint64_t free_chunks(const struct member *m)
{
	if (m->rec.state != MEMBER_ACTIVE || m->rec.chunks <= m->chunks_used)
		return 0;
	return m->rec.chunks - m->chunks_used;
}

static struct member *richest(const struct core *c)
{
	struct member *best = NULL;

	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i]->rec.state == MEMBER_ACTIVE &&
		    (!best || free_chunks(c->members[i]) > free_chunks(best)))
			best = c->members[i];
	return best;
}

/* --- answering --- */

static void keep_reply(struct core *c, const struct core_msg *m, uint64_t key, int err)
{
	struct member *who = member_find(c, m->src);

	if (!who || m->arg == EXTENT_TOUCH || m->arg == EXTENT_LOOKUP || m->arg == EXTENT_LIST)
		return;
	who->replies[who->next_reply++ % REPLIES_KEPT] =
		(struct kept_reply){ .ticket = m->a, .key = key, .err = err };
}

static void reply(struct core *c, const struct core_msg *m, uint64_t key,
		  const struct rec_extent *e, size_t n, int err)
{
	struct core_msg r = msg_new(c, MSG_EXTENT_REPLY);

	keep_reply(c, m, key, err);
	r.key = key;
	r.a = m->a;
	r.arg = (uint32_t)err;
	r.nrecs = (uint16_t)n;
	msg_send(c, m->src, &r, e);
}

/* Carried out before, and the answer got lost in a view change? */
static bool replied(struct core *c, const struct core_msg *m)
{
	struct member *who = member_find(c, m->src);

	for (int i = 0; who && i < REPLIES_KEPT; i++) {
		const struct kept_reply *k = &who->replies[i];
		const struct rec_extent *e = extent_find(c, k->key);
		struct core_msg r;

		if (k->ticket != m->a || !k->ticket)
			continue;
		r = msg_new(c, MSG_EXTENT_REPLY);
		r.key = k->key;
		r.a = m->a;
		r.arg = (uint32_t)k->err;
		r.nrecs = e && !k->err ? 1 : 0;
		msg_send(c, m->src, &r, e);
		return true;
	}
	return false;
}

/* Who will be master when this one dies; NULL: nobody is there. */
static const struct member *successor(const struct core *c)
{
	for (size_t i = 0; i < c->nmembers; i++)
		if (c->members[i] != c->self && c->members[i]->rec.state == MEMBER_ACTIVE)
			return c->members[i];
	return NULL;
}

static void give(struct core *c, const struct rec_extent *e, uint16_t asker)
{
	struct core_msg u = msg_new(c, MSG_EXTENT_UPDATE);
	const struct member *next = successor(c);

	extent_put(c, e);
	kept_extent(c, e);
	member_find(c, e->home)->chunks_used += e->count;
	u.nrecs = 1;
	if (e->home != c->nid && e->home != asker)
		msg_send(c, e->home, &u, e);
	if (next && next->rec.nid != e->home && next->rec.nid != asker)
		msg_send(c, next->rec.nid, &u, e);
}

/* --- first touch --- */

static void touch(struct core *c, const struct core_msg *m)
{
	const struct rec_region *reg = region_find(c, PAGE_KEY_REGION(m->key));
	struct member *home = member_find(c, m->src);
	uint64_t lo = m->key, hi = m->key + 1, first = m->key - m->key % c->cfg.touch_pages;
	uint64_t gap = extent_gap(c, m->key), last = first + c->cfg.touch_pages, end;
	struct rec_extent e = { 0 };

	if (!reg || PAGE_KEY_PAGE(m->key) >= reg->size / 4096) {
		reply(c, m, m->key, NULL, 0, EFAULT);
		return;
	}
	end = PAGE_KEY(reg->region, reg->size / 4096);
	while (lo > first && !extent_find(c, lo - 1))
		lo--;
	while (hi < last && hi < gap && hi < end)
		hi++;
	if (!home || !free_chunks(home))
		home = richest(c);
	if (!home || !free_chunks(home)) {
		reply(c, m, m->key, NULL, 0, ENOMEM);
		return;
	}
	if (free_chunks(home) < hi - lo) {
		lo = m->key;
		hi = lo + 1;
	}
	e.key = lo;
	e.count = (uint32_t)(hi - lo);
	e.home = home->rec.nid;
	give(c, &e, m->src);
	reply(c, m, m->key, &e, 1, 0);
}

/* --- allocation --- */

static uint64_t find_room(const struct core *c, const struct rec_region *reg, uint64_t count)
{
	uint64_t end = PAGE_KEY(reg->region, reg->size / 4096);
	uint64_t pos = PAGE_KEY(reg->region, 0);

	if (!reg->region && reg->size / 4096 > ALLOC_FIRST)
		pos += ALLOC_FIRST;
	while (pos + count <= end) {
		uint64_t gap = extent_gap(c, pos);
		const struct rec_extent *e;

		if (gap >= pos + count)
			return pos;
		e = extent_find(c, gap > pos ? gap : pos);
		pos = e->key + e->count;
	}
	return UINT64_MAX;
}

static void allocate(struct core *c, const struct core_msg *m, uint64_t key)
{
	struct rec_extent recs[CORE_NODES_MAX];
	struct member *home = member_find(c, m->src);
	uint64_t left = m->count, at = key, have = 0;
	size_t n = 0;

	for (size_t i = 0; i < c->nmembers; i++)
		have += free_chunks(c->members[i]);
	if (have < left) {
		reply(c, m, m->key, NULL, 0, ENOMEM);
		return;
	}
	while (left) {
		uint64_t part;

		if (!home || !free_chunks(home))
			home = richest(c);
		part = free_chunks(home) < left ? free_chunks(home) : left;
		recs[n] = (struct rec_extent){ .key = at,
					       .count = (uint32_t)part,
					       .home = home->rec.nid,
					       .flags = (uint16_t)(EXTENT_ALLOC |
								   (n ? 0 : EXTENT_HEAD)) };
		give(c, &recs[n++], m->src);
		at += part;
		left -= part;
	}
	reply(c, m, key, recs, n, 0);
}

static void allocate_checked(struct core *c, const struct core_msg *m)
{
	const struct rec_region *reg = region_find(c, PAGE_KEY_REGION(m->key));
	bool chosen = m->arg == EXTENT_ALLOCATE_AT;
	uint64_t key;

	if (!reg || !m->count || (chosen && PAGE_KEY_PAGE(m->key) + m->count > reg->size / 4096)) {
		reply(c, m, m->key, NULL, 0, EINVAL);
		return;
	}
	key = chosen ? m->key : find_room(c, reg, m->count);
	if (key == UINT64_MAX)
		reply(c, m, m->key, NULL, 0, ENOMEM);
	else if (chosen && extent_gap(c, key) < key + m->count)
		reply(c, m, m->key, NULL, 0, EEXIST);
	else
		allocate(c, m, key);
}

/* --- freeing: nobody may still have a page of it when it is given out again --- */

static void freeing_send(struct core *c, struct freeing *f)
{
	struct core_msg m = msg_new(c, MSG_EXTENT_FREE);

	m.key = f->key;
	m.count = f->region ? WHOLE_REGION : (uint32_t)f->count;
	m.a = f->id;
	f->nwaiting = 0;
	for (size_t i = 0; i < c->nmembers; i++) {
		struct member *p = c->members[i];

		if (p->rec.state == MEMBER_JOINING)
			continue;
		f->waiting[f->nwaiting++] = p->rec.nid;
		msg_send(c, p->rec.nid, &m, NULL);
	}
}

static struct freeing *freeing_start(struct core *c, uint64_t key, uint64_t count, uint64_t ticket,
				     uint16_t nid)
{
	struct freeing *f = core_alloc(sizeof(*f));

	f->key = key;
	f->count = count;
	f->ticket = ticket;
	f->nid = nid;
	f->id = ++c->next_ticket;
	f->next = c->freeing;
	c->freeing = f;
	return f;
}

static const struct freeing *freeing_find(const struct core *c, uint64_t key)
{
	for (const struct freeing *f = c->freeing; f; f = f->next)
		if (f->key == key)
			return f;
	return NULL;
}

static bool being_freed(const struct core *c, uint64_t key)
{
	for (const struct freeing *f = c->freeing; f; f = f->next)
		if (key >= f->key && key - f->key < f->count)
			return true;
	return false;
}

static void release(struct core *c, const struct core_msg *m)
{
	const struct rec_extent *e = extent_find(c, m->key);
	const struct freeing *f = freeing_find(c, m->key);
	uint64_t count;

	/* Asked once more, after a view change: the answer comes when all have forgotten. */
	if (f && f->nid == m->src && f->ticket == m->a)
		return;
	if (!e || e->key != m->key || !(e->flags & EXTENT_HEAD) || f) {
		reply(c, m, m->key, NULL, 0, EINVAL);
		return;
	}
	count = e->count;
	for (;;) { /* an allocation may be spread over several homes */
		e = extent_find(c, m->key + count);
		if (!e || !(e->flags & EXTENT_ALLOC) || (e->flags & EXTENT_HEAD))
			break;
		count += e->count;
	}
	freeing_send(c, freeing_start(c, m->key, count, m->a, m->src));
}

void region_deleted(struct core *c, uint16_t region, uint64_t ticket, uint16_t nid)
{
	struct freeing *f;

	if (freeing_find(c, PAGE_KEY(region, 0)))
		return;
	f = freeing_start(c, PAGE_KEY(region, 0), 1ull << 48, ticket, nid);
	f->region = true;
	freeing_send(c, f);
}

static void freeing_end(struct core *c, struct freeing *f)
{
	struct core_msg r = msg_new(c, f->region ? MSG_REGION_REPLY : MSG_EXTENT_REPLY);
	struct core_msg u = msg_new(c, MSG_REGION_UPDATE);
	const struct rec_region *reg = f->region ? region_find(c, PAGE_KEY_REGION(f->key)) : NULL;
	struct core_msg asked = { .src = f->nid, .a = f->ticket, .arg = EXTENT_RELEASE };
	struct rec_region rec;

	extent_remove(c, f->key, f->count);
	if (!f->region)
		kept_gone(c, f->key, f->count);
	pool_count(c);
	c->exhausted_logged = false;
	/* Who wanted this memory meanwhile asks again. */
	if (c->pool_wait) {
		*c->to_self_tail = c->pool_wait;
		c->to_self_tail = c->pool_wait_tail;
		c->pool_wait = NULL;
		c->pool_wait_tail = &c->pool_wait;
	}
	if (reg) {
		rec = *reg;
		u.flags = F_DELETED;
		u.nrecs = 1;
		for (size_t i = 0; i < c->nmembers; i++)
			msg_send(c, c->members[i]->rec.nid, &u, &rec);
	} else {
		keep_reply(c, &asked, f->key, 0);
		r.key = f->key;
	}
	r.a = f->ticket;
	msg_send(c, f->nid, &r, NULL);
}

static void freeing_check(struct core *c)
{
	struct freeing **at = &c->freeing, *f;

	while ((f = *at)) {
		if (f->nwaiting) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		freeing_end(c, f);
		free(f);
	}
}

void pool_on_freed(struct core *c, const struct core_msg *m)
{
	for (struct freeing *f = c->freeing; f; f = f->next) {
		if (f->id != m->a)
			continue;
		for (size_t i = 0; i < f->nwaiting; i++)
			if (f->waiting[i] == m->src)
				f->waiting[i--] = f->waiting[--f->nwaiting];
	}
	freeing_check(c);
}

void pool_restart_freeing(struct core *c)
{
	for (struct freeing *f = c->freeing; f; f = f->next)
		freeing_send(c, f);
}

/* Every node: forget these pages. */
static void forget_page(struct core *c, page_key key, struct page *p, void *ctx)
{
	(void)ctx;
	home_forget(c, key);
	page_drop(c, key, p);
	p->flags &= (uint8_t) ~(P_HAD | P_HAD_M);
	p->ver = 0;
}

static void find_revoking(struct core *c, page_key key, struct page *p, void *ctx)
{
	bool *busy = ctx;

	(void)c;
	(void)key;
	*busy |= p->flags & P_REVOKING;
}

/* Tells the master of each freed range that is really gone here. */
void pool_dropped(struct core *c)
{
	struct core_msg done = msg_new(c, MSG_EXTENT_FREED);
	size_t n = 0;

	for (size_t i = 0; i < c->ndropping; i++) {
		struct dropping *d = &c->dropping[i];
		bool busy = false;

		page_each_in(c, d->first, d->end, find_revoking, &busy);
		if (busy) {
			c->dropping[n++] = *d;
			continue;
		}
		done.a = d->id;
		msg_send(c, d->master, &done, NULL);
	}
	c->ndropping = n;
}

void pool_on_free(struct core *c, const struct core_msg *m)
{
	page_key first = m->key, end = first + m->count;

	if (m->count == WHOLE_REGION)
		end = first + (1ull << 48);
	c->frees++;
	page_each_in(c, first, end, forget_page, NULL);
	request_restart_range(c, first, end);
	asked_freed(c, first, end);
	if (!is_master(c)) { /* the master remembers until all have forgotten */
		extent_remove(c, first, end - first);
		if (m->count == WHOLE_REGION)
			kept_anew(c);
		else
			kept_gone(c, first, end - first);
	}
	c->dropping = core_realloc(c->dropping, (c->ndropping + 1) * sizeof(*c->dropping));
	c->dropping[c->ndropping++] =
		(struct dropping){ .first = first, .end = end, .id = m->a, .master = m->src };
	pool_dropped(c);
}

/* --- members come and go --- */

void pool_count(struct core *c)
{
	for (size_t i = 0; i < c->nmembers; i++)
		c->members[i]->chunks_used = 0;
	for (size_t i = 0; i < c->extents.n; i++) {
		struct member *home = member_find(c, c->extents.e[i].home);

		if (home)
			home->chunks_used += c->extents.e[i].count;
	}
}

void pool_member_gone(struct core *c, uint16_t nid)
{
	for (size_t i = 0; i < c->extents.n; i++)
		if (c->extents.e[i].home == nid)
			c->extents.e[i].flags |= EXTENT_ORPHANED;
}

/* Every extent needs a home that stays. The pool may be overdrawn by this: better than losing pages. */
void pool_rehome(struct core *c)
{
	uint64_t orphans = 0;

	pool_count(c);
	for (size_t i = 0; i < c->extents.n; i++) {
		struct rec_extent *e = &c->extents.e[i];
		struct member *home = member_find(c, e->home);

		/* A home that died while it handed over: what it knew may be lost. */
		if ((e->flags & EXTENT_MOVING) && c->someone_died)
			e->flags = (uint16_t)((e->flags & ~EXTENT_MOVING) | EXTENT_ORPHANED);
		/* One that was restarted does not know what the dead had touched. */
		if (home && home->forgetful && c->someone_died)
			e->flags |= EXTENT_ORPHANED;
		if (home && home->rec.state == MEMBER_ACTIVE)
			continue;
		if (!home)
			orphans += e->count;
		else
			e->flags |= EXTENT_MOVING;
		home = richest(c);
		if (!home)
			continue;
		e->home = home->rec.nid;
		home->chunks_used += e->count;
	}
	if (orphans)
		act_log(c, 3,
			"%llu pages were at home at a dead node; those that nobody else holds are "
			"lost",
			(unsigned long long)orphans);
}

/* Every home stands: what leaving nodes knew has arrived. */
void pool_moved(struct core *c)
{
	for (size_t i = 0; i < c->extents.n; i++)
		c->extents.e[i].flags &= (uint16_t)~EXTENT_MOVING;
}

/* --- telling what there is --- */

/*
 * Extents from @key on, at most @max. Not those that are being freed: who is told of them
 * has carried EXTENT_FREE out already, or gets none, and would keep them for ever.
 */
static size_t extents_kept(const struct core *c, uint64_t key, struct rec_extent *ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < c->extents.n && n < max; i++) {
		const struct rec_extent *e = &c->extents.e[i];

		if (e->key + e->count > key && !being_freed(c, e->key))
			ret[n++] = *e;
	}
	return n;
}

static void list(struct core *c, const struct core_msg *m)
{
	struct rec_extent recs[CORE_MSG_RECS];
	size_t n = extents_kept(c, m->key, recs, CORE_MSG_RECS);

	reply(c, m, m->key, recs, n, n ? 0 : ENOENT);
}

/*
 * The first to join after the master: it must know what is allocated even
 * where it never asks, or the master's death would turn lost pages into zeroes. Later ones
 * learn it in the view change that makes them the next.
 */
void pool_tell_successor(struct core *c, const struct member *newcomer)
{
	struct core_msg u = msg_new(c, MSG_EXTENT_UPDATE);
	struct rec_extent *recs;

	if (successor(c) != newcomer)
		return;
	recs = core_alloc((c->extents.n + 1) * sizeof(*recs));
	msg_send_recs(c, newcomer->rec.nid, &u, recs, extents_kept(c, 0, recs, c->extents.n));
	free(recs);
}

void pool_on_request(struct core *c, const struct core_msg *m)
{
	const struct rec_extent *e;

	if (!is_master(c))
		return;
	if (replied(c, m))
		return;
	switch (m->arg) {
	case EXTENT_TOUCH:
	case EXTENT_LOOKUP:
		if (being_freed(c, m->key)) {
			deferred_add(&c->pool_wait_tail, 0, m, NULL);
			break;
		}
		e = extent_find(c, m->key);
		if (e)
			reply(c, m, m->key, e, 1, 0);
		else if (m->arg == EXTENT_LOOKUP)
			reply(c, m, m->key, NULL, 0, ENOENT);
		else
			touch(c, m);
		break;
	case EXTENT_LIST:
		list(c, m);
		break;
	case EXTENT_ALLOCATE:
	case EXTENT_ALLOCATE_AT:
		allocate_checked(c, m);
		break;
	case EXTENT_RELEASE:
		release(c, m);
		break;
	default:
		reply(c, m, m->key, NULL, 0, EINVAL);
	}
}
