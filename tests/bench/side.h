/* SPDX-License-Identifier: MIT */
/*
 * A bench over the shared memory runs as one process per node, forked from
 * one program or started on several machines: its sides. How they take turns
 * is no part of what is measured.
 */
#ifndef DSM_BENCH_SIDE_H
#define DSM_BENCH_SIDE_H

#include <stddef.h>
#include <stdint.h>

#define SIDES_MAX 8

struct side {
	unsigned int index; /* from 0 */
	unsigned int count; /* of all sides */
	uint32_t n;	    /* how often, or how many pages: the program's COUNT */
};

/* A figure: each side runs @run once, attached to its node. */
struct figure {
	const char *name;
	unsigned int sides_min, sides_max;
	uint32_t n; /* COUNT unless given */
	void (*run)(const struct side *side);
};

extern const struct figure figure_read_miss;
extern const struct figure figure_write_upgrade;
extern const struct figure figure_lock_again;
extern const struct figure figure_lock_handoff;
extern const struct figure figure_lock_contended;
extern const struct figure figure_barrier;

/* Before the sides are forked: they take turns through pipes. */
void turn_pipes(unsigned int sides);
/* After attaching, for sides that are not of one process: through the shared memory. */
void turn_share(void);

/* Gives the turn to side @to, with a value that it gets from turn_wait(). */
void turn_pass(unsigned int to, uint64_t value);
/* Waits for the turn. Ends the program when the others are gone. */
uint64_t turn_wait(const struct side *side);

/* Pages of the shared memory, homed at this node and written once by it. */
char *pages_written(uint32_t n);

#endif
