/* SPDX-License-Identifier: MIT */
/*
 * The home's side: the directory. For each page homed here: who may write it
 * (owner) or who reads it (sharers), and at most one transaction under way, with
 * a queue of those who wait. A transaction ends when its requester says DONE,
 * so no message of it can meet one of the next (a blocking directory, as in
 * Censier and Feautrier 1978 and most machines since).
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

unsigned int sharer_count(const struct page *p)
{
	unsigned int n = 0;

	for (int i = 0; i < 4; i++)
		n += (unsigned int)__builtin_popcountll(p->sharers[i]);
	return n;
}

int sharer_next(const struct page *p, unsigned int from)
{
	for (unsigned int i = from / 64; i < 4; i++, from = i * 64) {
		uint64_t bits = p->sharers[i] & (~0ull << (from % 64));

		if (bits)
			return (int)(i * 64) + __builtin_ctzll(bits);
	}
	return -1;
}

static void sharers_none(struct page *p)
{
	for (int i = 0; i < 4; i++)
		p->sharers[i] = 0;
}

static void txn_end(struct core *c, struct txn *t);
static void check_end(struct core *c, struct txn *t);

/* Who asked, and what every answer to it returns. */
struct asker {
	struct member *who;
	uint32_t tag;
};

static void tell(struct core *c, uint16_t nid, uint16_t type, uint16_t flags, page_key key,
		 uint32_t ver, uint32_t arg, uint16_t about, uint32_t tag)
{
	struct core_msg m = msg_new(c, type);

	m.flags = flags;
	m.key = key;
	m.count = 1;
	m.ver = ver;
	m.arg = arg;
	m.nid = about;
	m.a = tag;
	msg_send_page(c, nid, &m, DATA_NONE);
}

static struct txn *txn_begin(struct core *c, page_key key, const struct asker *by, bool write,
			     uint32_t ver)
{
	struct txn *t = core_alloc(sizeof(*t));

	t->key = key;
	t->nid = by->who->rec.nid;
	t->tag = by->tag;
	t->write = write;
	t->wait_done = true;
	t->ver = ver;
	t->tail = &t->head;
	map_put(&c->txns, key, t);
	return t;
}

/* The last copy is gone, or nobody can say whether there ever was one. */
static bool is_lost(struct core *c, page_key key, struct page *p)
{
	const struct rec_extent *e = extent_find(c, key);

	if (p->flags & P_LOST)
		return true;
	if (p->owner || sharer_next(p, 0) >= 0 ||
	    !((p->flags & P_TOUCHED) || (e->flags & EXTENT_ORPHANED)))
		return false;
	p->flags |= P_LOST;
	c->stats.pages_lost++;
	return true;
}

/* Whose bytes to send: this node's own first, a leaving node's last. -1: nobody has any. */
static int pick_source(const struct core *c, const struct page *p)
{
	int first = sharer_next(p, 0);

	for (int i = first; i >= 0; i = sharer_next(p, (unsigned int)i + 1)) {
		const struct member *m = member_by_index(c, (unsigned int)i);

		if (m && m->rec.state == MEMBER_ACTIVE)
			return i;
	}
	return first;
}

static void start_read(struct core *c, page_key key, struct page *p, const struct asker *by)
{
	struct member *who = by->who;
	int source = pick_source(c, p);
	struct txn *t;
	struct core_msg m;

	if (p->owner == who->rec.nid || sharer_has(p, who->index)) {
		tell(c, who->rec.nid, MSG_PAGE_GRANT, p->owner ? F_WRITE : 0, key, p->dir_ver, 0, 0,
		     by->tag);
		return;
	}
	if (!p->owner && source < 0) {
		sharer_set(p, who->index);
		tell(c, who->rec.nid, MSG_PAGE_GRANT, F_ZERO, key, p->dir_ver, 0, 0, by->tag);
		return;
	}
	if (!p->owner && sharer_has(p, 0) && p->state == PAGE_SHARED && !(p->flags & P_REVOKING)) {
		/* All of it comes over one link, in order: nothing to wait for. */
		sharer_set(p, who->index);
		m = msg_new(c, MSG_PAGE_DATA);
		m.flags = F_GRANT;
		m.key = key;
		m.count = 1;
		m.ver = p->ver;
		m.a = by->tag;
		c->stats.pages_out++;
		msg_send_page(c, who->rec.nid, &m, DATA_PAGE);
		return;
	}
	t = txn_begin(c, key, by, false, p->dir_ver);
	if (p->owner == c->nid) {
		/* The same as soon as this node writes no more: see home_on_shared(). */
		t->wait_done = false;
		tell(c, c->nid, MSG_PAGE_FORWARD, F_GRANT, key, p->dir_ver, 0, who->rec.nid,
		     by->tag);
		return;
	}
	t->wait_copy = p->owner != c->nid && who != c->self && !sharer_has(p, 0);
	tell(c, p->owner ? p->owner : member_by_index(c, (unsigned int)source)->rec.nid,
	     MSG_PAGE_FORWARD, t->wait_copy ? F_COPY_HOME : 0, key, p->dir_ver, 0, who->rec.nid,
	     by->tag);
}

static uint32_t invalidate_sharers(struct core *c, page_key key, struct page *p,
				   const struct asker *by, int source, uint32_t ver)
{
	struct member *who = by->who;
	uint32_t n = 0;

	for (int i = sharer_next(p, 0); i >= 0; i = sharer_next(p, (unsigned int)i + 1)) {
		if (i == who->index || i == source)
			continue;
		tell(c, member_by_index(c, (unsigned int)i)->rec.nid, MSG_INVALIDATE, 0, key, ver,
		     0, who->rec.nid, by->tag);
		n++;
	}
#ifdef DSM_MUTANT_ONE_ACK_TOO_FEW
	return n ? n - 1 : 0;
#endif
	return n;
}

/* The one who asked is the only one who has the page: it owns it from now on. */
static void grant_directly(struct core *c, page_key key, struct page *p, uint16_t nid, uint32_t tag)
{
	sharers_none(p);
	p->owner = nid;
	p->flags |= P_TOUCHED;
	/* The version stays: there is no other copy to tell this one from, and nobody confirms a new one. */
	tell(c, nid, MSG_PAGE_GRANT, F_WRITE | F_GRANT, key, p->dir_ver, 0, 0, tag);
}

/*
 * A sharer that shares with nobody, or with this home only: all it waits for
 * comes over one link, in order, so no DONE is needed to keep transactions
 * apart. Nothing is lost if the grant is: the sharer has the bytes.
 */
static bool upgrade_directly(struct core *c, page_key key, struct page *p, const struct asker *by)
{
	unsigned int n = sharer_count(p);

	if (!sharer_has(p, by->who->index) || n > 2 ||
	    (n == 2 && (by->who == c->self || !sharer_has(p, 0))))
		return false;
	if (n == 1) {
		grant_directly(c, key, p, by->who->rec.nid, by->tag);
		return true;
	}
	txn_begin(c, key, by, true, p->dir_ver)->wait_done = false;
	tell(c, c->nid, MSG_INVALIDATE, F_COPY_HOME, key, p->dir_ver, 0, c->nid, by->tag);
	return true;
}

/* This home's own copy is gone, for a direct upgrade. */
void home_on_dropped(struct core *c, page_key key)
{
	struct txn *t = map_get(&c->txns, key);

	if (!t || t->wait_done || !t->write)
		return;
	grant_directly(c, key, page_get(c, key), t->nid, t->tag);
	txn_end(c, t);
}

/* This home writes the page no more, and its bytes are on their way to who asked for them. */
void home_on_shared(struct core *c, page_key key)
{
	struct txn *t = map_get(&c->txns, key);

	if (t && !t->wait_done && !t->write)
		check_end(c, t);
}

static void start_write(struct core *c, page_key key, struct page *p, const struct asker *by)
{
	struct member *who = by->who;
	uint16_t nid = who->rec.nid;
	uint32_t ver = p->dir_ver + 1, acks;
	int source;

	if (p->owner == nid) {
		tell(c, nid, MSG_PAGE_GRANT, F_WRITE, key, p->dir_ver, 0, 0, by->tag);
		return;
	}
#ifdef DSM_MUTANT_TWO_WRITERS
	if (p->owner) {
		txn_begin(c, key, by, true, ver);
		tell(c, nid, MSG_PAGE_GRANT, F_WRITE | F_ZERO, key, ver, 0, 0, by->tag);
		return;
	}
#endif
	if (p->owner) {
		txn_begin(c, key, by, true, ver);
		tell(c, p->owner, MSG_PAGE_FORWARD, F_WRITE | F_GRANT, key, ver, 0, nid, by->tag);
		return;
	}
	if (upgrade_directly(c, key, p, by))
		return;
	txn_begin(c, key, by, true, ver);
	source = pick_source(c, p);
	if (source < 0) {
		tell(c, nid, MSG_PAGE_GRANT, F_WRITE | F_ZERO, key, ver, 0, 0, by->tag);
		return;
	}
	if (sharer_has(p, who->index)) {
		acks = invalidate_sharers(c, key, p, by, who->index, ver);
		tell(c, nid, MSG_PAGE_GRANT, F_WRITE, key, ver, acks, 0, by->tag);
		return;
	}
	/* One sharer gives its bytes and goes: its data is its acknowledgement. Index 0, this node, is first choice. */
	acks = invalidate_sharers(c, key, p, by, source, ver);
	if (acks)
		tell(c, nid, MSG_PAGE_GRANT, F_WRITE | F_DATA, key, ver, acks, 0, by->tag);
	tell(c, member_by_index(c, (unsigned int)source)->rec.nid, MSG_PAGE_FORWARD,
	     (uint16_t)(F_WRITE | (acks ? 0 : F_GRANT)), key, ver, 0, nid, by->tag);
}

static void start(struct core *c, page_key key, uint16_t nid, bool write, uint32_t tag)
{
	struct page *p = page_get(c, key);
	const struct rec_extent *e = extent_find(c, key);
	struct asker by = { .who = member_find(c, nid), .tag = tag };

	if (!by.who)
		return;
	if (!e || e->home != c->nid) {
		tell(c, nid, MSG_PAGE_ERROR, 0, key, 0, ESTALE, 0, tag);
		return;
	}
	if (is_lost(c, key, p)) {
		tell(c, nid, MSG_PAGE_ERROR, 0, key, 0, EIO, 0, tag);
		return;
	}
	if (write)
		start_write(c, key, p, &by);
	else
		start_read(c, key, p, &by);
}

static void request_page(struct core *c, page_key key, uint16_t nid, bool write, uint32_t tag)
{
	struct txn *t = map_get(&c->txns, key);
	struct waiting *w;

	if (!t) {
		start(c, key, nid, write, tag);
		return;
	}
	w = core_alloc(sizeof(*w));
	w->nid = nid;
	w->write = write;
	w->tag = tag;
	*t->tail = w;
	t->tail = &w->next;
}

void home_on_request(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		request_page(c, m->key + i, m->src, m->flags & F_WRITE, (uint32_t)m->a);
}

/* The queue of an ended transaction: the next ones, until one of them takes time. */
static void txn_end(struct core *c, struct txn *t)
{
	struct waiting *w = t->head;

	map_del(&c->txns, t->key);
	while (w) {
		struct waiting *next = w->next;

		request_page(c, t->key, w->nid, w->write, w->tag);
		free(w);
		w = next;
	}
	free(t);
}

static void check_end(struct core *c, struct txn *t)
{
	struct page *p = page_get(c, t->key);
	struct member *who = member_find(c, t->nid), *old;

	if (t->wait_done || t->wait_copy)
		return;
	if (t->write) {
		sharers_none(p);
		p->owner = t->nid;
		p->dir_ver = t->ver;
		p->flags |= P_TOUCHED;
	} else {
		old = member_find(c, p->owner);
		if (old)
			sharer_set(p, old->index);
		p->owner = 0;
		if (who)
			sharer_set(p, who->index);
		if (p->state == PAGE_SHARED)
			sharer_set(p, 0);
	}
	txn_end(c, t);
}

void home_on_done(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		page_key key = m->key + i;
		struct txn *t = map_get(&c->txns, key);
		struct page *p = page_get(c, key);

		if (!t || t->nid != m->src || t->tag != m->a || !t->wait_done)
			continue;
		t->wait_done = false;
		if (t->write && p->ver < t->ver)
			page_stash_drop(c, key, p);
		check_end(c, t);
	}
}

void home_on_copy(struct core *c, page_key key)
{
	struct txn *t = map_get(&c->txns, key);

	if (!t || !t->wait_copy)
		return;
	t->wait_copy = false;
	check_end(c, t);
}

void home_on_query(struct core *c, const struct core_msg *m)
{
	struct core_msg r = msg_new(c, MSG_PAGE_INFO);
	struct page *p = page_find(c, m->key);

	r.key = m->key;
	r.count = 1;
	r.a = m->a;
	if (p) {
		r.nid = p->owner;
		r.ver = p->dir_ver;
		r.arg = sharer_count(p);
		r.b = map_get(&c->txns, m->key) ? PAGE_PENDING
		      : p->owner		? PAGE_MODIFIED
		      : r.arg			? PAGE_SHARED
						: PAGE_INVALID;
	}
	msg_send(c, m->src, &r, NULL);
}

static void txn_free(struct txn *t)
{
	while (t->head) {
		struct waiting *w = t->head;

		t->head = w->next;
		free(w);
	}
	free(t);
}

static void clear_page(struct core *c, page_key key, struct page *p, void *ctx)
{
	(void)c;
	(void)key;
	(void)ctx;
	p->owner = 0;
	sharers_none(p);
}

/* A new view: who holds what is learned again. */
void home_reset(struct core *c)
{
	uint64_t key;
	void *t;

	for (size_t i = 0; map_next(&c->txns, &i, &key, &t);)
		txn_free(t);
	map_free(&c->txns);
	page_each(c, clear_page, NULL);
}

/* The page was freed. */
void home_forget(struct core *c, page_key key)
{
	struct txn *t = map_del(&c->txns, key);
	struct page *p = page_find(c, key);

	if (t) {
		/* Who waits asks the master again, and learns. */
		tell(c, t->nid, MSG_PAGE_ERROR, 0, key, 0, ESTALE, 0, t->tag);
		for (struct waiting *w = t->head; w; w = w->next)
			tell(c, w->nid, MSG_PAGE_ERROR, 0, key, 0, ESTALE, 0, w->tag);
		txn_free(t);
	}
	if (!p)
		return;
	p->owner = 0;
	p->dir_ver = 0;
	sharers_none(p);
	p->flags &= (uint8_t) ~(P_TOUCHED | P_LOST);
}
