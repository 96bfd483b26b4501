/* SPDX-License-Identifier: MIT */
/*
 * The lock word: one 32-bit word per lock, shared between the agent and the
 * programs of its node, changed by compare-and-swap only. It says whether the
 * lock's token is at this node and who holds the lock, so that a program
 * takes and leaves a lock that was here last without a system call (the idea
 * of lock caching: Keleher, Cox, Zwaenepoel, TreadMarks, 1994).
 *
 *   ABSENT          the token is not here: ask the agent
 *   FREE            the token is here, nobody holds the lock
 *   HELD | client   a program of this node holds it
 *   ... | WAIT      with HELD: somebody waits; the holder must tell the agent
 *                   when it unlocks (the CAS to FREE then fails)
 *   DEAD            token here, last holder died: only the agent hands it out
 */
#ifndef DSM_CORE_LOCK_WORD_H
#define DSM_CORE_LOCK_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOCK_WORD_ABSENT 0u
#define LOCK_WORD_FREE	 1u
#define LOCK_WORD_DEAD	 2u
#define LOCK_WORD_WAIT	 0x40000000u
#define LOCK_WORD_HELD	 0x80000000u
#define LOCK_WORD_CLIENT 0x0000ffffu

static inline uint32_t lock_word_held(uint32_t client)
{
	return LOCK_WORD_HELD | (client & LOCK_WORD_CLIENT);
}

/* The program's fast path: true when the lock is taken. */
static inline bool lock_word_try(_Atomic uint32_t *word, uint32_t client)
{
	uint32_t free = LOCK_WORD_FREE;

	/* ORDER: acquire pairs with the release in lock_word_leave(). */
	return atomic_compare_exchange_strong_explicit(word, &free, lock_word_held(client),
						       memory_order_acquire, memory_order_relaxed);
}

/* The program's fast path: false when the agent must be told (or it was not held). */
static inline bool lock_word_leave(_Atomic uint32_t *word, uint32_t client)
{
	uint32_t held = lock_word_held(client);

#ifdef DSM_MUTANT_UNLOCK_RELAXED
	return atomic_compare_exchange_strong_explicit(word, &held, LOCK_WORD_FREE,
						       memory_order_relaxed, memory_order_relaxed);
#endif
	return atomic_compare_exchange_strong_explicit(word, &held, LOCK_WORD_FREE,
						       memory_order_release, memory_order_relaxed);
}

#endif
