/* SPDX-License-Identifier: MIT */
/*
 * How long a waiter spins before it sleeps, and how far it stays behind.
 *
 * Spinning pays when what is awaited comes sooner than a sleeper wakes. So the time to spin
 * follows what it took lately, and goes to nothing where it is in vain. Two that wait for each
 * other by turns would then never find out that neither need sleep: each sees but the time the
 * other takes to wake. Hence the probes: seldom, and ever more so, a waiter spins for as long
 * as a wake-up takes; if that pays, it does so a few times more, until the other one has probed
 * too.
 *
 * Staying behind: a consumer at the heels of its producer has every message's cache line moved
 * to and fro several times. If it lets the producer get ahead by a few messages, both run twice
 * as fast. It costs time when one message comes by itself, so it is tried, and kept up while it
 * finds more than one message.
 */
#include "ring.h"

/* In turns, of some 30 ns each. */
#define SPIN_FIRST 128u
#define SPIN_LEAST 8u	 /* less is none */
#define SPIN_MOST  512u	 /* in the long run */
#define SPIN_PROBE 1500u /* as long as it takes to wake */
#define SLIP_TURNS 32u

#define CREDIT	       32u /* long spins after a probe that paid */
#define INTERVAL_FIRST 16u
#define INTERVAL_MOST  2048u
#define HOLD_FIRST     16u
#define HOLD_MOST      1024u

static inline uint32_t get(const _Atomic uint32_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}
static inline void set(_Atomic uint32_t *v, uint32_t value)
{
	atomic_store_explicit(v, value, memory_order_relaxed);
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void ring_spin_begin(struct ring_spin *s)
{
	set(&s->turns, SPIN_FIRST);
	set(&s->interval, INTERVAL_FIRST);
	set(&s->probe, INTERVAL_FIRST);
	set(&s->holds, HOLD_FIRST);
	set(&s->hold, HOLD_FIRST);
}

/* How long to spin this time. */
static uint32_t spin_turns(struct ring_spin *s)
{
	uint32_t probe = get(&s->probe);

	if (get(&s->turns) >= SPIN_LEAST)
		return get(&s->turns);
	set(&s->probe, probe ? probe - 1 : get(&s->interval));
	return probe ? 0 : SPIN_PROBE;
}

static void next_probe(struct ring_spin *s, uint32_t interval)
{
	set(&s->turns, 0);
	set(&s->interval, interval < INTERVAL_MOST ? interval : INTERVAL_MOST);
	set(&s->probe, get(&s->interval));
}

/* It paid, after @took turns. */
static void spin_paid(struct ring_spin *s, uint32_t took)
{
	uint32_t most = get(&s->turns) * 7 / 8, twice = 2 * took + SPIN_FIRST;

	if (took <= SPIN_MOST) {
		set(&s->turns, most > twice ? most : twice < SPIN_MOST ? twice : SPIN_MOST);
		set(&s->interval, INTERVAL_FIRST);
		set(&s->credit, 0);
	} else if (!get(&s->credit)) {
		set(&s->credit, CREDIT);
		set(&s->turns, SPIN_PROBE);
	} else if (get(&s->credit) == 1) {
		set(&s->credit, 0);
		next_probe(s, 2 * get(&s->interval));
	} else {
		set(&s->credit, get(&s->credit) - 1);
	}
}

static void spin_failed(struct ring_spin *s, uint32_t turns)
{
	set(&s->credit, 0);
	if (turns == SPIN_PROBE)
		next_probe(s, 2 * get(&s->interval));
	else if (turns / 2 < SPIN_LEAST)
		next_probe(s, get(&s->interval));
	else
		set(&s->turns, turns / 2);
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
static void stay_behind(dsm_ring_t *r, struct ring_spin *s)
{
	uint32_t hold = get(&s->hold);

	if (r->kind == DSM_RING_MPMC)
		return;
	if (hold) {
		set(&s->hold, hold - 1);
		return;
	}
	for (uint32_t i = 0; i < SLIP_TURNS; i++)
		relax();
	if (has_two(r)) {
		set(&s->holds, HOLD_FIRST);
		return;
	}
	if (get(&s->holds) < HOLD_MOST)
		set(&s->holds, 2 * get(&s->holds));
	set(&s->hold, get(&s->holds));
}

bool ring_spin_message(dsm_ring_t *r)
{
	struct ring_spin *s = &r->recv.spin;
	uint32_t turns = spin_turns(s);

	for (uint32_t i = 0; i < turns; i++) {
		if (ring_has_message(r)) {
			spin_paid(s, i);
			stay_behind(r, s);
			return true;
		}
		relax();
	}
	if (turns)
		spin_failed(s, turns);
	return false;
}

bool ring_spin_room(dsm_ring_t *r, uint64_t seen)
{
	struct ring_spin *s = &r->send.spin;
	uint32_t turns = spin_turns(s);

	for (uint32_t i = 0; i < turns; i++) {
		if (atomic_load_explicit(&r->consumer->head, memory_order_acquire) != seen) {
			spin_paid(s, i);
			/* Nobody waits for this message: come back to more room than for one. */
			for (i = 0; i < SLIP_TURNS; i++)
				relax();
			return true;
		}
		relax();
	}
	if (turns)
		spin_failed(s, turns);
	return false;
}
