/* SPDX-License-Identifier: MIT */
/*
 * Rings of many producers and many consumers. A record is made and taken in short locked
 * sections, and filled and read outside of them; its header says at any moment in one word
 * whose it is:
 *
 *	EMPTY -> RESERVED by P -> READY -> TAKEN by C -> DONE -> (head moves on)
 *			\-> DONE	      \-> READY again
 *
 * In a locked section only the store of a header counts; tail, take and head come after it,
 * and whoever has the lock next brings them up to the headers. So a section may be
 * left at any instruction, and there is no journal.
 */
#include <errno.h>

#include "mpmc.h"

#define MANY 64u /* messages sent in one locked section */

/* As ring_post(), but ordering always, and by many threads. */
static void post(dsm_ring_t *r, _Atomic uint64_t *header, uint64_t value)
{
	atomic_store(header, value);
	if (atomic_load(&r->sleep->sleepers))
		ring_wake_consumers(r);
}

static int lock_producer(dsm_ring_t *r, uint64_t *ret_head, uint64_t *ret_tail)
{
	int err = seg_lock(r->seg, &r->producer->lock, SEG_LAYER_TOP);
	uint64_t head, tail;

	if (err)
		return err;
	head = atomic_load(&r->consumer->head);
	tail = atomic_load(&r->producer->tail);
	if ((head | tail) & 7) {
		err = ring_damaged(r, "position", tail);
	} else {
		/* What a dead one made without having moved the tail may be released already. */
		if ((int64_t)(head - tail) > 0)
			tail = head;
		err = tail - head > r->capacity ? ring_damaged(r, "position", tail)
						: ring_walk(r, tail, head, &tail);
	}
	if (err) {
		seg_unlock(r->seg, &r->producer->lock);
		return err;
	}
	*ret_head = head;
	*ret_tail = tail;
	return 0;
}

/* Makes a record of @length at *@tail, which moves behind it; @ret its place. False: no room. */
static bool make(dsm_ring_t *r, uint64_t head, uint64_t *tail, uint64_t length, seg_id me,
		 uint64_t *ret)
{
	uint64_t bytes = record_size(length), straight = ring_straight(r, *tail);
	uint64_t pad = bytes > straight ? straight : 0, pos = *tail + pad;

	if (pos + bytes + RING_HEADER - head > r->capacity)
		return false;
	if (pad) {
		atomic_store_explicit(header_at(r, pos), 0, memory_order_relaxed);
		atomic_store_explicit(header_at(r, *tail),
				      ring_header(RING_PAD, 0, pad - RING_HEADER),
				      memory_order_release);
	}
	atomic_store_explicit(header_at(r, pos + bytes), 0, memory_order_relaxed);
	atomic_store_explicit(header_at(r, pos), ring_header(RING_RESERVED, me, length),
			      memory_order_release);
	*tail = pos + bytes;
	*ret = pos;
	return true;
}

/* 0; 1: no room; negative: an error. */
static int reserve(dsm_ring_t *r, uint64_t length, seg_id me, uint64_t *ret_pos)
{
	uint64_t head, tail;
	bool made;
	int err = lock_producer(r, &head, &tail);

	if (err)
		return err;
	made = make(r, head, &tail, length, me, ret_pos);
	seg_crash_point("ring: reserved, tail behind");
	atomic_store_explicit(&r->producer->tail, tail, memory_order_release);
	seg_unlock(r->seg, &r->producer->lock);
	return !made;
}

int mpmc_reserve(dsm_ring_t *r, uint64_t length, void **ret)
{
	struct seg_slot *self = seg_self(r->seg);
	uint64_t pos = 0;
	int err;

	if (!self)
		return -EUSERS;
	do
		err = reserve(r, length, seg_slot_id(self), &pos);
	while (err > 0 && mpmc_pass_done(r));
	if (err)
		return err > 0 ? -EAGAIN : err;
	*ret = payload_at(r, pos);
	return 0;
}

/* How many, the places in @at; negative: an error. */
static int reserve_many(dsm_ring_t *r, const struct iovec *v, unsigned int n, seg_id me,
			uint64_t at[MANY])
{
	uint64_t head, tail;
	unsigned int made = 0;
	int err = lock_producer(r, &head, &tail);

	if (err)
		return err;
	while (made < n && made < MANY && v[made].iov_len <= ring_message_max(r) &&
	       make(r, head, &tail, v[made].iov_len, me, &at[made]))
		made++;
	atomic_store_explicit(&r->producer->tail, tail, memory_order_release);
	seg_unlock(r->seg, &r->producer->lock);
	return (int)made;
}

int mpmc_put_many(dsm_ring_t *r, const struct iovec *v, unsigned int n)
{
	struct seg_slot *self = seg_self(r->seg);
	uint64_t at[MANY] = { 0 };
	unsigned int made;
	int err;

	if (!self)
		return -EUSERS;
	do
		err = reserve_many(r, v, n, seg_slot_id(self), at);
	while (!err && mpmc_pass_done(r));
	if (err < 0)
		return err;
	made = (unsigned int)err;
	/* The first last, as nothing behind it is taken before. */
	for (unsigned int i = made; i-- > 0;) {
		uint64_t ready = ring_header(RING_READY, 0, v[i].iov_len);

		ring_copy(payload_at(r, at[i]), v[i].iov_base, v[i].iov_len);
		if (i)
			atomic_store_explicit(header_at(r, at[i]), ready, memory_order_release);
		else
			post(r, header_at(r, at[i]), ready);
	}
	return made ? (int)made : -EAGAIN;
}

_Atomic uint64_t *mpmc_mine(dsm_ring_t *r, const void *p, enum ring_state state, uint64_t *ret)
{
	uint64_t offset = (uint64_t)((const uint8_t *)p - r->data) - RING_HEADER;
	struct seg_slot *self = seg_self(r->seg);

	if (offset >= r->capacity || offset & 7 || !self)
		return NULL;
	*ret = header_of(r, offset);
	if (header_state(*ret) != state || header_who(*ret) != seg_slot_id(self) ||
	    !record_fits(r, offset, *ret))
		return NULL;
	return header_at(r, offset);
}

int mpmc_commit(dsm_ring_t *r, void *p, uint64_t length)
{
	uint64_t h, rest;
	_Atomic uint64_t *header = mpmc_mine(r, p, RING_RESERVED, &h);

	if (!header || length > header_length(h))
		return seg_error(-EINVAL, "ring: committed what was not reserved");
	rest = record_size(header_length(h)) - record_size(length);
	/* What is left over becomes a record of nothing, seen only behind this one. */
	if (rest)
		atomic_store_explicit((_Atomic uint64_t *)((uint8_t *)header + record_size(length)),
				      ring_header(RING_DONE, 0, rest - RING_HEADER),
				      memory_order_relaxed);
	post(r, header, ring_header(RING_READY, 0, length));
	return 0;
}

int mpmc_cancel(dsm_ring_t *r, void *p)
{
	uint64_t h;
	_Atomic uint64_t *header = mpmc_mine(r, p, RING_RESERVED, &h);

	if (!header)
		return seg_error(-EINVAL, "ring: cancelled what was not reserved");
	post(r, header, ring_header(RING_DONE, 0, header_length(h)));
	return 0;
}
