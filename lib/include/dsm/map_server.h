/* SPDX-License-Identifier: MIT */
/*
 * A map that one process keeps to itself and answers for: its clients reach it by connections
 * (see <dsm/connection.h>) and share no table with it.
 *
 * A client that is killed, stopped or mad at any moment holds nobody up: the server never waits
 * for one. It answers by turns what each has sent, many requests at once; what a client asks
 * for in one batch is answered in that order.
 */
#ifndef DSM_MAP_SERVER_H
#define DSM_MAP_SERVER_H

#include <dsm/connection.h>
#include <dsm/map.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A server, of one thread. */
typedef struct dsm_map_server dsm_map_server_t;
/** A client, used by one thread at a time. */
typedef struct dsm_map_client dsm_map_client_t;

/* ------------------------------------------------------------ server */

/**
 * Answer for @map at the listener @name in @seg, which need not be the segment of the map. The
 * map stays the caller's, who must not close it before the server. Errors as
 * dsm_listener_create().
 */
int dsm_map_server_create(dsm_segment_t *seg, const char *name, dsm_map_t *map,
			  const struct dsm_listener_options *options, dsm_map_server_t **ret);

/**
 * Answer what there is, waiting @timeout_us for something to come if there is nothing (0: not
 * at all; negative: without limit). How many requests were answered; 0 after a client came or
 * went; -EAGAIN,
 * -ETIMEDOUT nothing came.
 */
int dsm_map_server_answer(dsm_map_server_t *server, int64_t timeout_us);

/** What a server has done so far. */
struct dsm_map_server_stat {
	uint64_t clients;  /**< connected now */
	uint64_t accepted; /**< that ever came */
	uint64_t lost;	   /**< that died without closing */
	uint64_t refused;  /**< disconnected for requests that were none */
	uint64_t requests; /**< answered */
	uint64_t batches;  /**< in so many turns */
};
void dsm_map_server_stat(const dsm_map_server_t *server, struct dsm_map_server_stat *ret);

/** Disconnect all clients and stop. NULL is allowed. */
void dsm_map_server_close(dsm_map_server_t *server);

/* ------------------------------------------------------------ client */

/** What a client asks for. */
enum dsm_map_op {
	DSM_MAP_OP_GET = 1, /**< the value into buffer */
	DSM_MAP_OP_SET,	    /**< dsm_map_set_ttl() */
	DSM_MAP_OP_ADD,	    /**< dsm_map_add() */
	DSM_MAP_OP_CAS,	    /**< dsm_map_cas() with version */
	DSM_MAP_OP_DELETE,  /**< dsm_map_delete(); with a version, dsm_map_delete_version() */
	DSM_MAP_OP_COUNT,   /**< dsm_map_count() */
};

/** One request and its answer. */
struct dsm_map_request {
	uint32_t op;	    /**< enum dsm_map_op */
	uint32_t reserved;  /**< 0 */
	const void *key;    /**< all but COUNT */
	size_t key_size;    /**< bytes of the key */
	const void *value;  /**< SET, ADD, CAS */
	size_t value_size;  /**< bytes of the value */
	uint64_t ttl_ms;    /**< SET, ADD: 0 without an end */
	uint64_t version;   /**< CAS, DELETE: the one to be there; after it the entry's */
	void *buffer;	    /**< GET: where the value goes */
	size_t buffer_size; /**< GET: its room */
	int64_t result;	    /**< what the map's function gave; GET: the value's size */
};

/** Connect to the server at listener @name in @seg. Errors as dsm_conn_open(). */
int dsm_map_client_open(dsm_segment_t *seg, const char *name, dsm_map_client_t **ret);
/** NULL is allowed. */
void dsm_map_client_close(dsm_map_client_t *client);

/**
 * Ask for @n things at once, and wait for all answers. 0, and each request's result says
 * what became of it; -EMSGSIZE one is larger than the server's rings take (none was sent);
 * -EINVAL an unknown op; -ETIMEDOUT, -EPIPE, -ECONNRESET: it is unknown which were done, and
 * the client is good for nothing any more but closing. @timeout_us for each wait, negative:
 * without limit.
 */
int dsm_map_client_do(dsm_map_client_t *client, struct dsm_map_request *requests, unsigned int n,
		      int64_t timeout_us);

/** dsm_map_set() by the server. Waits without limit, as the following. */
int dsm_map_client_set(dsm_map_client_t *client, const void *key, size_t key_size,
		       const void *value, size_t value_size);
/** dsm_map_get() by the server. */
ssize_t dsm_map_client_get(dsm_map_client_t *client, const void *key, size_t key_size, void *buffer,
			   size_t size);
/** dsm_map_delete() by the server. */
int dsm_map_client_delete(dsm_map_client_t *client, const void *key, size_t key_size);
/** dsm_map_cas() by the server. */
int dsm_map_client_cas(dsm_map_client_t *client, const void *key, size_t key_size, uint64_t version,
		       const void *value, size_t value_size, uint64_t *ret_version);

#ifdef __cplusplus
}
#endif

#endif
