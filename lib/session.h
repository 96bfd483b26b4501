/* SPDX-License-Identifier: MIT */
/*
 * A session with the agent: a unix socket, and pipes for what has to be quick;
 * one request at a time. Whoever uses a session keeps others off it.
 */
#ifndef DSM_LIB_SESSION_H
#define DSM_LIB_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/client/proto.h"

struct session {
	int fd;		 /* -1: closed */
	uint32_t client; /* its number at the agent, from HELLO */
	uint64_t ticket; /* of the last request */
	bool pipes;	 /* it has them, see session_pipes() */
	bool piped;	 /* the last request went through them, so comes its reply */
	int to, from;	 /* their ends here */
};

/* What HELLO answers. */
struct session_welcome {
	uint32_t node;
	enum client_pager pager;
	uint16_t port;
	uint32_t lock_words;
	uint32_t lock_stride;
	int lock_fd; /* owned by the caller; -1: none */
};

/* Path of the socket of the agent on @port. -ENAMETOOLONG. */
int session_path(const char *rundir, uint16_t port, char *path, size_t len);

/*
 * Connect and say HELLO. -ENOENT and -ECONNREFUSED: no agent is there. @flags:
 * enum hello_flags; @first: with HELLO_THREAD, the client number of the first session.
 * @ret_welcome may be NULL.
 */
int session_open(const char *path, uint32_t flags, uint32_t first, struct session *ret,
		 struct session_welcome *ret_welcome);
void session_close(struct session *s);
/*
 * Gives the session pipes, which operations of the core go through from now on: about half
 * the time of the socket. Without them (an error; the agent may not have any) it works as before.
 */
int session_pipes(struct session *s);

/*
 * One request, one reply; 0, a negative errno the agent answered, or -ENOTCONN
 * when the agent has gone. @rep may be NULL.
 */
int session_ask(struct session *s, struct client_req *req, struct client_rep *rep);
/* The same with @req->length bytes of @payload along. */
int session_ask_with(struct session *s, struct client_req *req, const void *payload,
		     struct client_rep *rep);
/* The same with a descriptor along (-1: none); @ret_fd (may be NULL) gets the one that came back, or -1. */
int session_ask_fd(struct session *s, struct client_req *req, int fd, struct client_rep *rep,
		   int *ret_fd);
/* The same with @text as payload along. */
int session_ask_text(struct session *s, struct client_req *req, const char *text,
		     struct client_rep *rep, int *ret_fd);
/* Only send; only wait for the next reply to the last request. */
int session_tell(struct session *s, struct client_req *req);
int session_await(struct session *s, struct client_rep *rep);
/* The same with the reply's payload in @buf; @ret_len: bytes of it. */
int session_await_payload(struct session *s, struct client_rep *rep, void *buf, size_t len,
			  size_t *ret_len);

#endif
