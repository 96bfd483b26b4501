/* SPDX-License-Identifier: MIT */
/*
 * Discovery: agents find each other by UDP datagrams on one well-known port.
 *
 * Several agents on one host listen on that port together: every broadcast
 * reaches all of them, but a datagram to one address would reach just one.
 * So each agent sends from a second socket with a port of its own, remembers
 * from which port each peer sent, and answers there.
 *
 * Threading: the loop's thread. Nothing blocks.
 */
#ifndef DSM_NET_DISCOVER_H
#define DSM_NET_DISCOVER_H

#include <stdint.h>
#include <uv.h>

#include "agent/core/core.h"

struct discover;

struct discover_host {
	void *ctx;
	/*
	 * A checked datagram. @from: the address of the sender's host, with
	 * the TCP port that the message names (DISCOVER) or else the sender's UDP port.
	 */
	void (*datagram)(void *ctx, const struct core_msg *msg, const void *recs,
			 const struct core_addr *from);
};

struct discover_config {
	uv_loop_t *loop;		  /* outlives discovery */
	const struct discover_host *host; /* outlives discovery */
	const char *cluster;		  /* others are ignored; outlives discovery */
	uint16_t port;			  /* UDP, well known */
};

struct discover_stats {
	uint64_t sent, received;
	uint64_t refused; /* malformed, or of another version */
	uint64_t foreign; /* of another cluster */
};

/* 0; -EADDRINUSE: somebody has the port and does not share it. */
int discover_open(const struct discover_config *cfg, struct discover **ret);
void discover_close(struct discover *d);

/* To everybody that one datagram reaches: every suitable interface, as they are now. */
void discover_broadcast(struct discover *d, const struct core_msg *msg, const void *recs);
/*
 * To one agent; @to as given by the datagram call, or any host. Goes to the port
 * that the agent sends from, if known, and to the well-known port of its host.
 */
void discover_send(struct discover *d, const struct core_addr *to, const struct core_msg *msg,
		   const void *recs);

void discover_stats_get(const struct discover *d, struct discover_stats *ret);

#endif
