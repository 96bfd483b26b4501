// SPDX-License-Identifier: MIT
/*
 * Robust locks: the word holds the participant, whose slot lists the lock
 * before it is taken and until after it is released. A list kept by the
 * holder is what the kernel's robust futexes do too (Documentation/locking/robust-futexes.rst).
 */
#include <errno.h>

#include "lib/segment/lock.h"

#define LOCK_WAITED    0x80000000u
#define LAYER_MASK     7u
#define SLICE_FIRST_US 1000u
#define SLICE_LAST_US  16000u

static_assert(SEG_LAYERS <= LAYER_MASK, "a layer fits beside an aligned offset");

/* NULL: the thread holds more than it ever should. */
static _Atomic uint64_t *held_free(struct seg_slot *self)
{
	for (int i = 0; i < SEG_HELD_MAX; i++)
		if (!atomic_load_explicit(&self->held[i], memory_order_relaxed))
			return &self->held[i];
	return NULL;
}

static _Atomic uint64_t *held_find(struct seg_slot *self, uint64_t off)
{
	for (int i = 0; i < SEG_HELD_MAX; i++)
		if ((atomic_load_explicit(&self->held[i], memory_order_relaxed) &
		     ~(uint64_t)LAYER_MASK) == off)
			return &self->held[i];
	return NULL;
}

/* Somebody has it, or had it. -EDEADLK: the caller itself. */
static int lock_slow(dsm_segment_t *seg, struct seg_lock *lock, uint32_t id, enum seg_layer layer)
{
	uint64_t slice = SLICE_FIRST_US;
	uint32_t word;

	for (uint32_t i = 0; i < seg->backend->spins; i++) {
		if (!atomic_load_explicit(&lock->word, memory_order_relaxed) &&
		    seg_lock_take(lock, id))
			return 0;
		__builtin_ia32_pause();
	}
	/* From now on with the mark: who else sleeps is not known. */
	while (!seg_lock_take(lock, id | LOCK_WAITED)) {
		word = atomic_load_explicit(&lock->word, memory_order_relaxed);
		if (!word)
			continue;
		if ((word & SEG_ID_MASK) == id)
			return seg_error(-EDEADLK, "%s: a lock that this thread has already",
					 seg->priv->uri);
		if (!(word & LOCK_WAITED) && !atomic_compare_exchange_weak_explicit(
						     &lock->word, &word, word | LOCK_WAITED,
						     memory_order_relaxed, memory_order_relaxed))
			continue;
		word |= LOCK_WAITED;
		if (seg_wait(seg, &lock->word, word, slice) != -ETIMEDOUT)
			continue;
		if (atomic_load_explicit(&lock->word, memory_order_relaxed) == word &&
		    seg_recover_upto(seg, word & SEG_ID_MASK, layer) &&
		    /* Held by nobody that ever lived: damage, which must not stop us for ever. */
		    atomic_compare_exchange_strong_explicit(&lock->word, &word, id | LOCK_WAITED,
							    memory_order_acquire,
							    memory_order_relaxed))
			return 0;
		if (slice < SLICE_LAST_US)
			slice *= 2;
	}
	return 0;
}

int seg_lock(dsm_segment_t *seg, struct seg_lock *lock, enum seg_layer layer)
{
	struct seg_slot *self = seg_self(seg);
	_Atomic uint64_t *held = self ? held_free(self) : NULL;
	uint32_t id;
	int err = 0;

	if (unlikely(!held))
		return self ? seg_error(-EDEADLK, "a thread holds too many locks") : -EUSERS;
	id = seg_slot_id(self);
	atomic_store_explicit(held, seg_off(seg, lock) | layer, memory_order_relaxed);
	/* A kill leaves what was executed, in the order of the program. */
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(!seg_lock_take(lock, id)))
		err = lock_slow(seg, lock, id, layer);
	if (unlikely(err))
		atomic_store_explicit(held, 0, memory_order_relaxed);
	return err;
}

int seg_trylock(dsm_segment_t *seg, struct seg_lock *lock, enum seg_layer layer)
{
	struct seg_slot *self = seg_self(seg);
	_Atomic uint64_t *held = self ? held_free(self) : NULL;

	if (unlikely(!held))
		return self ? seg_error(-EDEADLK, "a thread holds too many locks") : -EUSERS;
	atomic_store_explicit(held, seg_off(seg, lock) | layer, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (seg_lock_take(lock, seg_slot_id(self)))
		return 0;
	atomic_store_explicit(held, 0, memory_order_relaxed);
	return -EBUSY;
}

void seg_unlock(dsm_segment_t *seg, struct seg_lock *lock)
{
	struct seg_slot *self = seg_self(seg);
	_Atomic uint64_t *held = held_find(self, seg_off(seg, lock));

	if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) & LOCK_WAITED)
		seg_wake(seg, &lock->word, 1);
	atomic_signal_fence(memory_order_seq_cst);
	if (held)
		atomic_store_explicit(held, 0, memory_order_relaxed);
	if (unlikely(atomic_load_explicit(&seg->priv->npending, memory_order_relaxed)) &&
	    !seg_recovering && seg_holds_nothing(self))
		seg_recover_pending(seg);
}

int seg_wait(dsm_segment_t *seg, _Atomic uint32_t *word, uint32_t expected, uint64_t timeout_us)
{
	if (atomic_load_explicit(word, memory_order_acquire) != expected)
		return 0;
	return seg->backend->wait(seg, word, expected, timeout_us);
}

void seg_wake(dsm_segment_t *seg, _Atomic uint32_t *word, int n)
{
	seg->backend->wake(seg, word, n);
}
