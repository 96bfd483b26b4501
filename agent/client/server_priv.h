/* SPDX-License-Identifier: MIT */
/* Inside of the client server, shared by the files server*.c. */
#ifndef DSM_CLIENT_SERVER_PRIV_H
#define DSM_CLIENT_SERVER_PRIV_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/client/proto.h"
#include "agent/client/server.h"
#include "agent/client/topic_kept.h"
#include "agent/listener.h"

#define CLIENT_NUMBERS		      65535u /* 0 is nobody, 65535 is left out */
#define PAYLOAD_MAX		      (CLIENT_PACKET_MAX - sizeof(struct client_rep))
#define EVENTS_PERIOD_MS	      100
#define SERVER_ATTACH_MAX	      64u /* regions that a session attaches at once (userfaultfd) */
#define SERVER_COOKIE(number, region) ((uint64_t)(number) << 16 | (region))

/* What a session waits for; one thing at a time. */
enum session_wait {
	WAIT_NOTHING,
	WAIT_OP,      /* the core's answer */
	WAIT_ATTACH,  /* the core's answer to the question for the region */
	WAIT_BARRIER, /* the other programs of this node, then the core */
	WAIT_STREAM,  /* pieces of a long answer, or events, are going out */
	WAIT_LEAVE,   /* the agent is on its way out of the cluster */
};

struct session {
	uv_poll_t poll; /* first: a handle is its session */
	struct server *srv;
	struct session *next, **at; /* list of all */
	int fd;
	pid_t pid;
	bool ended;
	bool write_only;  /* polled for writing: an answer waits, requests are not read */
	uint32_t number;  /* client number, 0 before HELLO */
	uint32_t hello;	  /* enum hello_flags */
	uint32_t program; /* number of the program's first session */

	/* Regions attached through this session (userfaultfd), in no order. */
	uint16_t attached[SERVER_ATTACH_MAX];
	unsigned int attached_count;

	enum session_wait wait;
	uint32_t type; /* of the request under way */
	uint64_t ticket;
	uint32_t op;

	/* WAIT_BARRIER */
	uint32_t barrier;
	uint64_t due_us;

	/* Pages to ask for when the barrier that it waits at lets it go. */
	struct client_ahead ahead[CLIENT_AHEAD_MAX];
	uint32_t nahead;
	bool answer_due; /* by server_flush(): what came of the barrier */
	int answer_err;

	/* An answer that did not fit into the socket. */
	struct client_rep *late;
	int late_fd;

	/* WAIT_STREAM: records or text that go out in pieces. */
	char *stream;
	size_t stream_size, stream_sent, stream_piece; /* piece: most bytes of one packet */
	struct query_events *events;		       /* goes on until the session ends */

	/* NULL: it has none; see server_pipes.c. */
	struct session_pipes *pipes;
	bool piped; /* the request under way came through them, and so goes its answer */

	/* The topic it has open, NULL: none; see server_topic.c. */
	struct node_topic *topic;
	uint32_t topic_flags; /* enum topic_flags */
};

/* A barrier of all nodes that programs of this node wait at; see server_barrier.c. */
struct node_barrier {
	struct node_barrier *next;
	uint32_t id;
	uint32_t number; /* client number that stands for the node */
	uint64_t round;	 /* ticket of the newest arrival */
	bool arrived;	 /* the core counts us in */
};

struct server {
	struct server_config cfg;
	struct core *core;
	const struct pager_ops *ops;
	struct pager *pager;
	int fd, lock_fd; /* listening socket; lock file: who has it is the port's agent */
	int words_fd;
	_Atomic uint32_t *words;
	struct listener *listener;
	uv_timer_t *events_timer; /* runs while somebody listens to events */
	char path[108], lock_path[108];
	struct session *sessions;
	struct session *by_number[CLIENT_NUMBERS];
	struct node_barrier *barriers;
	uint32_t nbarriers;
	uint64_t barrier_due; /* no waiter times out earlier */
	uint32_t next_number;
	uint32_t nsessions, nprograms, nlisteners;
	bool answers_due;		   /* of some sessions */
	bool node_numbers[CLIENT_NUMBERS]; /* taken by node barriers */
	struct node_topic *topics;
	uint32_t ntopics;
	struct kept_topics kept; /* that nobody has open */
	uint64_t last_topic;	 /* number of the one made last */
	bool membarrier;	 /* the kernel has it */
};

/* --- server_session.c --- */
/* Somebody connects to the struct server @ctx. */
void session_accept(void *ctx);
/* Ends the session and all that it held; freed later by the loop. */
void session_end(struct session *c);
/* A free client number, never one that was used just now. 0: all are taken. */
uint32_t server_number(struct server *s);
/* Polls for what the session waits for now. */
void session_poll(struct session *c);

/* --- server_packet.c --- */
struct client_packet {
	struct client_req req;
	char payload[1024]; /* NUL-terminated */
	int fd;		    /* that came along, -1: none; the handler's to close or keep */
	bool piped;	    /* through the session's pipes */
};
/* 0; -EAGAIN: none there; else the session is at its end. */
int packet_receive(struct session *c, struct client_packet *ret);
/*
 * Answers the request under way (@rep's type and ticket are filled in), with
 * @fd along when not -1. What does not fit waits; an end of the session may follow.
 */
void packet_reply(struct session *c, struct client_rep *rep, int fd);
/* The answer that is only an error. */
void packet_error(struct session *c, int err);
/* The socket takes bytes again. */
void packet_continue(struct session *c);
/* False: did not fit, or the session ended. */
bool packet_send(struct session *c, const struct client_rep *rep, const void *payload, int fd);

/* --- server_pipes.c --- */
/* CLIENT_PIPES: @fd, which stays the caller's, is for the answers. */
void pipes_handle(struct session *c, int fd);
/* An answer through the pipe. Where it cannot be written the session ends. */
void pipes_send(struct session *c, const struct client_rep *rep);
/* The session ends. */
void pipes_end(struct session *c);

/* --- server_request.c --- */
void request_handle(struct session *c, struct client_packet *p);
/*
 * The session's barrier has ended: asks for the pages that are wanted then, if @err lets it
 * go on. The answer waits for server_flush().
 */
void request_barrier_done(struct session *c, int err);
/* The core's answer to an attachment's question. */
void request_attach_reply(struct session *c, const struct core_reply *reply);

/* --- server_list.c --- */
void list_handle(struct session *c, const struct client_req *req);
void query_handle(struct session *c, const char *command);
/* Sends the next pieces. */
void stream_continue(struct session *c);
void stream_end(struct session *c);

/* --- server_barrier.c --- */
void barrier_wait(struct session *c, const struct client_req *req);
/* The session waits no more, or a program came or went. */
void barrier_session_gone(struct session *c);
/* True: the reply was to a node's arrival. */
bool barrier_reply(struct server *s, const struct core_reply *reply);
uint64_t barrier_deadline(const struct server *s);
void barrier_tick(struct server *s, uint64_t now_us);
void barriers_free(struct server *s);

/* --- server_topic.c --- */
void topic_open_handle(struct session *c, const struct client_req *req, const char *name);
void topic_changed_handle(struct session *c);
/* The session ends: it does nothing with its topic any more. */
void topic_session_gone(struct session *c);
void topics_free(struct server *s);

#endif
