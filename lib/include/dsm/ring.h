/* SPDX-License-Identifier: MIT */
/*
 * Rings: messages of any size through a segment, in order, without a copy.
 *
 *   DSM_RING_SPSC  one producer and one consumer at a time: the fastest
 *   DSM_RING_MPMC  any number of each; every message goes to exactly one consumer
 *
 * Whoever is killed, at whatever instruction, leaves nobody stuck:
 *  - A message is there once its commit returned, and nothing of it before. What a dead
 *    producer had reserved is skipped.
 *  - A message that a dead consumer had taken and not released is given again, to the next
 *    consumer (SPSC: the one that opens the ring next; MPMC: any of the others, out of order).
 *    So every message is received at least once, and exactly once where no consumer dies.
 *
 * A wait looks for as long as that has paid off lately (microseconds), yields the processor a few
 * times if that has, then sleeps.
 *
 * Results are 0 (or a count) or a negative errno, see dsm_last_error(). @timeout_us: 0 does not
 * wait (-EAGAIN), negative is without limit, else -ETIMEDOUT. A handle of an SPSC end is used
 * by one thread at a time, one of an MPMC ring by any number. After fork() an SPSC end stays
 * the parent's; the child gets -EPERM, and opens its own.
 *
 * The record's header as the place to poll, instead of the producer's count, follows
 * FastForward (Giacomoni et al., PPoPP 2008); the kept copy of the other side's count is that of
 * MCRingBuffer (Lee et al., IPDPS 2010).
 */
#ifndef DSM_RING_H
#define DSM_RING_H

#include <dsm/segment.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One end, or both, of a ring as a process uses it. */
typedef struct dsm_ring dsm_ring_t;

/** How many may use a ring at a time. */
enum dsm_ring_kind {
	DSM_RING_SPSC = 0, /**< one producer, one consumer */
	DSM_RING_MPMC = 1, /**< any number of both */
};

/* What a handle is for, and how to make a ring. */
#define DSM_RING_PRODUCER 1u /**< to send */
#define DSM_RING_CONSUMER 2u /**< to receive */
#define DSM_RING_EXISTING 4u /**< create: open it when it is there already, of whatever size */
/** Waits of this handle sleep at once, for those who count processor time and not microseconds. */
#define DSM_RING_SLEEP 8u

/** How to make a ring. Zeroed: the defaults. */
struct dsm_ring_options {
	uint64_t capacity; /**< bytes, rounded up to a power of two; 0: 64 KiB. Greatest: 1 GiB */
	uint32_t kind;	   /**< enum dsm_ring_kind */
	uint32_t flags;	   /**< DSM_RING_* */
};

/**
 * Make the ring @name and open it. @options may be NULL. -EEXIST; -EINVAL bad options; -ENOSPC;
 * and as dsm_ring_open().
 */
int dsm_ring_create(dsm_segment_t *seg, const char *name, const struct dsm_ring_options *options,
		    dsm_ring_t **ret);

/**
 * Open a ring: @flags is DSM_RING_PRODUCER, DSM_RING_CONSUMER, both, or 0 to look on; with
 * DSM_RING_SLEEP or without. -ENOENT;
 * -EBUSY the end of an SPSC ring is somebody else's, who lives; -EBADMSG the ring is damaged;
 * -EMEDIUMTYPE the name is another structure's; -EUSERS no free slot.
 *
 * An end of an SPSC ring lives as long as the thread that opened it, or the last one of the
 * same process that used it; thereafter others may open it.
 */
int dsm_ring_open(dsm_segment_t *seg, const char *name, uint32_t flags, dsm_ring_t **ret);

/**
 * Give the handle up; the ring stays, with its messages. What is reserved and not committed is
 * cancelled, what is taken and not released is given again (MPMC: when the thread ends). NULL is
 * allowed.
 */
void dsm_ring_close(dsm_ring_t *ring);

/**
 * Remove the ring and its messages. -ENOENT; -EBUSY an end is open by somebody who lives
 * (SPSC).
 */
int dsm_ring_remove(dsm_segment_t *seg, const char *name);

/** The greatest message that fits. */
size_t dsm_ring_message_max(const dsm_ring_t *ring);

/* ------------------------------------------------------------ sending */

/** Send a copy of @size bytes. -EMSGSIZE it can never fit; -EPERM no producer. */
int dsm_ring_send(dsm_ring_t *ring, const void *data, size_t size, int64_t timeout_us);

/**
 * Send @n messages, each @v[i]; the consumer sees them together. How many went: all,
 * or less when time ran out; an error only when none did.
 */
int dsm_ring_send_many(dsm_ring_t *ring, const struct iovec *v, unsigned int n, int64_t timeout_us);

/**
 * Room for a message of up to @size bytes, aligned to 8, to be written in place. It is the
 * caller's until dsm_ring_commit() or dsm_ring_cancel(). SPSC: one at a time, -EBUSY. MPMC: any
 * number, and consumers get nothing that was reserved later before it is committed; the thread
 * that reserved commits or cancels, and the one that took a message releases it.
 */
int dsm_ring_reserve(dsm_ring_t *ring, size_t size, int64_t timeout_us, void **ret);
/** Send what was reserved at @p, its first @size bytes. -EINVAL @p is not reserved, or smaller. */
int dsm_ring_commit(dsm_ring_t *ring, void *p, size_t size);
/** Give a reservation up. -EINVAL. */
int dsm_ring_cancel(dsm_ring_t *ring, void *p);

/* ------------------------------------------------------------ receiving */

/** A message where it lies. */
struct dsm_ring_message {
	const void *data; /**< in the segment, aligned to 8; good until released */
	size_t size;	  /**< bytes */
};

/**
 * Receive a message into @buf. Its size; -EMSGSIZE it has more than @size bytes (it stays the
 * next one);
 * -EPERM no consumer; -EBADMSG the ring is damaged.
 */
ssize_t dsm_ring_recv(dsm_ring_t *ring, void *buf, size_t size, int64_t timeout_us);

/**
 * Take the next message, to be read in place. SPSC: taking again gives the one after it; they
 * are released in order.
 */
int dsm_ring_peek(dsm_ring_t *ring, int64_t timeout_us, struct dsm_ring_message *ret);
/** Take up to @max messages, waiting for the first only. How many. */
int dsm_ring_peek_many(dsm_ring_t *ring, struct dsm_ring_message *ret, unsigned int max,
		       int64_t timeout_us);
/**
 * Done with a taken message: its room is free. SPSC: with all taken before it, too. -EINVAL it
 * is not taken.
 */
int dsm_ring_release(dsm_ring_t *ring, const void *data);
/** The same for @n messages. */
int dsm_ring_release_many(dsm_ring_t *ring, const struct dsm_ring_message *v, unsigned int n);

/* ------------------------------------------------------------ poll and epoll */

/**
 * A descriptor for poll(), epoll and event loops, the consumer's, closed with the handle: an
 * eventfd that becomes readable when a message comes, or when the other side of a connection has
 * closed it or died. It is good for one wake-up after each dsm_ring_arm(), and not to be read.
 *
 * A thread of the process waits for the message in the caller's place (one for each ring whose
 * descriptor was asked for), so that it works for every kind of ring and segment, and nobody else
 * has to know of it. Of an MPMC ring's consumers that armed, all are woken by one message.
 * After fork() the child asks for a descriptor anew. -EPERM no consumer; -EMFILE, -EAGAIN
 * and others of the system.
 */
int dsm_ring_fd(dsm_ring_t *ring);

/**
 * To be called before each wait on the descriptor: makes it unreadable and asks for the next
 * wake-up. 1: there is a message, or the end, already: receive first; 0: now wait.
 */
int dsm_ring_arm(dsm_ring_t *ring);

/* ------------------------------------------------------------ looking on */

/** A ring as it is now. */
struct dsm_ring_stat {
	uint32_t kind;	       /**< enum dsm_ring_kind */
	uint32_t reserved;     /**< 0 */
	uint64_t capacity;     /**< bytes */
	uint64_t message_max;  /**< bytes of the greatest message */
	uint64_t used;	       /**< bytes of messages, sent and not released, with their headers */
	uint64_t head;	       /**< bytes that went through, free again */
	uint32_t producer_pid; /**< SPSC: who has the end; 0 nobody */
	uint32_t consumer_pid; /**< SPSC: who has the end; 0 nobody */
};
int dsm_ring_stat(dsm_ring_t *ring, struct dsm_ring_stat *ret);

/**
 * Walk all records of the ring, which should be at rest. How many messages there are;
 * -EBADMSG and dsm_last_error() say what is wrong.
 */
int dsm_ring_validate(dsm_ring_t *ring);

#ifdef __cplusplus
}
#endif

#endif
