/* SPDX-License-Identifier: MIT */
/*
 * Inside lib/ring: the usual case of an SPSC ring, without a call, so that it takes few stores:
 * those that wait for a cache line of the other side hold up all that come after them. False,
 * or NULL: it is not the usual case, and nothing was done.
 */
#ifndef DSM_LIB_RING_FAST_H
#define DSM_LIB_RING_FAST_H

#include "ring.h"

static inline bool fast_mine(const dsm_ring_t *r, const struct ring_end *end)
{
	return end->thread == ring_thread_number && end->owner &&
	       r->serial == atomic_load_explicit(&r->seg->serial, memory_order_relaxed);
}

/* Room for @size bytes at the tail, without a pad and without a look at the consumer. */
static inline bool fast_room(const dsm_ring_t *r, size_t size)
{
	uint64_t bytes = record_size(size);

	return likely(r->kind == DSM_RING_SPSC && fast_mine(r, &r->send) && !r->reserved &&
		      size <= ring_message_max(r) && bytes <= ring_straight(r, r->tail) &&
		      r->tail + bytes + RING_HEADER - r->head_seen <= r->capacity &&
		      !(atomic_load_explicit(r->peer_state, memory_order_relaxed) & r->peer_gone));
}

/*
 * Sends the record at the tail, which is written but for its header. 0. The tail in the segment
 * stays behind: whoever comes after us finds the end by the headers.
 */
static inline int fast_publish(dsm_ring_t *r, size_t size)
{
	uint64_t pos = r->tail, next = pos + record_size(size);
	uint64_t h = ring_header(RING_READY, 0, size);

	atomic_store_explicit(header_at(r, next), 0, memory_order_relaxed);
	r->tail = next;
	/* ORDER: pairs with ring_ask(), by this store or by the sleeper's membarrier(). */
	if (r->fencing)
		atomic_store(header_at(r, pos), h);
	else
		atomic_store_explicit(header_at(r, pos), h, memory_order_release);
	if (unlikely(r->fencing || atomic_load(&r->sleep->sleepers)))
		return ring_posted(r);
	return 0;
}

/* The payload of the next message, of @ret_size bytes, where all before it are released. */
static inline const uint8_t *fast_message(const dsm_ring_t *r, size_t *ret_size)
{
	uint64_t h;

	if (unlikely(r->kind != DSM_RING_SPSC || r->take != r->head || !fast_mine(r, &r->recv)))
		return NULL;
	/* ORDER: the message was written before its header. */
	h = atomic_load_explicit(header_at(r, r->take), memory_order_acquire);
	if (unlikely(header_state(h) != RING_READY || !record_fits(r, r->take, h)))
		return NULL;
	*ret_size = header_length(h);
	return payload_at(r, r->take);
}

/* Releases the record of @size bytes at the head. */
static inline void fast_release(dsm_ring_t *r, size_t size)
{
	r->head += record_size(size);
	/* ORDER: we have read before the producer writes; and pairs with ring_wait_room(). */
	if (r->fences)
		atomic_store(&r->consumer->head, r->head);
	else
		atomic_store_explicit(&r->consumer->head, r->head, memory_order_release);
	if (unlikely(atomic_load(&r->sleep->producers)))
		ring_wake_producers(r);
}

#endif
