/* SPDX-License-Identifier: MIT */
/*
 * The lock words of one life of the agent, and which word belongs to which
 * lock as the agent told: entries are only ever added, so threads read them
 * without a lock. A lock that finds no place here is served by the agent each
 * time.
 */
#ifndef DSM_LIB_LOCK_TABLE_H
#define DSM_LIB_LOCK_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCK_TABLE_BITS	  15 /* twice the lock words of an agent */
#define LOCK_TABLE_PROBES 8

struct lock_table {
	struct lock_table *older; /* of an agent before: a thread may still look at it */
	uint8_t *words;		  /* shared with the agent; NULL: no fast path */
	size_t stride;
	uint32_t nwords;
	/* Lock id in the upper half, slot + 1 in the lower; 0: free. */
	_Atomic uint64_t entries[1u << LOCK_TABLE_BITS];
};

/* Maps @nwords words of @fd; @fd < 0: none. 0 or a negative errno. */
int lock_table_new(int fd, uint32_t nwords, size_t stride, struct lock_table **ret);
/* It and all older ones. */
void lock_table_free(struct lock_table *t);

static inline uint32_t lock_table_start(uint32_t id)
{
	return (id * 0x9e3779b1u) >> (32 - LOCK_TABLE_BITS);
}

/* NULL: ask the agent. */
static inline _Atomic uint32_t *lock_table_word(const struct lock_table *t, uint32_t id)
{
	uint32_t at = lock_table_start(id);

	for (int i = 0; i < LOCK_TABLE_PROBES; i++) {
		uint64_t e = atomic_load_explicit(&t->entries[at], memory_order_relaxed);

		if (!e)
			return NULL;
		if (e >> 32 == id)
			return (_Atomic uint32_t *)(t->words + ((uint32_t)e - 1) * t->stride);
		at = (at + 1) & ((1u << LOCK_TABLE_BITS) - 1);
	}
	return NULL;
}

static inline void lock_table_add(struct lock_table *t, uint32_t id, uint32_t slot)
{
	uint32_t at = lock_table_start(id);

	if (slot >= t->nwords)
		return;
	for (int i = 0; i < LOCK_TABLE_PROBES; i++) {
		uint64_t e = 0;

		if (atomic_compare_exchange_strong(&t->entries[at], &e,
						   (uint64_t)id << 32 | (slot + 1)) ||
		    e >> 32 == id)
			return;
		at = (at + 1) & ((1u << LOCK_TABLE_BITS) - 1);
	}
}

#endif
