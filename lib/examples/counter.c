// SPDX-License-Identifier: MIT
/*
 * counter: every program adds to one counter under a lock, then all compare.
 *
 *   counter PORT CHUNKS PROGRAMS [ROUNDS]
 *
 * PROGRAMS says how many run in the cluster; the last to finish checks the sum.
 */
#include <dsm.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TALLY	0x100000000ull /* global address of the counter */
#define LOCK	7
#define MEETING 7

struct tally {
	uint64_t count;
	uint64_t programs;
};

static struct tally *tally_find(void)
{
	struct tally *t = dsm_malloc_at(TALLY, sizeof(*t));

	return t || errno != EEXIST ? t : dsm_map_remote(TALLY, sizeof(*t));
}

int main(int argc, char **argv)
{
	unsigned long programs = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
	unsigned long rounds = argc > 4 ? strtoul(argv[4], NULL, 10) : 1000;
	struct tally *t;
	uint64_t want = programs * rounds, got;

	if (dsm_init(argc, argv)) {
		perror("dsm_init");
		return 1;
	}
	t = tally_find();
	if (!t) {
		perror("counter");
		return 1;
	}
	for (unsigned long i = 0; i < rounds; i++) {
		if (dsm_lock(LOCK))
			return 1;
		t->count++;
		dsm_unlock(LOCK);
	}
	if (dsm_barrier_wait(dsm_default_context(), MEETING, (uint32_t)programs, DSM_FOREVER))
		return 1;
	got = t->count;
	printf("node %u: %lu programs, %lu rounds each: %lu, %s\n", dsm_get_node_id(), programs,
	       rounds, (unsigned long)got, got == want ? "as it should be" : "WRONG");
	/* Nobody leaves before all have looked. */
	if (dsm_barrier_wait(dsm_default_context(), MEETING, (uint32_t)programs, DSM_FOREVER))
		return 1;
	dsm_finalize();
	return got != want;
}
