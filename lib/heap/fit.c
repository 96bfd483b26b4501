// SPDX-License-Identifier: MIT
/* Allocate, free and resize: first, best and worst fit. */
#include <errno.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_index.h"
#include "lib/heap/fit_journal.h"

/* What is about to be done to a free block: a part left in front, the block, a part behind. */
struct cut {
	uint64_t at;	/* of the free block */
	uint64_t total; /* its units */
	uint64_t front, units, rest;
	unsigned int slack; /* bytes of the block not asked for */
};

static unsigned int slack_of(uint64_t units, uint64_t size)
{
	uint64_t slack = units * FIT_UNIT - FIT_TAG - size;

	return slack < FIT_SLACK_MAX ? (unsigned int)slack : FIT_SLACK_MAX;
}

static void work_begin(struct fit *f, struct fit_journal *j, enum fit_work work, uint64_t b,
		       uint64_t dest)
{
	atomic_store_explicit(&j->block, b, memory_order_relaxed);
	atomic_store_explicit(&j->dest, dest, memory_order_relaxed);
	atomic_store_explicit(&j->work, f->off | work, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static void work_end(struct fit_journal *j)
{
	atomic_store_explicit(&j->work, 0, memory_order_release);
}

static void dest_set(struct fit *f, uint64_t dest, uint64_t value)
{
	if (dest)
		atomic_store_explicit((_Atomic uint64_t *)seg_at(f->seg, dest), value,
				      memory_order_release);
}

/* The block behind is free now, or is not. */
static void tell_next(struct fit *f, uint64_t next, bool prev_free)
{
	uint64_t word = fit_read(f, next);
	unsigned int flags = fit_flags(word) & ~FIT_PREV_FREE;

	fit_write(f, next, fit_units(word), flags | (prev_free ? FIT_PREV_FREE : 0));
}

/*
 * Cut a block out of a free one: the headers inside first, then the one that makes
 * them blocks. Links of the index by size may lie where a new header comes, so
 * that index forgets the block before; the one by address does so after, when
 * less is to be looked at.
 */
static bool cut_out(struct fit *f, struct fit_arena *a, const struct cut *c)
{
	uint64_t b = c->at + c->front * FIT_UNIT, rest = b + c->units * FIT_UNIT;

	if (fit_by_size(f) && !fit_size_remove(f, c->at, c->total))
		return false;
	if (c->rest) {
		fit_write_footer(f, rest, c->rest);
		fit_write(f, rest, c->rest, 0);
	}
	fit_write(f, b, c->units, FIT_USED | FIT_SLACK(c->slack) | (c->front ? FIT_PREV_FREE : 0));
	if (c->front) {
		fit_write_footer(f, c->at, c->front);
		seg_crash_point("heap: a block is cut, its front part not");
		fit_write(f, c->at, c->front, 0);
	}
	if (!c->rest)
		tell_next(f, rest, false);
	if (!fit_by_size(f)) {
		if (c->rest)
			fit_area_add(a, rest, c->rest);
		fit_area_remove(f, a, c->at, c->total);
	}
	if (c->rest && fit_by_size(f) && !fit_size_add(f, rest, c->rest))
		return false;
	return !c->front || fit_index_add(f, a, c->at, c->front);
}

/* How to have @units at a multiple of @align in the free block at @b. */
static struct cut cut_plan(uint64_t b, uint64_t total, uint64_t units, uint64_t align)
{
	uint64_t user = (b + FIT_TAG + align - 1) & ~(align - 1);
	struct cut c = { .at = b, .total = total, .units = units };

	c.front = (user - FIT_TAG - b) / FIT_UNIT;
	if (c.front && c.front < FIT_UNITS_MIN)
		c.front += align / FIT_UNIT;
	c.rest = total - c.front - units;
	if (c.rest < FIT_UNITS_MIN) {
		c.units += c.rest;
		c.rest = 0;
	}
	return c;
}

/* A free block of @units by the strategy; more memory where there is none. */
static int find(struct fit *f, struct fit_journal *j, uint64_t units, struct fit_arena **ret_a,
		uint64_t *ret)
{
	int err = fit_index_find(f, units, ret_a, ret);

	if (likely(err != -ENOMEM))
		return err;
	work_begin(f, j, FIT_WORK_OTHER, 0, 0);
	err = fit_grow(f, units, fit_growth(f));
	work_end(j);
	return err ? err : fit_index_find(f, units, ret_a, ret);
}

static int alloc_locked(struct fit *f, struct fit_journal *j, struct heap_ask *ask, uint64_t *ret)
{
	uint64_t units = fit_units_for(ask->size), want = units, word, b;
	struct fit_arena *a;
	struct cut c;
	int err;

	if (ask->align > FIT_UNIT)
		want += ask->align / FIT_UNIT + FIT_UNITS_MIN;
	err = find(f, j, want, &a, &b);
	if (unlikely(err))
		return err;
	word = fit_read(f, b);
	if (unlikely(!fit_sound(f, a, b, word) || fit_flags(word) & (FIT_USED | FIT_FREED) ||
		     fit_units(word) < want))
		return seg_error(-EBADMSG, "heap: the header of the free block at %#lx is damaged",
				 (unsigned long)(b + FIT_TAG));
	c = cut_plan(b, fit_units(word), units, ask->align);
	c.slack = slack_of(c.units, ask->size);
	b += c.front * FIT_UNIT;
	work_begin(f, j, FIT_WORK_ALLOC, b, ask->dest);
	if (unlikely(!cut_out(f, a, &c)))
		return seg_error(
			-EBADMSG,
			"heap: links of free blocks of the size of the one at %#lx are damaged",
			(unsigned long)(c.at + FIT_TAG));
	a->head->used_blocks++;
	a->head->used_units += c.units;
	ask->zeroed = false;
	if (ask->fill)
		(void)ask->fill(ask, seg_at(f->seg, b + FIT_TAG), c.units * FIT_UNIT - FIT_TAG);
	seg_crash_point("heap: a block is given, not yet stored");
	dest_set(f, ask->dest, b + FIT_TAG);
	work_end(j);
	*ret = b + FIT_TAG;
	return 0;
}

int fit_alloc(struct fit *f, struct heap_ask *ask, uint64_t *ret)
{
	struct fit_journal *j = fit_journal(f->seg);
	int err;

	if (unlikely(!j))
		return -EUSERS;
	if (ask->size > FIT_SIZE_MAX || ask->align > FIT_SIZE_MAX)
		return seg_error(-ENOMEM, "heap: no block has more than %lu bytes",
				 (unsigned long)FIT_SIZE_MAX);
	err = seg_lock(f->seg, &f->ctl->lock, SEG_LAYER_HEAP);
	if (unlikely(err))
		return err;
	err = fit_refresh(f);
	if (likely(!err))
		err = alloc_locked(f, j, ask, ret);
	if (unlikely(err))
		work_end(j);
	seg_unlock(f->seg, &f->ctl->lock);
	return err;
}

/* The used block whose user has @off. */
static int block_at(struct fit *f, uint64_t off, struct fit_arena **ret_a, uint64_t *ret_word)
{
	uint64_t b = off - FIT_TAG;
	struct fit_arena *a = fit_arena_of(f, b);

	if (unlikely(!a || off % FIT_UNIT))
		return seg_error(-EINVAL, "heap: no block can be at %#lx", (unsigned long)off);
	*ret_word = fit_read(f, b);
	*ret_a = a;
	if (unlikely(!fit_sound(f, a, b, *ret_word)))
		return seg_error(-EINVAL,
				 "heap: there is no block at %#lx, or its header is damaged",
				 (unsigned long)off);
	if (unlikely(!(fit_flags(*ret_word) & FIT_USED)))
		return seg_error(-EALREADY, "heap: the block at %#lx is free already",
				 (unsigned long)off);
	return 0;
}

/* The blocks around the one at @b; their units 0 where they are in use. */
struct around {
	uint64_t prev, prev_units, next, next_units;
};

static int look_around(struct fit *f, const struct fit_arena *a, uint64_t b, uint64_t word,
		       struct around *ret)
{
	struct around r = { .next = b + fit_units(word) * FIT_UNIT };
	uint64_t there = fit_read(f, r.next), units;

	if (unlikely(r.next == a->end ? !fit_good(f->key, r.next, there)
				      : !fit_sound(f, a, r.next, there)))
		return seg_error(-EBADMSG, "heap: the header behind the block at %#lx is damaged",
				 (unsigned long)(b + FIT_TAG));
	if (!(fit_flags(there) & FIT_USED))
		r.next_units = fit_units(there);
	if (fit_flags(word) & FIT_PREV_FREE) {
		there = *(uint64_t *)seg_at(f->seg, b - 8);
		units = fit_units(there);
		r.prev = b - units * FIT_UNIT;
		if (units > (b - a->first) / FIT_UNIT || units < FIT_UNITS_MIN ||
		    !fit_good(f->key, r.prev, there))
			return seg_error(-EBADMSG,
					 "heap: the free block before the one at %#lx is damaged",
					 (unsigned long)(b + FIT_TAG));
		r.prev_units = units;
	}
	*ret = r;
	return 0;
}

static bool merge(struct fit *f, struct fit_arena *a, uint64_t b, uint64_t units,
		  const struct around *r)
{
	uint64_t start = r->prev_units ? r->prev : b;
	uint64_t total = r->prev_units + units + r->next_units;
	bool sized = fit_by_size(f);

	if (sized && ((r->prev_units && !fit_size_remove(f, r->prev, r->prev_units)) ||
		      (r->next_units && !fit_size_remove(f, r->next, r->next_units))))
		return false;
	fit_write(f, start, total, 0);
	seg_crash_point("heap: a block is free, nothing else says so");
	if (start != b)
		fit_write(f, b, units, FIT_FREED);
	fit_write_footer(f, start, total);
	if (!r->next_units)
		tell_next(f, r->next, true);
	if (sized)
		return fit_size_add(f, start, total);
	fit_area_add(a, start, total);
	if (r->next_units)
		fit_area_remove(f, a, r->next, r->next_units);
	return true;
}

static int free_locked(struct fit *f, struct fit_journal *j, struct heap_ask *ask, uint64_t off)
{
	uint64_t b = off - FIT_TAG, word, units;
	struct fit_arena *a;
	struct around r;
	int err = block_at(f, off, &a, &word);

	if (likely(!err))
		err = look_around(f, a, b, word, &r);
	if (unlikely(err))
		return err;
	units = fit_units(word);
	work_begin(f, j, FIT_WORK_FREE, b, ask->dest);
	if (ask->fill)
		err = ask->fill(ask, seg_at(f->seg, off), units * FIT_UNIT - FIT_TAG);
	if (unlikely(err))
		return err;
	dest_set(f, ask->dest, 0);
	seg_crash_point("heap: a block is taken back, not yet free");
	a->head->used_blocks--;
	a->head->used_units -= units;
	if (unlikely(!merge(f, a, b, units, &r)))
		return seg_error(-EBADMSG, "heap: links of the free blocks around %#lx are damaged",
				 (unsigned long)off);
	if (unlikely(!a->head->used_blocks))
		fit_shrink(f, a);
	work_end(j);
	return 0;
}

int fit_free(struct fit *f, struct heap_ask *ask, uint64_t off)
{
	struct fit_journal *j = fit_journal(f->seg);
	int err;

	if (unlikely(!j))
		return -EUSERS;
	err = seg_lock(f->seg, &f->ctl->lock, SEG_LAYER_HEAP);
	if (unlikely(err))
		return err;
	err = fit_refresh(f);
	if (likely(!err))
		err = free_locked(f, j, ask, off);
	if (unlikely(err))
		work_end(j);
	seg_unlock(f->seg, &f->ctl->lock);
	return err;
}

/* Flags of a used block that had header @word. */
static unsigned int resized(uint64_t word, uint64_t units, uint64_t size)
{
	return FIT_USED | (fit_flags(word) & FIT_PREV_FREE) | FIT_SLACK(slack_of(units, size));
}

static int resize_locked(struct fit *f, struct fit_journal *j, uint64_t off, uint64_t size)
{
	uint64_t b = off - FIT_TAG, units = fit_units_for(size), word, rest, before;
	struct fit_arena *a;
	struct around r;
	int err = block_at(f, off, &a, &word);

	if (!err)
		err = look_around(f, a, b, word, &r);
	if (err)
		return err;
	before = fit_units(word);
	if (before + r.next_units < units)
		return -ENOSPC;
	rest = before + r.next_units - units;
	if (rest < FIT_UNITS_MIN) {
		units += rest;
		rest = 0;
	}
	if (units == before) {
		fit_write(f, b, units, resized(word, units, size));
		return 0;
	}
	work_begin(f, j, FIT_WORK_OTHER, b, 0);
	if (r.next_units && !fit_index_remove(f, a, r.next, r.next_units))
		return seg_error(-EBADMSG, "heap: links of the free block behind %#lx are damaged",
				 (unsigned long)off);
	if (rest) {
		fit_write_footer(f, b + units * FIT_UNIT, rest);
		fit_write(f, b + units * FIT_UNIT, rest, 0);
	}
	fit_write(f, b, units, resized(word, units, size));
	seg_crash_point("heap: a block is resized, the index does not know");
	tell_next(f, b + (units + rest) * FIT_UNIT, rest != 0);
	a->head->used_units += units - before;
	if (rest && !fit_index_add(f, a, b + units * FIT_UNIT, rest))
		err = seg_error(-EBADMSG, "heap: links of free blocks are damaged");
	work_end(j);
	return err;
}

int fit_resize(struct fit *f, uint64_t off, uint64_t size)
{
	struct fit_journal *j = fit_journal(f->seg);
	int err;

	if (!j)
		return -EUSERS;
	if (size > FIT_SIZE_MAX)
		return -ENOSPC;
	err = seg_lock(f->seg, &f->ctl->lock, SEG_LAYER_HEAP);
	if (err)
		return err;
	err = fit_refresh(f);
	if (!err)
		err = resize_locked(f, j, off, size);
	if (unlikely(err))
		work_end(j);
	seg_unlock(f->seg, &f->ctl->lock);
	return err;
}

int fit_usable(struct fit *f, uint64_t off, uint64_t *ret)
{
	struct fit_arena *a;
	uint64_t word;
	int err = seg_lock(f->seg, &f->ctl->lock, SEG_LAYER_HEAP);

	if (err)
		return err;
	err = fit_refresh(f);
	if (!err)
		err = block_at(f, off, &a, &word);
	seg_unlock(f->seg, &f->ctl->lock);
	if (!err)
		*ret = fit_units(word) * FIT_UNIT - FIT_TAG;
	return err;
}
