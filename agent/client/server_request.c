// SPDX-License-Identifier: MIT
/* Requests of clients: checked field by field, then answered or given to the core. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/client/server_priv.h"
#include "agent/log.h"

#define KINDS (HELLO_PROGRAM | HELLO_THREAD | HELLO_ADMIN)

static void reply_values(struct session *c, const uint64_t val[6], int fd)
{
	struct client_rep rep = { .flags = CLIENT_LAST };

	memcpy(rep.val, val, sizeof(rep.val));
	packet_reply(c, &rep, fd);
}

static int hello_check(const struct session *c, const struct client_req *req)
{
	uint32_t kind = req->id & KINDS;
	const struct session *first;

	if (c->number)
		return EALREADY;
	if (req->arg != CLIENT_PROTO_VERSION)
		return EPROTONOSUPPORT;
	if ((req->id & ~(KINDS | HELLO_OWNER)) || !kind || (kind & (kind - 1)))
		return EINVAL;
	if (kind != HELLO_THREAD)
		return 0;
	first = req->key < CLIENT_NUMBERS ? c->srv->by_number[req->key] : NULL;
	return first && (first->hello & HELLO_PROGRAM) && first->pid == c->pid ? 0 : ESRCH;
}

static void hello_handle(struct session *c, const struct client_req *req)
{
	struct server *s = c->srv;
	struct core_info info;
	int err = hello_check(c, req);
	uint32_t number = err ? 0 : server_number(s);

	if (!number) {
		packet_error(c, err ? err : EUSERS);
		return;
	}
	c->number = number;
	c->hello = req->id;
	c->program = req->id & HELLO_PROGRAM ? number : (uint32_t)req->key;
	s->by_number[number] = c;
	if (req->id & HELLO_PROGRAM)
		s->nprograms++;
	core_info_get(s->core, &info);
	reply_values(c,
		     (uint64_t[6]){ number, info.nid,
				    s->ops->region_fd ? CLIENT_PAGER_UFFD : CLIENT_PAGER_KMOD,
				    s->cfg.port, SERVER_LOCK_WORDS, SERVER_LOCK_STRIDE },
		     s->words_fd);
}

/* --- regions --- */

struct region_search {
	const char *name;
	struct rec_region found;
	bool ok;
};

static void region_match(void *ctx, const struct rec_region *r)
{
	struct region_search *search = ctx;

	if (strcmp(search->name, r->name))
		return;
	search->found = *r;
	search->ok = true;
}

static void attach_answer(struct session *c, uint64_t region, uint64_t size, uint64_t base)
{
	struct server *s = c->srv;
	int fd = -1;

	if (s->ops->region_fd) {
		fd = s->ops->region_fd(s->pager, (uint16_t)region);
		if (fd < 0 || c->attached_count == SERVER_ATTACH_MAX) {
			packet_error(c, fd < 0 ? -fd : ENOSPC);
			return;
		}
	}
	reply_values(c, (uint64_t[6]){ region, size, base, s->ops->attach != NULL, s->cfg.port, 0 },
		     fd);
}

void request_attach_reply(struct session *c, const struct core_reply *reply)
{
	c->wait = WAIT_NOTHING;
	if (reply->err)
		packet_error(c, reply->err);
	else
		attach_answer(c, reply->val[0], reply->val[1], reply->val[2]);
}

static void core_ask(struct session *c, const struct core_creq *req)
{
	struct server *s = c->srv;
	struct core_event ev = {
		.type = EV_CLIENT,
		.req = req,
		.now_us = s->cfg.host->now_us(s->cfg.host->ctx),
	};

	s->cfg.host->event(s->cfg.host->ctx, &ev);
}

static void attach_handle(struct session *c, const struct client_req *req)
{
	struct region_search search = { .name = req->name };
	struct core_creq ask = { .client = c->number, .op = OP_REGION_OPEN, .ticket = req->ticket };

	core_each_region(c->srv->core, region_match, &search);
	if (search.ok) {
		attach_answer(c, search.found.region, search.found.size, search.found.base);
		return;
	}
	memcpy(ask.name, req->name, sizeof(ask.name));
	ask.timeout_us = CORE_NO_TIMEOUT;
	c->wait = WAIT_ATTACH;
	core_ask(c, &ask);
}

/* Where region @number is among the attached ones, or NULL. */
static uint16_t *attached_find(struct session *c, uint64_t number)
{
	for (unsigned int i = 0; i < c->attached_count; i++) {
		if (c->attached[i] == number)
			return &c->attached[i];
	}
	return NULL;
}

static int uffd_attach(struct session *c, const struct client_req *req, int fd)
{
	struct server *s = c->srv;
	int err;

	if (!s->ops->attach)
		return EOPNOTSUPP;
	if (fd < 0)
		return EBADF;
	if (req->arg >= UINT16_MAX || req->a % PAGER_PAGE_SIZE)
		return EINVAL;
	if (attached_find(c, req->arg))
		return EEXIST;
	if (c->attached_count == SERVER_ATTACH_MAX)
		return ENOSPC;
	err = s->ops->attach(s->pager, (uint16_t)req->arg, fd, req->a, c->pid,
			     SERVER_COOKIE(c->number, req->arg));
	if (err)
		return -err;
	c->attached[c->attached_count++] = (uint16_t)req->arg;
	return 0;
}

static void uffd_handle(struct session *c, struct client_packet *p)
{
	int err = uffd_attach(c, &p->req, p->fd);

	if (!err)
		p->fd = -1; /* the pager's now */
	packet_error(c, err);
}

static int region_detach(struct session *c, const struct client_req *req)
{
	uint16_t *at = attached_find(c, req->arg);

	if (!at)
		return ENOENT;
	c->srv->ops->detach(c->srv->pager, SERVER_COOKIE(c->number, req->arg));
	*at = c->attached[--c->attached_count];
	return 0;
}

/* --- operations of the core --- */

/* Which of an operation's numbers are a run of pages. */
static bool op_run_ok(const struct client_req *req)
{
	uint64_t page = PAGE_KEY_PAGE(req->key), most = PAGE_KEY_PAGE(UINT64_MAX) + 1;

	switch (req->arg) {
	case OP_ALLOC:
	case OP_ALLOC_AT:
	case OP_PREFETCH:
		return req->count && req->count <= UINT32_MAX && page + req->count <= most;
	case OP_BARRIER:
		return req->count <= UINT32_MAX;
	default:
		return true;
	}
}

/* Notes what to ask for after the barrier that @p arrives at. 0 or a positive errno. */
static int ahead_take(struct session *c, const struct client_packet *p)
{
	uint32_t n = p->req.length / sizeof(c->ahead[0]);

	if (p->req.length % sizeof(c->ahead[0]) || n > CLIENT_AHEAD_MAX)
		return EINVAL;
	memcpy(c->ahead, p->payload, p->req.length);
	for (uint32_t i = 0; i < n; i++) {
		const struct client_ahead *a = &c->ahead[i];

		if (!a->count || (a->flags & ~(uint32_t)F_WRITE) ||
		    PAGE_KEY_PAGE(a->key) + a->count > PAGE_KEY_PAGE(UINT64_MAX) + 1)
			return EINVAL;
	}
	c->nahead = n;
	return 0;
}

void request_barrier_done(struct session *c, int err)
{
	for (uint32_t i = 0; i < c->nahead && !err; i++) {
		struct core_creq ask = {
			.client = c->number,
			.op = OP_PREFETCH,
			.key = c->ahead[i].key,
			.count = c->ahead[i].count,
			.flags = c->ahead[i].flags,
			.timeout_us = CORE_NO_TIMEOUT,
		};

		core_ask(c, &ask);
	}
	c->nahead = 0;
	c->answer_due = c->srv->answers_due = true;
	c->answer_err = err;
}

static void op_handle(struct session *c, const struct client_packet *p)
{
	const struct client_req *req = &p->req;
	struct core_creq ask = {
		.client = c->number,
		.op = req->arg,
		.ticket = req->ticket,
		.key = req->key,
		.count = req->count,
		.timeout_us = req->timeout_us,
		.id = req->id,
		.flags = req->flags,
	};

	if (req->arg < OP_LOCK || req->arg > OP_EXTENTS || !op_run_ok(req)) {
		packet_error(c, EINVAL);
		return;
	}
	if (req->arg == OP_BARRIER && ahead_take(c, p)) {
		packet_error(c, EINVAL);
		return;
	}
	if (req->arg == OP_BARRIER && !req->count) {
		if (c->hello & HELLO_ADMIN)
			packet_error(c, EPERM); /* it is no program, so nobody counts with it */
		else
			barrier_wait(c, req);
		return;
	}
	memcpy(ask.name, req->name, sizeof(ask.name));
	c->op = req->arg;
	if (req->arg != OP_PREFETCH)
		c->wait = WAIT_OP;
	core_ask(c, &ask);
}

static void status_handle(struct session *c)
{
	struct core_info info;

	core_info_get(c->srv->core, &info);
	reply_values(c,
		     (uint64_t[6]){ info.nid, info.members, info.master,
				    info.chunks_total * PAGER_PAGE_SIZE, info.state,
				    info.chunks_used * PAGER_PAGE_SIZE },
		     -1);
}

static int log_level_handle(const struct client_req *req)
{
	if (req->arg > LOG_LEVEL_ERROR)
		return EINVAL;
	log_level_set((int)req->arg);
	return 0;
}

/* --- all of them --- */

/* What no request may have, whatever its type. 0 or a positive errno. */
static int request_check(const struct session *c, const struct client_packet *p)
{
	const struct client_req *req = &p->req;

	if (req->reserved || (req->flags & ~(uint32_t)(F_WRITE | F_TRY)) ||
	    strnlen(req->name, sizeof(req->name)) == sizeof(req->name))
		return EINVAL;
	if (p->piped && req->type != CLIENT_OP)
		return EINVAL;
	if ((req->length && req->type != CLIENT_QUERY && req->type != CLIENT_TOPIC_OPEN &&
	     (req->type != CLIENT_OP || req->arg != OP_BARRIER)) ||
	    (p->fd >= 0 && req->type != CLIENT_REGION_UFFD && req->type != CLIENT_PIPES))
		return EINVAL;
	if (!c->number && req->type != CLIENT_HELLO)
		return EPERM;
	return 0;
}

static void request_run(struct session *c, struct client_packet *p)
{
	const struct client_req *req = &p->req;

	switch (req->type) {
	case CLIENT_HELLO:
		hello_handle(c, req);
		break;
	case CLIENT_REGION_ATTACH:
		attach_handle(c, req);
		break;
	case CLIENT_REGION_UFFD:
		uffd_handle(c, p);
		break;
	case CLIENT_REGION_DETACH:
		packet_error(c, region_detach(c, req));
		break;
	case CLIENT_OP:
		op_handle(c, p);
		break;
	case CLIENT_STATUS:
		status_handle(c);
		break;
	case CLIENT_LIST:
		list_handle(c, req);
		break;
	case CLIENT_QUERY:
		query_handle(c, p->payload);
		break;
	case CLIENT_LOG_LEVEL:
		packet_error(c, log_level_handle(req));
		break;
	case CLIENT_LEAVE:
		c->wait = WAIT_LEAVE;
		c->srv->cfg.host->leave(c->srv->cfg.host->ctx);
		break;
	case CLIENT_TOPIC_OPEN:
		topic_open_handle(c, req, p->payload);
		break;
	case CLIENT_TOPIC_CHANGED:
		topic_changed_handle(c);
		break;
	case CLIENT_PIPES:
		pipes_handle(c, p->fd);
		break;
	default:
		packet_error(c, EINVAL);
	}
}

void request_handle(struct session *c, struct client_packet *p)
{
	struct client_rep rep = { .type = p->req.type,
				  .ticket = p->req.ticket,
				  .flags = CLIENT_LAST };
	int err = request_check(c, p);

	/* One at a time: the request under way keeps its ticket. */
	if (!err && c->wait != WAIT_NOTHING)
		err = EBUSY;
	rep.err = err;
	if (!err) {
		c->type = p->req.type;
		c->ticket = p->req.ticket;
		c->piped = p->piped;
		request_run(c, p);
	} else if (p->piped) {
		pipes_send(c, &rep);
	} else {
		packet_send(c, &rep, NULL, -1);
	}
	if (p->fd >= 0)
		close(p->fd);
}
