// SPDX-License-Identifier: MIT
/*
 * After a kill, or at a thread's end. First what was being done under a lock that the dead
 * still holds, so that it can be released: no other lock is taken meanwhile. Then, with none held,
 * what is left as the living would do it: the frees on their way are sent, the lane is closed,
 * its spans become nobody's.
 */
#include <errno.h>

#include "lib/heap/class.h"

static bool holds(const struct seg_slot *s, struct seg_lock *lock)
{
	return (atomic_load(&lock->word) & SEG_ID_MASK) == seg_slot_id(s);
}

static void idle(struct class_journal *j)
{
	class_step();
	atomic_store_explicit(&j->op, CLASS_IDLE, memory_order_relaxed);
	class_step();
}

/* part->lock is held by the dead. */
static void finish_locked(dsm_heap_t *heap, struct seg_slot *dead)
{
	struct class_heap *h = class_heap(heap);
	struct class_journal *j = class_journal(dead);
	uint64_t run = atomic_load(&j->run), grain = run / SEG_GRAIN;
	uint32_t op = atomic_load(&j->op), group = (uint32_t)(dead - h->slots) / CLASS_LANES;
	bool good = run && run % SEG_GRAIN == 0 && grain < h->grains;

	switch (op) {
	case CLASS_SPAN_TAKE:
#ifndef DSM_MUTANT_HEAP_SPAN_LEAKED
		if (good && !class_word(h, grain))
			class_run_free(heap, run);
#endif
		break;
	case CLASS_SPAN_DROP:
		if (good) {
			atomic_store(&h->table[grain], CLASS_NONE);
			class_run_free(heap, run);
		}
		break;
	case CLASS_LANE_TAKE:
		if (good && atomic_load(&h->part->lanes[group]) != run)
			class_run_free(heap, run);
		break;
	case CLASS_LARGE_ALLOC:
	case CLASS_LARGE_FREE:
		class_large_recover(heap, j, op);
		break;
	default:
		break;
	}
	if (op >= CLASS_SPAN_TAKE)
		idle(j);
	class_out_orphans(heap, j);
	class_orphans_mend(heap, j);
}

/* The lock of a lane was taken, or is held by the dead. */
static void finish_lane(dsm_heap_t *heap, struct seg_slot *dead)
{
	struct class_heap *h = class_heap(heap);
	struct class_journal *j = class_journal(dead);
	uint32_t index = atomic_load(&j->lane) - 1, own = (uint32_t)(dead - h->slots);
	struct class_inbox *inbox = class_inbox(h, index);

	if (inbox && holds(dead, &inbox->lock)) {
		if (index == own)
			class_inbox_empty(heap, own, NULL);
		else if (atomic_load(&inbox->open))
			class_out_push(heap, j, index);
		seg_unlock(heap->seg, &inbox->lock);
	}
	atomic_store(&j->lane, 0);
}

static bool on_its_way(const struct class_journal *j, uint64_t off)
{
	for (uint32_t i = 0; i < CLASS_OUT && i < atomic_load(&j->out_count); i++)
		if (atomic_load(&j->out[i]) == off)
			return true;
	return false;
}

/* No lock is held. A block was moved into a word of the segment, or out of it. */
static void finish_word(dsm_heap_t *heap, struct seg_slot *dead)
{
	struct class_heap *h = class_heap(heap);
	struct class_journal *j = class_journal(dead);
	uint64_t off = atomic_load(&j->off), dest = atomic_load(&j->dest), bit;
	uint32_t word = class_word(h, off / SEG_GRAIN), op = atomic_load(&j->op);
	_Atomic uint64_t *named = heap_dest(heap->seg, dest), *at;
	bool own = class_kind(word) == CLASS_SPAN &&
		   class_slot_of(word) == (uint32_t)(dead - h->slots);

	if (!named || class_span_find(h, off, word, &at, &bit))
		return;
	if (op == CLASS_ALLOC_TO) {
#ifndef DSM_MUTANT_HEAP_UNDONE_KEPT
		if (own && atomic_load(named) != off)
			atomic_fetch_or(at, bit);
#endif
	} else if (op == CLASS_FREE_FROM) {
		if (atomic_load(named) == off)
			atomic_store(named, 0);
		class_step();
#ifdef DSM_MUTANT_HEAP_FREE_FORGOTTEN
		return;
#endif
		if (own)
			atomic_fetch_or(at, bit);
		else if (!on_its_way(j, off) && atomic_load(&j->out_count) < CLASS_OUT)
			class_out(j, off);
	}
}

/* Nobody puts anything in it from now on. */
static int close_lane(dsm_heap_t *heap, struct seg_slot *dead)
{
	struct class_heap *h = class_heap(heap);
	struct class_journal *j = class_journal(dead);
	uint32_t index = (uint32_t)(dead - h->slots);
	struct class_inbox *inbox = class_inbox(h, index);
	int err;

	if (!inbox || !atomic_load(&inbox->open))
		return 0;
	atomic_store(&j->lane, index + 1);
	class_step();
	err = seg_lock(heap->seg, &inbox->lock, SEG_LAYER_HEAP);
	if (err)
		return err;
#ifndef DSM_MUTANT_HEAP_INBOX_LOST
	class_inbox_empty(heap, index, NULL);
#endif
	seg_crash_point("heap: inbox empty, lane not closed");
	atomic_store(&inbox->open, 0);
	seg_unlock(heap->seg, &inbox->lock);
	class_step();
	atomic_store(&j->lane, 0);
	return 0;
}

static int leave_spans(dsm_heap_t *heap, struct seg_slot *dead)
{
	struct class_heap *h = class_heap(heap);
	uint32_t index = (uint32_t)(dead - h->slots);
	int err = seg_lock(h->seg, &h->part->lock, SEG_LAYER_HEAP);

	if (err)
		return err;
	for (uint64_t i = 0; i < h->grains; i++) {
		uint32_t word = class_word(h, i);

		if (class_kind(word) == CLASS_SPAN && class_slot_of(word) == index)
			class_orphan_make(heap, class_journal(dead), i);
	}
	seg_unlock(h->seg, &h->part->lock);
	return 0;
}

void class_recover(dsm_heap_t *heap, struct seg_slot *dead)
{
	struct class_heap *h = class_heap(heap);
	struct class_journal *j = class_journal(dead);

	class_lane_forget(h, dead);
	if (holds(dead, &h->part->lock)) {
		finish_locked(heap, dead);
		seg_unlock(heap->seg, &h->part->lock);
	}
	if (atomic_load(&j->lane))
		finish_lane(heap, dead);
	if (atomic_load(&j->op) != CLASS_IDLE) {
		finish_word(heap, dead);
		idle(j);
	}
	if (class_out_flush(heap, dead, NULL, true) || close_lane(heap, dead) ||
	    leave_spans(heap, dead))
		return; /* the cluster is gone */
	atomic_store(&j->joined, 0);
}
