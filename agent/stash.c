// SPDX-License-Identifier: MIT
#include <stdbool.h>
#include <stdlib.h>

#include "agent/stash.h"

#define PAGE_BYTES 4096
#define SPARE_MAX  64 /* buffers kept for the next page: pages come and go all the time */

struct slot {
	uint64_t key;
	void *page; /* NULL: the slot is free */
};

struct stash {
	struct slot *slots; /* linear probing; at most half are taken */
	size_t mask, used;
	void *spare[SPARE_MAX];
	size_t nspare;
};

struct stash *stash_new(void)
{
	struct stash *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->mask = 63;
	s->slots = calloc(s->mask + 1, sizeof(*s->slots));
	if (!s->slots) {
		free(s);
		return NULL;
	}
	return s;
}

void stash_free(struct stash *s)
{
	if (!s)
		return;
	for (size_t i = 0; i <= s->mask; i++)
		free(s->slots[i].page);
	while (s->nspare)
		free(s->spare[--s->nspare]);
	free(s->slots);
	free(s);
}

static size_t slot_home(const struct stash *s, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 20) & s->mask;
}

/* Where @key is, or the free slot where it would go. */
static struct slot *slot_find(const struct stash *s, uint64_t key)
{
	size_t i = slot_home(s, key);

	while (s->slots[i].page && s->slots[i].key != key)
		i = (i + 1) & s->mask;
	return &s->slots[i];
}

static bool stash_grow(struct stash *s)
{
	struct stash bigger = { .mask = s->mask * 2 + 1 };

	bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i <= s->mask; i++)
		if (s->slots[i].page)
			*slot_find(&bigger, s->slots[i].key) = s->slots[i];
	free(s->slots);
	s->slots = bigger.slots;
	s->mask = bigger.mask;
	return true;
}

void *stash_put(struct stash *s, uint64_t key)
{
	struct slot *slot = slot_find(s, key);
	void *page;

	if (slot->page)
		return slot->page;
	if (2 * (s->used + 1) > s->mask && !stash_grow(s))
		return NULL;
	page = s->nspare ? s->spare[--s->nspare] : aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	if (!page)
		return NULL;
	slot = slot_find(s, key);
	slot->key = key;
	slot->page = page;
	s->used++;
	return page;
}

void *stash_get(const struct stash *s, uint64_t key)
{
	return slot_find(s, key)->page;
}

/* Fills the hole at @hole with what would be found no more behind it. */
static void close_hole(struct stash *s, size_t hole)
{
	size_t i = hole, home;

	s->slots[hole].page = NULL;
	for (;;) {
		i = (i + 1) & s->mask;
		if (!s->slots[i].page)
			return;
		home = slot_home(s, s->slots[i].key);
		/* Stays when its search begins after the hole. */
		if (((i - home) & s->mask) < ((i - hole) & s->mask))
			continue;
#ifdef DSM_MUTANT_STASH_HOLE_LEFT
		return;
#endif
		s->slots[hole] = s->slots[i];
		s->slots[i].page = NULL;
		hole = i;
	}
}

void stash_drop(struct stash *s, uint64_t key)
{
	struct slot *slot = slot_find(s, key);

	if (!slot->page)
		return;
	if (s->nspare < SPARE_MAX)
		s->spare[s->nspare++] = slot->page;
	else
		free(slot->page);
	s->used--;
	close_hole(s, (size_t)(slot - s->slots));
}

size_t stash_pages(const struct stash *s)
{
	return s->used;
}
