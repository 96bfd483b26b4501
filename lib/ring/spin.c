/* SPDX-License-Identifier: MIT */
/*
 * Waiting awake, see lib/segment/spin.h, and how far a waiter stays behind.
 *
 * Staying behind: a consumer at the heels of its producer has every message's cache line moved
 * to and fro several times. If it lets the producer get ahead by a few messages, both run twice
 * as fast. It costs time when one message comes by itself, so it is tried, and kept up while it
 * finds more than one message.
 */
#include "ring.h"

#define SLIP_TURNS 32u
#define HOLD_FIRST 16u
#define HOLD_MOST  1024u

static inline uint32_t get(const _Atomic uint32_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}
static inline void set(_Atomic uint32_t *v, uint32_t value)
{
	atomic_store_explicit(v, value, memory_order_relaxed);
}

void ring_spin_begin(struct ring_end *end)
{
	seg_spin_begin(&end->spin);
	set(&end->holds, HOLD_FIRST);
	set(&end->hold, HOLD_FIRST);
}

static void slip(void)
{
	for (uint32_t i = 0; i < SLIP_TURNS; i++)
		seg_spin_relax();
}

/* There is a message; whether another one follows it. */
static bool has_two(const dsm_ring_t *r)
{
	uint64_t h = atomic_load_explicit(header_at(r, r->take), memory_order_acquire);

	if (!record_fits(r, r->take, h))
		return true;
	return atomic_load_explicit(header_at(r, r->take + record_size(header_length(h))),
				    memory_order_acquire);
}

/* A message has come; let more come if that is how they come. */
static void stay_behind(dsm_ring_t *r, struct ring_end *s)
{
	uint32_t hold = get(&s->hold);

	if (r->kind == DSM_RING_MPMC)
		return;
	if (hold) {
		set(&s->hold, hold - 1);
		return;
	}
	slip();
	if (has_two(r)) {
		set(&s->holds, HOLD_FIRST);
		return;
	}
	if (get(&s->holds) < HOLD_MOST)
		set(&s->holds, 2 * get(&s->holds));
	set(&s->hold, get(&s->holds));
}

static bool message_ready(const void *arg)
{
	return ring_has_message(arg);
}

bool ring_spin_message(dsm_ring_t *r)
{
	enum seg_found found;

	if (r->flags & DSM_RING_SLEEP)
		return false;
	found = seg_spin(&r->recv.spin, message_ready, r);
	if (found == SEG_LOOKED)
		stay_behind(r, &r->recv);
	return found;
}

struct room_wait {
	const _Atomic uint64_t *head;
	uint64_t seen;
};

static bool room_ready(const void *arg)
{
	const struct room_wait *w = arg;

	return atomic_load_explicit(w->head, memory_order_acquire) != w->seen;
}

bool ring_spin_room(dsm_ring_t *r, uint64_t seen)
{
	const struct room_wait w = { &r->consumer->head, seen };
	enum seg_found found;

	if (r->flags & DSM_RING_SLEEP)
		return false;
	found = seg_spin(&r->send.spin, room_ready, &w);
	/* Nobody waits for this message: come back to more room than for one. */
	if (found == SEG_LOOKED)
		slip();
	return found;
}
