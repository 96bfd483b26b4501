/* SPDX-License-Identifier: MIT */
/*
 * The agent's side of client/proto.h: sessions of programs and of the command
 * line on a unix socket. Turns packets into core events and core replies into
 * packets.
 *
 * Threading: the loop's thread. A client that does not read is not read from
 * until it does; nobody else waits for it.
 */
#ifndef DSM_CLIENT_SERVER_H
#define DSM_CLIENT_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/client/query.h"
#include "agent/core/core.h"
#include "agent/pager/pager.h"

#define SERVER_LOCK_WORDS 16384u
#define SERVER_LOCK_STRIDE                                                                         \
	64u /* a cache line each: programs spin on their neighbours' words otherwise */

struct server;

/* Calls out of the server. */
struct server_host {
	void *ctx;
	/* A client or the end of one, for the core. The event is copied where it must wait. */
	void (*event)(void *ctx, const struct core_event *ev);
	/* Somebody wants the agent to leave the cluster and end; server_left() follows. */
	void (*leave)(void *ctx);
	/* What queries are answered from; programs and sessions are the server's to fill in. */
	void (*source)(void *ctx, struct query_source *ret);
	/* The clock of the core's events. */
	uint64_t (*now_us)(void *ctx);
};

struct server_config {
	uv_loop_t *loop;		/* outlives the server */
	const struct server_host *host; /* outlives the server */
	const char *run_dir;		/* made where it does not exist; outlives the server */
	uint16_t port;			/* of the agent: names the socket */
};

/*
 * Opens RUNDIR/dsmd-PORT.sock. -EADDRINUSE: another agent serves this port.
 * Other errors are of the system, said in the log.
 */
int server_open(const struct server_config *cfg, struct server **ret);
/* Ends all sessions and removes the socket. */
void server_close(struct server *s);

/* The lock words, for the core's configuration. They live as long as the server. */
_Atomic uint32_t *server_lock_words(struct server *s);

/* Sessions are answered only after this. All three outlive the server. */
void server_start(struct server *s, struct core *core, const struct pager_ops *ops,
		  struct pager *pager);

/* The core answers. */
void server_reply(struct server *s, const struct core_reply *reply);
/* ACT_TOPIC_STATE. */
void server_topic_state(struct server *s, const struct core_topic_state *state);
/* ACT_TOPIC_DONE. */
void server_topic_done(struct server *s, uint64_t id);
/* ACT_TOPIC_PUT: @n bytes with the publisher's number @number become the topic's value here. */
void server_topic_put(struct server *s, uint64_t id, const void *bytes, uint32_t n,
		      uint64_t number);
/*
 * The topic's newest value to @room, which has CORE_TOPIC_BYTES; its bytes and number. -ENOENT: no such
 * topic; -ENODATA: no value; -EBADMSG: none can be had.
 */
int server_topic_get(struct server *s, uint64_t id, void *room, uint64_t *ret_number);
/* The core is out of the cluster: who asked for that is told. */
void server_left(struct server *s);
/*
 * Gives the answers that wait until the network has been written to: a program that is
 * woken takes the processor, and other nodes would hear later what they wait for.
 * False: there was none.
 */
bool server_flush(struct server *s);
/* Some program waits for the core's answer. */
bool server_waiting(const struct server *s);
/* When server_tick() is due, UINT64_MAX: never. */
uint64_t server_deadline(const struct server *s);
void server_tick(struct server *s, uint64_t now_us);

#endif
