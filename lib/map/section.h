/* SPDX-License-Identifier: MIT */
/*
 * Sections of readers, and glances. A slot's epoch is odd while its thread looks at entries. It is
 * on a page that nobody else writes, and needs no common counter: who wants to free
 * something waits until each slot that was odd has changed (quiescent states, as in McKenney
 * and Slingwine, "Read-Copy Update" (1998)).
 */
#ifndef DSM_LIB_MAP_SECTION_H
#define DSM_LIB_MAP_SECTION_H

#include "lib/map/map.h"

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

/*
 * A glance is a section that nobody waits for: who ends it learns whether what was read may have
 * been freed meanwhile, and if so has read nothing. It stores nothing and has no fence, so the
 * processor goes on with the next one while it waits for this one's memory.
 *
 * What is in use after a glance began at pass n is set aside until pass n + 1 or a later one is
 * done. So, bytes that were freed come with a `done` beyond n. The bytes themselves may be
 * anybody's: they are checked before they lead anywhere, and believed after the end only.
 */
static inline uint64_t glance_begin(const struct dsm_map *m)
{
	/* ORDER: before any look at a bucket. */
	return atomic_load_explicit(&m->grace->started, memory_order_acquire);
}

static inline bool glance_good(const struct dsm_map *m, uint64_t began)
{
#ifdef DSM_MUTANT_MAP_GLANCE_BELIEVED
	return true;
#endif
	/* ORDER: after the last look at an entry; pairs with the release of `done` in pass_step(). */
	atomic_thread_fence(memory_order_acquire);
	return likely(atomic_load_explicit(&m->grace->done, memory_order_relaxed) <= began);
}

#endif
