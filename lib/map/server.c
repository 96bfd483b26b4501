/* SPDX-License-Identifier: MIT */
/* A map's server: takes requests from its clients by turns, and never waits for one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/map/request.h"
#include "lib/segment/segment.h"

struct dsm_map_server {
	dsm_listener_t *listener;
	dsm_map_t *map;
	struct dsm_map_server_stat stat;
};

int dsm_map_server_create(dsm_segment_t *seg, const char *name, dsm_map_t *map,
			  const struct dsm_listener_options *options, dsm_map_server_t **ret)
{
	struct dsm_map_server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return seg_error(-ENOMEM, "no memory");
	s->map = map;
	err = dsm_listener_create(seg, name, options, &s->listener);
	if (err) {
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

void dsm_map_server_close(dsm_map_server_t *s)
{
	if (!s)
		return;
	dsm_listener_close(s->listener);
	free(s);
}

void dsm_map_server_stat(const dsm_map_server_t *s, struct dsm_map_server_stat *ret)
{
	*ret = s->stat;
}

/* A request where it lies: the head is a copy, as the client may write to it yet. */
struct request {
	struct request_head head;
	const char *key, *value;
};

static bool request_parse(const struct dsm_ring_message *m, struct request *ret)
{
	if (m->size < sizeof(ret->head))
		return false;
	memcpy(&ret->head, m->data, sizeof(ret->head));
	ret->key = (const char *)m->data + sizeof(ret->head);
	ret->value = ret->key + ret->head.key_size;
	return sizeof(ret->head) + (uint64_t)ret->head.key_size + ret->head.value_size == m->size;
}

/* Reserves an answer of @size bytes. NULL: the client has asked for more than it may. */
static struct answer_head *answer_room(dsm_conn_t *c, size_t size)
{
	void *p;

	return dsm_ring_reserve(dsm_conn_out(c), size, 0, &p) ? NULL : p;
}

static bool answer_get(struct dsm_map_server *s, dsm_conn_t *c, const struct request *q)
{
	struct dsm_map_entry e = { 0 };
	struct answer_head *a;
	uint64_t bytes;
	int begun = dsm_map_read_begin(s->map);
	int err = begun ? begun : dsm_map_find(s->map, q->key, q->head.key_size, &e);

	bytes = err ? 0 : e.value_size < q->head.room ? e.value_size : q->head.room;
	a = answer_room(c, sizeof(*a) + bytes);
	if (a) {
		*a = (struct answer_head){ err ? err : (int64_t)e.value_size, e.version };
		if (bytes)
			memcpy(a + 1, e.value, bytes);
	}
	if (!begun)
		dsm_map_read_end(s->map);
	return a && !dsm_ring_commit(dsm_conn_out(c), a, sizeof(*a) + bytes);
}

static int64_t change(struct dsm_map_server *s, const struct request *q, uint64_t *version)
{
	const struct request_head *h = &q->head;

	switch (h->op) {
	case DSM_MAP_OP_SET:
		return dsm_map_set_ttl(s->map, q->key, h->key_size, q->value, h->value_size,
				       h->ttl_ms, version);
	case DSM_MAP_OP_ADD:
		return dsm_map_add(s->map, q->key, h->key_size, q->value, h->value_size, h->ttl_ms,
				   version);
	case DSM_MAP_OP_CAS:
		return dsm_map_cas(s->map, q->key, h->key_size, h->version, q->value, h->value_size,
				   version);
	case DSM_MAP_OP_DELETE:
		return h->version ? dsm_map_delete_version(s->map, q->key, h->key_size, h->version)
				  : dsm_map_delete(s->map, q->key, h->key_size);
	default:
		return dsm_map_count(s->map);
	}
}

/* False: the client is to be disconnected. */
static bool answer(struct dsm_map_server *s, dsm_conn_t *c, const struct dsm_ring_message *m)
{
	struct answer_head *a;
	struct request q = { 0 };
	uint64_t version = 0;

	if (!request_parse(m, &q) || q.head.op < DSM_MAP_OP_GET || q.head.op > DSM_MAP_OP_COUNT) {
		s->stat.refused++;
		return false;
	}
	s->stat.requests++;
	if (q.head.op == DSM_MAP_OP_GET)
		return answer_get(s, c, &q);
	a = answer_room(c, sizeof(*a));
	if (!a)
		return false;
	a->result = change(s, &q, &version);
	a->version = version;
	return !dsm_ring_commit(dsm_conn_out(c), a, sizeof(*a));
}

static void disconnect(struct dsm_map_server *s, dsm_conn_t *c)
{
	dsm_conn_close(c);
	s->stat.clients--;
}

static int answer_client(struct dsm_map_server *s, dsm_conn_t *c)
{
	struct dsm_ring_message m[REQUEST_BATCH];
	int n = dsm_ring_peek_many(dsm_conn_in(c), m, REQUEST_BATCH, 0), i = 0;

	if (n == -EAGAIN)
		return 0;
	while (i < n && answer(s, c, &m[i]))
		i++;
	if (n < 0 || i < n || dsm_ring_release_many(dsm_conn_in(c), m, (unsigned int)n))
		disconnect(s, c);
	s->stat.batches++;
	return i;
}

int dsm_map_server_answer(dsm_map_server_t *s, int64_t timeout_us)
{
	uint32_t pid, node;
	dsm_conn_t *c;
	int event = dsm_listener_wait(s->listener, timeout_us, &c);

	switch (event) {
	case DSM_CONN_NEW:
		s->stat.accepted++;
		s->stat.clients++;
		return 0;
	case DSM_CONN_READABLE:
		return answer_client(s, c);
	case DSM_CONN_GONE:
		if (dsm_conn_peer(c, &pid, &node) == -ECONNRESET)
			s->stat.lost++;
		disconnect(s, c);
		return 0;
	default:
		return event;
	}
}
