/* SPDX-License-Identifier: MIT */
/*
 * One session with an agent: connect, requests, JSON answers. Messages about
 * what failed go to stderr from here.
 */
#ifndef DSM_CLI_SESSION_H
#define DSM_CLI_SESSION_H

#include <jansson.h>
#include <stddef.h>

#include "agent/cli/cli.h"
#include "agent/client/proto.h"

/* How long an agent may take for an answer before the command gives up. */
#define SESSION_PATIENCE_MS 5000

struct session {
	int fd;
	uint64_t ticket; /* of the last request */
	uint16_t port;
};

/* Path of the socket of the agent on @port; false where it is too long for one. */
bool session_path(const char *rundir, uint16_t port, char *path, size_t size);

/*
 * Connects without a word to anybody. 0, or a negative errno: -ENOENT and
 * -ECONNREFUSED where no agent serves the port.
 */
int session_connect(const char *rundir, uint16_t port, struct session *ret);

/* The same for the agent of @cli, and says to stderr what is wrong. 0 or an exit code. */
int session_open(const struct cli *cli, struct session *ret);
void session_close(struct session *s);

/*
 * One request, one reply. @req's ticket is set here. 0 or a negative errno:
 * what the agent answered, or -ETIMEDOUT (@wait_ms passed), -EPIPE (agent gone), -EPROTO.
 * @rep may be NULL. @wait_ms < 0: for ever.
 */
int session_request(struct session *s, struct client_req *req, struct client_rep *rep, int wait_ms);

/* The document for the text command @command. 0 and a new reference, or a negative errno. */
int session_query(struct session *s, const char *command, json_t **ret);

/*
 * In parts, for events: start sends the command; next appends one piece to
 * the malloc'ed text *text of *len bytes and says whether it was the last.
 * 0 or a negative errno.
 */
int session_query_start(struct session *s, const char *command);
int session_query_next(struct session *s, int wait_ms, char **text, size_t *len, bool *ret_last);

/* Opens, queries, closes; tells stderr and returns an exit code when that fails. */
int session_document(const struct cli *cli, const char *command, json_t **ret);

/* One line for an errno of a request, and the exit code for it. */
int session_explain(const struct cli *cli, const char *what, int err);

#endif
