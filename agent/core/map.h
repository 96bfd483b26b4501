/* SPDX-License-Identifier: MIT */
/*
 * A hash map from 64-bit keys to pointers: open addressing, linear probing,
 * backward-shift deletion. Iteration order depends on the keys alone, so a
 * simulation replays exactly.
 */
#ifndef DSM_CORE_MAP_H
#define DSM_CORE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
	uint64_t key;
	void *value; /* NULL: empty */
};

struct map {
	struct map_slot *slots;
	size_t cap; /* 0 or a power of two */
	size_t used;
};

void *map_get(const struct map *m, uint64_t key);
/* Replaces what was there. Aborts when there is no memory. */
void map_put(struct map *m, uint64_t key, void *value);
/* Returns what was there, or NULL. */
void *map_del(struct map *m, uint64_t key);
void map_free(struct map *m);

/* for (size_t i = 0; map_next(m, &i, &key, &value);): nothing may be added or removed meanwhile. */
static inline int map_next(const struct map *m, size_t *i, uint64_t *key, void **value)
{
	for (; *i < m->cap; (*i)++)
		if (m->slots[*i].value) {
			*key = m->slots[*i].key;
			*value = m->slots[*i].value;
			(*i)++;
			return 1;
		}
	return 0;
}

/* All keys, sorted: for loops that change the map. The caller frees. */
uint64_t *map_keys(const struct map *m, size_t *ret_n);

/* Memory that cannot be had ends the agent: it could not keep its promises. */
void *core_alloc(size_t size) __attribute__((returns_nonnull));
void *core_realloc(void *p, size_t size) __attribute__((returns_nonnull));

#endif
