// SPDX-License-Identifier: MIT
/* Spans whose owner is gone: nobody's, until a thread that needs one of the size adopts it. */
#include <errno.h>

#include "lib/heap/class.h"

/* It is in the segment, of a class that there is. */
static bool sound(const struct class_heap *h, uint64_t grain, uint32_t word)
{
	return class_of_word(word) < CLASS_COUNT &&
	       seg_checked(h->seg, grain * SEG_GRAIN, SEG_GRAIN, SEG_GRAIN);
}

/* What the table should say of an orphan. @ret_empty: it has no block given out. */
static uint32_t right_word(const struct class_heap *h, uint64_t grain, uint32_t word,
			   bool *ret_empty)
{
	uint32_t class = class_of_word(word), used = class_span_used(h, grain, class);

	*ret_empty = !used;
	return used < class_sizes[class].count ? word | CLASS_HAS_ROOM : word & ~CLASS_HAS_ROOM;
}

void class_orphans_mend(dsm_heap_t *heap, struct class_journal *j)
{
	struct class_heap *h = class_heap(heap);
	uint32_t count[CLASS_COUNT] = { 0 };

	for (uint64_t i = 0; i < h->grains; i++) {
		uint32_t word = class_word(h, i), right;
		bool empty;

		if (class_kind(word) != CLASS_ORPHAN || !sound(h, i, word))
			continue;
		right = right_word(h, i, word, &empty);
		if (right != word)
			atomic_store_explicit(&h->table[i], right, memory_order_release);
		if (empty)
			class_span_drop(heap, j, i);
		else if (right & CLASS_HAS_ROOM)
			count[class_of_word(word)]++;
	}
	for (uint32_t i = 0; i < CLASS_COUNT; i++)
		atomic_store_explicit(&h->part->orphans[i], count[i], memory_order_relaxed);
}

uint64_t class_orphan_adopt(struct class_heap *h, uint32_t class, uint32_t slot)
{
	uint32_t wanted = CLASS_ORPHAN | class << 8 | CLASS_HAS_ROOM;
	uint64_t i = atomic_load_explicit(&h->part->hint[class], memory_order_relaxed);

	for (uint64_t n = 0; n < h->grains; n++, i++) {
		if (i >= h->grains)
			i = 0;
		if (class_word(h, i) != wanted || !sound(h, i, wanted))
			continue;
		atomic_store_explicit(&h->table[i], class_span_word(class, slot),
				      memory_order_release);
		seg_crash_point("heap: span adopted from the dead");
		atomic_fetch_sub_explicit(&h->part->orphans[class], 1, memory_order_relaxed);
		atomic_store_explicit(&h->part->hint[class], (uint32_t)(i + 1),
				      memory_order_relaxed);
		return i;
	}
	/* The count was wrong. */
	atomic_store_explicit(&h->part->orphans[class], 0, memory_order_relaxed);
	return UINT64_MAX;
}

/* An orphan, or about to be one: a block of it has become free. */
static void has_room(dsm_heap_t *heap, struct class_journal *j, uint64_t grain, uint32_t word)
{
	struct class_heap *h = class_heap(heap);
	uint32_t class = class_of_word(word);

	if (!class_span_used(h, grain, class)) {
		if (word & CLASS_HAS_ROOM)
			atomic_fetch_sub_explicit(&h->part->orphans[class], 1,
						  memory_order_relaxed);
		class_span_drop(heap, j, grain);
	} else if (!(word & CLASS_HAS_ROOM)) {
		atomic_store_explicit(&h->table[grain], word | CLASS_HAS_ROOM,
				      memory_order_release);
		atomic_fetch_add_explicit(&h->part->orphans[class], 1, memory_order_relaxed);
	}
}

void class_orphan_free(dsm_heap_t *heap, struct class_journal *j, uint64_t off)
{
	struct class_heap *h = class_heap(heap);
	uint32_t word = class_word(h, off / SEG_GRAIN);
	_Atomic uint64_t *at;
	uint64_t bit;

	if (class_span_find(h, off, word, &at, &bit)) {
		atomic_fetch_add_explicit(&h->part->strange, 1, memory_order_relaxed);
		return;
	}
	atomic_fetch_or_explicit(at, bit, memory_order_relaxed);
	seg_crash_point("heap: block of an orphan free");
	if (class_kind(word) == CLASS_ORPHAN)
		has_room(heap, j, off / SEG_GRAIN, word);
}

void class_orphan_make(dsm_heap_t *heap, struct class_journal *j, uint64_t grain)
{
	struct class_heap *h = class_heap(heap);
	uint32_t word = class_word(h, grain), class = class_of_word(word);
	_Atomic uint64_t *words, *remote;

	if (!sound(h, grain, word))
		return;
	words = class_bitmap(h, grain);
	remote = class_remote(h, grain);
	for (uint32_t i = 0; i < class_sizes[class].words; i++) {
		uint64_t bits = atomic_load_explicit(&remote[i], memory_order_relaxed);

		if (!bits)
			continue;
		atomic_fetch_or_explicit(&words[i], bits, memory_order_relaxed);
		atomic_store_explicit(&remote[i], 0, memory_order_relaxed);
	}
	word = CLASS_ORPHAN | class << 8;
	atomic_store_explicit(&h->table[grain], word, memory_order_release);
	seg_crash_point("heap: span is nobody's");
	if (class_span_used(h, grain, class) < class_sizes[class].count)
		has_room(heap, j, grain, word);
}
