// SPDX-License-Identifier: MIT
/* Page figures: a read miss with the home valid, and an upgrade of a shared page. */
#include <stdbool.h>

#include <dsm/dsm.h>

#include "tests/bench/measure.h"
#include "tests/bench/side.h"

enum { HOME, READER, WARMER };

/* Reads every page; sides that only prepare do not measure. */
static void read_all(const char *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		(void)*(const volatile char *)(p + i * BENCH_PAGE + 8);
}

/* One access per page, in an order that no prefetcher follows. */
static void touch_all(const char *name, char *p, uint32_t n, bool write)
{
	uint64_t *v = calloc(n, sizeof(*v));
	uint32_t *order = calloc(n, sizeof(*order));

	shuffle(order, n);
	memset(v, 0, n * sizeof(*v));
	for (uint32_t i = 0; i < n; i++) {
		volatile char *byte = p + order[i] * BENCH_PAGE + 8;
		uint64_t start = now_ns();

		if (write)
			*byte = 1;
		else
			(void)*byte;
		v[i] = now_ns() - start;
	}
	if (name)
		put_latency(name, v, n);
	free(v);
	free(order);
}

/*
 * The home writes; a third node reads, which leaves the home's copy valid and
 * shared; then the reader's misses are measured. Each round has pages of its
 * own, never seen by the reader: a node may fetch what it once had in bulk. The
 * first round warms up.
 */
static void run_read_miss(const struct side *side)
{
	for (int round = 0; round < 2; round++) {
		char *p;

		switch (side->index) {
		case HOME:
			turn_pass(WARMER, (uintptr_t)pages_written(side->n));
			(void)turn_wait(side);
			break;
		case WARMER:
			p = (char *)(uintptr_t)turn_wait(side);
			read_all(p, side->n);
			turn_pass(READER, (uintptr_t)p);
			break;
		default:
			p = (char *)(uintptr_t)turn_wait(side);
			touch_all(round ? "read_miss" : NULL, p, side->n, false);
			if (round)
				dsm_free(p);
			turn_pass(HOME, 0);
		}
	}
}

const struct figure figure_read_miss = { "read_miss", 3, 3, 4096, run_read_miss };

/* The home and one reader share every page; the reader writes. */
static void run_write_upgrade(const struct side *side)
{
	for (int round = 0; round < 2; round++) {
		char *p;

		if (side->index == HOME) {
			turn_pass(READER, (uintptr_t)pages_written(side->n));
			(void)turn_wait(side);
			continue;
		}
		p = (char *)(uintptr_t)turn_wait(side);
		read_all(p, side->n);
		touch_all(round ? "write_upgrade" : NULL, p, side->n, true);
		if (round)
			dsm_free(p);
		turn_pass(HOME, 0);
	}
}

const struct figure figure_write_upgrade = { "write_upgrade", 2, 2, 4096, run_write_upgrade };
