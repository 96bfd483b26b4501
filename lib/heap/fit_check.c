// SPDX-License-Identifier: MIT
/* What is damaged in a heap with first, best or worst fit: the tags, then the indexes against them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_check.h"

int fit_fault(struct fit_checking *c, uint64_t off, const char *format, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	c->faults++;
	return c->fn(c->context, off, text);
}

static int free_note(struct fit_checking *c, uint64_t b, uint64_t units)
{
	if (c->nfree == c->room) {
		size_t room = c->room ? 2 * c->room : 256;
		struct fit_free *grown = realloc(c->free, room * sizeof(*grown));

		if (!grown)
			return seg_error(-ENOMEM, "heap: no memory to check %zu free blocks", room);
		c->free = grown;
		c->room = room;
	}
	c->free[c->nfree++] = (struct fit_free){ b, units };
	return 0;
}

struct fit_free *fit_free_find(const struct fit_checking *c, uint64_t b)
{
	size_t low = 0, high = c->nfree;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (c->free[mid].b < b)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->nfree && c->free[low].b == b ? &c->free[low] : NULL;
}

/* Behind a damaged header: the next place where one good header follows another. */
static uint64_t resume_at(const struct fit *f, const struct fit_arena *a, uint64_t b)
{
	for (b += FIT_UNIT; b < a->end; b += FIT_UNIT) {
		uint64_t word = fit_read(f, b), next;

		if (!fit_sound(f, a, b, word) || fit_flags(word) & FIT_FREED)
			continue;
		next = b + fit_units(word) * FIT_UNIT;
		if (next == a->end || fit_sound(f, a, next, fit_read(f, next)))
			return b;
	}
	return a->end;
}

static int footer_check(struct fit_checking *c, uint64_t b, uint64_t units)
{
	uint64_t footer = *(uint64_t *)seg_at(c->f->seg, b + units * FIT_UNIT - 8);

	if (footer == fit_word(c->f->key, b, units, 0))
		return 0;
	return fit_fault(c, b + FIT_TAG,
			 "footer: the end of a free block of %lu bytes is overwritten",
			 (unsigned long)(units * FIT_UNIT));
}

/* One header of the chain, good by itself. @before: the flags it must have for the block before it. */
static int block_check(struct fit_checking *c, uint64_t b, uint64_t word, unsigned int before)
{
	unsigned int flags = fit_flags(word);
	int err = 0;

	if ((flags & FIT_PREV_FREE) != before)
		err = fit_fault(c, b + FIT_TAG, "header: says that the block before it is %s",
				before ? "used, which it is not" : "free, which it is not");
	if (flags & FIT_USED || err)
		return err;
	if (before)
		err = fit_fault(c, b + FIT_TAG, "header: two free blocks side by side");
	if (!err)
		err = footer_check(c, b, fit_units(word));
	return err ? err : free_note(c, b, fit_units(word));
}

static int chain_check(struct fit_checking *c, struct fit_arena *a)
{
	uint64_t b = a->first, blocks = 0, used = 0;
	unsigned int before = 0;
	size_t faults = c->faults;
	int err = 0;

	while (!err && b < a->end) {
		uint64_t word = fit_read(c->f, b), resumed;

		if (!fit_sound(c->f, a, b, word)) {
			resumed = resume_at(c->f, a, b);
			err = fit_fault(
				c, b + FIT_TAG,
				"header: overwritten; the next good one is %lu bytes further",
				(unsigned long)(resumed - b));
			b = resumed;
			before = fit_flags(fit_read(c->f, b)) & FIT_PREV_FREE;
			continue;
		}
		err = block_check(c, b, word, before);
		blocks += fit_flags(word) & FIT_USED;
		used += fit_flags(word) & FIT_USED ? fit_units(word) : 0;
		before = fit_flags(word) & FIT_USED ? 0 : FIT_PREV_FREE;
		b += fit_units(word) * FIT_UNIT;
	}
	if (!err &&
	    fit_read(c->f, a->end) != fit_word(c->f->key, a->end, 0, FIT_USED | FIT_END | before))
		err = fit_fault(c, a->end,
				"header: the mark at the end of an arena is overwritten");
	if (!err && faults == c->faults &&
	    (blocks != a->head->used_blocks || used != a->head->used_units))
		err = fit_fault(c, a->off, "count: %lu blocks are used, not %lu as the arena says",
				(unsigned long)blocks, (unsigned long)a->head->used_blocks);
	return err;
}

static int arenas_check(struct fit_checking *c)
{
	uint64_t first, n;
	uint32_t root;
	int err = 0;

	for (uint32_t i = 0; !err && i < c->f->n; i++) {
		struct fit_arena *a = &c->f->arenas[i];

		if (seg_grains_find(c->f->seg, a->off, &first, &n, &root) || first != a->off ||
		    n * SEG_GRAIN != a->size || root != c->f->root)
			err = fit_fault(c, a->off, "arena: its memory is not the heap's");
		if (!err)
			err = chain_check(c, a);
	}
	return err;
}

int fit_check(struct fit *f, heap_fault_fn fn, void *context)
{
	struct fit_checking c = { .f = f, .fn = fn, .context = context };
	int err = seg_lock(f->seg, &f->ctl->lock, SEG_LAYER_HEAP);

	if (err)
		return err;
	err = fit_refresh(f);
	if (err)
		err = fn(context, f->off, "arena: the table of arenas is damaged");
	else
		err = arenas_check(&c);
	/* Where tags are damaged the indexes cannot agree with them. */
	if (!err && !c.faults)
		err = fit_by_size(f) ? fit_check_size(&c) : fit_check_area(&c);
	seg_unlock(f->seg, &f->ctl->lock);
	free(c.free);
	return err;
}
