// SPDX-License-Identifier: MIT
/* Answers that are longer than a packet: lists, JSON, and events that never end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/client/server_priv.h"

/* --- streams --- */

void stream_end(struct session *c)
{
	free(c->stream);
	c->stream = NULL;
	if (c->events) {
		query_events_free(c->events);
		c->events = NULL;
		c->srv->nlisteners--;
		if (!c->srv->nlisteners && c->srv->events_timer)
			uv_timer_stop(c->srv->events_timer);
	}
}

void stream_continue(struct session *c)
{
	struct client_rep rep = { .type = c->type, .ticket = c->ticket };
	size_t left;

	while (c->stream) {
		left = c->stream_size - c->stream_sent;
		rep.length = (uint32_t)(left < c->stream_piece ? left : c->stream_piece);
		rep.flags = rep.length == left && !c->events ? CLIENT_LAST : 0;
		if (!packet_send(c, &rep, c->stream + c->stream_sent, -1))
			break;
		c->stream_sent += rep.length;
		if (c->stream_sent < c->stream_size)
			continue;
		free(c->stream);
		c->stream = NULL;
		if (!c->events)
			c->wait = WAIT_NOTHING;
	}
	session_poll(c);
}

/* @bytes is taken over. */
static void stream_begin(struct session *c, void *bytes, size_t size, size_t piece)
{
	c->wait = WAIT_STREAM;
	c->stream = bytes;
	c->stream_size = size;
	c->stream_sent = 0;
	c->stream_piece = piece;
	stream_continue(c);
}

/* --- lists --- */

struct list {
	uint64_t from; /* keys below are left out */
	uint16_t nid;  /* this node's */
	char *records;
	size_t size, cap;
	bool failed;
};

static void *list_add(struct list *l, size_t record)
{
	char *more;

	if (l->size + record > l->cap) {
		l->cap = l->cap ? 2 * l->cap : 4096;
		more = realloc(l->records, l->cap);
		if (!more) {
			l->failed = true;
			return NULL;
		}
		l->records = more;
	}
	l->size += record;
	return l->records + l->size - record;
}

/* As for one page: who may write it; where nobody may, its home. Who has it to read knows that nobody may. */
static uint32_t owner_of(const struct core_page_info *p, uint16_t nid)
{
	if (p->owner)
		return p->owner;
	return p->state == PAGE_MODIFIED ? nid : p->home;
}

static void list_page(void *ctx, const struct core_page_info *p)
{
	struct list *l = ctx;
	struct client_page *r = p->key < l->from || l->failed ? NULL : list_add(l, sizeof(*r));

	if (r)
		*r = (struct client_page){
			.key = p->key,
			.owner = owner_of(p, l->nid),
			.state = p->state,
			.ver = p->ver,
			.homed = p->dir_state || p->owner || p->sharers,
		};
}

static void list_extent(void *ctx, const struct rec_extent *e)
{
	struct list *l = ctx;
	struct client_extent *r = e->key < l->from || l->failed ? NULL : list_add(l, sizeof(*r));

	if (r)
		*r = (struct client_extent){
			.key = e->key, .count = e->count, .home = e->home, .flags = e->flags
		};
}

static void list_region(void *ctx, const struct rec_region *region)
{
	struct list *l = ctx;
	struct client_region *r = l->failed ? NULL : list_add(l, sizeof(*r));

	if (!r)
		return;
	*r = (struct client_region){ .size = region->size,
				     .base = region->base,
				     .number = region->region };
	memcpy(r->name, region->name, sizeof(r->name));
}

void list_handle(struct session *c, const struct client_req *req)
{
	struct list l = { .from = req->key };
	struct core_info info;
	size_t record;

	core_info_get(c->srv->core, &info);
	l.nid = info.nid;
	switch (req->arg) {
	case LIST_LOCAL_PAGES:
		record = sizeof(struct client_page);
		core_each_page(c->srv->core, list_page, &l);
		break;
	case LIST_GLOBAL_PAGES:
		record = sizeof(struct client_extent);
		core_each_extent(c->srv->core, list_extent, &l);
		break;
	case LIST_REGIONS:
		record = sizeof(struct client_region);
		core_each_region(c->srv->core, list_region, &l);
		break;
	default:
		packet_error(c, EINVAL);
		return;
	}
	if (!l.records && !l.failed)
		l.records = calloc(1, 1); /* an empty list is an answer too */
	if (l.failed || !l.records) {
		free(l.records);
		packet_error(c, ENOMEM);
		return;
	}
	stream_begin(c, l.records, l.size, PAYLOAD_MAX / record * record);
}

/* --- queries --- */

static void source_fill(struct server *s, struct query_source *ret)
{
	*ret = (struct query_source){ 0 };
	s->cfg.host->source(s->cfg.host->ctx, ret);
	ret->programs = s->nprograms;
	ret->sessions = s->nsessions;
}

static void events_tick(uv_timer_t *timer)
{
	struct server *s = timer->data;
	struct query_source source;
	struct session *next;
	char *text;

	source_fill(s, &source);
	for (struct session *c = s->sessions; c; c = next) {
		next = c->next;
		text = NULL;
		/* Who has not taken the last ones hears of all changes since, later. */
		if (!c->events || c->stream || query_events_poll(c->events, &source, &text) ||
		    !text)
			continue;
		stream_begin(c, text, strlen(text), PAYLOAD_MAX);
	}
}

static void events_handle(struct session *c)
{
	struct server *s = c->srv;

	if (!s->events_timer) {
		s->events_timer = calloc(1, sizeof(*s->events_timer));
		if (s->events_timer) {
			uv_timer_init(s->cfg.loop, s->events_timer);
			s->events_timer->data = s;
		}
	}
	c->events = s->events_timer ? query_events_new() : NULL;
	if (!c->events) {
		packet_error(c, ENOMEM);
		return;
	}
	c->wait = WAIT_STREAM;
	s->nlisteners++;
	uv_timer_start(s->events_timer, events_tick, 0, EVENTS_PERIOD_MS);
}

void query_handle(struct session *c, const char *command)
{
	struct query_source source;
	char *json;
	int err;

	if (query_is_events(command)) {
		events_handle(c);
		return;
	}
	source_fill(c->srv, &source);
	err = query_run(&source, command, &json);
	if (err)
		packet_error(c, -err);
	else
		stream_begin(c, json, strlen(json), PAYLOAD_MAX);
}
