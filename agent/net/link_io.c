// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/net/link_priv.h"

void link_buffers_free(struct link *l)
{
	free(l->rx);
	free(l->tx);
	l->rx = NULL;
	l->tx = NULL;
}

/* At level debug the log follows who is a member, and why; pages and locks would fill it. */
static void trace(const struct link *l, const char *way, const struct core_msg *m)
{
	char text[ADDR_TEXT_MAX];

	if (m->type >= MSG_PAGE_REQUEST || m->type == MSG_HEARTBEAT ||
	    log_level_get() > LOG_LEVEL_DEBUG)
		return;
	log_debug("%s %s (%u): %s flags %x src %u epoch %u nid %u %u arg %u records %u", way,
		  addr_text(&l->peer, text), l->id, wire_type_name(m->type), m->flags, m->src,
		  m->epoch, m->nid, m->nid2, m->arg, m->nrecs);
}

/* --- out --- */

/* Room for @need more bytes at the tail, moving or growing what is queued. */
static bool tx_reserve(struct link *l, size_t need)
{
	size_t used = l->tx_tail - l->tx_head;
	size_t size = l->tx_size ? l->tx_size : LINK_TX_SIZE;
	char *tx;

	if (l->tx_tail + need <= l->tx_size)
		return true;
	if (used + need > NET_QUEUE_MAX)
		return false;
	while (size < used + need)
		size *= 2;
	if (size == l->tx_size) {
		memmove(l->tx, l->tx + l->tx_head, used);
	} else {
		tx = malloc(size);
		if (!tx)
			return false;
		if (used)
			memcpy(tx, l->tx + l->tx_head, used);
		free(l->tx);
		l->tx = tx;
		l->tx_size = size;
	}
	l->tx_last -= l->tx_head;
	l->tx_head = 0;
	l->tx_tail = used;
	return true;
}

static void tx_emptied(struct link *l)
{
	l->tx_head = 0;
	l->tx_tail = 0;
	if (l->tx_size <= 16 * LINK_TX_SIZE)
		return;
	/* A burst is over: give its memory back. */
	free(l->tx);
	l->tx = NULL;
	l->tx_size = 0;
}

static void link_mark_dirty(struct link *l)
{
	if (l->dirty)
		return;
	l->dirty = true;
	l->dirty_next = l->net->dirty;
	l->net->dirty = l;
}

void *net_send(struct net *n, link_id id, const struct core_msg *msg, const void *recs)
{
	struct link *l = link_find(n, id);
	size_t recs_size = msg->nrecs * core_msg_rec_size(msg->type);
	size_t size = sizeof(struct wire_header) + wire_body_size(msg);
	struct wire_header header;
	struct wire_error error;
	char *at;

	if (!l || l->state != LINK_UP)
		return NULL;
	wire_seal(&header, msg, l->tx_seq);
	if (!wire_body_check(&header, msg, recs, &error)) {
		log_error("a message of our own is wrong and is not sent: %s", error.text);
		return NULL;
	}
	if (!tx_reserve(l, size)) {
		link_refuse(l, "does not read what it is sent");
		return NULL;
	}
	at = l->tx + l->tx_tail;
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), msg, sizeof(*msg));
	if (recs_size) {
		memcpy(at + sizeof(header) + sizeof(*msg), recs, recs_size);
		wire_recs_scope(msg, at + sizeof(header) + sizeof(*msg), 0);
	}
	l->tx_last = l->tx_tail;
	l->tx_tail += size;
	l->tx_seq++;
	n->stats.msgs_out++;
	trace(l, "to", msg);
	link_mark_dirty(l);
	return at + sizeof(header) + sizeof(*msg) + recs_size;
}

void net_unsend(struct net *n, link_id id)
{
	struct link *l = link_find(n, id);

	if (!l || l->state != LINK_UP || l->tx_last >= l->tx_tail)
		return;
	if (l->tx_head > l->tx_last) {
		/* Half of it is out: nothing that comes after would be understood. */
		link_end(l, true);
		return;
	}
	l->tx_tail = l->tx_last;
	l->tx_seq--;
	n->stats.msgs_out--;
}

bool net_room_get(struct net *n, link_id id, struct net_room *ret)
{
	struct link *l = link_find(n, id);
	const struct core_msg *last;

	if (!l || l->state != LINK_UP || l->want_write || l->tx_last >= l->tx_tail)
		return false;
	last = (const void *)(l->tx + l->tx_last + sizeof(struct wire_header));
	ret->fd = l->fd;
	ret->head = l->tx + l->tx_head;
	ret->len = l->tx_tail - (size_t)last->count * WIRE_PAGE_SIZE - l->tx_head;
	return last->type == MSG_PAGE_DATA;
}

void net_room_sent(struct net *n, link_id id, size_t sent)
{
	struct link *l = link_find(n, id);

	n->stats.writes++;
	n->stats.bytes_out += sent;
	l->tx_head += sent;
	if (l->tx_head == l->tx_tail)
		tx_emptied(l);
}

bool link_write(struct link *l)
{
	struct net *n = l->net;
	ssize_t sent;

	while (l->tx_head < l->tx_tail) {
		sent = send(l->fd, l->tx + l->tx_head, l->tx_tail - l->tx_head,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		n->stats.writes++;
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			break;
		n->stats.bytes_out += (size_t)sent;
		l->tx_head += (size_t)sent;
	}
	if (l->tx_head == l->tx_tail)
		tx_emptied(l);
	else if (errno != EAGAIN && errno != EWOULDBLOCK)
		return false;
	if (l->want_write != (l->tx_head < l->tx_tail)) {
		l->want_write = !l->want_write;
		link_poll(l);
	}
	return true;
}

void net_flush(struct net *n)
{
	struct link *l;

	while ((l = n->dirty)) {
		n->dirty = l->dirty_next;
		l->dirty = false;
		/* A full socket is written to when it says so. */
		if (l->state == LINK_UP && !l->want_write && !link_write(l))
			link_end(l, true);
	}
}

/* --- in --- */

/* A peer that greets with another cluster's name is told apart here, by name. */
static bool link_greeting_ok(struct link *l, const struct core_msg *m)
{
	char why[120];

	if (m->type != MSG_HELLO || !strcmp(m->name, l->net->cfg.cluster))
		return true;
	snprintf(why, sizeof(why), "belongs to cluster \"%s\", this agent to \"%s\"", m->name,
		 l->net->cfg.cluster);
	link_refuse(l, why);
	return false;
}

/* The frame at the head, when all of it is there. False: no more for now, or the link is closed. */
static bool link_take_frame(struct link *l)
{
	struct net *n = l->net;
	size_t have = l->rx_tail - l->rx_head;
	const struct wire_header *h = (const void *)(l->rx + l->rx_head);
	const struct core_msg *m = (const void *)(h + 1);
	char *recs = l->rx + l->rx_head + sizeof(*h) + sizeof(*m);
	struct wire_error error;

	if (have < sizeof(*h))
		return false;
	if (!wire_header_check(h, l->rx_seq, &error)) {
		link_refuse(l, error.text);
		return false;
	}
	if (have < sizeof(*h) + h->length)
		return false;
	if (!wire_body_check(h, m, recs, &error)) {
		link_refuse(l, error.text);
		return false;
	}
	if (!link_greeting_ok(l, m))
		return false;
	if (l->stranger) {
		l->stranger = false;
		n->strangers--;
	}
	l->rx_seq++;
	l->rx_head += sizeof(*h) + h->length;
	n->stats.msgs_in++;
	trace(l, "from", m);
	wire_recs_scope(m, recs, l->peer.scope);
	n->cfg.host->message(n->cfg.host->ctx, l->id, m, recs,
			     recs + m->nrecs * core_msg_rec_size(m->type));
	return l->state == LINK_UP;
}

/* Makes room for what is missing of the frame at the head, keeping it aligned. */
static bool rx_reserve(struct link *l)
{
	size_t left = l->rx_tail - l->rx_head;

	if (!l->rx) {
		l->rx = malloc(LINK_RX_SIZE);
		return l->rx;
	}
	if (!left) {
		l->rx_head = 0;
		l->rx_tail = 0;
	} else if (l->rx_head + WIRE_FRAME_MAX > LINK_RX_SIZE) {
		memmove(l->rx, l->rx + l->rx_head, left);
		l->rx_head = 0;
		l->rx_tail = left;
	}
	return true;
}

void link_readable(struct link *l)
{
	struct net *n = l->net;
	ssize_t got;

	if (!rx_reserve(l)) {
		link_refuse(l, "no memory for its frames");
		return;
	}
	got = recv(l->fd, l->rx + l->rx_tail, LINK_RX_SIZE - l->rx_tail, MSG_DONTWAIT);
	n->stats.reads++;
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (got <= 0) {
		link_end(l, true);
		return;
	}
	n->stats.bytes_in += (size_t)got;
	l->rx_tail += (size_t)got;
	while (link_take_frame(l))
		;
}
