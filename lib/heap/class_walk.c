// SPDX-License-Identifier: MIT
/* All places of a heap by address: grain by grain, as the table tells. */
#include <errno.h>
#include <stdlib.h>

#include "lib/heap/class.h"
#include "lib/segment/layout.h"

/* Blocks on their way to their owners, sorted. */
struct freeing {
	uint64_t *off;
	size_t n, room;
};

static int add(struct freeing *f, uint64_t off)
{
	uint64_t *more;

	if (!off)
		return 0;
	if (!f->off || f->n == f->room) {
		f->room = f->room ? 2 * f->room : 1024;
		more = realloc(f->off, f->room * sizeof(*more));
		if (!more)
			return seg_error(-ENOMEM, "no memory to look at the heap");
		f->off = more;
	}
	f->off[f->n++] = off;
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int add_slot(const struct class_heap *h, uint32_t slot, struct freeing *f)
{
	const struct class_journal *j = class_journal(&h->slots[slot]);
	const struct class_inbox *inbox = class_inbox(h, slot);
	uint32_t n = atomic_load(&j->out_count);
	int err = 0;

	for (uint32_t i = 0; !err && i < n && i < CLASS_OUT; i++)
		err = add(f, atomic_load_explicit(&j->out[i], memory_order_relaxed));
	n = inbox ? atomic_load(&inbox->count) : 0;
	for (uint32_t i = 0; !err && i < n && i < CLASS_INBOX; i++)
		err = add(f, atomic_load_explicit(&inbox->off[i], memory_order_relaxed));
	return err;
}

static int collect(const struct class_heap *h, struct freeing *f)
{
	uint32_t high = atomic_load(&h->seg->header->slots_high);
	int err = 0;

	for (uint32_t i = 0; !err && i < high && i < SEG_SLOTS; i++)
		err = add_slot(h, i, f);
	if (f->n)
		qsort(f->off, f->n, sizeof(*f->off), by_offset);
	return err;
}

static bool is_freeing(const struct freeing *f, uint64_t off)
{
	return f->n && bsearch(&off, f->off, f->n, sizeof(off), by_offset);
}

static int tell_meta(heap_place_fn fn, void *context, const struct heap_place *in, uint64_t off,
		     uint64_t size)
{
	struct heap_place p = *in;

	p.kind = HEAP_PLACE_META;
	p.off = off;
	p.size = size;
	return size ? fn(context, &p) : 0;
}

static int walk_span(const struct class_heap *h, uint64_t grain, uint32_t word,
		     const struct freeing *f, heap_place_fn fn, void *context)
{
	const struct class_size *s = &class_sizes[class_of_word(word)];
	uint64_t at = grain * SEG_GRAIN, end = CLASS_DATA + (uint64_t)s->count * s->size;
	_Atomic uint64_t *words = class_bitmap(h, grain), *remote = class_remote(h, grain);
	struct heap_place p = { .run = at, .run_size = SEG_GRAIN };
	int result;

	p.slot = class_kind(word) == CLASS_SPAN ? class_slot_of(word) : SEG_SLOTS;
	result = tell_meta(fn, context, &p, at, CLASS_DATA);
	for (uint32_t i = 0; !result && i < s->count; i++) {
		uint64_t bit = 1ull << i % 64;

		p.off = at + CLASS_DATA + (uint64_t)i * s->size;
		p.size = s->size;
		p.kind = HEAP_PLACE_USED;
		if (atomic_load_explicit(&words[i / 64], memory_order_relaxed) & bit)
			p.kind = HEAP_PLACE_FREE;
		else if ((atomic_load_explicit(&remote[i / 64], memory_order_relaxed) & bit) ||
			 is_freeing(f, p.off))
			p.kind = HEAP_PLACE_FREEING;
		result = fn(context, &p);
	}
	return result ? result : tell_meta(fn, context, &p, at + end, SEG_GRAIN - end);
}

static int walk_large(const dsm_heap_t *heap, uint64_t grain, heap_place_fn fn, void *context)
{
	struct heap_place p = { .kind = HEAP_PLACE_USED,
				.slot = SEG_SLOTS,
				.run = grain * SEG_GRAIN };
	int result;

	if (class_large_find(heap, grain, &p.off, &p.size, &p.asked))
		return 0; /* what is wrong with it is class_check()'s to say */
	if ((heap->flags & DSM_HEAP_GUARDS) && p.asked >= HEAP_GUARD)
		p.asked -= HEAP_GUARD;
	p.run_size = p.off + p.size - p.run;
	result = tell_meta(fn, context, &p, p.run, p.off - p.run);
	return result ? result : fn(context, &p);
}

/* Runs of the heap that hold no blocks: its header and table, the log, the inboxes. */
static int walk_other(const dsm_heap_t *heap, uint64_t grain, heap_place_fn fn, void *context)
{
	struct heap_place p = { .slot = SEG_SLOTS };
	uint64_t first, n;
	uint32_t root;

	if (seg_grains_find(heap->seg, grain * SEG_GRAIN, &first, &n, &root) ||
	    root != heap->root || first != grain * SEG_GRAIN)
		return 0;
	p.run = first;
	p.run_size = n * SEG_GRAIN;
	return tell_meta(fn, context, &p, first, p.run_size);
}

int class_walk(dsm_heap_t *heap, heap_place_fn fn, void *context)
{
	const struct class_heap *h = class_heap(heap);
	struct freeing f = { 0 };
	int result = collect(h, &f);

	for (uint64_t g = 0; !result && g < h->grains; g++) {
		uint32_t word = class_word(h, g);

		if (!seg_checked(heap->seg, g * SEG_GRAIN, SEG_GRAIN, SEG_GRAIN))
			continue;
		if (class_kind(word) == CLASS_LARGE)
			result = walk_large(heap, g, fn, context);
		else if (class_kind(word) == CLASS_NONE)
			result = walk_other(heap, g, fn, context);
		else if (class_of_word(word) < CLASS_COUNT)
			result = walk_span(h, g, word, &f, fn, context);
	}
	free(f.off);
	return result;
}
