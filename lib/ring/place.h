/* SPDX-License-Identifier: MIT */
/*
 * Inside lib/ring: how a listener and its connections lie in a segment.
 *
 * A listener is a root with a table of chunks; a chunk is a run of grains with as many places
 * as fit; a place is what one connection needs: its state and two rings. Places are used again,
 * and freed with the listener only.
 */
#ifndef DSM_LIB_PLACE_H
#define DSM_LIB_PLACE_H

#include "ring.h"

#define LISTENER_MAGIC	   0x4e54534cu /* "LSTN" */
#define LISTENER_CONNS	   1024u
#define LISTENER_CONNS_MAX 16384u
#define LISTENER_RING	   8192u
#define LISTENER_RING_MAX  (1u << 20)
#define CHUNK_PLACES	   4u /* at least */

/*
 * The word that says what a place is: the phase, who has gone, and while it is being claimed
 * by whom. Changed by compare and swap only.
 */
enum place_phase {
	PLACE_FREE = 0,	   /* the whole word is 0 */
	PLACE_CLAIMED = 1, /* a client (upper half of the word) makes its rings */
	PLACE_PENDING = 2, /* to be accepted */
	PLACE_OPEN = 3,
};
#define PLACE_PHASE	    15ull
#define PLACE_CLIENT_CLOSED 16ull
#define PLACE_SERVER_CLOSED 32ull
#define PLACE_CLIENT_DEAD   64ull
#define PLACE_SERVER_DEAD   128ull
#define PLACE_CLIENT_GONE   (PLACE_CLIENT_CLOSED | PLACE_CLIENT_DEAD)
#define PLACE_SERVER_GONE   (PLACE_SERVER_CLOSED | PLACE_SERVER_DEAD)

struct conn_place {
	_Atomic uint64_t state;
	_Atomic uint32_t client; /* participant */
	_Atomic uint32_t server; /* participant; 0 until accepted */
				 /* The rings follow: client to server, server to client. */
};

/* Written at making. Believed only after place_map(). */
struct listener_root {
	uint32_t magic;
	uint32_t ring_size;
	uint32_t max_conns;
	uint32_t per_chunk; /* places */
	uint64_t line;
	uint64_t reserved[5];
};

/* On lines of their own: who serves; what clients write. */
struct listener_server {
	_Atomic uint32_t server; /* participant; 0: nobody */
	_Atomic uint32_t chunks; /* so many are there */
	struct seg_lock grow;
};
struct listener_bell {
	_Atomic uint32_t sleeping; /* the server sleeps on it */
	uint32_t reserved;
};

/* What a process knows of a listener, checked. */
struct place_map {
	dsm_segment_t *seg;
	uint64_t off;	/* of the root */
	uint32_t index; /* of the root */
	uint32_t ring_size, max_conns, per_chunk;
	uint64_t line;
	uint64_t place_size;
	uint64_t chunk_grains;
	struct listener_server *server;
	struct listener_bell *bell;
	_Atomic uint64_t *ready;  /* a bit for each place: look at it */
	_Atomic uint64_t *chunks; /* offsets */
};

struct dsm_conn {
	dsm_ring_t in, out;
	struct conn_place *place;
	struct dsm_listener *listener; /* the server's side; NULL: the client's */
	struct place_map map;
	uint32_t index; /* of the place */
	_Atomic uint32_t me;
	_Atomic uint64_t looked_ns; /* when it was last asked whether the other side lives */
	bool gone_told;		    /* by dsm_listener_wait() */
	void *data;
};

/* ------------------------------------------------------------ place.c */

/* What the options (of which none is 0) mean. */
void place_layout(struct place_map *m, dsm_segment_t *seg, uint32_t ring_size, uint32_t max_conns);
/* Bytes of the root. */
uint64_t place_root_bytes(const struct place_map *m);
/* Where it all is, of a listener at @off. */
void place_locate(struct place_map *m, uint64_t off);
/* Find and check a listener. -ENOENT, -EMEDIUMTYPE, -EBADMSG. */
int place_map(dsm_segment_t *seg, const char *name, struct place_map *ret);

uint32_t place_count(const struct place_map *m);
/* NULL: the chunk's offset is damaged. */
struct conn_place *place_at(const struct place_map *m, uint32_t index);
/* Claim one for the calling participant @me; makes room. -EAGAIN: max_conns; -ENOSPC. */
int place_claim(const struct place_map *m, seg_id me, uint32_t *ret);
/* Add bits to the state. True: with that both sides are gone, and the place is free. */
bool place_leave(struct conn_place *p, uint64_t bits);
/* Free it if both sides are gone, or its client is and there is no server. True: it is free. */
bool place_reclaim(const struct place_map *m, struct conn_place *p);
/* Have the server look at place @index. */
void place_ring(const struct place_map *m, uint32_t index);
/* Wake whoever sleeps on the place's rings. */
void place_wake(const struct place_map *m, struct conn_place *p);

/* ------------------------------------------------------------ connection.c */

/* A side of place @index; @listener NULL: the client's. NULL: no memory. */
struct dsm_conn *conn_new(const struct place_map *m, uint32_t index, struct conn_place *p,
			  struct dsm_listener *listener, seg_id me);
void conn_free(struct dsm_conn *c);

/* ------------------------------------------------------------ listener.c */

/* The server's side of @index is closed. */
void listener_forget(struct dsm_listener *l, uint32_t index);

#endif
