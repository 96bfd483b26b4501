/* SPDX-License-Identifier: MIT */
/* What free blocks hold for the index by size. */
#ifndef DSM_HEAP_FIT_LINKS_H
#define DSM_HEAP_FIT_LINKS_H

#include "lib/heap/fit.h"

/* Behind the header; 0: none. The last three only in blocks of FIT_BINS units and more. */
struct fit_links {
	uint64_t next, prev; /* of the same size; prev 0: this one is the list's, or the tree's */
	uint64_t child[2];   /* larger ones, by a bit of their size */
	uint64_t parent;     /* 0: of the root, or not in the tree but in a list */
};

static inline struct fit_links *fit_links(const struct fit *f, uint64_t b)
{
	return seg_at(f->seg, b + FIT_TAG);
}

/* NULL: no block can be at @b. */
static inline struct fit_links *fit_links_checked(struct fit *f, uint64_t b)
{
	const struct fit_arena *a = fit_arena_of(f, b);

	if (unlikely(!a || b % FIT_UNIT != FIT_UNIT - FIT_TAG ||
		     a->end - b < FIT_UNITS_MIN * FIT_UNIT))
		return NULL;
	return fit_links(f, b);
}

#endif
