/* SPDX-License-Identifier: MIT */
/*
 * Connections: a listener by name in a segment, any number of clients, two rings for each.
 *
 *   server: dsm_listener_create() ... dsm_listener_wait() or dsm_listener_accept()
 *   client: dsm_conn_open()
 *   both:   dsm_conn_send(), dsm_conn_recv(), or the rings themselves, dsm_conn_in() and
 *   dsm_conn_out()
 *
 * Each side sees it when the other one closes, and within 100 ms when it dies, in whatever call
 * it waits: messages that were sent before are still received, then -EPIPE (closed) or
 * -ECONNRESET (died) is the result. A connection lives as long as the thread that opened or
 * accepted it, or the last one of the same process that used it.
 *
 * Results and timeouts as in <dsm/ring.h>. A connection is used by one thread at a time per
 * direction; a listener by one thread.
 */
#ifndef DSM_CONNECTION_H
#define DSM_CONNECTION_H

#include <dsm/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A listener as its server uses it. */
typedef struct dsm_listener dsm_listener_t;
/** A side of a connection. */
typedef struct dsm_conn dsm_conn_t;

/** How to make a listener. Zeroed: the defaults. */
struct dsm_listener_options {
	/** bytes of each ring, rounded up to a power of two; 0: 8 KiB; at most 1 MiB */
	uint32_t ring_size;
	uint32_t max_conns; /**< connections at a time; 0: 1024; at most 16384 */
};

/**
 * Serve the listener @name: made if there is none, taken over if its server is gone
 * (connections of that one are closed, and @options are those it was made with). -EBUSY a
 * living server has it; -ENOSPC;
 * -EMEDIUMTYPE; -EBADMSG it is damaged. @options may be NULL.
 */
int dsm_listener_create(dsm_segment_t *seg, const char *name,
			const struct dsm_listener_options *options, dsm_listener_t **ret);

/**
 * Close all its connections, those accepted included, and serve no more. The name stays. NULL
 * is allowed.
 */
void dsm_listener_close(dsm_listener_t *listener);

/** Remove a listener that nobody serves. -ENOENT; -EBUSY a server or a client of it lives. */
int dsm_listener_remove(dsm_segment_t *seg, const char *name);

/** The next new connection. The caller closes it with dsm_conn_close(). */
int dsm_listener_accept(dsm_listener_t *listener, int64_t timeout_us, dsm_conn_t **ret);

/** What dsm_listener_wait() tells of a connection. */
enum dsm_conn_event {
	DSM_CONN_NEW = 1,  /**< accepted now; messages may be there already */
	DSM_CONN_READABLE, /**< it has messages; told again as long as there are any */
	/** no more messages will come: closed or dead. To be closed with dsm_conn_close() */
	DSM_CONN_GONE,
};

/**
 * Wait for something to happen on any connection: its kind (enum dsm_conn_event), fairly by
 * turns.
 */
int dsm_listener_wait(dsm_listener_t *listener, int64_t timeout_us, dsm_conn_t **ret);

/** A listener as it is now. */
struct dsm_listener_stat {
	uint32_t server_pid; /**< 0: nobody serves it */
	uint32_t open;	     /**< connections */
	uint32_t places;     /**< for connections; memory is there for so many */
	uint32_t max_conns;  /**< see the options */
	uint32_t ring_size;  /**< see the options */
};
int dsm_listener_stat(dsm_segment_t *seg, const char *name, struct dsm_listener_stat *ret);

/**
 * Check every place for a connection and its rings. How many are open; -EBADMSG and
 * dsm_last_error() say what is wrong.
 */
int dsm_listener_validate(dsm_segment_t *seg, const char *name);

/**
 * Connect to the server of listener @name; messages may be sent at once. -ENOENT; -ECONNREFUSED
 * nobody serves it; -EAGAIN it has max_conns clients; -ENOSPC; -EBADMSG; -EUSERS no free slot.
 */
int dsm_conn_open(dsm_segment_t *seg, const char *name, dsm_conn_t **ret);

/** Close this side: the other one receives what was sent, then -EPIPE. NULL is allowed. */
void dsm_conn_close(dsm_conn_t *conn);

/** The ring to send by, which is the connection's: for zero-copy and batches. Never NULL. */
dsm_ring_t *dsm_conn_out(dsm_conn_t *conn);
/** The ring to receive by, which is the connection's; its descriptor serves poll(). Never NULL. */
dsm_ring_t *dsm_conn_in(dsm_conn_t *conn);

/** dsm_ring_send() to the other side. -EPIPE it closed; -ECONNRESET it died. */
int dsm_conn_send(dsm_conn_t *conn, const void *data, size_t size, int64_t timeout_us);
/** dsm_ring_recv() from the other side; -EPIPE and -ECONNRESET when all was received. */
ssize_t dsm_conn_recv(dsm_conn_t *conn, void *buf, size_t size, int64_t timeout_us);

/** Have the connection remember a pointer of the caller's; NULL at first. */
void dsm_conn_set_data(dsm_conn_t *conn, void *data);
/** That pointer. */
void *dsm_conn_data(const dsm_conn_t *conn);

/** Who is on the other side, in its own numbers. 0, or -EPIPE, -ECONNRESET when it is gone. */
int dsm_conn_peer(dsm_conn_t *conn, uint32_t *ret_pid, uint32_t *ret_node);

#ifdef __cplusplus
}
#endif

#endif
