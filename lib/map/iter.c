// SPDX-License-Identifier: MIT
/* Walks of programs, a group at a time; and clearing. */
#include <stdlib.h>

#include "lib/map/commit.h"
#include "lib/map/table.h"
#include "lib/map/walk.h"

struct dsm_map_iter {
	struct dsm_map *map;
	uint64_t group, groups;
	struct walk_group copies;
	size_t at; /* in the copies */
	size_t prefix_size;
	uint8_t prefix[];
};

int dsm_map_iter_begin(dsm_map_t *map, const void *prefix, size_t prefix_size, dsm_map_iter_t **ret)
{
	dsm_map_iter_t *it = calloc(1, sizeof(*it) + prefix_size);

	if (!it)
		return seg_error(-ENOMEM, "no memory for a walk");
	it->map = map;
	it->groups = walk_groups(map);
	if (!it->groups) {
		free(it);
		return map_damaged("its table");
	}
	it->prefix_size = prefix_size;
	bytes_copy(it->prefix, prefix, prefix_size);
	*ret = it;
	return 0;
}

int dsm_map_iter_next(dsm_map_iter_t *it, struct dsm_map_entry *ret)
{
	struct walk_copy *c;

	while (it->at == it->copies.used) {
		int err;

		if (it->group == it->groups)
			return 0;
		it->at = it->copies.used = it->copies.count = 0;
		err = walk_group_read(it->map, it->group, it->groups, it->prefix, it->prefix_size,
				      &it->copies);
		if (err)
			return err;
		it->group++;
	}
	c = walk_copy_at(&it->copies, it->at);
	it->at += c->bytes;
	*ret = c->entry;
	return 1;
}

void dsm_map_iter_end(dsm_map_iter_t *it)
{
	if (!it)
		return;
	free(it->copies.bytes);
	free(it);
}

int64_t dsm_map_clear(dsm_map_t *map)
{
	uint64_t groups = walk_groups(map);
	struct walk_group copies = { .expired = true };
	int64_t cleared = 0;
	int err = groups ? 0 : map_damaged("its table");

	for (uint64_t group = 0; !err && group < groups; group++) {
		copies.used = copies.count = 0;
		err = walk_group_read(map, group, groups, NULL, 0, &copies);
		for (size_t at = 0; !err && at < copies.used;) {
			const struct walk_copy *c = walk_copy_at(&copies, at);
			int gone = dsm_map_delete(map, c->entry.key, c->entry.key_size);

			at += c->bytes;
			cleared += !gone;
			if (gone && gone != -ENOENT)
				err = gone;
		}
	}
	free(copies.bytes);
	return err ? err : cleared;
}
