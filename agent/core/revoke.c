/* SPDX-License-Identifier: MIT */
/*
 * The holder's side: a copy is asked for (FORWARD) or must go (INVALIDATE).
 *
 * A page is not given up before it was held for hold_us, so that whoever
 * faulted for it gets to use it. When the right to write goes, the bytes stay
 * here as a stash until the new owner says OWNERSHIP: a view change in
 * between loses nothing.
 */
#include <stdlib.h>

#include "agent/core/state.h"

static void ack(struct core *c, const struct core_msg *m)
{
	struct core_msg r = msg_new(c, MSG_INVALIDATE_ACK);

	r.key = m->key;
	r.count = 1;
	r.ver = m->ver;
	r.a = m->a;
	r.flags = m->flags;
	msg_send_page(c, m->nid, &r, DATA_NONE);
}

static void send_data(struct core *c, const struct core_msg *m, const struct page *p)
{
	struct core_msg r = msg_new(c, MSG_PAGE_DATA);

	r.key = m->key;
	r.count = 1;
	r.a = m->a;
	c->stats.pages_out++;
	if (m->flags & F_WRITE) {
		r.flags = (uint16_t)(F_WRITE | (m->flags & F_GRANT));
		r.ver = m->ver;
		r.arg = m->arg;
		msg_send_page(c, m->nid, &r, DATA_STASH);
		return;
	}
	r.flags = m->flags & F_GRANT;
	r.ver = p->ver;
	msg_send_page(c, m->nid, &r, DATA_PAGE);
	if (m->flags & F_GRANT)
		home_on_shared(c, m->key);
	if (m->flags & F_COPY_HOME) {
		r.flags = F_COPY_HOME;
		msg_send_page(c, m->src, &r, DATA_PAGE);
	}
}

/* The copy is as asked now: say so. */
static void respond(struct core *c, const struct core_msg *m, const struct page *p)
{
	if (m->type == MSG_INVALIDATE)
		ack(c, m);
	else if (m->type == MSG_PAGE_FORWARD)
		send_data(c, m, p);
}

static void issue(struct core *c, struct revoke *rv)
{
	struct page *p = page_get(c, rv->key);
	const struct core_msg *m = &rv->msg;
	bool nothing = false;

	if (m->type == MSG_INVALIDATE) {
		nothing = p->state == PAGE_INVALID;
		rv->how = REVOKE_DROP;
	} else if (m->flags & F_WRITE) {
		rv->how = REVOKE_TAKE;
	} else {
		nothing = p->state == PAGE_SHARED;
		rv->how = REVOKE_DOWNGRADE;
	}
#ifdef DSM_MUTANT_SKIP_INVALIDATE
	nothing |= m->type == MSG_INVALIDATE;
#endif
	if (nothing) {
		respond(c, m, p);
	} else if (p->state == PAGE_INVALID) {
		c->stats.messages_bad++;
	} else {
		rv->issued = true;
		rv->epoch = c->epoch;
		p->flags |= P_REVOKING;
		c->nrevoking++;
		act_page(c, ACT_REVOKE, rv->key, false, 0, 0, rv->how, 0);
		return;
	}
	map_del(&c->revokes, rv->key);
	free(rv);
}

static void revoke_page(struct core *c, const struct core_msg *m, page_key key)
{
	struct page *p = page_get(c, key);
	struct revoke *rv = map_get(&c->revokes, key);
	uint32_t held = (uint32_t)c->now - p->granted_us;

	if (!rv) {
		rv = core_alloc(sizeof(*rv));
		rv->key = key;
		map_put(&c->revokes, key, rv);
	}
	rv->msg = *m;
	rv->msg.key = key;
	rv->msg.count = 1;
	if (rv->issued || (p->flags & P_REVOKING))
		return; /* taken up when what is under way has ended */
	if (p->state != PAGE_INVALID && held < c->cfg.hold_us) {
		rv->due = c->now + c->cfg.hold_us - held;
		timer_arm(c, rv->due, TIMER_REVOKE, key);
		return;
	}
	issue(c, rv);
}

void revoke_on_msg(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		revoke_page(c, m, m->key + i);
}

void revoke_on_timer(struct core *c, page_key key)
{
	struct revoke *rv = map_get(&c->revokes, key);

	if (rv && !rv->issued && !c->frozen && rv->due <= c->now &&
	    !(page_get(c, key)->flags & P_REVOKING))
		issue(c, rv);
}

static void apply(struct core *c, struct revoke *rv, struct page *p)
{
	switch (rv->how) {
	case REVOKE_DOWNGRADE:
		c->stats.downgrades++;
		p->state = PAGE_SHARED;
		p->flags |= P_HAD_M;
		return;
	case REVOKE_TAKE:
		p->flags |= P_STASH;
		map_put(&c->given, rv->key, (void *)(uintptr_t)rv->msg.nid);
		p->ver =
			rv->msg.ver -
			1; /* a direct grant of it may have come when nobody here wanted it any more */
		break;
	default:
		p->flags |= P_HAD;
	}
	c->stats.invalidations++;
	p->state = PAGE_INVALID;
	wait_wake_page(c, rv->key);
}

static void done_page(struct core *c, page_key key)
{
	struct revoke *rv = map_get(&c->revokes, key);
	struct page *p = page_get(c, key);
	struct request *r;

	if (!(p->flags & P_REVOKING))
		return;
	p->flags &= (uint8_t)~P_REVOKING;
	c->nrevoking--;
	if (rv && rv->issued) {
		map_del(&c->revokes, key);
		apply(c, rv, p);
		/* Asked under an older view: what it came to is told to the home with all the rest. */
		if (rv->epoch == c->epoch && !c->frozen)
			respond(c, &rv->msg, p);
		free(rv);
	} else if (rv && !c->frozen) {
		issue(c, rv);
	}
	r = map_get(&c->requests, key);
	if (r)
		request_send(c, r);
}

void revoke_done(struct core *c, page_key key, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		done_page(c, key + i);
	if (c->ndropping)
		pool_dropped(c);
	if (c->report_due && !c->nrevoking)
		rebuild_report(c);
}

/* A new view: what was asked under the old one and not begun is void. */
void revoke_new_view(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->revokes, &n);

	c->ndropping = 0; /* the master asks again */
	for (size_t i = 0; i < n; i++) {
		struct revoke *rv = map_get(&c->revokes, keys[i]);

		if (rv->issued)
			continue;
		map_del(&c->revokes, keys[i]);
		free(rv);
	}
	free(keys);
}

void revoke_on_ownership(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		struct page *p = page_get(c, m->key + i);

		if (p->ver < m->ver)
			page_stash_drop(c, m->key + i, p);
	}
}

void revoke_on_restore(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		struct page *p = page_get(c, m->key + i);

		if (!(p->flags & P_STASH))
			continue;
		act_page(c, ACT_INSTALL, m->key + i, false, DATA_STASH, 0, 0, 0);
		p->flags &= (uint8_t)~P_STASH;
		(void)map_del(&c->given, m->key + i);
		p->state = PAGE_SHARED;
	}
}

void revoke_on_forget(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		struct page *p = page_get(c, m->key + i);

		if (p->ver > m->ver)
			continue;
		if (!(m->flags & F_DATA)) {
			page_drop(c, m->key + i, p);
		} else {
			page_stash_drop(c, m->key + i, p);
		}
	}
}
