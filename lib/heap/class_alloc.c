// SPDX-License-Identifier: MIT
/* Allocate: where the next free block of a class is. */
#include <errno.h>

#include "lib/heap/class_fast.h"

/* Have blocks be taken from word @i of the current span, if it has one. */
static bool use_word(struct class_heap *h, struct class_work *w, uint32_t i)
{
	const struct class_size *s = &class_sizes[w->grain->class];
	_Atomic uint64_t *at = class_bitmap(h, w->current) + i;
	uint64_t mask = class_mask(s, i);

	if (!(atomic_load_explicit(at, memory_order_relaxed) & mask))
		return false;
	w->at = at;
	w->mask = mask;
	w->word = i;
	w->base = (uint64_t)w->current * SEG_GRAIN + CLASS_DATA + (uint64_t)i * 64 * s->size;
	return true;
}

/* Another word of the current span. */
static bool next_word(struct class_heap *h, struct class_work *w)
{
	const struct class_size *s;

	if (!w->current)
		return false;
	s = &class_sizes[w->grain->class];
	if (w->grain->used >= s->count)
		return false;
	for (uint32_t n = 1; n <= s->words; n++) {
		uint32_t i = w->word + n;

		if (use_word(h, w, i < s->words ? i : i - s->words))
			return true;
	}
	return false;
}

/* Make the first partial span the current one. */
static bool next_span(struct class_lane *l, struct class_work *w)
{
	struct class_heap *h = class_heap(l->heap);

	while (w->first) {
		uint32_t i = w->first;

		if (w->current)
			w->grain->state = SPAN_FULL;
		class_span_unlink(l, i);
		w->current = i;
		w->grain = &h->grain[i];
		w->grain->state = SPAN_CURRENT;
		w->word = class_sizes[w->grain->class].words - 1; /* so that 0 is next */
		if (next_word(h, w))
			return true;
		/* Its bitmap does not say what we know: leave it alone. */
		w->grain->used = (uint16_t)class_sizes[w->grain->class].count;
	}
	return false;
}

/* What others freed of ours, if it is much, or we need it. */
static void drain_if(struct class_lane *l, uint32_t least)
{
	if (l->inbox && (atomic_load_explicit(&l->inbox->count, memory_order_relaxed) >= least ||
			 atomic_load_explicit(&l->inbox->overflow, memory_order_relaxed)))
		(void)class_drain(l);
}

static bool look(struct class_lane *l, struct class_work *w)
{
	struct class_heap *h = class_heap(l->heap);

	if (next_word(h, w))
		return true;
	drain_if(l, CLASS_OUT_SOON);
	if (next_word(h, w) || next_span(l, w))
		return true;
	drain_if(l, 1);
	return next_word(h, w) || next_span(l, w);
}

/* The word of @class has a free block. -ENOMEM. */
static int refill(struct class_lane *l, uint32_t class)
{
	struct class_work *w = &l->work[class];
	int err;

	if (look(l, w))
		return 0;
	err = class_span_get(l, class);
	if (err == -ENOMEM) {
		/* Full: let go of what may be of use to others, us included. */
		(void)class_out_flush(l->heap, l->slot, l, true);
		class_span_trim(l, 0);
		err = look(l, w) ? 0 : class_span_get(l, class);
	}
	if (err)
		return err;
	return look(l, w) ? 0
			  : seg_error(-EBADMSG, "the heap is damaged: a span that should have free "
						"blocks has none");
}

/* What to ask for so that the block is aligned; more than CLASS_MAX: a run of its own. */
static uint64_t aligned_size(const struct heap_ask *ask)
{
	uint64_t size = ask->size > ask->align ? ask->size : ask->align;

	if (ask->align <= HEAP_ALIGN)
		return ask->size;
	if (size > CLASS_DATA)
		return CLASS_MAX + 1;
	return size <= 16 ? 16 : 1ull << (64 - __builtin_clzll(size - 1));
}

static void note_alloc_to(struct class_journal *j, uint64_t off, uint64_t dest)
{
	atomic_store_explicit(&j->off, off, memory_order_relaxed);
	atomic_store_explicit(&j->dest, dest, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->op, CLASS_ALLOC_TO, memory_order_relaxed);
	class_step();
}

/* The current word of @w has a free block: give it out as one step with what @ask wants. */
static uint64_t give(struct class_lane *l, struct class_work *w, uint32_t size,
		     struct heap_ask *ask)
{
	uint8_t *base = class_heap(l->heap)->base;
	uint64_t bits = atomic_load_explicit(w->at, memory_order_relaxed) & w->mask, off;

	if (ask->dest && bits)
		note_alloc_to(l->journal, w->base + (uint64_t)__builtin_ctzll(bits) * size,
			      ask->dest);
	off = class_take(w, size);
	class_step();
	if (off && ask->fill)
		(void)ask->fill(ask, base + off, size);
	if (!ask->dest || !bits)
		return off;
	seg_crash_point("heap: block given out, not named");
	atomic_store_explicit((_Atomic uint64_t *)(void *)(base + ask->dest), off,
			      memory_order_release);
	class_step();
	atomic_store_explicit(&l->journal->op, CLASS_IDLE, memory_order_relaxed);
	return off;
}

int class_alloc(dsm_heap_t *heap, struct heap_ask *ask, uint64_t *ret)
{
	struct class_lane *l = class_lane(heap);
	uint64_t size = aligned_size(ask), off;
	uint32_t class;
	int err;

	if (!l)
		return -EUSERS;
	if (size > CLASS_MAX)
		return class_large_alloc(l, ask, ret);
	class = class_by_units[(size + 15) / 16];
	for (;;) {
		off = give(l, &l->work[class], class_sizes[class].size, ask);
		if (off)
			break;
		err = refill(l, class);
		if (err)
			return err;
	}
	*ret = off;
	return 0;
}

int class_usable(dsm_heap_t *heap, uint64_t off, uint64_t *ret)
{
	struct class_heap *h = class_heap(heap);
	uint32_t word = class_word(h, off / SEG_GRAIN);
	_Atomic uint64_t *at;
	uint64_t bit, user;
	int err;

	switch (class_kind(word)) {
	case CLASS_LARGE:
		err = class_large_find(heap, off / SEG_GRAIN, &user, ret, NULL);
		return err ? err : user == off ? 0 : -EINVAL;
	case CLASS_SPAN:
	case CLASS_ORPHAN:
		err = class_span_find(h, off, word, &at, &bit);
		if (err)
			return err;
		*ret = class_sizes[class_of_word(word)].size;
		return atomic_load_explicit(at, memory_order_relaxed) & bit ? -EALREADY : 0;
	default:
		return -EINVAL;
	}
}

int class_resize(dsm_heap_t *heap, uint64_t off, uint64_t size)
{
	uint64_t usable;
	int err = class_usable(heap, off, &usable);

	if (err)
		return err;
	/* Where it is, unless half of it would be for nothing. */
	return size <= usable && (size > usable / 2 || usable <= 64) ? 0 : -ENOSPC;
}
