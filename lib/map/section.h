/* SPDX-License-Identifier: MIT */
/*
 * Sections of readers. A slot's epoch is odd while its thread looks at entries. It is
 * on a page that nobody else writes, and needs no common counter: who wants to free
 * something waits until each slot that was odd has changed (quiescent states, as in McKenney
 * and Slingwine, "Read-Copy Update" (1998)).
 */
#ifndef DSM_LIB_MAP_SECTION_H
#define DSM_LIB_MAP_SECTION_H

#include "lib/segment/segment.h"

/* False: the thread is in one already. */
static inline bool section_enter(struct seg_slot *self)
{
	uint64_t e = atomic_load_explicit(&self->epoch, memory_order_relaxed);

	if (unlikely(e & 1))
		return false;
	/* ORDER: before any look at a bucket; pairs with sections_list(). */
	atomic_store(&self->epoch, e + 1);
	return true;
}

static inline void section_leave(struct seg_slot *self, bool entered)
{
	if (likely(entered))
		atomic_store_explicit(&self->epoch,
				      atomic_load_explicit(&self->epoch, memory_order_relaxed) + 1,
				      memory_order_release);
}

#endif
