// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pager/uffd.h"

#define LEAF_PAGES (1ull << UFFD_STATE_SHIFT)
#define LEAF_BYTES (LEAF_PAGES / 4)

int uffd_state_init(struct uffd_state_map *map, uint64_t pages)
{
	size_t leaves = (pages + LEAF_PAGES - 1) >> UFFD_STATE_SHIFT;

	map->leaves = calloc(leaves, sizeof(*map->leaves));
	if (!map->leaves)
		return -ENOMEM;
	map->pages = pages;
	return 0;
}

void uffd_state_free(struct uffd_state_map *map)
{
	size_t leaves = (map->pages + LEAF_PAGES - 1) >> UFFD_STATE_SHIFT;

	for (size_t i = 0; i < leaves; i++)
		free(map->leaves[i]);
	free(map->leaves);
	map->leaves = NULL;
	map->pages = 0;
}

enum pager_prot uffd_state_get(const struct uffd_state_map *map, uint64_t page)
{
	const uint8_t *leaf = map->leaves[page >> UFFD_STATE_SHIFT];
	uint64_t at = page & (LEAF_PAGES - 1);

	return leaf ? (enum pager_prot)(leaf[at / 4] >> (at % 4 * 2) & 3) : PAGER_NONE;
}

int uffd_state_set(struct uffd_state_map *map, uint64_t page, uint64_t count, enum pager_prot to)
{
	/* All leaves first, so that a failure changes nothing. */
	for (uint64_t l = page >> UFFD_STATE_SHIFT; l <= (page + count - 1) >> UFFD_STATE_SHIFT;
	     l++) {
		if (!map->leaves[l] && to != PAGER_NONE)
			map->leaves[l] = calloc(1, LEAF_BYTES);
		if (!map->leaves[l] && to != PAGER_NONE)
			return -ENOMEM;
	}
	for (; count; page++, count--) {
		uint8_t *leaf = map->leaves[page >> UFFD_STATE_SHIFT];
		uint64_t at = page & (LEAF_PAGES - 1);
		unsigned int shift = at % 4 * 2;

		if (leaf)
			leaf[at / 4] = (uint8_t)((leaf[at / 4] & ~(3u << shift)) |
						 (unsigned int)to << shift);
	}
	return 0;
}

uint32_t uffd_state_run(const struct uffd_state_map *map, uint64_t page, uint32_t count)
{
	bool here = uffd_state_get(map, page) != PAGER_NONE;
	uint32_t n = 1;

	while (n < count && (uffd_state_get(map, page + n) != PAGER_NONE) == here)
		n++;
	return n;
}
