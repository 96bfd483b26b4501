/* SPDX-License-Identifier: MIT */
/* The index of free blocks that the strategy needs. */
#ifndef DSM_HEAP_FIT_INDEX_H
#define DSM_HEAP_FIT_INDEX_H

#include "lib/heap/fit.h"

/* False: links are damaged. The block's header is written before. */
static inline bool fit_index_add(struct fit *f, struct fit_arena *a, uint64_t b, uint64_t units)
{
	if (fit_by_size(f))
		return fit_size_add(f, b, units);
	fit_area_add(a, b, units);
	return true;
}

static inline bool fit_index_remove(struct fit *f, struct fit_arena *a, uint64_t b, uint64_t units)
{
	if (fit_by_size(f))
		return fit_size_remove(f, b, units);
	fit_area_remove(f, a, b, units);
	return true;
}

/* -ENOMEM: none is large enough; -EBADMSG. */
static inline int fit_index_find(struct fit *f, uint64_t units, struct fit_arena **ret_a,
				 uint64_t *ret)
{
	switch (f->strategy) {
	case DSM_HEAP_BEST_FIT:
		return fit_size_best(f, units, ret_a, ret);
	case DSM_HEAP_WORST_FIT:
		return fit_size_worst(f, units, ret_a, ret);
	default:
		return fit_area_first(f, units, ret_a, ret);
	}
}

#endif
