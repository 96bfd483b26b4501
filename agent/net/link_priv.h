/* SPDX-License-Identifier: MIT */
/* Inside of the links, shared by link.c (lives) and link_io.c (bytes). */
#ifndef DSM_NET_LINK_PRIV_H
#define DSM_NET_LINK_PRIV_H

#include <stdbool.h>

#include "agent/listener.h"
#include "agent/net/addr.h"
#include "agent/net/link.h"
#include "agent/net/wire.h"

#define LINK_BUCKETS 256u

/*
 * The receive buffer holds the largest frame whole: one read usually brings
 * header, message and page together, and pages are installed from here.
 */
#define LINK_RX_SIZE (2 * WIRE_FRAME_MAX)
#define LINK_TX_SIZE (64u << 10) /* where a send buffer begins, and shrinks back to */

enum link_state {
	LINK_DIALLING,
	LINK_UP,
	LINK_CLOSED, /* waits for the loop to let go of it */
};

struct link {
	uv_poll_t poll; /* first: a handle is its link */
	struct net *net;
	struct link *next; /* in its bucket */
	struct link *dirty_next;
	link_id id;
	int fd;
	enum link_state state;
	bool dirty;	  /* on the list of links with bytes to write */
	bool want_write;  /* the socket was full: polled for writing */
	bool stranger;	  /* accepted, not one valid frame yet */
	uint64_t born_ms; /* loop time */
	struct core_addr peer;

	uint64_t rx_seq; /* number of the frame that is due */
	char *rx;	 /* LINK_RX_SIZE bytes, made at the first read */
	size_t rx_head, rx_tail;

	uint64_t tx_seq; /* number of the next frame */
	char *tx;
	size_t tx_size, tx_head, tx_tail;
	size_t tx_last; /* where the newest frame begins */
};

struct net {
	struct net_config cfg;
	struct link *buckets[LINK_BUCKETS];
	struct link *dirty;
	int listen_fd;
	struct listener *listener; /* NULL: not listening */
	uv_timer_t *sweep;	   /* ends dials and strangers that take too long */
	link_id next_accept;	   /* even */
	unsigned int strangers, dialling;
	uint64_t complaint_ms; /* since when complaints are counted */
	unsigned int complaints;
	struct net_stats stats;
};

/* --- link.c --- */
struct link *link_find(struct net *n, link_id id);
/* Ends the link; @tell: the host hears link_down. The link is freed later by the loop. */
void link_end(struct link *l, bool tell);
/* The link said something that it must not: says so in the log and ends it. */
void link_refuse(struct link *l, const char *why);
/* (Re)arms the poll for what the link waits for. */
void link_poll(struct link *l);

/* --- link_io.c --- */
void link_readable(struct link *l);
/* Writes what is queued. False: the link is dead. */
bool link_write(struct link *l);
void link_buffers_free(struct link *l);

#endif
