/* SPDX-License-Identifier: MIT */
/* A client of a map's server: requests in batches over a connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/map/request.h"
#include "lib/segment/segment.h"

struct dsm_map_client {
	dsm_conn_t *conn;
	uint64_t most; /* bytes of a message */
	bool broken;   /* what comes next answers what nobody knows any more */
};

/* What an answer takes of a ring, with the ring's own header. */
static uint64_t answer_bytes(const struct dsm_map_client *c, const struct dsm_map_request *q)
{
	uint64_t room = c->most - sizeof(struct answer_head);

	if (q->op != DSM_MAP_OP_GET)
		room = 0;
	else if (q->buffer_size < room)
		room = q->buffer_size;
	return (sizeof(struct answer_head) + room + 15) & ~7ull;
}

int dsm_map_client_open(dsm_segment_t *seg, const char *name, dsm_map_client_t **ret)
{
	struct dsm_map_client *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return seg_error(-ENOMEM, "no memory");
	err = dsm_conn_open(seg, name, &c->conn);
	if (err) {
		free(c);
		return err;
	}
	c->most = dsm_ring_message_max(dsm_conn_out(c->conn));
	*ret = c;
	return 0;
}

void dsm_map_client_close(dsm_map_client_t *c)
{
	if (!c)
		return;
	dsm_conn_close(c->conn);
	free(c);
}

static int check(const struct dsm_map_client *c, const struct dsm_map_request *q)
{
	if (q->op < DSM_MAP_OP_GET || q->op > DSM_MAP_OP_COUNT || q->reserved)
		return seg_error(-EINVAL, "map client: unknown request %u", q->op);
	if (q->key_size > c->most || q->value_size > c->most ||
	    sizeof(struct request_head) + q->key_size + q->value_size > c->most)
		return seg_error(
			-EMSGSIZE,
			"map client: key and value of %zu and %zu bytes, a request has %llu",
			q->key_size, q->value_size, (unsigned long long)c->most);
	return 0;
}

static int send_request(struct dsm_map_client *c, const struct dsm_map_request *q,
			int64_t timeout_us)
{
	size_t size = sizeof(struct request_head) + q->key_size + q->value_size;
	struct request_head *h;
	void *p;
	int err = dsm_ring_reserve(dsm_conn_out(c->conn), size, timeout_us, &p);

	if (err)
		return err;
	h = p;
	*h = (struct request_head){
		.op = q->op,
		.key_size = (uint32_t)q->key_size,
		.value_size = (uint32_t)q->value_size,
		.room = (uint32_t)(answer_bytes(c, q) - sizeof(struct answer_head) - 8),
		.version = q->version,
		.ttl_ms = q->ttl_ms,
	};
	if (q->key_size)
		memcpy(h + 1, q->key, q->key_size);
	if (q->value_size)
		memcpy((char *)(h + 1) + q->key_size, q->value, q->value_size);
	return dsm_ring_commit(dsm_conn_out(c->conn), p, size);
}

static int read_answer(struct dsm_map_client *c, struct dsm_map_request *q, int64_t timeout_us)
{
	struct dsm_ring_message m;
	struct answer_head a = { 0 };
	size_t bytes;
	int err = dsm_ring_peek(dsm_conn_in(c->conn), timeout_us, &m);

	if (err)
		return err;
	if (m.size < sizeof(a))
		return seg_error(-EBADMSG, "map client: an answer of %zu bytes", m.size);
	memcpy(&a, m.data, sizeof(a));
	bytes = m.size - sizeof(a);
	q->result = a.result;
	q->version = a.version;
	if (q->op == DSM_MAP_OP_GET) {
		if (bytes > q->buffer_size)
			bytes = q->buffer_size;
		if (bytes)
			memcpy(q->buffer, (const char *)m.data + sizeof(a), bytes);
		/* There was room for it here, but not in the ring. */
		if (a.result > 0 && bytes < (uint64_t)a.result && bytes < q->buffer_size)
			q->result = -EMSGSIZE;
	}
	return dsm_ring_release(dsm_conn_in(c->conn), m.data);
}

int dsm_map_client_do(dsm_map_client_t *c, struct dsm_map_request *q, unsigned int n,
		      int64_t timeout_us)
{
	unsigned int sent = 0, done = 0;
	uint64_t outstanding = 0, bytes;
	int err = 0;

	if (c->broken)
		return seg_error(-EPIPE, "map client: an earlier request failed half-way");
	for (unsigned int i = 0; i < n && !err; i++)
		err = check(c, &q[i]);
	if (err)
		return err;
	while (!err && done < n) {
		bytes = sent < n ? answer_bytes(c, &q[sent]) : UINT64_MAX;
		/* Half of the ring, as the other half may be lost to a record that goes around. */
		if (sent == done || (sent < n && outstanding + bytes <= c->most)) {
			err = send_request(c, &q[sent], sent == done ? timeout_us : 0);
			if (!err) {
				outstanding += bytes;
				sent++;
				continue;
			}
			if (err != -EAGAIN || sent == done)
				break;
		}
		bytes = answer_bytes(c, &q[done]);
		err = read_answer(c, &q[done], timeout_us);
		outstanding -= bytes;
		done++;
	}
	c->broken = err;
	return err;
}

/* ------------------------------------------------------------ one at a time */

static int64_t do_one(dsm_map_client_t *c, struct dsm_map_request *q)
{
	int err = dsm_map_client_do(c, q, 1, -1);

	if (err)
		return err;
	if (q->result < 0)
		return seg_error((int)q->result, "map client: the server says: %s",
				 strerror((int)-q->result));
	return q->result;
}

int dsm_map_client_set(dsm_map_client_t *c, const void *key, size_t key_size, const void *value,
		       size_t value_size)
{
	struct dsm_map_request q = { .op = DSM_MAP_OP_SET,
				     .key = key,
				     .key_size = key_size,
				     .value = value,
				     .value_size = value_size };

	return (int)do_one(c, &q);
}

ssize_t dsm_map_client_get(dsm_map_client_t *c, const void *key, size_t key_size, void *buffer,
			   size_t size)
{
	struct dsm_map_request q = { .op = DSM_MAP_OP_GET,
				     .key = key,
				     .key_size = key_size,
				     .buffer = buffer,
				     .buffer_size = size };

	return do_one(c, &q);
}

int dsm_map_client_delete(dsm_map_client_t *c, const void *key, size_t key_size)
{
	struct dsm_map_request q = { .op = DSM_MAP_OP_DELETE, .key = key, .key_size = key_size };

	return (int)do_one(c, &q);
}

int dsm_map_client_cas(dsm_map_client_t *c, const void *key, size_t key_size, uint64_t version,
		       const void *value, size_t value_size, uint64_t *ret_version)
{
	struct dsm_map_request q = { .op = DSM_MAP_OP_CAS,
				     .key = key,
				     .key_size = key_size,
				     .value = value,
				     .value_size = value_size,
				     .version = version };
	int result = (int)do_one(c, &q);

	if (ret_version && (!result || result == -ESTALE))
		*ret_version = q.version;
	return result;
}
