// SPDX-License-Identifier: MIT
/* Free: what is no matter of one word in a bitmap of one's own. */
#include <errno.h>

#include "lib/heap/class_fast.h"

/* True: @off is already on its way to its owner, by the calling thread. */
static bool in_out(const struct class_journal *j, uint64_t off)
{
	uint32_t n = atomic_load_explicit(&j->out_count, memory_order_relaxed);

	for (uint32_t i = 0; i < n && i < CLASS_OUT; i++)
		if (atomic_load_explicit(&j->out[i], memory_order_relaxed) == off)
			return true;
	return false;
}

/* A block was given out at @off and is not free. */
static int check(dsm_heap_t *heap, struct class_lane *l, uint64_t off, uint32_t word)
{
	struct class_heap *h = class_heap(heap);
	_Atomic uint64_t *at;
	uint64_t bit;
	int err = class_span_find(h, off, word, &at, &bit);

	if (err)
		return err;
	if (atomic_load_explicit(at, memory_order_relaxed) & bit)
		return -EALREADY;
	at = class_remote(h, off / SEG_GRAIN) + (at - class_bitmap(h, off / SEG_GRAIN));
	if (atomic_load_explicit(at, memory_order_relaxed) & bit)
		return -EALREADY;
	/* For who looks for his mistakes, all of those are looked at too. */
	return heap->flags && in_out(l->journal, off) ? -EALREADY : 0;
}

/* The calling thread's by the table, and then by what it knows. */
static bool is_own(struct class_lane *l, uint64_t grain, uint32_t word)
{
	struct class_heap *h = class_heap(l->heap);

	if (class_kind(word) != CLASS_SPAN || class_slot_of(word) != l->index || !l->inbox)
		return false;
	if (atomic_load_explicit(&h->grain[grain].tag, memory_order_relaxed) != l->tag)
		class_span_learn(l, grain, class_of_word(word));
	return true;
}

static void begin_free_from(dsm_heap_t *heap, struct class_journal *j, uint64_t off, uint64_t dest)
{
	atomic_store_explicit(&j->off, off, memory_order_relaxed);
	atomic_store_explicit(&j->dest, dest, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->op, CLASS_FREE_FROM, memory_order_relaxed);
	class_step();
	atomic_store_explicit((_Atomic uint64_t *)seg_at(heap->seg, dest), 0, memory_order_relaxed);
	class_step();
	seg_crash_point("heap: block not named any more, not free");
}

static int free_block(dsm_heap_t *heap, struct class_lane *l, struct heap_ask *ask, uint64_t off,
		      uint32_t word)
{
	struct class_heap *h = class_heap(heap);
	int err = check(heap, l, off, word);
	bool own = !err && is_own(l, off / SEG_GRAIN, word);

	if (!err && !own)
		err = class_out_room(l);
	if (!err && ask->fill)
		err = ask->fill(ask, h->base + off, class_sizes[class_of_word(word)].size);
	if (err)
		return err;
	if (ask->dest)
		begin_free_from(heap, l->journal, off, ask->dest);
	if (own)
		(void)class_free_own(h, l, off);
	else
		class_out(l->journal, off);
	class_step();
	seg_crash_point("heap: block freed, and still noted");
	if (ask->dest)
		atomic_store_explicit(&l->journal->op, CLASS_IDLE, memory_order_relaxed);
	if (l->empties > 2 * CLASS_SPARE)
		class_span_trim(l, CLASS_SPARE);
	return 0;
}

int class_free(dsm_heap_t *heap, struct heap_ask *ask, uint64_t off)
{
	struct class_lane *l = class_lane(heap);
	uint32_t word = class_word(class_heap(heap), off / SEG_GRAIN);

	if (!l)
		return -EUSERS;
	switch (class_kind(word)) {
	case CLASS_LARGE:
		return class_large_free(l, ask, off);
	case CLASS_SPAN:
	case CLASS_ORPHAN:
		return free_block(heap, l, ask, off, word);
	default:
		return -EINVAL;
	}
}
