/* SPDX-License-Identifier: MIT */
/*
 * Users of a heap, a map, a ring and a channel in one segment, killed at any moment. What
 * they write can be recognised: a byte that is wrong, a block that two have, a value that is torn
 * is noticed by whoever meets it.
 */
#ifndef DSM_TESTS_KILL_H
#define DSM_TESTS_KILL_H

#include <dsm/channel.h>
#include <dsm/context.h>
#include <dsm/heap.h>
#include <dsm/map.h>
#include <dsm/ring.h>
#include <stdatomic.h>
#include <stdint.h>

#define USERS	  4  /* that are killed; of the seats of the channel the first two have one each */
#define SURVIVORS 1  /* that are not: after the others */
#define BLOCKS	  24 /* a user's words for blocks */
#define LIVES	  16 /* of a user, whose words are others' than those of the lives before */
#define KEYS	  300
#define VALUE_MAX 400

/*
 * What a user of the heap has; it outlives the process. Until the dead one is buried its words are
 * its own, so the next life of the user has others.
 */
struct holder {
	uint64_t block[BLOCKS];		 /* words of dsm_heap_alloc_to() */
	_Atomic uint64_t filled[BLOCKS]; /* the same, once the block is filled */
	_Atomic uint64_t size[BLOCKS];	 /* that was asked for */
};

/* In the segment. */
struct shared {
	struct holder holders[USERS + SURVIVORS][LIVES];
	_Atomic uint64_t rounds[USERS + SURVIVORS]; /* operations done: who goes on is seen by it */
	_Atomic uint64_t sent, received;
	_Atomic uint64_t wrong;
	char what[160]; /* the first wrong thing */
};

struct scene {
	dsm_t *ctx; /* NULL: on this host */
	dsm_segment_t *seg;
	dsm_heap_t *heap;
	dsm_map_t *map;
	dsm_ring_t *ring;
	struct shared *shared;
};

/* Use everything at random for ever, as user @who in its @life. */
void user_run(const struct scene *s, unsigned int who, unsigned int life, uint64_t seed)
	__attribute__((noreturn));
/* Give back all blocks of @who, checking each. */
void user_empty(const struct scene *s, unsigned int who);

/* After the last death: 0, or how many things are wrong, each named on stderr. */
unsigned int verdict(const struct scene *s);

/* Writes down the first wrong thing. */
void note_wrong(struct shared *shared, const char *what, int number);

static inline uint64_t draw(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

#endif
