// SPDX-License-Identifier: MIT
/* Arenas: which there are, what lies where in them, more of them and fewer. */
#include <errno.h>
#include <string.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_journal.h"

#define DOUBLING_MAX   (64u << 20)
#define ARENA_SIZE_MAX ((FIT_UNITS_MAX - 1) * FIT_UNIT)

static uint64_t aligned(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Bytes of the maxima of @level, padded so that whole groups can be read. */
static uint64_t level_bytes(uint32_t cells, unsigned int level)
{
	return aligned(fit_area_entries(cells, level), FIT_FAN) * sizeof(uint32_t);
}

bool fit_geometry(const dsm_segment_t *seg, bool area, uint64_t off, uint64_t size,
		  struct fit_arena *ret)
{
	struct fit_arena a = { .off = off, .size = size };
	uint64_t at = sizeof(struct fit_head);

	if (off % 64 || size < SEG_PAGE || size > ARENA_SIZE_MAX ||
	    !seg_checked(seg, off, size, 64))
		return false;
	a.head = seg_at(seg, off);
	if (area) {
		a.cells = (uint32_t)((size + FIT_CELL_UNITS * FIT_UNIT - 1) /
				     (FIT_CELL_UNITS * FIT_UNIT));
		a.bits = seg_at(seg, off + at);
		at += a.cells * (FIT_CELL_UNITS / 8);
		do {
			a.max[a.levels] = seg_at(seg, off + at);
			at += level_bytes(a.cells, a.levels);
		} while (fit_area_entries(a.cells, a.levels++) > 1);
	}
	a.first = off + aligned(at, 64) + 64 - FIT_TAG;
	a.end = (off + size) / FIT_UNIT * FIT_UNIT - FIT_TAG;
	*ret = a;
	return a.first + FIT_UNITS_MIN * FIT_UNIT <= a.end;
}

static void arena_insert(struct fit *f, const struct fit_arena *a)
{
	uint32_t i = f->n++;

	for (; i && f->arenas[i - 1].off > a->off; i--)
		f->arenas[i] = f->arenas[i - 1];
	f->arenas[i] = *a;
}

/* What fit_arena_of() looks at; behind the last arena what no place reaches. */
static void places_note(struct fit *f)
{
	for (uint32_t i = 0; i < FIT_ARENAS; i++)
		f->first[i] = i < f->n ? f->arenas[i].first : UINT64_MAX;
	for (f->half = 1; f->half < f->n; f->half *= 2)
		;
	f->half /= 2;
}

int fit_reread(struct fit *f, uint64_t generation)
{
	struct fit_arena a;

	f->n = f->half = 0;
	f->arenas[0] = (struct fit_arena){ 0 }; /* fit_arena_of() looks at it where there is none */
	for (uint32_t i = 0; i < FIT_ARENAS; i++) {
		uint64_t off = atomic_load(&f->ctl->arenas[i].off);
		uint64_t size = atomic_load(&f->ctl->arenas[i].size);

		if (!size)
			continue;
		if (!fit_geometry(f->seg, !fit_by_size(f), off, size, &a) ||
		    a.head->magic != FIT_ARENA_MAGIC || a.head->size != size)
			return seg_error(-EBADMSG, "heap: arena %u, %#lx of %lu bytes, is damaged",
					 i, (unsigned long)off, (unsigned long)size);
		arena_insert(f, &a);
	}
	places_note(f);
	f->generation = generation;
	return 0;
}

/* Doubling while that is cheap, then by an eighth: few arenas, and little in vain. */
uint64_t fit_growth(const struct fit *f)
{
	uint64_t total = 0, bytes;

	for (uint32_t i = 0; i < f->n; i++)
		total += f->arenas[i].size;
	bytes = total < DOUBLING_MAX ? total : DOUBLING_MAX;
	return bytes > total / 8 ? bytes : total / 8;
}

/* Bytes of an arena that holds a block of @units for sure, in grains. */
static uint64_t arena_size_for(const struct fit *f, uint64_t units)
{
	uint64_t bytes = units * FIT_UNIT, cells = bytes / (FIT_CELL_UNITS * FIT_UNIT) + 2;

	bytes += sizeof(struct fit_head) + 256;
	if (!fit_by_size(f))
		bytes += cells * (FIT_CELL_UNITS / 8 + 5) + FIT_LEVELS * 64 + 4096;
	return aligned(bytes, SEG_GRAIN);
}

void fit_format(struct fit *f, struct fit_arena *a, bool zeroed)
{
	uint64_t units = (a->end - a->first) / FIT_UNIT;

	if (!zeroed)
		memset(a->head, 0, a->first - a->off);
	a->head->size = a->size;
	a->head->magic = FIT_ARENA_MAGIC;
	fit_write(f, a->end, 0, FIT_USED | FIT_END | FIT_PREV_FREE);
	fit_write_footer(f, a->first, units);
	fit_write(f, a->first, units, 0);
}

/* An arena's free block is told to the index, the arena to everybody. */
static bool publish(struct fit *f, struct fit_arena *a)
{
	uint64_t units = (a->end - a->first) / FIT_UNIT;
	struct fit_ctl *ctl = f->ctl;

	for (uint32_t i = 0; i < FIT_ARENAS; i++) {
		if (atomic_load(&ctl->arenas[i].size))
			continue;
		atomic_store(&ctl->arenas[i].off, a->off);
		atomic_store(&ctl->arenas[i].size, a->size);
		atomic_fetch_add(&ctl->generation, 1);
		if (!fit_by_size(f))
			fit_area_add(a, a->first, units);
		return fit_refresh(f) == 0 && (!fit_by_size(f) || fit_size_add(f, a->first, units));
	}
	return false;
}

int fit_grow(struct fit *f, uint64_t units, uint64_t bytes)
{
	uint64_t least = arena_size_for(f, units), size = aligned(bytes, SEG_GRAIN), off;
	struct fit_journal *j = fit_journal(f->seg);
	struct fit_arena a;
	bool zeroed = false;

	if (f->n == FIT_ARENAS)
		return seg_error(-ENOMEM, "heap: no more than %u arenas", FIT_ARENAS);
	if (size < least)
		size = least;
	if (size > ARENA_SIZE_MAX / SEG_GRAIN * SEG_GRAIN)
		size = ARENA_SIZE_MAX / SEG_GRAIN * SEG_GRAIN;
	while (seg_grains_alloc(f->seg, size / SEG_GRAIN, &off, &zeroed)) {
		if (size <= least)
			return seg_error(-ENOMEM, "heap: no memory for %lu bytes in the segment",
					 (unsigned long)(units * FIT_UNIT));
		size = size / 2 > least ? aligned(size / 2, SEG_GRAIN) : least;
	}
	if (!fit_geometry(f->seg, !fit_by_size(f), off, size, &a)) {
		(void)seg_grains_free(f->seg, off);
		return seg_error(-ENOMEM, "heap: %lu bytes cannot be an arena",
				 (unsigned long)size);
	}
	fit_format(f, &a, zeroed);
	atomic_store_explicit(&j->run, off, memory_order_release);
	seg_crash_point("heap: an arena is made");
	seg_grains_adopt(f->seg, off, f->root);
	seg_crash_point("heap: an arena is adopted");
	if (!publish(f, &a))
		return seg_error(-EBADMSG, "heap: the index of free blocks is damaged");
	atomic_store_explicit(&j->run, 0, memory_order_release);
	return 0;
}

static bool is_empty(const struct fit *f, const struct fit_arena *a)
{
	uint64_t word = fit_read(f, a->first);

	return !a->head->used_blocks && !(fit_flags(word) & FIT_USED) &&
	       fit_units(word) == (a->end - a->first) / FIT_UNIT;
}

void fit_shrink(struct fit *f, struct fit_arena *a)
{
	struct fit_journal *j = fit_journal(f->seg);
	uint64_t off = a->off;
	bool other = false;

	if (!is_empty(f, a))
		return;
	for (uint32_t i = 0; i < f->n; i++)
		other |= &f->arenas[i] != a && is_empty(f, &f->arenas[i]);
	if (!other ||
	    (fit_by_size(f) && !fit_size_remove(f, a->first, (a->end - a->first) / FIT_UNIT)))
		return;
	atomic_store_explicit(&j->run, off, memory_order_release);
	for (uint32_t i = 0; i < FIT_ARENAS; i++)
		if (atomic_load(&f->ctl->arenas[i].off) == off)
			atomic_store(&f->ctl->arenas[i].size, 0);
	atomic_fetch_add(&f->ctl->generation, 1);
	seg_crash_point("heap: an arena is forgotten");
	(void)seg_grains_free(f->seg, off);
	atomic_store_explicit(&j->run, 0, memory_order_release);
	(void)fit_refresh(f);
}
