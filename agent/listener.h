/* SPDX-License-Identifier: MIT */
/*
 * A listening socket in the loop, which outlasts a lack of descriptors.
 *
 * A connection that waits keeps the socket readable. When it cannot be taken
 * for want of descriptors or memory, a loop that polls the socket would run
 * without a pause; so the socket is left alone for LISTENER_PAUSE_MS at a time until
 * a connection can be taken again. Those that wait meanwhile are not lost.
 *
 * Threading: everything happens on the loop's thread.
 */
#ifndef DSM_AGENT_LISTENER_H
#define DSM_AGENT_LISTENER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

#define LISTENER_PAUSE_MS 100u

struct listener;

/*
 * Watches @fd, a non-blocking socket that listens; it stays the caller's, to
 * be closed after listener_free(). @ready(@ctx) is called when a connection
 * waits, and takes one by listener_accept(). @what names those who connect in the log;
 * a literal. NULL: no memory.
 */
struct listener *listener_new(uv_loop_t *loop, int fd, const char *what, void (*ready)(void *ctx),
			      void *ctx);

/* NULL is allowed. The loop must run once more before it ends. */
void listener_free(struct listener *l);

/*
 * Takes a connection that waits: a descriptor, non-blocking and close-on-exec,
 * the caller's. @sa and @len as of accept(2), NULL for no address. -1: there is none, or
 * none can be had now, which the log has been told of once.
 */
int listener_accept(struct listener *l, struct sockaddr *sa, socklen_t *len);

#endif
