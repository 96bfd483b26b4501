/* SPDX-License-Identifier: MIT */
/*
 * Inside libdsm: what a waiter does before it sleeps. It looks for a while, as long as that was
 * of use lately; then it gives the processor away a few times, as long as that was of use. Whoever
 * sleeps must be woken, which costs both sides a system call or two and, on one processor,
 * nothing that a sched_yield() does not do as well.
 *
 * A handle has one of these for each thing that it waits for. Several threads may use it at
 * once: they lose no more than a good guess.
 */
#ifndef DSM_LIB_SEGMENT_SPIN_H
#define DSM_LIB_SEGMENT_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct seg_spin {
	/* Looking. */
	_Atomic uint32_t turns;	 /* of the next wait; 0: it rests */
	_Atomic uint32_t credit; /* late answers and failures to bear with */
	_Atomic uint32_t rest;	 /* waits without looking from now on */
	_Atomic uint32_t pause;	 /* the next rest, in waits */
	_Atomic uint32_t saved;	 /* looks that quick answers have earned, for one that is not */
	/* Yielding. */
	_Atomic uint32_t yields;      /* the last time it was of use; 0: it was not */
	_Atomic uint32_t yield_rest;  /* waits without from now on */
	_Atomic uint32_t yield_pause; /* the next such rest, in waits */
};

enum seg_found {
	SEG_NOTHING = 0,
	SEG_LOOKED = 1,	 /* it came while we looked */
	SEG_YIELDED = 2, /* it came while others had the processor */
};

/* What a wait is for: true when it is there. */
typedef bool (*seg_ready)(const void *arg);

void seg_spin_begin(struct seg_spin *s);
/* How often to look in this wait. */
uint32_t seg_spin_turns(struct seg_spin *s);
/* After looking: it came after @took looks, or not in all @turns of them. */
void seg_spin_paid(struct seg_spin *s, uint32_t took);
void seg_spin_failed(struct seg_spin *s, uint32_t turns);
/* Looks on for as long as quick answers have earned, after @turns looks in vain. */
bool seg_spin_longer(struct seg_spin *s, uint32_t turns, seg_ready ready, const void *arg);
/* How often to yield in this wait, and what came of it; @ns: the time that took. */
uint32_t seg_spin_yields(struct seg_spin *s);
void seg_spin_yielded(struct seg_spin *s, bool paid, uint64_t ns);

/* Gives the processor away until @ready(@arg), a few times at most. */
bool seg_spin_yield(struct seg_spin *s, seg_ready ready, const void *arg);

static inline void seg_spin_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Once in each wait, before sleeping. Inlined, so that looking is no call. */
static inline __attribute__((always_inline)) enum seg_found seg_spin(struct seg_spin *s,
								     seg_ready ready,
								     const void *arg)
{
	uint32_t turns = seg_spin_turns(s);

	for (uint32_t i = 0; i < turns; i++) {
		if (ready(arg)) {
			seg_spin_paid(s, i);
			return SEG_LOOKED;
		}
		seg_spin_relax();
	}
	if (turns && seg_spin_longer(s, turns, ready, arg))
		return SEG_LOOKED;
	return seg_spin_yield(s, ready, arg) ? SEG_YIELDED : SEG_NOTHING;
}

#endif
