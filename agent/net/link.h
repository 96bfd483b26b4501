/* SPDX-License-Identifier: MIT */
/*
 * TCP links to the other agents: listening, dialling, frames in and out.
 * Knows frames and peers' addresses, nothing of pages' states.
 *
 * Threading: everything happens on the loop's thread. Nothing blocks.
 *
 * What is sent in one pass of the loop goes out with one system call for each
 * link: net_send() only queues, net_flush() writes.
 */
#ifndef DSM_NET_LINK_H
#define DSM_NET_LINK_H

#include <stdint.h>
#include <uv.h>

#include "agent/core/core.h"

struct net;

/* Bytes that wait for a peer who does not read; beyond it the link is closed. */
#define NET_QUEUE_MAX (256u << 20)
/* Accepted links that have not said one valid word yet. */
#define NET_STRANGERS_MAX 64u
/* How long they have for it. */
#define NET_STRANGER_MS 3000u
/* How long dialling may take. */
#define NET_DIAL_MS 1000u

/* Calls out of net, from inside the loop or from inside net_connect() and net_flush(). */
struct net_host {
	void *ctx;
	void (*link_up)(void *ctx, link_id link, const struct core_addr *peer);
	void (*link_down)(void *ctx, link_id link);
	/* A whole checked message. @recs and @pages are valid during the call. */
	void (*message)(void *ctx, link_id link, const struct core_msg *msg, const void *recs,
			const void *pages);
};

struct net_stats {
	uint64_t bytes_in, bytes_out; /* on TCP links, headers included */
	uint64_t msgs_in, msgs_out;
	uint64_t reads, writes; /* system calls */
	uint64_t bad_frames;
	uint64_t links; /* open now */
};

struct net_config {
	uv_loop_t *loop;	     /* outlives the net */
	const struct net_host *host; /* outlives the net */
	const char
		*cluster; /* peers that greet with another name are turned away; outlives the net */
};

/* NULL: no memory. */
struct net *net_new(const struct net_config *cfg);
/* Closes every link without a further call to the host; the loop must run once more. */
void net_free(struct net *n);

/*
 * Accepts links on @port of all addresses, IPv4 and IPv6. 0: any free port.
 * -EADDRINUSE: another program has it. Returns the port.
 */
int net_listen(struct net *n, uint16_t port);

/* Dials; link_up or link_down of the host answers, at the latest after NET_DIAL_MS. */
void net_connect(struct net *n, link_id link, const struct core_addr *addr);

/* Closes the link, what is queued is tried once more; the host hears nothing. Unknown: no effect. */
void net_close(struct net *n, link_id link);

/*
 * Queues a message. Returns where the caller must put the bytes of a
 * MSG_PAGE_DATA before it calls anything else of this file (not NULL for
 * other types, but of no use), NULL when there is no such link (any more).
 */
void *net_send(struct net *n, link_id link, const struct core_msg *msg, const void *recs);

/*
 * All that waits at @link up to the bytes of the last net_send()'s pages, for who
 * can send both with one system call: the socket, and what comes before them.
 */
struct net_room {
	int fd;
	const void *head; /* valid until the next call of this file */
	size_t len;
};

/* False: the link cannot be written to now, or it is closed. */
bool net_room_get(struct net *n, link_id link, struct net_room *ret);
/* @sent bytes of it, and of the pages behind it, went. The rest waits, as ever. */
void net_room_sent(struct net *n, link_id link, size_t sent);

/* Takes back the message of the last net_send() to @link: its bytes could not be had. */
void net_unsend(struct net *n, link_id link);

/* Writes what is queued on all links. */
void net_flush(struct net *n);

void net_stats_get(const struct net *n, struct net_stats *ret);

#endif
