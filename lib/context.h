/* SPDX-License-Identifier: MIT */
/*
 * Inside libdsm: a context is a node as a program uses it.
 *
 * Sessions. The control session belongs to the context: its life is the
 * program's life for the agent, it carries what never waits for other nodes
 * for long, under control_lock. Every thread that locks or waits has a session
 * of its own, made at its first such call and closed at its end.
 *
 * Lock order: contexts_lock, then regions_lock, then control_lock.
 */
#ifndef DSM_LIB_CONTEXT_H
#define DSM_LIB_CONTEXT_H

#include <dsm/dsm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/core.h"
#include "lib/session.h"

#define LIB_PAGE 4096u
#define LIB_PATH 108

/* Never equal to each other, nor to the serial of a life: what has no agent, and who never had one. */
#define SERIAL_LOST  0ull
#define SERIAL_NEVER UINT64_MAX

struct lock_table;
struct topic;

struct dsm_region {
	struct dsm_region *next;
	struct dsm *ctx;
	uint8_t *base;
	uint64_t size;
	uint16_t number;
	unsigned int opened; /* how often, see dsm_region_open() */
	int fd;		     /* what is mapped: memfd or /dev/dsm */
	int uffd;	     /* -1 with the module */
	char name[CLIENT_NAME_MAX];
};

/* A thread's session; in the context's list, under contexts_lock. */
struct thread_session {
	struct thread_session *next;
	struct dsm *ctx;
	uint64_t serial;	  /* the context's when it was opened */
	struct lock_table *locks; /* of that life */
	struct session s;
	struct client_ahead ahead[CLIENT_AHEAD_MAX]; /* goes along to the next barrier */
	uint32_t nahead;
};

struct dsm {
	struct dsm *next; /* all contexts, under contexts_lock */
	/*
	 * Names this life of the connection to the agent; never used twice in
	 * a process. What a thread remembers counts only while it is the same.
	 */
	_Atomic uint64_t serial;
	char path[LIB_PATH];
	uint16_t port;
	bool started;	/* the agent is ours */
	bool forked;	/* this is a child's side of it: see fork.c */
	bool anywhere;	/* DSM_OPEN_ANYWHERE */
	int agent_life; /* reads EOF when an agent of ours has ended; -1 */
	enum client_pager pager;
	atomic_bool lost; /* the agent has gone */

	pthread_mutex_t control_lock;
	struct session control;

	pthread_mutex_t regions_lock;
	struct dsm_region *regions;
	struct dsm_region *home; /* the default region */

	pthread_key_t thread_key; /* struct thread_session of the thread */
	struct thread_session *threads;
	struct topic *topics; /* open ones; under contexts_lock */

	struct lock_table *locks; /* of this life; under control_lock */

	pthread_t watcher;
	bool watching;
	int watch_stop; /* eventfd */
};

extern pthread_mutex_t contexts_lock;
extern struct dsm *contexts;

/* connect.c: the connection as a whole. */
int context_connect(struct dsm *ctx);
void context_disconnect(struct dsm *ctx);
/* The agent has gone. */
void context_lost(struct dsm *ctx);
/* The agent has gone: connect to the one that came after it, where pages outlive it. */
int context_revive(struct dsm *ctx);

/* watch.c: notices the agent's death. */
int watch_start(struct dsm *ctx);
void watch_stop(struct dsm *ctx);

/* fork.c */
void fork_watch(void);

/* thread.c: the calling thread's session, connected. */
int thread_session(struct dsm *ctx, struct session **ret);
void thread_session_end(void *session);
/* Pages that the thread's next barrier takes along. -ENOSPC: it takes no more. */
int thread_ahead_add(struct dsm *ctx, uint64_t key, uint64_t count, uint32_t flags);
/* What there is of them, for the barrier; none are left. */
size_t thread_ahead_take(struct dsm *ctx, struct client_ahead *ret);
/* Called at a thread's end before its session is closed: for what stands on sessions. NULL: nothing does. */
typedef void (*thread_ending_fn)(void);
extern _Atomic(thread_ending_fn) thread_ending;
void thread_sessions_close(struct dsm *ctx);
/*
 * What the calling thread remembers of its last session: good while @serial
 * is the context's. All that the fast path of a lock needs.
 */
struct thread_memory {
	uint64_t serial;
	struct lock_table *locks;
	uint32_t client;
};
extern __thread struct thread_memory thread_memory __attribute__((tls_model("initial-exec")));

/* ask.c: an operation of the core; on the control session, or the thread's. */
int control_ask(struct dsm *ctx, struct client_req *req, struct client_rep *rep);
int control_op(struct dsm *ctx, struct client_req *req, struct client_rep *rep);
int thread_op(struct dsm *ctx, struct client_req *req, struct client_rep *rep);
/* The same with @req->length bytes of @payload along. */
int thread_op_with(struct dsm *ctx, struct client_req *req, const void *payload,
		   struct client_rep *rep);

/* map.c: a region's mapping. Under regions_lock. */
int region_map(struct dsm *ctx, const char *name, struct dsm_region **ret);
/* The number that the region of that name has now. -ENOENT. */
int region_number(struct dsm *ctx, const char *name, uint16_t *ret);
void region_unmap(struct dsm_region *r);
/*
 * In a child of fork(), where it is not mapped: keep its addresses from being
 * used for anything else, before the first allocation; then map it again.
 */
void region_reserve(struct dsm_region *r);
int region_remap(struct dsm_region *r);
/* Nothing will ever bring its pages again: SIGBUS from now on. */
void region_poison(struct dsm_region *r);
/* The region that @addr is in, or NULL. */
struct dsm_region *region_of(struct dsm *ctx, const void *addr);
uint64_t region_key(const struct dsm_region *r, const void *addr);

/* topic.c: in a child of fork(), which is nothing to the topics of its parent. */
void topic_sessions_close(struct dsm *ctx);

/* open.c */
uint64_t now_ms(void);

/*
 * start.c: starts an agent for the context, or finds the one that somebody else
 * starts at the same time, and connects. agent_ended(): ours has, within @ms.
 */
int agent_start(struct dsm *ctx, const struct dsm_options *o, uint16_t port);
bool agent_ended(const struct dsm *ctx, int ms);

/* spawn.c: starts an agent; @ret_life reads EOF when it has ended. */
int agent_spawn(const struct dsm_options *options, uint16_t port, int *ret_life);

#endif
