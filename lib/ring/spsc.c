/* SPDX-License-Identifier: MIT */
/*
 * Rings of one producer and one consumer. Each keeps its own position to itself and
 * stores it for the one that comes after it only; the producer looks at the consumer's when the
 * ring seems full, the consumer at the next header.
 */
#include <errno.h>

#include "ring.h"

/* False: no room for @bytes, and the 0 behind them, at the tail. */
static bool has_room(dsm_ring_t *r, uint64_t bytes)
{
	bytes += RING_HEADER;
	if (likely(r->tail + bytes - r->head_seen <= r->capacity))
		return true;
	/* ORDER: the consumer has read what it released before we write there. */
	r->head_seen = atomic_load_explicit(&r->consumer->head, memory_order_acquire);
	return r->tail + bytes - r->head_seen <= r->capacity;
}

static void end_record(dsm_ring_t *r, uint64_t next)
{
	atomic_store_explicit(header_at(r, next), 0, memory_order_relaxed);
}

int spsc_room(dsm_ring_t *r, uint64_t length)
{
	uint64_t bytes = record_size(length), straight = ring_straight(r, r->tail);
	uint64_t pad = bytes > straight ? straight : 0;

	if (unlikely(!has_room(r, pad + bytes)))
		return r->tail - r->head_seen > r->capacity
			       ? ring_damaged(r, "consumer's position", r->head_seen)
			       : -EAGAIN;
	if (pad) {
		end_record(r, r->tail + pad);
		ring_post(r, header_at(r, r->tail), ring_header(RING_PAD, 0, pad - RING_HEADER));
		r->tail = r->tail + pad;
	}
	return 0;
}

/*
 * The first record's header is stored last: until then the others are behind what
 * a consumer, or whoever comes after a dead producer, can see.
 */
int spsc_put_many(dsm_ring_t *r, const struct iovec *v, unsigned int n)
{
	uint64_t first, next;
	unsigned int i;
	int err = spsc_room(r, v[0].iov_len);

	if (err)
		return err;
	first = r->tail;
	next = first + record_size(v[0].iov_len);
	ring_copy(payload_at(r, first), v[0].iov_base, v[0].iov_len);
	for (i = 1; i < n; i++) {
		uint64_t bytes = record_size(v[i].iov_len);

		if (v[i].iov_len > ring_message_max(r) || bytes > ring_straight(r, next) ||
		    !has_room(r, next - r->tail + bytes))
			break;
		ring_copy(payload_at(r, next), v[i].iov_base, v[i].iov_len);
		atomic_store_explicit(header_at(r, next), ring_header(RING_READY, 0, v[i].iov_len),
				      memory_order_relaxed);
		next += bytes;
	}
	end_record(r, next);
	ring_post(r, header_at(r, first), ring_header(RING_READY, 0, v[0].iov_len));
	r->tail = next;
	return (int)i;
}

int spsc_take(dsm_ring_t *r, struct dsm_ring_message *ret, unsigned int max)
{
	unsigned int n = 0;

	while (n < max) {
		/* ORDER: the message was written before its header. */
		uint64_t h = atomic_load_explicit(header_at(r, r->take), memory_order_acquire);

		if (!h)
			break;
		/* No more than what the ring holds: a header that leads in circles is no header. */
		if (unlikely(!record_fits(r, r->take, h) ||
			     r->take + record_size(header_length(h)) - r->head > r->capacity))
			return ring_damaged(r, "record", r->take);
		if (header_state(h) == RING_READY) {
			ret[n].data = payload_at(r, r->take);
			ret[n++].size = header_length(h);
		} else if (header_state(h) != RING_PAD) {
			return ring_damaged(r, "record's state", r->take);
		}
		r->take += record_size(header_length(h));
	}
	return n ? (int)n : -EAGAIN;
}

static void move_head(dsm_ring_t *r, uint64_t head)
{
	r->head = head;
	/* ORDER: we have read before the producer writes; and pairs with ring_wait_room(). */
	if (r->fences)
		atomic_store(&r->consumer->head, head);
	else
		atomic_store_explicit(&r->consumer->head, head, memory_order_release);
	if (unlikely(atomic_load(&r->sleep->producers)))
		ring_wake_producers(r);
}

void spsc_release_all(dsm_ring_t *r)
{
	move_head(r, r->take);
}

int spsc_release(dsm_ring_t *r, const void *data)
{
	uint64_t offset = (uint64_t)((const uint8_t *)data - r->data) - RING_HEADER;
	uint64_t pos = r->head, h;

	if (offset >= r->capacity)
		return seg_error(-EINVAL, "ring: released what is no message");
	/* Through those before it, which are few and were read just now. */
	while (pos < r->take) {
		bool found = (pos & r->mask) == offset;

		h = atomic_load_explicit(header_at(r, pos), memory_order_relaxed);
		pos += record_size(header_length(h));
		if (!found)
			continue;
		if (pos > r->take)
			return ring_damaged(r, "record", pos);
		move_head(r, pos);
		return 0;
	}
	return seg_error(-EINVAL, "ring: released what was not taken");
}
