/* SPDX-License-Identifier: MIT */
/* The consumers of an MPMC ring, and what is done for the dead of both sides. See mpmc.c. */
#include <errno.h>

#include "mpmc.h"

static int lock_consumer(dsm_ring_t *r, uint64_t *ret_head, uint64_t *ret_take)
{
	int err = seg_lock(r->seg, &r->consumer->lock, SEG_LAYER_TOP);
	uint64_t head, take;

	*ret_head = *ret_take = 0;
	if (err)
		return err;
	head = atomic_load(&r->consumer->head);
	take = atomic_load(&r->consumer->take);
	if ((head | take) & 7 || take - head > r->capacity) {
		seg_unlock(r->seg, &r->consumer->lock);
		return ring_damaged(r, "consumer's position", take);
	}
	*ret_head = head;
	*ret_take = take;
	return 0;
}

/* The position behind the record of header @h at @pos; 0: there cannot be one. */
static uint64_t behind(dsm_ring_t *r, uint64_t pos, uint64_t head, uint64_t h)
{
	uint64_t next = pos + record_size(header_length(h));

	return h && record_fits(r, pos, h) && next - head <= r->capacity ? next : 0;
}

/* Takes what was given again, between @head and @take. How many; -EBADMSG. */
static int take_again(dsm_ring_t *r, uint64_t head, uint64_t take, struct dsm_ring_message *ret,
		      unsigned int max, seg_id me)
{
	unsigned int n = 0;

	for (uint64_t pos = head, next; pos < take; pos = next) {
		uint64_t h = header_of(r, pos);

		next = behind(r, pos, head, h);
		if (!next)
			return ring_damaged(r, "record", pos);
		if (header_state(h) != RING_READY)
			continue;
		if (n == max)
			return (int)n;
		atomic_store_explicit(header_at(r, pos),
				      ring_header(RING_TAKEN, me, header_length(h)),
				      memory_order_release);
		ret[n].data = payload_at(r, pos);
		ret[n++].size = header_length(h);
	}
	/* The whole of it was seen. */
	atomic_store(&r->consumer->again, 0);
	return (int)n;
}

/* Moves the head over what is done. With the consumers' lock. */
static void move_head(dsm_ring_t *r, uint64_t head, uint64_t take)
{
	uint64_t from = head, h, next;

	while (head < take) {
		h = header_of(r, head);
		next = behind(r, head, head, h);
		if (!next || (header_state(h) != RING_DONE && header_state(h) != RING_PAD))
			break;
		head = next;
	}
	if (head == from)
		return;
	/* ORDER: pairs with ring_wait_room(). */
	atomic_store(&r->consumer->head, head);
	if (atomic_load(&r->sleep->producers))
		ring_wake_producers(r);
}

/*
 * Whether it is worth the lock: a guess, as the head may have moved since, and this be the middle of a
 * message that somebody writes. ThreadSanitizer need not know of it.
 */
__attribute__((noinline, no_sanitize("thread"))) static bool seems_done(const dsm_ring_t *r,
									uint64_t head)
{
	uint64_t h = __atomic_load_n((const uint64_t *)header_at(r, head & ~7ull),
				     __ATOMIC_RELAXED);

	return header_state(h) == RING_DONE || header_state(h) == RING_PAD;
}

bool mpmc_pass_done(dsm_ring_t *r)
{
	uint64_t head = atomic_load(&r->consumer->head), locked, take;

#ifdef DSM_MUTANT_RING_ROOM_LOST
	return false;
#endif
	if (!seems_done(r, head) || lock_consumer(r, &locked, &take))
		return false;
	move_head(r, locked, take);
	seg_unlock(r->seg, &r->consumer->lock);
	return atomic_load(&r->consumer->head) != head;
}

int mpmc_take(dsm_ring_t *r, struct dsm_ring_message *ret, unsigned int max)
{
	struct seg_slot *self = seg_self(r->seg);
	uint64_t head, take, from, h;
	unsigned int n = 0;
	int err;

	if (!self)
		return -EUSERS;
	err = lock_consumer(r, &head, &take);
	if (err)
		return err;
	if (atomic_load(&r->consumer->again)) {
		err = take_again(r, head, take, ret, max, seg_slot_id(self));
		n = err > 0 ? (unsigned int)err : 0;
	}
	from = take;
	while (err >= 0 && n < max && (h = header_of(r, take))) {
		uint64_t next = behind(r, take, head, h);

		if (!next)
			err = ring_damaged(r, "record", take);
		if (!next || header_state(h) == RING_RESERVED)
			break;
		if (header_state(h) == RING_READY) {
			atomic_store_explicit(
				header_at(r, take),
				ring_header(RING_TAKEN, seg_slot_id(self), header_length(h)),
				memory_order_release);
			ret[n].data = payload_at(r, take);
			ret[n++].size = header_length(h);
		}
		take = next;
	}
	seg_crash_point("ring: taken, position behind");
	atomic_store(&r->consumer->take, take);
	/* Nothing but what was cancelled: nobody is going to release it. */
	if (!n && take != from)
		move_head(r, head, take);
	seg_unlock(r->seg, &r->consumer->lock);
	return n ? (int)n : err < 0 ? err : -EAGAIN;
}

int mpmc_release(dsm_ring_t *r, const struct dsm_ring_message *v, unsigned int n)
{
	uint64_t h, head, take;
	int err, result = 0;

	for (unsigned int i = 0; i < n; i++) {
		_Atomic uint64_t *header = mpmc_mine(r, v[i].data, RING_TAKEN, &h);

		if (!header)
			result = seg_error(-EINVAL, "ring: released what was not taken");
		else
			atomic_store_explicit(header, ring_header(RING_DONE, 0, header_length(h)),
					      memory_order_release);
	}
	seg_crash_point("ring: released, head behind");
	err = lock_consumer(r, &head, &take);
	if (err)
		return err;
	move_head(r, head, take);
	seg_unlock(r->seg, &r->consumer->lock);
	return result;
}

int mpmc_return(dsm_ring_t *r, const void *data)
{
	uint64_t h, head, take;
	_Atomic uint64_t *header = mpmc_mine(r, data, RING_TAKEN, &h);
	int err;

	if (!header)
		return seg_error(-EINVAL, "ring: returned what was not taken");
	/* Locked, or a search that is under way would end without it. */
	err = lock_consumer(r, &head, &take);
	if (err)
		return err;
	atomic_store(&r->consumer->again, 1);
	atomic_store(header, ring_header(RING_READY, 0, header_length(h)));
	seg_unlock(r->seg, &r->consumer->lock);
	if (atomic_load(&r->sleep->sleepers))
		ring_wake_consumers(r);
	return 0;
}

/* ------------------------------------------------------------ the dead */

/*
 * A participant that has a record from the head on and is not among the @n of @known;
 * 0: none.
 */
static seg_id next_holder(dsm_ring_t *r, const seg_id *known, unsigned int n)
{
	uint64_t head, take, h, next;
	seg_id found = 0;

	if (lock_consumer(r, &head, &take))
		return 0;
	for (uint64_t pos = head; !found && (h = header_of(r, pos)); pos = next) {
		unsigned int i = 0;

		next = behind(r, pos, head, h);
		if (!next)
			break;
		if (header_state(h) != RING_TAKEN && header_state(h) != RING_RESERVED)
			continue;
		while (i < n && known[i] != header_who(h))
			i++;
		if (i == n)
			found = header_who(h);
	}
	seg_unlock(r->seg, &r->consumer->lock);
	return found;
}

static void bury_one(dsm_ring_t *r, seg_id dead)
{
	uint64_t head, take, h, next;
	bool again = false;

	if (lock_consumer(r, &head, &take))
		return;
	for (uint64_t pos = head; (h = header_of(r, pos)); pos = next) {
		next = behind(r, pos, head, h);
		if (!next)
			break;
		if (header_who(h) != dead)
			continue;
		if (header_state(h) == RING_RESERVED) {
			atomic_store(header_at(r, pos),
				     ring_header(RING_DONE, 0, header_length(h)));
		} else if (header_state(h) == RING_TAKEN) {
			/* Before the header: to be killed in between costs one search in vain. */
			atomic_store(&r->consumer->again, 1);
			atomic_store(header_at(r, pos),
				     ring_header(RING_READY, 0, header_length(h)));
			again = true;
		}
	}
	move_head(r, head, take);
	seg_unlock(r->seg, &r->consumer->lock);
	if (atomic_load(&r->sleep->sleepers) || again)
		ring_wake_consumers(r);
}

int mpmc_bury(dsm_ring_t *r)
{
	seg_id known[64];
	unsigned int n = 0;
	int buried = 0;

	(void)mpmc_pass_done(r);
	while (n < 64 && (known[n] = next_holder(r, known, n))) {
		if (!seg_alive(r->seg, known[n])) {
			bury_one(r, known[n]);
			buried++;
		}
		n++;
	}
	return buried;
}
