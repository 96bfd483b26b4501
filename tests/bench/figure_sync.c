// SPDX-License-Identifier: MIT
/* Lock and barrier figures. */
#include <dsm/dsm.h>

#include "tests/bench/measure.h"
#include "tests/bench/side.h"

#define LOCK_ID 4711

static void lock(void)
{
	if (dsm_lock(LOCK_ID)) {
		fprintf(stderr, "dsm_lock failed\n");
		exit(1);
	}
}

static void run_lock_again(const struct side *side)
{
	uint64_t start;

	lock();
	dsm_unlock(LOCK_ID);
	start = now_ns();
	for (uint32_t i = 0; i < side->n; i++) {
		lock();
		dsm_unlock(LOCK_ID);
	}
	printf("lock_again %.3f ns\n", (double)(now_ns() - start) / side->n);
	fflush(stdout);
}

const struct figure figure_lock_again = { "lock_again", 1, 1, 2000000, run_lock_again };

/* Two nodes take a lock in turns: each time its token is at the other one, and free. */
static void run_lock_handoff(const struct side *side)
{
	uint64_t *v = calloc(side->n, sizeof(*v));
	unsigned int other = !side->index;

	for (uint32_t i = 0; i < side->n; i++) {
		uint64_t start;

		if (i || side->index)
			(void)turn_wait(side);
		start = now_ns();
		lock();
		v[i] = now_ns() - start;
		dsm_unlock(LOCK_ID);
		if (i + 1 < side->n || !side->index)
			turn_pass(other, 0);
	}
	if (!side->index)
		put_latency("lock_handoff", v, side->n);
	free(v);
}

const struct figure figure_lock_handoff = { "lock_handoff", 2, 2, 3000, run_lock_handoff };

/*
 * Two nodes that both always want the lock: time per acquisition. A node may
 * take it several times before it hands it on.
 */
static void run_lock_contended(const struct side *side)
{
	uint64_t start;

	lock();
	dsm_unlock(LOCK_ID);
	dsm_barrier();
	start = now_ns();
	for (uint32_t i = 0; i < side->n; i++) {
		lock();
		dsm_unlock(LOCK_ID);
	}
	dsm_barrier();
	if (!side->index) {
		printf("lock_contended %.3f us\n",
		       (double)(now_ns() - start) / 1e3 / (side->n * side->count));
		fflush(stdout);
	}
}

const struct figure figure_lock_contended = { "lock_contended", 2, 8, 3000, run_lock_contended };

static void run_barrier(const struct side *side)
{
	uint64_t *v = calloc(side->n, sizeof(*v));

	for (uint32_t i = 0; i < side->n / 10; i++)
		dsm_barrier();
	for (uint32_t i = 0; i < side->n; i++) {
		uint64_t start = now_ns();

		dsm_barrier();
		v[i] = now_ns() - start;
	}
	if (!side->index)
		put_latency("barrier", v, side->n);
	free(v);
}

const struct figure figure_barrier = { "barrier", 2, 8, 3000, run_barrier };
