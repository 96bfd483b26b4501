/* SPDX-License-Identifier: MIT */
/* What nearly every call comes to: one word of a bitmap that is the calling thread's own. */
#ifndef DSM_HEAP_CLASS_FAST_H
#define DSM_HEAP_CLASS_FAST_H

#include "lib/heap/class.h"

/* The lowest free block of the current word, given out. 0: it has none. */
static inline uint64_t class_take(struct class_work *w, uint32_t size)
{
	uint64_t bits = atomic_load_explicit(w->at, memory_order_relaxed) & w->mask;

	if (unlikely(!bits))
		return 0;
	atomic_store_explicit(w->at, bits & (bits - 1), memory_order_relaxed);
	w->grain->used++;
	return w->base + (uint64_t)__builtin_ctzll(bits) * size;
}

/* 0: look closer. */
static inline uint64_t class_alloc_fast(dsm_heap_t *heap, uint64_t size)
{
	struct class_lane *l;
	uint32_t class;

	if (unlikely(size - 1 >= CLASS_MAX))
		return 0;
	class = class_by_units[(size + 15) / 16];
	l = class_lane(heap);
	return likely(l != NULL) ? class_take(&l->work[class], class_sizes[class].size) : 0;
}

/* The block at @off of a span that @l knows to be its own is free. False: look closer. */
static inline bool class_free_own(struct class_heap *h, struct class_lane *l, uint64_t off)
{
	uint64_t index = off / SEG_GRAIN, bit, bits;
	const struct class_size *s;
	struct class_grain *g;
	_Atomic uint64_t *word;
	uint32_t i;

	if (unlikely(index >= h->grains))
		return false;
	g = &h->grain[index];
	if (atomic_load_explicit(&g->tag, memory_order_relaxed) != l->tag)
		return false;
	s = &class_sizes[g->class];
	i = class_block(s, off);
	if (unlikely(i == UINT32_MAX))
		return false;
	word = class_bitmap(h, index) + i / 64;
	bit = 1ull << i % 64;
	bits = atomic_load_explicit(word, memory_order_relaxed);
	if (unlikely(bits & bit))
		return false;
	atomic_store_explicit(word, bits | bit, memory_order_relaxed);
	g->used--;
	if (unlikely(g->state == SPAN_FULL || !g->used))
		class_span_freed(l, index);
	return true;
}

static inline bool class_free_fast(dsm_heap_t *heap, uint64_t off)
{
	struct class_lane *l = class_lane(heap);

	if (unlikely(!l) || !class_free_own(class_heap(heap), l, off))
		return false;
	if (unlikely(l->empties > 2 * CLASS_SPARE))
		class_span_trim(l, CLASS_SPARE);
	return true;
}

#endif
