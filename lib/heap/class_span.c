// SPDX-License-Identifier: MIT
/*
 * A thread's spans. Those with free blocks wait in the order in which they got them,
 * so that one that was full gathers some more before it is used again.
 */
#include <errno.h>

#include "lib/heap/class.h"

uint32_t class_span_used(const struct class_heap *h, uint64_t grain, uint32_t class)
{
	const struct class_size *s = &class_sizes[class];
	_Atomic uint64_t *words = class_bitmap(h, grain);
	uint32_t free = 0;

	for (uint32_t i = 0; i < s->words; i++)
		free += (uint32_t)__builtin_popcountll(
			atomic_load_explicit(&words[i], memory_order_relaxed) & class_mask(s, i));
	return s->count - free;
}

int class_span_find(const struct class_heap *h, uint64_t off, uint32_t word,
		    _Atomic uint64_t **ret_word, uint64_t *ret_bit)
{
	uint32_t class = class_of_word(word), i;

	if (class >= CLASS_COUNT ||
	    !seg_checked(h->seg, off / SEG_GRAIN * SEG_GRAIN, SEG_GRAIN, SEG_GRAIN))
		return -EBADMSG;
	i = class_block(&class_sizes[class], off);
	if (i == UINT32_MAX)
		return -EINVAL;
	*ret_word = class_bitmap(h, off / SEG_GRAIN) + i / 64;
	*ret_bit = 1ull << i % 64;
	return 0;
}

static void link_last(struct class_lane *l, uint32_t grain)
{
	struct class_heap *h = class_heap(l->heap);
	struct class_grain *g = &h->grain[grain];
	struct class_work *w = &l->work[g->class];

	g->state = SPAN_PARTIAL;
	g->next = 0;
	g->prev = w->last;
	if (w->last)
		h->grain[w->last].next = grain;
	else
		w->first = grain;
	w->last = grain;
	if (!g->used)
		l->empties++;
}

void class_span_unlink(struct class_lane *l, uint32_t grain)
{
	struct class_heap *h = class_heap(l->heap);
	struct class_grain *g = &h->grain[grain];
	struct class_work *w = &l->work[g->class];

	if (g->prev)
		h->grain[g->prev].next = g->next;
	else
		w->first = g->next;
	if (g->next)
		h->grain[g->next].prev = g->prev;
	else
		w->last = g->prev;
	if (!g->used)
		l->empties--;
}

void class_span_learn(struct class_lane *l, uint64_t grain, uint32_t class)
{
	struct class_heap *h = class_heap(l->heap);
	struct class_grain *g = &h->grain[grain];

	g->class = (uint8_t) class;
	g->used = (uint16_t)class_span_used(h, grain, class);
	g->state = SPAN_FULL;
	atomic_store_explicit(&g->tag, l->tag, memory_order_relaxed);
	if (g->used < class_sizes[class].count)
		link_last(l, (uint32_t)grain);
}

void class_span_freed(struct class_lane *l, uint64_t grain)
{
	struct class_grain *g = &class_heap(l->heap)->grain[grain];

	if (g->state == SPAN_FULL)
		link_last(l, (uint32_t)grain);
	else if (g->state == SPAN_PARTIAL && !g->used)
		l->empties++;
}

void class_run_free(dsm_heap_t *heap, uint64_t off)
{
	uint64_t first, n;
	uint32_t root;

	if (off && !seg_grains_find(heap->seg, off, &first, &n, &root) && first == off &&
	    root == heap->root)
		(void)seg_grains_free(heap->seg, off);
}

void class_span_drop(dsm_heap_t *heap, struct class_journal *j, uint64_t grain)
{
	struct class_heap *h = class_heap(heap);

	atomic_store_explicit(&j->run, grain * SEG_GRAIN, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->op, CLASS_SPAN_DROP, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&h->table[grain], CLASS_NONE, memory_order_relaxed);
	seg_crash_point("heap: span out of the table, not free");
	class_run_free(heap, grain * SEG_GRAIN);
	class_step();
	atomic_store_explicit(&j->op, CLASS_IDLE, memory_order_relaxed);
}

/* Under part->lock. */
static void trim_class(struct class_lane *l, struct class_work *w, uint32_t keep)
{
	struct class_heap *h = class_heap(l->heap);
	uint32_t next;

	for (uint32_t i = w->first; i && l->empties > keep; i = next) {
		next = h->grain[i].next;
		if (h->grain[i].used)
			continue;
		class_span_unlink(l, i);
		atomic_store_explicit(&h->grain[i].tag, 0, memory_order_relaxed);
		class_span_drop(l->heap, l->journal, i);
	}
}

void class_span_trim(struct class_lane *l, uint32_t keep)
{
	struct class_heap *h = class_heap(l->heap);

	if (l->empties <= keep || seg_lock(h->seg, &h->part->lock, SEG_LAYER_HEAP))
		return;
	for (uint32_t i = 0; i < CLASS_COUNT && l->empties > keep; i++)
		trim_class(l, &l->work[i], keep);
	seg_unlock(h->seg, &h->part->lock);
}

static void format(const struct class_heap *h, uint64_t grain, uint32_t class)
{
	const struct class_size *s = &class_sizes[class];
	_Atomic uint64_t *words = class_bitmap(h, grain), *remote = class_remote(h, grain);

	for (uint32_t i = 0; i < s->words; i++) {
		atomic_store_explicit(&words[i], class_mask(s, i), memory_order_relaxed);
		atomic_store_explicit(&remote[i], 0, memory_order_relaxed);
	}
}

/* Under part->lock: a new one. */
static int take(struct class_lane *l, uint32_t class, uint64_t *ret)
{
	struct class_heap *h = class_heap(l->heap);
	struct class_journal *j = l->journal;
	uint64_t off;
	int err;

	atomic_store_explicit(&j->run, 0, memory_order_relaxed);
	class_step();
	atomic_store_explicit(&j->op, CLASS_SPAN_TAKE, memory_order_relaxed);
	class_step();
	err = seg_grains_alloc(h->seg, 1, &off, NULL);
	if (!err) {
		*ret = off / SEG_GRAIN;
		atomic_store_explicit(&j->run, off, memory_order_relaxed);
		format(h, *ret, class);
		seg_grains_adopt(h->seg, off, l->heap->root);
		seg_crash_point("heap: span adopted, not in the table");
		/* ORDER: pairs with class_word(): who sees the word sees the bitmap. */
		atomic_store_explicit(&h->table[*ret], class_span_word(class, l->index),
				      memory_order_release);
	}
	class_step();
	atomic_store_explicit(&j->op, CLASS_IDLE, memory_order_relaxed);
	return err;
}

int class_span_get(struct class_lane *l, uint32_t class)
{
	struct class_heap *h = class_heap(l->heap);
	uint64_t grain = UINT64_MAX;
	int err = l->inbox ? 0 : class_lane_open(l);

	if (!err)
		err = seg_lock(h->seg, &h->part->lock, SEG_LAYER_HEAP);
	if (err)
		return err == -ENOSPC ? -ENOMEM : err;
	if (atomic_load_explicit(&h->part->orphans[class], memory_order_relaxed))
		grain = class_orphan_adopt(h, class, l->index);
	if (grain == UINT64_MAX)
		err = take(l, class, &grain);
	seg_unlock(h->seg, &h->part->lock);
	if (!err)
		class_span_learn(l, grain, class);
	return err == -ENOSPC ? -ENOMEM : err;
}
