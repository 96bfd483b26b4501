/* SPDX-License-Identifier: MIT */
#ifndef DSM_TESTS_RING_USE_H
#define DSM_TESTS_RING_USE_H

#include <dsm/ring.h>

/* Everything that two ends can do; results do not matter, that it ends does. */
void ring_use(dsm_ring_t *out, dsm_ring_t *in);

#endif
