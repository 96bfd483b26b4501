/* SPDX-License-Identifier: MIT */
/* What programs ask for: checked here, then on to the part that does it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/state.h"

static void ask_extents(struct core *c, const struct core_creq *req, uint32_t want)
{
	struct core_msg m = msg_new(c, MSG_EXTENT_REQUEST);

	m.key = req->key;
	m.count = (uint32_t)req->count;
	m.arg = want;
	asked_send(c, &m, req);
}

static void ask_region(struct core *c, const struct core_creq *req, uint32_t want)
{
	struct core_msg m = msg_new(c, MSG_REGION_REQUEST);

	m.arg = want;
	m.b = req->count;
	memcpy(m.name, req->name, sizeof(m.name));
	asked_send(c, &m, req);
}

static void ask_page(struct core *c, const struct core_creq *req)
{
	struct core_msg m = msg_new(c, MSG_PAGE_QUERY);

	if (!extent_find(c, req->key)) { /* comes back here when the master has told */
		ask_extents(c, req, EXTENT_LOOKUP);
		return;
	}
	m.key = req->key;
	m.count = 1;
	asked_send(c, &m, req);
}

static void wait_ready(struct core *c, const struct core_creq *req)
{
	struct core_creq *w;

	if (c->state == CORE_MEMBER) {
		act_reply(c, req, 0);
		return;
	}
	c->ready_waiters = core_realloc(c->ready_waiters, (c->nready_waiters + 1) * sizeof(*w));
	w = &c->ready_waiters[c->nready_waiters++];
	*w = *req;
	if (w->timeout_us != CORE_NO_TIMEOUT)
		w->timeout_us += c->now;
	timer_arm(c, w->timeout_us, TIMER_READY, 0);
}

void client_ready(struct core *c)
{
	for (size_t i = 0; i < c->nready_waiters; i++)
		act_reply(c, &c->ready_waiters[i], 0);
	c->nready_waiters = 0;
}

void client_ready_timer(struct core *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nready_waiters; i++) {
		if (c->ready_waiters[i].timeout_us <= c->now)
			act_reply(c, &c->ready_waiters[i], ETIMEDOUT);
		else
			c->ready_waiters[n++] = c->ready_waiters[i];
	}
	c->nready_waiters = n;
}

static bool range_ok(const struct core *c, const struct core_creq *req)
{
	const struct rec_region *r = region_find(c, PAGE_KEY_REGION(req->key));

	return r && PAGE_KEY_PAGE(req->key) < r->size / 4096 && req->count &&
	       req->count < UINT32_MAX && PAGE_KEY_PAGE(req->key) + req->count <= r->size / 4096;
}

static int check(const struct core *c, const struct core_creq *req)
{
	switch (req->op) {
	case OP_ALLOC:
	case OP_ALLOC_AT:
	case OP_PREFETCH:
		return range_ok(c, req) ? 0 : EINVAL;
	case OP_FREE:
	case OP_LOOKUP:
	case OP_PAGE_QUERY:
	case OP_WAIT:
	case OP_WAKE: {
		struct core_creq one = *req;

		one.count = 1;
		return range_ok(c, &one) ? 0 : EINVAL;
	}
	case OP_BARRIER:
		return req->count > CORE_NODES_MAX * 1024u ? EINVAL : 0;
	case OP_REGION_CREATE:
	case OP_REGION_OPEN:
	case OP_REGION_DELETE:
		return req->name[0] && memchr(req->name, 0, sizeof(req->name)) ? 0 : EINVAL;
	default:
		return 0;
	}
}

void client_request(struct core *c, const struct core_creq *req)
{
	int err = c->leaving && req->op != OP_UNLOCK && req->op != OP_RWUNLOCK ? ESHUTDOWN
									       : check(c, req);

	if (err) {
		if (req->op != OP_PREFETCH)
			act_reply(c, req, err);
		return;
	}
	switch (req->op) {
	case OP_LOCK:
		lock_client(c, req);
		break;
	case OP_UNLOCK:
		lock_unlock(c, req);
		break;
	case OP_RWLOCK:
		rwlock_client(c, req);
		break;
	case OP_RWUNLOCK:
		rwlock_unlock(c, req);
		break;
	case OP_BARRIER:
		barrier_client(c, req);
		break;
	case OP_ALLOC:
		ask_extents(c, req, EXTENT_ALLOCATE);
		break;
	case OP_ALLOC_AT:
		ask_extents(c, req, EXTENT_ALLOCATE_AT);
		break;
	case OP_FREE:
		ask_extents(c, req, EXTENT_RELEASE);
		break;
	case OP_LOOKUP:
		ask_extents(c, req, EXTENT_LOOKUP);
		break;
	case OP_EXTENTS:
		ask_extents(c, req, EXTENT_LIST);
		break;
	case OP_REGION_OPEN:
		ask_region(c, req, REGION_OPEN);
		break;
	case OP_REGION_CREATE:
		ask_region(c, req, REGION_CREATE);
		break;
	case OP_REGION_DELETE:
		ask_region(c, req, REGION_DELETE);
		break;
	case OP_PAGE_QUERY:
		ask_page(c, req);
		break;
	case OP_PREFETCH:
		request_fault(c, req->key, (uint32_t)req->count, req->flags & F_WRITE, true);
		break;
	case OP_WAIT:
	case OP_WAKE:
		wait_client(c, req);
		break;
	case OP_READY:
		wait_ready(c, req);
		break;
	default:
		act_reply(c, req, EINVAL);
	}
}

void client_gone(struct core *c, uint32_t client)
{
	size_t n = 0;

	asked_client_gone(c, client);
	lock_client_gone(c, client);
	rwlock_client_gone(c, client);
	barrier_client_gone(c, client);
	wait_client_gone(c, client);
	for (size_t i = 0; i < c->nready_waiters; i++)
		if (c->ready_waiters[i].client != client)
			c->ready_waiters[n++] = c->ready_waiters[i];
	c->nready_waiters = n;
}
