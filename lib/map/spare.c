// SPDX-License-Identifier: MIT
/*
 * Blocks of old entries that no reader looks at any more. A map whose values change all the time
 * needs a block of the same size again soon: so a few are kept for the thread's next entries, in
 * a list of its journal, and the heap is not asked twice.
 */
#include "lib/map/table.h"

#define SPARES	       32u
#define SPARE_SIZE_MAX 1024u

static uint64_t block_size(const struct map_entry *e)
{
	return entry_value_at(e->key_size) + e->value_size;
}

/* NULL: no entry can be there. As seg_checked(), without a call. */
static inline struct map_entry *block_at(struct dsm_map *m, uint64_t off)
{
	if (unlikely(off & 7) || unlikely(off < m->data_at) ||
	    !map_within(m, off + sizeof(struct map_entry)))
		return NULL;
	return (struct map_entry *)(m->base + off);
}

/* The first of a list is on its way: in both the list and @j->trash it counts as in the list. */
static struct map_entry *pop(struct dsm_map *m, struct map_journal *j, _Atomic uint64_t *list)
{
	uint64_t off = atomic_load_explicit(list, memory_order_relaxed);
	struct map_entry *e = off ? block_at(m, off) : NULL;

	if (!e) {
		atomic_store_explicit(list, 0, memory_order_relaxed);
		return NULL;
	}
	atomic_store_explicit(&j->trash, off, memory_order_release);
	atomic_store_explicit(list, e->retire_next, memory_order_release);
	return e;
}

/* False: it is no block of the heap, so what the list says next is not to be believed. */
static bool release(struct dsm_map *m, struct map_journal *j)
{
	if (!dsm_heap_free_from(m->heap, plain_word(&j->trash)))
		return true;
	atomic_store_explicit(&j->trash, 0, memory_order_release);
	return false;
}

static void keep_one(struct map_journal *j, struct map_entry *e)
{
	e->retire_next = atomic_load_explicit(&j->spares, memory_order_relaxed);
	atomic_store_explicit(&j->spares, atomic_load_explicit(&j->trash, memory_order_relaxed),
			      memory_order_release);
	atomic_store_explicit(&j->trash, 0, memory_order_release);
	j->spare_count++;
}

void map_trash_empty(struct dsm_map *m, struct map_journal *j, bool keep)
{
	struct map_entry *e;

	while ((e = pop(m, j, &j->trash_list))) {
		if (keep && m->spares && j->spare_count < SPARES && block_size(e) <= SPARE_SIZE_MAX)
			keep_one(j, e);
		else if (!release(m, j))
			atomic_store_explicit(&j->trash_list, 0, memory_order_relaxed);
	}
	if (keep)
		return;
	while (pop(m, j, &j->spares))
		if (!release(m, j))
			atomic_store_explicit(&j->spares, 0, memory_order_relaxed);
	j->spare_count = 0;
}

bool map_spare_take(struct dsm_map *m, struct map_journal *j, uint64_t size)
{
	uint64_t off = atomic_load_explicit(&j->spares, memory_order_relaxed), has;
	const struct map_entry *e;

	if (!off)
		return false;
	j->spare_count--;
	e = block_at(m, off);
	has = e ? block_size(e) : 0;
	if (!e || has < size || has - size > has / 4 || !map_within(m, off + has)) {
		/* Others may fit, later. */
		if (pop(m, j, &j->spares) && !release(m, j))
			atomic_store_explicit(&j->spares, 0, memory_order_relaxed);
		return false;
	}
	/* In both it counts as in the list. */
	atomic_store_explicit(&j->fresh, off, memory_order_release);
	atomic_store_explicit(&j->spares, e->retire_next, memory_order_release);
	return true;
}
