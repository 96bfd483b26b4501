// SPDX-License-Identifier: MIT
/*
 * How long to look, and whether to yield, before sleeping.
 *
 * Looking pays when what is awaited comes sooner than a sleeper wakes. So its time follows what
 * it took lately. Where it was of no use it rests for a number of waits, twice as many each time,
 * and then tries as long as being woken takes. When that is answered, but late, the other side
 * may be asleep each time, and resting: so it goes on until that one has tried as well.
 *
 * Now and then the other side is held up: by an interrupt, or because its processor was taken from
 * it. Whoever sleeps then makes the other one wait for a wake-up, who sleeps in turn, and it
 * is long until both are awake again. So each quick answer earns a few looks, to be spent where one
 * is not quick. What looking in vain can cost is thus a small part of each message.
 *
 * Yielding pays when the other side runs on the same processor, or is quick, and
 * nobody else is there to take the time slice. Two of one processor that wait for each other by
 * turns then need neither to sleep nor to wake each other. If it took longer than being woken
 * does, others want the processor. A sleeper that is woken is let run before them; who yields waits
 * for a time slice to end, which may cost as much as a thousand wake-ups. So the rest after that is
 * as long as it takes for the loss to be a small part of all waits.
 */
#include "lib/segment/spin.h"

#include <sched.h>

#include "lib/segment/segment.h"

/* Looks, of some 30 ns each. */
#define LEAST	   8u	 /* less is none */
#define FIRST	   128u	 /* beyond what it took last */
#define MOST	   512u	 /* in the long run */
#define PROBE	   1500u /* about as long as it takes to be woken */
#define REST_FIRST 64u	 /* waits */
#define REST_MOST  256u	 /* not more, for two sides that rest to meet */
#define CREDIT	   (2 * REST_FIRST)

#define EARNED	   2u		/* by a quick answer */
#define SAVED_MOST (2u * PROBE) /* held up, asleep and woken */

#define YIELDS		 3u
#define YIELD_LATE_NS	 40000u
#define YIELD_REST_FIRST 8u
#define YIELD_REST_MOST	 1024u
#define YIELD_LOSS_NS	 250u /* of each wait, by yields that were late */

static uint32_t get(const _Atomic uint32_t *x)
{
	return atomic_load_explicit(x, memory_order_relaxed);
}

static void set(_Atomic uint32_t *x, uint32_t value)
{
	atomic_store_explicit(x, value, memory_order_relaxed);
}

void seg_spin_begin(struct seg_spin *s)
{
	set(&s->turns, FIRST);
	set(&s->credit, CREDIT);
	set(&s->rest, 0);
	set(&s->pause, REST_FIRST);
	set(&s->saved, 0);
	set(&s->yields, 0);
	set(&s->yield_rest, 0);
	set(&s->yield_pause, YIELD_REST_FIRST);
}

uint32_t seg_spin_turns(struct seg_spin *s)
{
	uint32_t rest = get(&s->rest);

	if (get(&s->turns))
		return get(&s->turns);
	if (rest) {
		set(&s->rest, rest - 1);
		return 0;
	}
	/* Where yielding does, a long look would cost more than it can win. */
	return get(&s->yields) ? FIRST : PROBE;
}

static void rest(struct seg_spin *s)
{
	uint32_t next = 2 * get(&s->pause);

	set(&s->turns, 0);
	set(&s->credit, 0);
	set(&s->rest, get(&s->pause));
	set(&s->pause, next < REST_MOST ? next : REST_MOST);
}

void seg_spin_paid(struct seg_spin *s, uint32_t took)
{
	uint32_t credit = get(&s->credit), turns = 2 * took + FIRST;

	if (took <= MOST) {
		/* One quick answer says little about the next. */
		if (get(&s->turns) <= MOST && get(&s->turns) * 7 / 8 > turns)
			turns = get(&s->turns) * 7 / 8;
		set(&s->turns, turns < MOST ? turns : MOST);
		set(&s->credit, 0);
		set(&s->pause, REST_FIRST);
		if (get(&s->saved) < SAVED_MOST)
			set(&s->saved, get(&s->saved) + EARNED);
	} else if (credit == 1) {
		rest(s);
	} else {
		set(&s->turns, PROBE);
		set(&s->credit, credit ? credit - 1 : CREDIT);
	}
}

void seg_spin_failed(struct seg_spin *s, uint32_t turns)
{
	uint32_t credit = get(&s->credit);

	if (turns < PROBE && turns / 2 >= LEAST && get(&s->turns))
		set(&s->turns, turns / 2);
	else if (turns == PROBE && credit > CREDIT / 8)
		set(&s->credit, credit - CREDIT / 8);
	else
		rest(s);
}

bool seg_spin_longer(struct seg_spin *s, uint32_t turns, seg_ready ready, const void *arg)
{
	uint32_t saved = get(&s->saved);

	for (uint32_t i = 0; i < saved; i++) {
		if (ready(arg)) {
			set(&s->saved, saved - i);
			return true;
		}
		seg_spin_relax();
	}
	set(&s->saved, 0);
	seg_spin_failed(s, turns);
	return false;
}

uint32_t seg_spin_yields(struct seg_spin *s)
{
	uint32_t rest = get(&s->yield_rest);

	if (!rest)
		return YIELDS;
	set(&s->yield_rest, rest - 1);
	return 0;
}

void seg_spin_yielded(struct seg_spin *s, bool paid, uint64_t ns)
{
	uint32_t pause = get(&s->yield_pause);
	bool late = ns >= YIELD_LATE_NS;

	set(&s->yields, paid && !late);
	if (late) {
		set(&s->yield_rest, (uint32_t)(ns / YIELD_LOSS_NS));
	} else if (paid) {
		set(&s->yield_pause, YIELD_REST_FIRST);
	} else {
		set(&s->yield_rest, pause);
		set(&s->yield_pause, 2 * pause < YIELD_REST_MOST ? 2 * pause : YIELD_REST_MOST);
	}
}

bool seg_spin_yield(struct seg_spin *s, seg_ready ready, const void *arg)
{
	uint32_t yields = seg_spin_yields(s);
	uint64_t start = yields ? seg_now_ns() : 0;
	bool found = false;

	for (uint32_t i = 0; i < yields && !found; i++) {
		sched_yield();
		found = ready(arg);
	}
	if (yields)
		seg_spin_yielded(s, found, seg_now_ns() - start);
	return found;
}
