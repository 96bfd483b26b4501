// SPDX-License-Identifier: MIT
/*
 * The index by address, of first fit. An arena is cut into cells of 64 units. A cell
 * has a bit for each unit, set where a free block starts, and the size of the largest that starts
 * in it; sixteen cells have a maximum of theirs, sixteen of these again, up to one for the arena.
 * So the lowest block that is large enough is found in as many steps as there
 * are levels (6 for 256 MiB), and no free block but the one taken is read. The idea of a tree of
 * maxima over places is R. P. Brent's (TOPLAS 11(3), 1989).
 */
#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "lib/heap/fit.h"

uint32_t fit_area_entries(uint32_t cells, unsigned int level)
{
	while (level--)
		cells = (cells + FIT_FAN - 1) / FIT_FAN;
	return cells;
}

#ifdef __SSE2__
/* Bit i: m[i] >= least. Sizes have 31 bits: signed comparison is right. */
static inline uint32_t at_least(const uint32_t *m, uint32_t least)
{
	const __m128i *v = (const __m128i *)m, limit = _mm_set1_epi32((int)least - 1);
	__m128i low = _mm_packs_epi32(_mm_cmpgt_epi32(_mm_loadu_si128(v), limit),
				      _mm_cmpgt_epi32(_mm_loadu_si128(v + 1), limit));
	__m128i high = _mm_packs_epi32(_mm_cmpgt_epi32(_mm_loadu_si128(v + 2), limit),
				       _mm_cmpgt_epi32(_mm_loadu_si128(v + 3), limit));

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
}

static inline __m128i greater(__m128i a, __m128i b)
{
	__m128i first = _mm_cmpgt_epi32(a, b);

	return _mm_or_si128(_mm_and_si128(first, a), _mm_andnot_si128(first, b));
}

/*
 * The greatest of the group were m[i] @now. Asked before m[i] is stored: a wide load that
 * follows a narrow store waits for it.
 */
static inline uint32_t greatest_with(const uint32_t *m, unsigned int i, uint32_t now)
{
	const __m128i *v = (const __m128i *)m, four = _mm_set1_epi32(4);
	__m128i place = _mm_setr_epi32(0, 1, 2, 3), at = _mm_set1_epi32((int)i);
	__m128i max = _mm_set1_epi32((int)now);

#pragma GCC unroll 4
	for (unsigned int k = 0; k < FIT_FAN / 4; k++) {
		max = greater(max,
			      _mm_andnot_si128(_mm_cmpeq_epi32(place, at), _mm_loadu_si128(v + k)));
		place = _mm_add_epi32(place, four);
	}
	max = greater(max, _mm_shuffle_epi32(max, 0x4e));
	max = greater(max, _mm_shuffle_epi32(max, 0xb1));
	return (uint32_t)_mm_cvtsi128_si32(max);
}
#else
static inline uint32_t at_least(const uint32_t *m, uint32_t least)
{
	uint32_t found = 0;

	for (unsigned int i = 0; i < FIT_FAN; i++)
		found |= (uint32_t)(m[i] >= least) << i;
	return found;
}

static inline uint32_t greatest_with(const uint32_t *m, unsigned int i, uint32_t now)
{
	for (unsigned int k = 0; k < FIT_FAN; k++)
		now = k != i && m[k] > now ? m[k] : now;
	return now;
}
#endif

static inline uint64_t unit_of(const struct fit_arena *a, uint64_t b)
{
	return (b - a->first) / FIT_UNIT;
}

/* The lowest block that starts in @cell and has @least units; else the most that one there has. */
static uint64_t cell_scan(const struct fit *f, const struct fit_arena *a, uint64_t cell,
			  uint64_t least, uint64_t *ret_b)
{
	uint64_t max = 0;

	for (uint64_t left = a->bits[cell]; left; left &= left - 1) {
		uint64_t unit = cell * FIT_CELL_UNITS + (unsigned)__builtin_ctzll(left);
		uint64_t b = a->first + unit * FIT_UNIT;
		uint64_t units = b < a->end ? fit_units(fit_read(f, b)) : 0;

		max = units > max ? units : max;
		if (units >= least) {
			*ret_b = b;
			break;
		}
	}
	return max;
}

/* The largest block that starts in @cell; 0: none. */
static uint32_t cell_greatest(const struct fit *f, const struct fit_arena *a, uint64_t cell)
{
	uint64_t max = cell_scan(f, a, cell, UINT64_MAX, NULL);

	return max > FIT_UNITS_MAX ? 0 : (uint32_t)max;
}

/* The cell's maximum is @now, and was greater. */
static void lower(struct fit_arena *a, uint64_t cell, uint32_t now)
{
	for (unsigned int level = 0; level < a->levels; level++, cell /= FIT_FAN) {
		uint32_t *m = a->max[level] + cell / FIT_FAN * FIT_FAN,
			 before = a->max[level][cell];
		uint32_t above = now;

		if (now == before)
			return;
		if (level + 1 < a->levels) {
			if (a->max[level + 1][cell / FIT_FAN] != before) {
				a->max[level][cell] = now;
				return;
			}
			above = greatest_with(m, cell % FIT_FAN, now);
		}
		a->max[level][cell] = now;
		now = above;
	}
}

void fit_area_add(struct fit_arena *a, uint64_t b, uint64_t units)
{
	uint64_t unit = unit_of(a, b), i = unit / FIT_CELL_UNITS;

	a->bits[unit / 64] |= 1ull << (unit % 64);
	for (unsigned int level = 0; level < a->levels; level++, i /= FIT_FAN) {
		if (a->max[level][i] >= units)
			return;
		a->max[level][i] = (uint32_t)units;
	}
}

void fit_area_remove(struct fit *f, struct fit_arena *a, uint64_t b, uint64_t units)
{
	uint64_t unit = unit_of(a, b), cell = unit / FIT_CELL_UNITS;

	a->bits[unit / 64] &= ~(1ull << (unit % 64));
	if (a->max[0][cell] <= units)
		lower(a, cell, cell_greatest(f, a, cell));
}

/* The first block in the lowest cell that has one of @units. */
static int descend(const struct fit *f, const struct fit_arena *a, uint32_t units, uint64_t *ret)
{
	uint64_t i = 0;

	for (unsigned int level = a->levels - 1; level--;) {
		uint32_t found = at_least(a->max[level] + i * FIT_FAN, units);

		if (!found)
			return seg_error(-EBADMSG, "heap: maxima of level %u disagree at %#lx",
					 level, (unsigned long)a->off);
		i = i * FIT_FAN + (unsigned)__builtin_ctz(found);
	}
	if (cell_scan(f, a, i, units, ret) >= units)
		return 0;
	return seg_error(-EBADMSG,
			 "heap: no free block of %u units in a cell at %#lx that should have one",
			 units, (unsigned long)(a->first + i * FIT_CELL_UNITS * FIT_UNIT));
}

static inline uint32_t arena_greatest(const struct fit_arena *a)
{
	return a->max[a->levels - 1][0];
}

int fit_area_first(struct fit *f, uint64_t units, struct fit_arena **ret_a, uint64_t *ret)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (arena_greatest(&f->arenas[i]) >= units) {
			*ret_a = &f->arenas[i];
			return descend(f, *ret_a, (uint32_t)units, ret);
		}
	return -ENOMEM;
}
