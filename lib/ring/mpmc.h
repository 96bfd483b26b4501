/* SPDX-License-Identifier: MIT */
/* Inside lib/ring: what the two sides of an MPMC ring have in common. */
#ifndef DSM_LIB_RING_MPMC_H
#define DSM_LIB_RING_MPMC_H

#include "ring.h"

static inline uint64_t header_of(const dsm_ring_t *r, uint64_t pos)
{
	return atomic_load_explicit(header_at(r, pos), memory_order_acquire);
}

/* The header before payload @p if it is in state @state by the caller; else NULL. */
_Atomic uint64_t *mpmc_mine(dsm_ring_t *r, const void *p, enum ring_state state, uint64_t *ret);

/*
 * Moves the head over what somebody released who was killed before it did so itself: no
 * consumer need come this way again. True: it has moved.
 */
bool mpmc_pass_done(dsm_ring_t *r);

#endif
