// SPDX-License-Identifier: MIT
/*
 * pingpong: a word goes back and forth between two nodes, and how long that takes.
 *
 *   pingpong PORT CHUNKS SIDE [ROUNDS]     SIDE is 0 in one program, 1 in the other
 */
#include <dsm.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BALL	0x200000000ull /* global address of the word */
#define MEETING 11

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static _Atomic uint32_t *ball_find(void)
{
	_Atomic uint32_t *ball = dsm_malloc_at(BALL, sizeof(*ball));

	return ball || errno != EEXIST ? ball : dsm_map_remote(BALL, sizeof(*ball));
}

/* Side 0 makes odd numbers of even ones, side 1 the other way round. */
static void play(_Atomic uint32_t *ball, uint32_t side, uint32_t rounds)
{
	dsm_t *ctx = dsm_default_context();

	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t mine = 2 * i + side, seen;

		while ((seen = atomic_load(ball)) != mine)
			dsm_wait(ctx, (const void *)ball, seen, DSM_FOREVER);
		atomic_store(ball, mine + 1);
	}
}

int main(int argc, char **argv)
{
	uint32_t side = argc > 3 && atoi(argv[3]),
		 rounds = argc > 4 ? (uint32_t)atoi(argv[4]) : 1000;
	_Atomic uint32_t *ball;
	double start;

	if (dsm_init(argc, argv) || !(ball = ball_find())) {
		perror("pingpong");
		return 1;
	}
	if (dsm_barrier_wait(dsm_default_context(), MEETING, 2, DSM_FOREVER))
		return 1;
	start = now_us();
	play(ball, side, rounds);
	printf("side %u: %u rounds, %.1f us each\n", side, rounds, (now_us() - start) / rounds);
	if (dsm_barrier_wait(dsm_default_context(), MEETING, 2, DSM_FOREVER))
		return 1;
	dsm_finalize();
	return 0;
}
