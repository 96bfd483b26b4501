/* SPDX-License-Identifier: MIT */
/*
 * Topics, as libdsm uses them: a named last value that the agents push to the
 * nodes that subscribe, so that reading it is a read of this node's memory.
 *
 * topic_open() gives slots (lib/channel/slots.h) in memory that the node's programs
 * and its agent share. Read them like any others: slots_read(&t->slots, ...), and sleep
 * on t->slots.head->bell as on one host; the agent wakes it too, at each value that comes
 * and whenever a publisher comes or goes.
 *
 * Publish: slots_write(&t->slots, ...), wake whom it tells to wake, then topic_changed(t). Programs
 * of the same node see the value by the first; the second tells the agent where other
 * nodes want it, and costs a load where none does. The agent reads the newest
 * value when it can send it: of a fast publisher only some values reach other nodes, the last one always.
 *
 * Numbers. The number of a value goes along, so a reader elsewhere sees the
 * publisher's own numbers; they grow for ever at each reader: where a new publisher starts lower,
 * the agent counts on from what was there. So a publisher that knows the last number does best to go on from it.
 *
 * One publisher per node at a time. A node that has one shows what that one publishes, and
 * takes nothing from elsewhere until it goes; then the newest of what others publish
 * comes. Of publishers on several nodes, whose value was published last wins at all other nodes.
 * A value lives as long as its node's programs have the topic open: it is offered to those who
 * subscribe later also when the publisher has gone. Thereafter this node's agent keeps it for a while
 * for who opens the topic here again; it may have been overtaken elsewhere meanwhile.
 *
 * The agent's end is the topic's: topic_lost() is true then, and it must be opened again.
 * A child of fork() has the mapping, but is neither subscriber nor publisher.
 *
 * Close a topic before its context.
 *
 * Threads: topic_changed() by the publisher only, one thread at a time. topic_role()
 * and topic_close() by one thread at a time. Everything else at any time between open and close.
 */
#ifndef DSM_LIB_TOPIC_H
#define DSM_LIB_TOPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/client/topic_head.h"
#include "lib/channel/slots.h"
#include "lib/session.h"

struct dsm;

struct topic {
	struct dsm *ctx;
	struct topic *next; /* of the context, under contexts_lock */
	uint64_t serial;    /* the context's when it was opened */
	struct session session;
	struct topic_head *head;
	size_t bytes; /* mapped */
	struct slots slots;
	uint32_t flags; /* enum topic_flags that are in force */
	bool fence;	/* no membarrier(2) here: every ring needs a fence */
	char name[TOPIC_NAME_MAX];
};

/*
 * Opens the topic @name (1 to 63 bytes, none of them below 0x20) of @ctx's cluster. @size: most bytes of
 * a value; 0: what it has on this node, else TOPIC_SIZE_DEFAULT. @flags: enum topic_flags, at least
 * one of SUBSCRIBE and PUBLISH.
 *
 * -EINVAL: name or flags; -EMSGSIZE: @size is above TOPIC_SIZE_MAX, or not what the topic has on this node;
 * -EBUSY: this node has a publisher already, and no TOPIC_TAKE; -ENOSPC: too many topics;
 * -ENOTCONN: no agent; -EMFILE and others of the system.
 */
int topic_open(struct dsm *ctx, const char *name, uint32_t size, uint32_t flags,
	       struct topic **ret);
/* NULL is allowed. */
void topic_close(struct topic *t);

/* Changes what @t is: @flags as in topic_open(); errors likewise, and then it stays what it was. */
int topic_role(struct topic *t, uint32_t flags);

/* The agent has gone, or the process is a child of fork(): close it and open it again. */
bool topic_lost(const struct topic *t);

/* False: somebody else took its place as this node's publisher, or it never was it. */
static inline bool topic_publishes(const struct topic *t)
{
	return atomic_load_explicit(&t->head->holder, memory_order_relaxed) == t->session.client;
}

/*
 * How many publish now, on all nodes; a node that publishes sees itself only. One that is killed is gone at once, one that
 * dies with its node when the others have noticed that (see dead-time in dsm.conf(5)).
 */
static inline uint32_t topic_publishers(const struct topic *t)
{
	return atomic_load_explicit(&t->head->publishers, memory_order_acquire);
}

/* Changes with every publisher that comes or goes: also when one went and another came meanwhile. */
static inline uint32_t topic_presence(const struct topic *t)
{
	return atomic_load_explicit(&t->head->presence, memory_order_acquire);
}

/* Rings: see topic_changed(). */
void topic_ring(struct topic *t);

/* The publisher has written a value. */
static inline void topic_changed(struct topic *t)
{
	/*
	 * ORDER: the value before the look at remote. The agent sets remote, makes all CPUs
	 * pass a barrier (membarrier), and looks at the value then; so here the compiler is all to be held.
	 */
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(t->fence, 0))
		(void)atomic_fetch_or(&t->head->rung, 0); /* a fence that ThreadSanitizer knows */
	if (__builtin_expect(atomic_load_explicit(&t->head->remote, memory_order_relaxed) != 0, 0))
		topic_ring(t);
}

#endif
