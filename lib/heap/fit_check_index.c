// SPDX-License-Identifier: MIT
/* The indexes of free blocks against what the tags tell. */
#include <errno.h>

#include "lib/heap/fit_check.h"
#include "lib/heap/fit_links.h"

/* -------- by address */

/* Bits of a cell against the tags; the greatest size into @ret_max. */
static int cell_check(struct fit_checking *c, const struct fit_arena *a, uint64_t cell,
		      uint64_t *ret_max)
{
	int err = 0;

	*ret_max = 0;
	for (uint64_t left = a->bits[cell]; !err && left; left &= left - 1) {
		uint64_t unit = cell * FIT_CELL_UNITS + (unsigned)__builtin_ctzll(left);
		struct fit_free *free = fit_free_find(c, a->first + unit * FIT_UNIT);

		if (!free || !free->units) {
			err = fit_fault(c, a->first + unit * FIT_UNIT + FIT_TAG,
					"index: a bit says that a free block is here");
			continue;
		}
		if (free->units > *ret_max)
			*ret_max = free->units;
		free->units = 0;
	}
	return err;
}

static int maxima_check(struct fit_checking *c, const struct fit_arena *a)
{
	for (unsigned int level = 1; level < a->levels; level++) {
		uint32_t below = fit_area_entries(a->cells, level - 1);

		for (uint32_t i = 0; i < fit_area_entries(a->cells, level); i++) {
			uint32_t max = 0;

			for (uint32_t k = i * FIT_FAN; k < (i + 1) * FIT_FAN && k < below; k++)
				max = a->max[level - 1][k] > max ? a->max[level - 1][k] : max;
			if (a->max[level][i] != max)
				return fit_fault(c, seg_off(c->f->seg, &a->max[level][i]),
						 "index: a maximum of level %u is %u, not %u units",
						 level, a->max[level][i], max);
		}
	}
	return 0;
}

static int unseen_tell(struct fit_checking *c)
{
	int err = 0;

	for (size_t i = 0; !err && i < c->nfree; i++)
		if (c->free[i].units)
			err = fit_fault(c, c->free[i].b + FIT_TAG,
					"index: a free block of %lu bytes is missing",
					(unsigned long)(c->free[i].units * FIT_UNIT));
	return err;
}

int fit_check_area(struct fit_checking *c)
{
	uint64_t max;
	int err = 0;

	for (uint32_t i = 0; !err && i < c->f->n; i++) {
		const struct fit_arena *a = &c->f->arenas[i];

		for (uint64_t cell = 0; !err && cell < a->cells; cell++) {
			err = cell_check(c, a, cell, &max);
			if (!err && a->max[0][cell] != max)
				err = fit_fault(c, a->first + cell * FIT_CELL_UNITS * FIT_UNIT,
						"index: the maximum of a cell is %u, not %lu units",
						a->max[0][cell], (unsigned long)max);
		}
		if (!err)
			err = maxima_check(c, a);
	}
	return err ? err : unseen_tell(c);
}

/* -------- by size */

/* The block at @b, reached by a link from @from, is free, of @units (0: any), and was not met before. */
static int link_check(struct fit_checking *c, uint64_t from, uint64_t b, uint64_t units,
		      bool *ret_good)
{
	struct fit_free *free = fit_free_find(c, b);
	const char *wrong = NULL;

	if (!free)
		wrong = "points at no free block";
	else if (!free->units)
		wrong = "points at a block that was met before: it is listed twice";
	else if (units && free->units != units)
		wrong = "points at a block of another size";
	*ret_good = !wrong;
	if (wrong)
		return fit_fault(c, from, "link: %#lx, %s", (unsigned long)(b + FIT_TAG), wrong);
	free->units = 0;
	return 0;
}

/* What hangs behind @b in its list. */
static int list_check(struct fit_checking *c, uint64_t b, uint64_t units)
{
	struct fit_links *l = fit_links(c->f, b);
	bool good;
	int err = 0;

	while (!err && l->next) {
		uint64_t next = l->next;

		err = link_check(c, b + FIT_TAG, next, units, &good);
		if (err || !good)
			break;
		l = fit_links(c->f, next);
		if (l->prev != b)
			err = fit_fault(
				c, next + FIT_TAG, "link: the way back, %#lx, should be %#lx",
				(unsigned long)(l->prev + FIT_TAG), (unsigned long)(b + FIT_TAG));
		b = next;
	}
	return err;
}

static int bin_check(struct fit_checking *c, uint64_t units)
{
	struct fit_ctl *ctl = c->f->ctl;
	uint64_t b = ctl->bins[units], from = seg_off(c->f->seg, &ctl->bins[units]);
	bool good;
	int err;

	if (!b != !(ctl->bins_used[units / 64] >> (units % 64) & 1) ||
	    !ctl->bins_used[units / 64] != !(ctl->some >> (units / 64) & 1))
		return fit_fault(c, from, "index: bits and list of %lu bytes disagree",
				 (unsigned long)(units * FIT_UNIT));
	if (!b)
		return 0;
	err = link_check(c, from, b, units, &good);
	if (err || !good)
		return err;
	if (fit_links(c->f, b)->prev)
		err = fit_fault(c, b + FIT_TAG,
				"link: the first block of a list has one before it");
	return err ? err : list_check(c, b, units);
}

/* The subtree at @b: sizes that begin with the bits of @prefix above @bit. */
static int tree_check(struct fit_checking *c, uint64_t from, uint64_t b, uint64_t parent,
		      uint64_t prefix, int bit)
{
	struct fit_links *l;
	uint64_t units;
	bool good;
	int err = link_check(c, from, b, 0, &good);

	if (err || !good)
		return err;
	l = fit_links(c->f, b);
	units = fit_units(fit_read(c->f, b));
	if (l->parent != parent || l->prev)
		err = fit_fault(c, b + FIT_TAG, "link: the way up, %#lx, should be %#lx",
				(unsigned long)l->parent, (unsigned long)parent);
	if (!err && (bit < -1 || units < FIT_BINS || units >> (bit + 1) != prefix))
		err = fit_fault(c, b + FIT_TAG,
				"link: %lu units hang in the wrong place of the tree",
				(unsigned long)units);
	if (!err)
		err = list_check(c, b, units);
	for (unsigned int i = 0; !err && i < 2; i++)
		if (l->child[i] && bit >= 0)
			err = tree_check(c, b + FIT_TAG, l->child[i], b, prefix << 1 | i, bit - 1);
	return err;
}

int fit_check_size(struct fit_checking *c)
{
	struct fit_ctl *ctl = c->f->ctl;
	int err = 0;

	for (uint64_t units = 0; !err && units < FIT_BINS; units++)
		err = bin_check(c, units);
	if (!err && ctl->tree)
		err = tree_check(c, seg_off(c->f->seg, &ctl->tree), ctl->tree, 0, 0, 31);
	/* Who is missing because a link before it is damaged needs no word. */
	return err || c->faults ? err : unseen_tell(c);
}
