// SPDX-License-Identifier: MIT
/* What a thread keeps of its spans, and where others leave what they freed of them. */
#include <errno.h>
#include <stdlib.h>

#include "lib/heap/class.h"

/* Nothing is known; @l is the calling thread's from now on. */
static void begin(struct class_heap *h, struct class_lane *l, dsm_heap_t *heap,
		  struct seg_slot *slot)
{
	memset(l, 0, sizeof(*l));
	l->heap = heap;
	l->slot = slot;
	l->journal = class_journal(slot);
	l->index = (uint32_t)(slot - h->slots);
	do
		l->tag = atomic_fetch_add(&h->tags, 1) + 1;
	while (!l->tag);
	for (uint32_t i = 0; i < CLASS_COUNT; i++) {
		l->work[i].at = &h->no_word;
		l->work[i].grain = &h->none;
	}
	atomic_store_explicit(&l->journal->joined, 1, memory_order_relaxed);
	l->key = class_lane_key(h, slot);
}

struct class_lane *class_lane_slow(dsm_heap_t *heap, struct seg_slot *slot)
{
	struct class_heap *h = class_heap(heap);
	_Atomic(struct class_lane *) *at = &h->lanes[slot - h->slots];
	struct class_lane *l = atomic_load(at);

	if (!l) {
		l = aligned_alloc(SEG_LINE, (sizeof(*l) + SEG_LINE - 1) / SEG_LINE * SEG_LINE);
		if (!l) {
			(void)seg_error(-ENOMEM, "no memory");
			return NULL;
		}
		l->key = 0;
		atomic_store_explicit(at, l, memory_order_release);
	}
	begin(h, l, heap, slot);
	return l;
}

void class_lane_forget(struct class_heap *h, struct seg_slot *slot)
{
	struct class_lane *l = atomic_load(&h->lanes[slot - h->slots]);

	if (l)
		l->key = 0;
}

struct class_inbox *class_inbox(const struct class_heap *h, uint32_t slot)
{
	uint64_t off;

	if (slot >= SEG_SLOTS)
		return NULL;
	off = atomic_load_explicit(&h->part->lanes[slot / CLASS_LANES], memory_order_acquire);
	if (!seg_checked(h->seg, off, SEG_GRAIN, SEG_GRAIN))
		return NULL;
	return (void *)(h->base + off + slot % CLASS_LANES * sizeof(struct class_inbox));
}

/* Under part->lock: a grain for the inboxes of sixteen slots, if there is none. */
static int take_grain(struct class_lane *l)
{
	struct class_heap *h = class_heap(l->heap);
	struct class_journal *j = l->journal;
	bool zeroed;
	uint64_t off;
	int err;

	if (class_inbox(h, l->index))
		return 0;
	atomic_store_explicit(&j->run, 0, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->op, CLASS_LANE_TAKE, memory_order_relaxed);
	class_step();
	err = seg_grains_alloc(h->seg, 1, &off, &zeroed);
	if (!err) {
		atomic_store_explicit(&j->run, off, memory_order_relaxed);
		if (!zeroed)
			memset(h->base + off, 0, SEG_GRAIN);
		seg_grains_adopt(h->seg, off, l->heap->root);
		seg_crash_point("heap: lanes adopted, not known");
		atomic_store_explicit(&h->part->lanes[l->index / CLASS_LANES], off,
				      memory_order_release);
	}
	class_step();
	atomic_store_explicit(&j->op, CLASS_IDLE, memory_order_relaxed);
	return err;
}

int class_lane_open(struct class_lane *l)
{
	struct class_heap *h = class_heap(l->heap);
	struct class_inbox *inbox = class_inbox(h, l->index);
	int err;

	if (!inbox) {
		err = seg_lock(h->seg, &h->part->lock, SEG_LAYER_HEAP);
		if (err)
			return err;
		err = take_grain(l);
		seg_unlock(h->seg, &h->part->lock);
		inbox = class_inbox(h, l->index);
		if (err || !inbox)
			return err ? err : -EBADMSG;
	}
	atomic_store(&inbox->open, seg_slot_id(l->slot));
	l->inbox = inbox;
	return 0;
}
