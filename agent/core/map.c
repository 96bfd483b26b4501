/* SPDX-License-Identifier: MIT */
#include "agent/core/map.h"

#include <stdlib.h>

void *core_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

void *core_realloc(void *p, size_t size)
{
	p = realloc(p, size);
	if (!p)
		abort();
	return p;
}

static size_t map_hash(uint64_t key)
{
	key ^= key >> 33;
	key *= 0xff51afd7ed558ccdull;
	key ^= key >> 29;
	return (size_t)key;
}

static size_t map_find(const struct map *m, uint64_t key)
{
	size_t i = map_hash(key) & (m->cap - 1);

	while (m->slots[i].value && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

void *map_get(const struct map *m, uint64_t key)
{
	return m->cap ? m->slots[map_find(m, key)].value : NULL;
}

static void map_grow(struct map *m)
{
	struct map old = *m;

	m->cap = old.cap ? old.cap * 2 : 16;
	m->slots = core_alloc(m->cap * sizeof(*m->slots));
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value)
			m->slots[map_find(m, old.slots[i].key)] = old.slots[i];
	free(old.slots);
}

void map_put(struct map *m, uint64_t key, void *value)
{
	size_t i;

	if (m->used * 4 >= m->cap * 3)
		map_grow(m);
	i = map_find(m, key);
	if (!m->slots[i].value)
		m->used++;
	m->slots[i].key = key;
	m->slots[i].value = value;
}

void *map_del(struct map *m, uint64_t key)
{
	size_t hole, i;
	void *value;

	if (!m->cap)
		return NULL;
	hole = map_find(m, key);
	value = m->slots[hole].value;
	if (!value)
		return NULL;
	m->used--;
	/* Close the gap: whoever would not be found past the hole moves into it. */
	for (i = (hole + 1) & (m->cap - 1); m->slots[i].value; i = (i + 1) & (m->cap - 1)) {
		size_t home = map_hash(m->slots[i].key) & (m->cap - 1);

		if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].value = NULL;
	return value;
}

void map_free(struct map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->cap = m->used = 0;
}

static int key_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t *map_keys(const struct map *m, size_t *ret_n)
{
	uint64_t *keys = core_alloc((m->used + 1) * sizeof(*keys)), key;
	size_t n = 0;
	void *value;

	for (size_t i = 0; map_next(m, &i, &key, &value);)
		keys[n++] = key;
	qsort(keys, n, sizeof(*keys), key_order);
	*ret_n = n;
	return keys;
}
