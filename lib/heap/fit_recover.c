// SPDX-License-Identifier: MIT
/* After a kill: the chains of headers are whole, all else is made again from them. */
#include <errno.h>
#include <string.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_index.h"
#include "lib/heap/fit_journal.h"

static void index_clear(struct fit *f)
{
	if (fit_by_size(f)) {
		f->ctl->tree = 0;
		f->ctl->some = 0;
		memset(f->ctl->bins_used, 0, sizeof(f->ctl->bins_used));
		memset(f->ctl->bins, 0, sizeof(f->ctl->bins));
	}
	for (uint32_t i = 0; i < f->n; i++) {
		struct fit_arena *a = &f->arenas[i];

		if (!fit_by_size(f))
			memset(a->bits, 0, a->first - seg_off(f->seg, a->bits) - FIT_TAG);
	}
}

/* All free blocks from @b on, which is one, become one; its units. */
static uint64_t gather(struct fit *f, const struct fit_arena *a, uint64_t b)
{
	uint64_t units = fit_units(fit_read(f, b)), word;

	for (;;) {
		uint64_t next = b + units * FIT_UNIT;

		word = next < a->end ? fit_read(f, next) : 0;
		if (next >= a->end || !fit_sound(f, a, next, word) || fit_flags(word) & FIT_USED)
			break;
		units += fit_units(word);
	}
	fit_write(f, b, units, 0);
	fit_write_footer(f, b, units);
	return units;
}

static int arena_rebuild(struct fit *f, struct fit_arena *a)
{
	uint64_t b = a->first, blocks = 0, used = 0;
	unsigned int before = 0;

	while (b < a->end) {
		uint64_t word = fit_read(f, b), units = fit_units(word);

		if (!fit_sound(f, a, b, word))
			return seg_error(-EBADMSG,
					 "heap: the header of the block at %#lx is damaged",
					 (unsigned long)(b + FIT_TAG));
		if (fit_flags(word) & FIT_USED) {
			fit_write(f, b, units, (fit_flags(word) & ~FIT_PREV_FREE) | before);
			blocks++;
			used += units;
			before = 0;
		} else {
			units = gather(f, a, b);
			if (!fit_index_add(f, a, b, units))
				return seg_error(-EBADMSG,
						 "heap: links of free blocks are damaged");
			before = FIT_PREV_FREE;
		}
		b += units * FIT_UNIT;
	}
	fit_write(f, a->end, 0, FIT_USED | FIT_END | before);
	a->head->used_blocks = blocks;
	a->head->used_units = used;
	return 0;
}

int fit_rebuild(struct fit *f)
{
	int err = 0, one;

	index_clear(f);
	for (uint32_t i = 0; i < f->n; i++) {
		one = arena_rebuild(f, &f->arenas[i]);
		err = err ? err : one;
	}
	atomic_fetch_add(&f->ctl->rebuilt, 1);
	return err;
}

/* An arena that was to come is forgotten, one that was to go goes, unless the table has it. */
static void run_settle(struct fit *f, uint64_t run)
{
	uint64_t first, n;
	uint32_t root;

	for (uint32_t i = 0; i < FIT_ARENAS; i++)
		if (atomic_load(&f->ctl->arenas[i].size) &&
		    atomic_load(&f->ctl->arenas[i].off) == run)
			return;
	if (!seg_grains_find(f->seg, run, &first, &n, &root) && first == run && root == f->root)
		(void)seg_grains_free(f->seg, run);
}

static void block_settle(struct fit *f, const struct fit_journal *j, enum fit_work work)
{
	uint64_t b = atomic_load(&j->block), at = atomic_load(&j->dest), word;
	const struct fit_arena *a = fit_arena_of(f, b);
	_Atomic uint64_t *dest = at ? heap_dest(f->seg, at) : NULL;

	if (work == FIT_WORK_OTHER || !a || b % FIT_UNIT != FIT_UNIT - FIT_TAG)
		return;
	if (work == FIT_WORK_ALLOC && dest && atomic_load(dest) == b + FIT_TAG)
		return;
	if (work == FIT_WORK_FREE && dest && atomic_load(dest) == b + FIT_TAG)
		atomic_store(dest, 0);
	/* In the midst of a free block this changes bytes that mean nothing. */
	word = fit_read(f, b);
	if (fit_sound(f, a, b, word) && fit_flags(word) & FIT_USED)
		fit_write(f, b, fit_units(word), FIT_FREED);
}

void fit_recover(struct fit *f, struct seg_slot *dead)
{
	struct fit_journal *j = fit_journal_of(dead);
	uint64_t work = atomic_load(&j->work), run = atomic_load(&j->run);

	if (!work)
		return;
	if ((work & ~63ull) == f->off) {
		if (run)
			run_settle(f, run);
		if (!fit_refresh(f)) {
			block_settle(f, j, work & 63);
			seg_crash_point("heap: a death is half seen to");
			(void)fit_rebuild(f);
		}
	}
	atomic_store(&j->run, 0);
	atomic_store(&j->work, 0);
}
