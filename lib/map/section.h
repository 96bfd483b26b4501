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

static inline const struct map_grace *map_grace_of(const struct dsm_map *m)
{
	return (const struct map_grace *)((const uint8_t *)m->header + MAP_GRACE_AT);
}

/* Who begins a glance, see glance.h, at the pass that this is, ... */
static inline uint64_t glance_begin(const struct dsm_map *m)
{
	/* ORDER: before any look at a bucket. */
	return atomic_load_explicit(&map_grace_of(m)->started, memory_order_acquire);
}

/* ... has read what was the map's all the time, if this is true after it. */
static inline bool glance_good(const struct dsm_map *m, uint64_t began)
{
#ifdef DSM_MUTANT_MAP_GLANCE_BELIEVED
	return true;
#endif
	/* ORDER: after the last look at an entry; pairs with the release of `done` in pass_step(). */
	atomic_thread_fence(memory_order_acquire);
	return likely(atomic_load_explicit(&map_grace_of(m)->done, memory_order_relaxed) <= began);
}

#endif
