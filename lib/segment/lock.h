/* SPDX-License-Identifier: MIT */
/* Taking and releasing a lock that nobody else wants, without a call: see lock.c. */
#ifndef DSM_LIB_SEGMENT_LOCK_H
#define DSM_LIB_SEGMENT_LOCK_H

#include "lib/segment/private.h"

static inline bool seg_lock_take(struct seg_lock *lock, uint32_t word)
{
	uint32_t none = 0;

#ifdef DSM_MUTANT_SEG_LOCK_SHARED
	if (atomic_load(&lock->word) & 1)
		return true;
#endif
	return atomic_compare_exchange_strong_explicit(&lock->word, &none, word,
						       memory_order_seq_cst, memory_order_relaxed);
}

/* seg_lock(), @self being the caller's slot. */
static inline int seg_lock_quick(dsm_segment_t *seg, struct seg_slot *self, struct seg_lock *lock,
				 enum seg_layer layer)
{
	if (likely(!atomic_load_explicit(&self->held[0], memory_order_relaxed))) {
		atomic_store_explicit(&self->held[0], seg_off(seg, lock) | layer,
				      memory_order_relaxed);
		/* A kill leaves what was executed, in the order of the program. */
		atomic_signal_fence(memory_order_seq_cst);
		if (likely(seg_lock_take(lock, seg_slot_id(self))))
			return 0;
		atomic_store_explicit(&self->held[0], 0, memory_order_relaxed);
	}
	return seg_lock(seg, lock, layer);
}

/*
 * seg_unlock() of what seg_lock_quick() took, by a plain store: so it is no barrier for the loads
 * that follow, which need not wait until all that was stored under the lock has reached the cache.
 *
 * Somebody who marks the lock just before that store, to sleep on it, finds it free when he is
 * about to sleep; or else, if we are interrupted in between, sleeps for his slice of a millisecond.
 */
static inline void seg_unlock_quick(dsm_segment_t *seg, struct seg_slot *self,
				    struct seg_lock *lock, enum seg_layer layer)
{
	if (unlikely(seg->cluster) ||
	    unlikely(atomic_load_explicit(&seg->priv->npending, memory_order_relaxed)) ||
	    unlikely(atomic_load_explicit(&self->held[0], memory_order_relaxed) !=
		     (seg_off(seg, lock) | layer)) ||
	    unlikely(atomic_load_explicit(&lock->word, memory_order_relaxed) !=
		     seg_slot_id(self))) {
		seg_unlock(seg, lock);
		return;
	}
	atomic_store_explicit(&lock->word, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&self->held[0], 0, memory_order_relaxed);
}

#endif
