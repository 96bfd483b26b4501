/* SPDX-License-Identifier: MIT */
/* A core whose introspection calls are played, for tests of the agent's JSON. */
#ifndef DSM_TESTS_UNIT_PLAYED_CORE_H
#define DSM_TESTS_UNIT_PLAYED_CORE_H

#include "agent/client/query.h"

#define FAKE_MAX 8

struct core {
	struct core_info info;
	struct core_stats stats;
	struct rec_member members[FAKE_MAX];
	bool links[FAKE_MAX];
	struct rec_region regions[FAKE_MAX];
	struct rec_extent extents[FAKE_MAX];
	struct core_lock_info locks[FAKE_MAX];
	struct core_barrier_info barriers[FAKE_MAX];
	struct core_page_info pages[FAKE_MAX];
	uint64_t runs;
	size_t nmembers, nregions, nextents, nlocks, nbarriers, npages;
};

/* A cluster of two: this node is 2, node 1 is master. */
extern struct core fake;

/* A cmocka set-up: @fake is as it should be at a test's begin. */
int fake_setup(void **state);

#endif
