/* SPDX-License-Identifier: MIT */
/*
 * The requester's side: from a fault to the page being here.
 *
 * A read ends with the bytes, or with a grant of zeroes. A write ends when
 * the grant is here, every sharer has acknowledged its invalidation, and the
 * bytes are here unless this node had them. Bytes that come before the
 * acknowledgements are published for reading meanwhile: no store has happened yet.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/core/state.h"

#define PREFETCH_CALL_MAX 4096u
#define REGAIN_MAX	  8u

static void send_done(struct core *c, struct request *r)
{
	struct core_msg m = msg_new(c, MSG_PAGE_DONE);
	const struct rec_extent *e = extent_find(c, r->key);

	if (!e)
		return;
	m.key = r->key;
	m.count = 1;
	m.ver = r->ver;
	m.a = r->tag;
	m.flags = r->write ? F_WRITE : 0;
	msg_send_page(c, e->home, &m, DATA_NONE);
	if (r->write && r->source && r->source != e->home) {
		m.type = MSG_OWNERSHIP;
		m.flags = 0;
		m.a = 0;
		msg_send_page(c, r->source, &m, DATA_NONE);
	}
}

struct request *request_new(struct core *c, page_key key, bool write, bool prefetch)
{
	struct request *r = core_alloc(sizeof(*r));

	r->key = key;
	r->write = write;
	r->prefetch = prefetch;
	map_put(&c->requests, key, r);
	return r;
}

static void restart(struct request *r)
{
	r->sent = r->granted = r->need_data = r->have_data = r->direct = false;
	r->acks_got = r->acks_need = 0;
	r->source = 0;
}

static void finish(struct core *c, struct request *r)
{
	if (r->write_next && !r->write) {
		restart(r);
		r->write = true;
		r->write_next = false;
		request_send(c, r);
		return;
	}
	if (r->drain)
		c->draining--;
	map_del(&c->requests, r->key);
	if (r->drain)
		rebuild_drained(c);
	free(r);
}

void request_fail(struct core *c, struct request *r, int err)
{
	if (!r->prefetch)
		act_page(c, ACT_FAIL, r->key, false, 0, 0, 0, err);
	r->write_next = false;
	finish(c, r);
}

void request_fail_all(struct core *c, int err)
{
	size_t n;
	uint64_t *keys = map_keys(&c->requests, &n);

	for (size_t i = 0; i < n; i++) {
		struct request *r = map_get(&c->requests, keys[i]);

		if (r && !r->drain)
			request_fail(c, r, err);
	}
	free(keys);
}

static bool asked_for_group(struct core *c, page_key key)
{
	uint64_t ticket;
	void *v;

	for (size_t i = 0; map_next(&c->asked, &i, &ticket, &v);) {
		const struct asked *a = v;

		if (!a->op && a->msg.type == MSG_EXTENT_REQUEST &&
		    a->msg.key / c->cfg.touch_pages == key / c->cfg.touch_pages)
			return true;
	}
	return false;
}

static void ask_extent(struct core *c, struct request *r)
{
	struct core_msg m = msg_new(c, MSG_EXTENT_REQUEST);

	r->extent = true;
	if (asked_for_group(c, r->key))
		return;
	m.key = r->key;
	m.count = 1;
	m.arg = r->prefetch ? EXTENT_LOOKUP : EXTENT_TOUCH;
	asked_send(c, &m, NULL);
}

void request_send(struct core *c, struct request *r)
{
	struct page *p = page_get(c, r->key);
	const struct rec_extent *e;
	struct core_msg m;

	if (!core_ready(c) || r->sent || (p->flags & P_REVOKING))
		return;
	e = extent_find(c, r->key);
	if (!e) {
		if (!r->extent)
			ask_extent(c, r);
		return;
	}
	r->extent = false;
	r->sent = true;
	r->tag = c->frees;
	m = msg_new(c, MSG_PAGE_REQUEST);
	m.a = r->tag;
	m.key = r->key;
	m.count = 1;
	m.flags = r->write ? F_WRITE : 0;
	msg_send_page(c, e->home, &m, DATA_NONE);
}

/* After a view change: everything that is still wanted is asked for again. */
void request_send_all(struct core *c)
{
	size_t n;
	uint64_t *keys = map_keys(&c->requests, &n);

	for (size_t i = 0; i < n; i++) {
		struct request *r = map_get(&c->requests, keys[i]);

		restart(r);
		if (r->drain) { /* made anew by the rebuild, if it is still needed */
			r->drain = false;
			c->draining = 0;
		}
		r->extent = false;
		request_send(c, r);
	}
	free(keys);
}

/* The master has spoken about key: whoever waits for an extent near it looks again. */
void request_extent_known(struct core *c, page_key key, uint32_t count, int err)
{
	size_t n;
	uint64_t *keys = map_keys(&c->requests, &n);

	(void)count;
	for (size_t i = 0; i < n; i++) {
		struct request *r = map_get(&c->requests, keys[i]);

		if (!r || !r->extent)
			continue;
		if (extent_find(c, r->key)) {
			request_send(c, r);
		} else if (r->key == key && err && !(err == ENOENT && !r->prefetch)) {
			request_fail(c, r, err);
		} else if (r->key / c->cfg.touch_pages == key / c->cfg.touch_pages) {
			r->extent = false;
			if (err && r->prefetch)
				request_fail(c, r, err);
			else
				request_send(c, r);
		}
	}
	free(keys);
}

/* The pages are being freed: answers that are on their way are not for a later life of them. */
void request_restart_range(struct core *c, page_key first, page_key end)
{
	size_t n;
	uint64_t *keys = map_keys(&c->requests, &n);

	for (size_t i = 0; i < n; i++) {
		struct request *r = map_get(&c->requests, keys[i]);

		if (!r || keys[i] < first || keys[i] >= end)
			continue;
		restart(r);
		r->extent = false;
		if (r->prefetch && !r->write_next)
			request_fail(c, r, 0);
		else
			request_send(c, r);
	}
	free(keys);
}

/* --- faults --- */

static bool wanted_page(struct core *c, page_key key, bool write, bool prefetch)
{
	const struct rec_region *reg = region_find(c, PAGE_KEY_REGION(key));
	struct page *p;
	struct request *r;
	/* A restarted agent learns of its regions when it is in its cluster again. */
	bool foreign = reg ? PAGE_KEY_PAGE(key) >= reg->size / 4096 : !c->resuming && !c->forgot;

	if (foreign || c->leaving || c->state == CORE_OUT) {
		if (!prefetch)
			act_page(c, ACT_FAIL, key, false, 0, 0, 0, c->leaving ? ESHUTDOWN : EFAULT);
		return false;
	}
	p = page_get(c, key);
	if (!(p->flags & P_REVOKING) && p->state >= (write ? PAGE_MODIFIED : PAGE_SHARED)) {
		/* It came while this fault was on its way here. */
		if (!prefetch)
			act_page(c, ACT_FAIL, key, false, 0, 0, 0, 0);
		return false;
	}
	r = map_get(&c->requests, key);
	if (r) {
		if (write && !r->write)
			r->write_next = true;
		if (!prefetch)
			r->prefetch = false;
		return false;
	}
	request_send(c, request_new(c, key, write, prefetch));
	return true;
}

/* A neighbour that this node had until another took it, or nothing yet of a sequence. */
static bool regains(struct core *c, page_key key, bool write)
{
	struct page *p = page_find(c, key);

	if (!p || (p->flags & P_REVOKING) || map_get(&c->requests, key) || !extent_find(c, key))
		return false;
	return write ? p->state == PAGE_SHARED && (p->flags & P_HAD_M)
		     : p->state == PAGE_INVALID && (p->flags & P_HAD);
}

/* Pages that left together are fetched together: one round trip for a boundary row, not one a page. */
static void regain_neighbours(struct core *c, page_key key, bool write)
{
	uint32_t most = c->cfg.prefetch_pages < REGAIN_MAX ? c->cfg.prefetch_pages : REGAIN_MAX;

	for (uint32_t i = 1; i < most && regains(c, key + i, write); i++)
		wanted_page(c, key + i, write, true);
	for (uint32_t i = 1; i < most && key >= i && regains(c, key - i, write); i++)
		wanted_page(c, key - i, write, true);
}

/* Read misses that walk through memory find the next pages on their way already. */
static void read_ahead(struct core *c, page_key key)
{
	const struct rec_extent *e;

	for (int s = 0; s < 4; s++) {
		uint32_t window = c->stream_window[s] * 2;

		if (c->stream_next[s] != key || !c->stream_window[s])
			continue;
		if (window > c->cfg.prefetch_pages)
			window = c->cfg.prefetch_pages;
		e = extent_find(c, key);
		for (uint32_t i = 1; e && i < window && key + i < e->key + e->count; i++) {
			struct page *p = page_find(c, key + i);

			if (p && p->state != PAGE_INVALID)
				break;
			wanted_page(c, key + i, false, true);
		}
		c->stream_window[s] = window;
		c->stream_next[s] = key + window;
		return;
	}
	c->stream_turn = (c->stream_turn + 1) % 4;
	c->stream_next[c->stream_turn] = key + 1;
	c->stream_window[c->stream_turn] = 1;
}

void request_fault(struct core *c, page_key key, uint32_t count, bool write, bool prefetch)
{
	if (prefetch)
		c->stats.prefetches++;
	else if (write)
		c->stats.write_faults++;
	else
		c->stats.read_faults++;
	if (count > PREFETCH_CALL_MAX)
		count = PREFETCH_CALL_MAX;
	for (uint32_t i = 0; i < count; i++) {
		if (!wanted_page(c, key + i, write, prefetch) || prefetch ||
		    c->cfg.prefetch_pages < 2)
			continue;
		regain_neighbours(c, key + i, write);
		if (!write)
			read_ahead(c, key + i);
	}
}

/* --- answers --- */

static void got(struct core *c, struct request *r, struct page *p, uint8_t state, uint32_t ver)
{
	page_stash_drop(c, r->key, p);
	p->state = state;
	p->ver = ver;
	p->flags &= (uint8_t) ~(P_HAD | P_HAD_M);
	p->granted_us = (uint32_t)c->now;
}

static void try_complete(struct core *c, struct request *r)
{
	struct page *p = page_get(c, r->key);

	if (!r->granted || (r->need_data && !r->have_data))
		return;
#ifndef DSM_MUTANT_ACKS_NOT_AWAITED
	if (r->acks_got < r->acks_need)
		return;
#endif
	if (p->state == PAGE_SHARED) {
		act_page(c, ACT_UPGRADE, r->key, false, 0, 0, 0, 0);
		if (!r->have_data)
			c->stats.upgrades++;
		got(c, r, p, PAGE_MODIFIED, r->ver);
	}
	if (!r->direct)
		send_done(c, r);
	finish(c, r);
}

static void grant_page(struct core *c, const struct core_msg *m, page_key key)
{
	struct request *r = map_get(&c->requests, key);
	struct page *p;

	if (!r || !r->sent || r->tag != m->a)
		return;
	p = page_get(c, key);
	if (!(m->flags & F_WRITE) || (p->state == PAGE_MODIFIED && !(m->flags & F_ZERO))) {
		if (m->flags & F_ZERO) {
			act_page(c, ACT_INSTALL, key, false, DATA_ZERO, 0, 0, 0);
			got(c, r, p, PAGE_SHARED, m->ver);
		} else if (!r->prefetch) {
			act_page(c, ACT_FAIL, key, false, 0, 0, 0, 0);
		}
		finish(c, r);
		return;
	}
	r->granted = true;
	r->ver = m->ver;
	r->acks_need = (int32_t)m->arg;
	r->need_data = m->flags & F_DATA;
	r->direct = m->flags & F_GRANT;
	if (m->flags & F_ZERO) {
		act_page(c, ACT_INSTALL, key, true, DATA_ZERO, 0, 0, 0);
		got(c, r, p, PAGE_MODIFIED, m->ver);
	}
	try_complete(c, r);
}

void request_on_grant(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		grant_page(c, m, m->key + i);
}

static void data_page(struct core *c, const struct core_msg *m, page_key key, uint32_t index)
{
	struct request *r = map_get(&c->requests, key);
	struct page *p = page_get(c, key);
	bool modified;

	if (m->flags & F_COPY_HOME) {
		if (p->state == PAGE_INVALID && !(p->flags & P_REVOKING)) {
			act_page(c, ACT_INSTALL, key, false, DATA_MSG, index, 0, 0);
			p->state = PAGE_SHARED;
			p->ver = m->ver;
		}
		home_on_copy(c, key);
		return;
	}
	if (!r || !r->sent || r->tag != m->a)
		return;
	c->stats.pages_in++;
	if (!(m->flags & F_WRITE)) {
		act_page(c, ACT_INSTALL, key, false, DATA_MSG, index, 0, 0);
		r->ver = m->ver;
		got(c, r, p, PAGE_SHARED, m->ver);
		if (!(m->flags & F_GRANT))
			send_done(c, r);
		finish(c, r);
		return;
	}
	r->source = m->src;
	r->have_data = true;
	if (m->flags & F_GRANT) {
		r->granted = true;
		r->acks_need = (int32_t)m->arg;
		r->ver = m->ver;
	}
	modified = r->granted && r->acks_got >= r->acks_need;
	act_page(c, ACT_INSTALL, key, modified, DATA_MSG, index, 0, 0);
	got(c, r, p, modified ? PAGE_MODIFIED : PAGE_SHARED, modified ? r->ver : m->ver - 1);
	try_complete(c, r);
}

void request_on_data(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		data_page(c, m, m->key + i, i);
}

void request_on_ack(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		struct request *r = map_get(&c->requests, m->key + i);

		if (m->flags & F_COPY_HOME) {
			home_on_dropped(c, m->key + i);
			continue;
		}
		if (!r || !r->sent || !r->write || r->tag != m->a)
			continue;
		r->acks_got++;
		try_complete(c, r);
	}
}

void request_on_error(struct core *c, const struct core_msg *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		struct request *r = map_get(&c->requests, m->key + i);

		if (!r || !r->sent || r->tag != m->a)
			continue;
		if (m->arg == ESTALE) {
			extent_remove(c, m->key + i, 1);
			restart(r);
			request_send(c, r);
		} else {
			request_fail(c, r, (int)m->arg);
		}
	}
}
