/* SPDX-License-Identifier: MIT */
/*
 * Walking over a map by groups: all keys whose hashes have the same low bits. A walk keeps the
 * number of groups it began with; as tables only double, a key's group never changes.
 */
#ifndef DSM_LIB_MAP_WALK_H
#define DSM_LIB_MAP_WALK_H

#include "lib/map/map.h"

/* A copy of an entry, with its key and value behind it. */
struct walk_copy {
	struct dsm_map_entry entry;
	uint64_t hash;
	uint64_t bytes; /* of the copy, this included; a multiple of 8 */
};

/* Copies side by side. */
struct walk_group {
	uint8_t *bytes;
	size_t used, room, count;
	bool expired; /* wanted: what has expired, too */
};

/* How many groups a walk that begins now has. */
uint64_t walk_groups(struct dsm_map *m);

/*
 * Add the entries of group @group of @groups whose keys begin with @prefix to @ret: what was
 * there all the time once. In a section of its own. -ENOMEM, -EBADMSG.
 */
int walk_group_read(struct dsm_map *m, uint64_t group, uint64_t groups, const void *prefix,
		    size_t prefix_size, struct walk_group *ret);

/* The copy at byte @at, its pointers set. */
struct walk_copy *walk_copy_at(struct walk_group *g, size_t at);

#endif
