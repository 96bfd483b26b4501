/* SPDX-License-Identifier: MIT */
/* The two sides of a connection: opening, closing, and seeing that the other one has gone. */
#include <errno.h>
#include <stdlib.h>

#include "place.h"

static bool is_server(const struct dsm_conn *c)
{
	return c->listener;
}

static void end_of_conn(struct dsm_conn *c, struct ring_end *end)
{
	end->owner = is_server(c) ? &c->place->server : &c->place->client;
	end->me = &c->me;
	end->thread = ring_thread();
}

struct dsm_conn *conn_new(const struct place_map *m, uint32_t index, struct conn_place *p,
			  struct dsm_listener *listener, seg_id me)
{
	uint64_t ring = ring_bytes(m->line, m->ring_size), up = seg_off(m->seg, p) + m->line;
	size_t align = 2 * SEG_LINE, size = (sizeof(struct dsm_conn) + align - 1) / align * align;
	struct dsm_conn *c = aligned_alloc(align, size);
	int err;

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->map = *m;
	c->index = index;
	c->place = p;
	c->listener = listener;
	c->me = me;
	ring_attach(&c->in, m->seg, up + (listener ? 0 : ring), m->line, m->ring_size,
		    DSM_RING_SPSC);
	ring_attach(&c->out, m->seg, up + (listener ? ring : 0), m->line, m->ring_size,
		    DSM_RING_SPSC);
	c->in.conn = c->out.conn = c;
	c->out.peer_state = &p->state;
	c->out.peer_gone = listener ? PLACE_CLIENT_GONE : PLACE_SERVER_GONE;
	end_of_conn(c, &c->in.recv);
	end_of_conn(c, &c->out.send);
	err = ring_begin_recv(&c->in);
	if (!err)
		err = ring_begin_send(&c->out);
	if (err) {
		conn_free(c);
		return NULL;
	}
	return c;
}

void conn_free(struct dsm_conn *c)
{
	ring_fd_close(&c->in);
	ring_fd_close(&c->out);
	free(c);
}

/* ------------------------------------------------------------ the other side */

static int gone(const struct dsm_conn *c, uint64_t state)
{
	uint64_t closed = is_server(c) ? PLACE_CLIENT_CLOSED : PLACE_SERVER_CLOSED;
	uint64_t dead = is_server(c) ? PLACE_CLIENT_DEAD : PLACE_SERVER_DEAD;

	if (likely(!(state & (closed | dead))))
		return 0;
	if (state & closed)
		return seg_error(-EPIPE, "connection: the other side has closed it");
	return seg_error(-ECONNRESET, "connection: the other side has died");
}

int conn_gone(const struct dsm_conn *c)
{
	return gone(c, atomic_load_explicit(&c->place->state, memory_order_acquire));
}

static seg_id conn_other(const struct dsm_conn *c)
{
	seg_id id;

	if (is_server(c))
		return atomic_load(&c->place->client);
	id = atomic_load(&c->place->server);
	/* Not accepted yet: who would do it. */
	return id ? id : atomic_load(&c->map.server->server);
}

/* By compare and swap: a new server may be about to accept what the old one left. */
int conn_look(struct dsm_conn *c)
{
	uint64_t state = atomic_load(&c->place->state);
	_Atomic uint32_t *mine = is_server(c) ? &c->place->server : &c->place->client;
	seg_id other = conn_other(c);

	if (gone(c, state) || (other && seg_alive(c->map.seg, other)) ||
	    atomic_load(mine) != atomic_load(&c->me))
		return gone(c, state);
	atomic_compare_exchange_strong(
		&c->place->state, &state,
		state | (is_server(c) ? PLACE_CLIENT_DEAD : PLACE_SERVER_DEAD));
	return conn_gone(c);
}

int conn_look_seldom(struct dsm_conn *c)
{
	uint64_t now = seg_now_ns();

	if (now - atomic_load_explicit(&c->looked_ns, memory_order_relaxed) < RING_LOOK_US * 500ull)
		return conn_gone(c);
	atomic_store_explicit(&c->looked_ns, now, memory_order_relaxed);
	return conn_look(c);
}

void conn_ring_bell(struct dsm_conn *c)
{
	place_ring(&c->map, c->index);
}

/* ------------------------------------------------------------ opening and closing */

/* Nobody serves it: @server as it was read. */
static bool unserved(dsm_segment_t *seg, seg_id server)
{
	return !server || !seg_alive(seg, server);
}

/* Make the rings of a claimed place and offer it to the server. */
static int conn_offer(const struct place_map *m, uint32_t index, seg_id me, dsm_conn_t **ret)
{
	struct conn_place *p = place_at(m, index);
	uint64_t up = seg_off(m->seg, p) + m->line;
	struct dsm_conn *c;

	ring_format(m->seg, up, m->line);
	ring_format(m->seg, up + ring_bytes(m->line, m->ring_size), m->line);
	atomic_store(&p->client, me);
	atomic_store(&p->server, 0);
	c = conn_new(m, index, p, NULL, me);
	if (!c) {
		atomic_store(&p->state, 0);
		return seg_error(-ENOMEM, "no memory");
	}
	seg_crash_point("connection: claimed, not offered");
	atomic_store(&p->state, PLACE_PENDING);
	seg_crash_point("connection: offered, not told");
	place_ring(m, index);
	/* A server that closed since has not seen it; one that died shows later. */
	if (!atomic_load(&m->server->server)) {
		dsm_conn_close(c);
		return seg_error(-ECONNREFUSED, "listener: its server has just closed it");
	}
	*ret = c;
	return 0;
}

int dsm_conn_open(dsm_segment_t *seg, const char *name, dsm_conn_t **ret)
{
	struct seg_slot *self = seg_self(seg);
	struct place_map m;
	uint32_t index;
	int err;

	if (!self)
		return -EUSERS;
	err = place_map(seg, name, &m);
	if (err)
		return err;
	if (unserved(seg, atomic_load(&m.server->server)))
		return seg_error(-ECONNREFUSED, "listener %s: nobody serves it", name);
	err = place_claim(&m, seg_slot_id(self), &index);
	return err ? err : conn_offer(&m, index, seg_slot_id(self), ret);
}

void dsm_conn_close(dsm_conn_t *c)
{
	_Atomic uint32_t *mine;

	if (!c)
		return;
	mine = is_server(c) ? &c->place->server : &c->place->client;
	/* In a forked child it is the parent's; and it may have been taken for dead. */
	if (c->in.serial == atomic_load(&c->map.seg->serial) &&
	    atomic_load(mine) == atomic_load(&c->me)) {
		if (!place_leave(c->place,
				 is_server(c) ? PLACE_SERVER_CLOSED : PLACE_CLIENT_CLOSED)) {
			place_wake(&c->map, c->place);
			if (!is_server(c))
				place_ring(&c->map, c->index);
		}
	}
	if (is_server(c))
		listener_forget(c->listener, c->index);
	conn_free(c);
}

/* ------------------------------------------------------------ what users ask */

dsm_ring_t *dsm_conn_out(dsm_conn_t *c)
{
	return &c->out;
}

dsm_ring_t *dsm_conn_in(dsm_conn_t *c)
{
	return &c->in;
}

int dsm_conn_send(dsm_conn_t *c, const void *data, size_t size, int64_t timeout_us)
{
	return dsm_ring_send(&c->out, data, size, timeout_us);
}

ssize_t dsm_conn_recv(dsm_conn_t *c, void *buf, size_t size, int64_t timeout_us)
{
	return dsm_ring_recv(&c->in, buf, size, timeout_us);
}

void dsm_conn_set_data(dsm_conn_t *c, void *data)
{
	c->data = data;
}

void *dsm_conn_data(const dsm_conn_t *c)
{
	return c->data;
}

int dsm_conn_peer(dsm_conn_t *c, uint32_t *ret_pid, uint32_t *ret_node)
{
	seg_id other = conn_other(c);
	int err = conn_look(c);

	if (err)
		return err;
	*ret_pid = c->map.seg->slots[SEG_ID_SLOT(other)].pid;
	*ret_node = c->map.seg->slots[SEG_ID_SLOT(other)].node;
	return 0;
}
