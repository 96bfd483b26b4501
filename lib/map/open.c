// SPDX-License-Identifier: MIT
/* Making, opening and removing maps. */
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "lib/heap/heap.h"
#include "lib/map/commit.h"
#include "lib/map/table.h"
#include "lib/segment/layout.h"

static uint64_t wall_clock(void)
{
	struct timespec now;

	/* A few ms are no matter here; it is a fifth of the price. */
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t (*map_clock)(void) = wall_clock;

int map_damaged(const char *what)
{
	return seg_error(-EBADMSG, "the map is damaged: %s", what);
}

static uint64_t header_bytes(uint32_t stripe_shift)
{
	return MAP_STRIPES_AT + ((uint64_t)MAP_STRIPES << stripe_shift);
}

int map_attach(struct dsm_map *m, dsm_segment_t *seg, uint64_t off)
{
	struct map_header *h = seg_checked(seg, off, sizeof(*h), SEG_PAGE);

	if (!h || h->magic != MAP_MAGIC)
		return seg_error(-EBADMSG, "no map begins at offset %#llx",
				 (unsigned long long)off);
	if (h->version != MAP_VERSION)
		return seg_error(-EPROTO, "the map's layout has version %u, not %u", h->version,
				 MAP_VERSION);
	*m = (struct dsm_map){ .seg = seg,
			       .base = seg->base,
			       .cluster = seg->cluster,
			       .data_at = seg->header->data_at,
			       .header = h,
			       .stripe_shift = h->stripe_shift,
			       .root = h->root };
	if (h->stripes != MAP_STRIPES || m->stripe_shift < STRIPE_SHIFT_HOST ||
	    m->stripe_shift > STRIPE_SHIFT_CLUSTER ||
	    !seg_checked(seg, off, header_bytes(m->stripe_shift), SEG_PAGE))
		return map_damaged("its header");
	m->watch = seg_at(seg, off + MAP_WATCH_AT);
	m->grace = seg_at(seg, off + MAP_GRACE_AT);
	m->growth = seg_at(seg, off + MAP_GROWTH_AT);
	m->stripes = seg_at(seg, off + MAP_STRIPES_AT);
	hash_key_make(&m->hash_key, h->hash_key);
	/* The view of no table. */
	atomic_store(&m->views[0].table, UINT64_MAX);
	atomic_store(&m->view, &m->views[0]);
	map_limit_set(m, seg_size(seg));
	return 0;
}

/* A handle of the map at @off. */
static int handle(dsm_segment_t *seg, uint64_t off, uint32_t root, dsm_map_t **ret)
{
	dsm_map_t *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return seg_error(-ENOMEM, "no memory for a map's handle");
	err = map_attach(m, seg, off);
	if (!err && m->root != root)
		err = map_damaged("it belongs to another root");
	if (!err && !table_good(m, atomic_load(&m->header->table)))
		err = map_damaged("its table");
	if (!err)
		err = dsm_heap_open(seg, &m->heap);
	if (err) {
		free(m);
		return err;
	}
	/* Guards know the size that was asked for, and poison tells of what was freed. */
	m->spares = !dsm_heap_flags(m->heap);
	*ret = m;
	return 0;
}

/* Buckets for @entries, half full. */
static uint32_t log_for(uint64_t entries)
{
	uint32_t log = TABLE_LOG_MIN;

	while (log < TABLE_LOG_MAX && (1ull << log) * MAP_LOAD < entries)
		log++;
	return log;
}

static int fill(dsm_segment_t *seg, struct map_header *h, uint32_t root, uint32_t log)
{
	uint64_t table;
	int err = map_table_make(seg, log, 0, true, &table);

	if (err)
		return err;
	seg_grains_adopt(seg, table_off(table), root);
	h->version = MAP_VERSION;
	h->stripes = MAP_STRIPES;
	h->stripe_shift = seg->cluster ? STRIPE_SHIFT_CLUSTER : STRIPE_SHIFT_HOST;
	h->root = root;
	if (getrandom(h->hash_key, sizeof(h->hash_key), 0) != sizeof(h->hash_key))
		return seg_error(-EIO, "no random bytes for the key of the map's hash");
	atomic_store(&h->table, table);
	h->magic = MAP_MAGIC;
	return 0;
}

/* @root is being made. What it takes goes with the root when it fails. */
static int make(dsm_segment_t *seg, uint32_t root, uint32_t log, uint64_t *ret_off)
{
	uint64_t bytes = header_bytes(seg->cluster ? STRIPE_SHIFT_CLUSTER : STRIPE_SHIFT_HOST);
	bool zeroed;
	int err = seg_grains_alloc(seg, (bytes + SEG_GRAIN - 1) / SEG_GRAIN, ret_off, &zeroed);

	if (err)
		return err;
	seg_grains_adopt(seg, *ret_off, root);
	if (!zeroed)
		memset(seg_at(seg, *ret_off), 0, bytes);
	return fill(seg, seg_at(seg, *ret_off), root, log);
}

int dsm_map_create(dsm_segment_t *seg, const char *name, const struct dsm_map_options *options,
		   dsm_map_t **ret)
{
	static const struct dsm_map_options defaults;
	dsm_heap_t *heap = NULL;
	uint64_t off;
	uint32_t root;
	int err;

	if (!seg || !name || !ret)
		return seg_error(-EINVAL, "a segment, a name and room for the map are wanted");
	if (!options)
		options = &defaults;
	if (options->flags & ~DSM_MAP_EXISTING)
		return seg_error(-EINVAL, "unknown flags %#x", options->flags);
	err = seg_root_make(seg, name, DSM_ROOT_MAP, &root);
	if (err == -EEXIST && options->flags & DSM_MAP_EXISTING)
		return dsm_map_open(seg, name, ret);
	if (err)
		return err;
	err = heap_default(seg, &heap);
	if (!err)
		err = make(seg, root, log_for(options->entries), &off);
	if (!err)
		err = handle(seg, off, root, ret);
	if (err)
		seg_root_drop(seg, root);
	else
		seg_root_publish(seg, root, off);
	dsm_heap_close(heap);
	return err;
}

int dsm_map_open(dsm_segment_t *seg, const char *name, dsm_map_t **ret)
{
	uint32_t root;
	uint64_t off;
	int err;

	if (!seg || !name || !ret)
		return seg_error(-EINVAL, "a segment, a name and room for the map are wanted");
	err = seg_root_find(seg, name, DSM_ROOT_MAP, &root, &off);
	return err ? err : handle(seg, off, root, ret);
}

void dsm_map_close(dsm_map_t *map)
{
	if (!map)
		return;
	dsm_heap_close(map->heap);
	free(map);
}

int dsm_map_remove(dsm_segment_t *seg, const char *name)
{
	dsm_map_t *m;
	int64_t cleared;
	int err = dsm_map_open(seg, name, &m);

	if (err)
		return err;
	/* A kill meanwhile leaves a map with less in it, to be removed again. */
	cleared = dsm_map_clear(m);
	err = cleared < 0 ? (int)cleared : map_retire_flush(m);
	if (!err)
		seg_root_drop(seg, m->root);
	dsm_map_close(m);
	return err;
}
