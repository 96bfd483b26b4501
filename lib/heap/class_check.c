// SPDX-License-Identifier: MIT
/* What is damaged in a heap of size classes. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/heap/class.h"
#include "lib/heap/log.h"

struct check {
	dsm_heap_t *heap;
	struct class_heap *h;
	heap_fault_fn fn;
	void *context;
	uint32_t orphans[CLASS_COUNT];
};

__attribute__((format(printf, 3, 4))) static int tell(struct check *c, uint64_t off,
						      const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return c->fn(c->context, off, text);
}

/* The run that begins at @grain is the heap's and has @n grains. */
static int check_run(struct check *c, uint64_t grain, uint64_t n, const char *what)
{
	uint64_t off = grain * SEG_GRAIN, first, there;
	uint32_t root;

	if (seg_grains_find(c->heap->seg, off, &first, &there, &root) || first != off ||
	    root != c->heap->root || there != n)
		return tell(c, off,
			    "link: %s is in the table but not a run of %llu grains of the heap's",
			    what, (unsigned long long)n);
	return 0;
}

static int check_bitmap(struct check *c, uint64_t grain, const struct class_size *s)
{
	_Atomic uint64_t *words = class_bitmap(c->h, grain), *remote = class_remote(c->h, grain);

	for (uint32_t i = 0; i < s->words; i++) {
		uint64_t free = atomic_load(&words[i]), freed = atomic_load(&remote[i]);
		int result = 0;

		if ((free | freed) & ~class_mask(s, i))
			result = tell(c, grain * SEG_GRAIN,
				      "header: word %u of the span's bitmap has blocks that it "
				      "cannot have",
				      i);
		if (!result && (free & freed))
			result = tell(c, grain * SEG_GRAIN,
				      "double free: a block of bitmap word %u is free and freed "
				      "from elsewhere",
				      i);
		if (result)
			return result;
	}
	return 0;
}

static int check_span(struct check *c, uint64_t grain, uint32_t word)
{
	uint32_t class = class_of_word(word), used;
	const struct class_inbox *inbox;
	int result;

	if (class >= CLASS_COUNT)
		return tell(c, grain * SEG_GRAIN, "header: a span of class %u, which there is not",
			    class);
	result = check_run(c, grain, 1, "a span");
	if (!result && seg_checked(c->heap->seg, grain * SEG_GRAIN, SEG_GRAIN, SEG_GRAIN))
		result = check_bitmap(c, grain, &class_sizes[class]);
	if (result)
		return result;
	used = class_span_used(c->h, grain, class);
	if (class_kind(word) == CLASS_SPAN) {
		inbox = class_inbox(c->h, class_slot_of(word));
		return inbox && atomic_load(&inbox->open)
			       ? 0
			       : tell(c, grain * SEG_GRAIN,
				      "owner: a span of slot %u, which has no open lane",
				      class_slot_of(word));
	}
	if (!used)
		return tell(c, grain * SEG_GRAIN,
			    "count: a span that is nobody's is empty and still there");
	if (!(word & CLASS_HAS_ROOM) != (used == class_sizes[class].count))
		return tell(
			c, grain * SEG_GRAIN,
			"count: the table is wrong about free blocks of a span that is nobody's");
	c->orphans[class] += !!(word & CLASS_HAS_ROOM);
	return 0;
}

static bool is_known(const struct check *c, uint64_t first)
{
	if (first == c->heap->header_off || first == c->heap->log)
		return true;
	for (uint32_t i = 0; i < SEG_SLOTS / CLASS_LANES; i++)
		if (atomic_load(&c->h->part->lanes[i]) == first)
			return true;
	return false;
}

/* A grain that the table does not have is not the heap's, or known otherwise. */
static int check_other(struct check *c, uint64_t grain)
{
	uint64_t first, n;
	uint32_t root;

	if (seg_grains_find(c->heap->seg, grain * SEG_GRAIN, &first, &n, &root) ||
	    root != c->heap->root || first != grain * SEG_GRAIN || is_known(c, first))
		return 0;
	return tell(c, first, "leak: a run of %llu grains is the heap's and in no table",
		    (unsigned long long)n);
}

static int check_grain(struct check *c, uint64_t grain)
{
	uint32_t word = class_word(c->h, grain);
	uint64_t user, usable;
	int result;

	switch (class_kind(word)) {
	case CLASS_LARGE:
		result = check_run(c, grain, word >> 2, "a large block");
		if (!result && class_large_find(c->heap, grain, &user, &usable, NULL))
			result = tell(c, grain * SEG_GRAIN,
				      "header: that of a large block is damaged");
		return result;
	case CLASS_SPAN:
	case CLASS_ORPHAN:
		return check_span(c, grain, word);
	default:
		return check_other(c, grain);
	}
}

/* What is in an inbox is a block of its owner that is given out. */
static int check_inbox(struct check *c, uint32_t slot)
{
	const struct class_inbox *inbox = class_inbox(c->h, slot);
	uint32_t n = inbox ? atomic_load(&inbox->count) : 0;
	int result = 0;

	if (n > CLASS_INBOX)
		return tell(c, seg_off(c->heap->seg, inbox), "count: an inbox of %u entries", n);
	for (uint32_t i = 0; !result && i < n; i++) {
		uint64_t off = atomic_load(&inbox->off[i]), bit;
		uint32_t word = class_word(c->h, off / SEG_GRAIN);
		_Atomic uint64_t *at;

		if (class_kind(word) != CLASS_SPAN || class_slot_of(word) != slot ||
		    class_span_find(c->h, off, word, &at, &bit))
			result = tell(c, off,
				      "link: what is in the inbox of slot %u is no block of its",
				      slot);
		else if (atomic_load(at) & bit)
			result = tell(c, off,
				      "double free: a block in the inbox of slot %u is free", slot);
	}
	return result;
}

int class_check(dsm_heap_t *heap, heap_fault_fn fn, void *context)
{
	struct check c = { .heap = heap, .h = class_heap(heap), .fn = fn, .context = context };
	int result = 0;

	if (c.h->part->magic != CLASS_MAGIC || c.h->part->grains != c.h->grains)
		result = tell(&c, heap->part, "header: that of the table is damaged");
	if (!result && heap->log && !heap_log_of(heap))
		result = tell(&c, heap->log, "header: that of the debug log is damaged");
	for (uint64_t g = 0; !result && g < c.h->grains; g++)
		result = check_grain(&c, g);
	for (uint32_t i = 0; !result && i < SEG_SLOTS; i++)
		result = check_inbox(&c, i);
	for (uint32_t i = 0; !result && i < CLASS_COUNT; i++)
		if (atomic_load(&c.h->part->orphans[i]) != c.orphans[i])
			result = tell(&c, heap->part,
				      "count: %u spans of class %u are nobody's, by their count %u",
				      c.orphans[i], i, atomic_load(&c.h->part->orphans[i]));
	return result;
}
