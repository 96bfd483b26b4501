// SPDX-License-Identifier: MIT
/*
 * Watchers: what they have seen of each stripe is compared with what is there now, whenever the
 * stripe's version has changed. So a deleted key is noticed, and no log has to be kept for
 * anybody.
 */
#include <stdlib.h>

#include "lib/map/table.h"
#include "lib/map/walk.h"

/* A key that was seen. */
struct seen {
	uint64_t hash, version, expires_ns;
	uint8_t *key; /* behind the array */
	uint32_t key_size;
};

struct seen_list {
	struct seen *keys; /* by hash, then by key; one block */
	size_t n;
	uint64_t version;    /* of the stripe, when it was read */
	uint64_t expires_ns; /* the first of these to expire; 0: none */
};

struct dsm_map_watcher {
	struct dsm_map *map;
	struct seen_list stripes[MAP_STRIPES];
	uint64_t version; /* of the map, before the stripes were looked at */
	uint32_t next;	  /* stripe to look at; MAP_STRIPES: all were */
	/* The stripe being told about: what was seen before, what is there now. */
	struct seen_list before;
	struct walk_group copies;
	struct walk_copy **now;
	size_t nnow, at_before, at_now;
	size_t prefix_size;
	uint8_t prefix[];
};

static int order(uint64_t hash, const void *key, size_t size, uint64_t hash2, const void *key2,
		 size_t size2)
{
	if (hash != hash2)
		return hash < hash2 ? -1 : 1;
	if (size != size2)
		return size < size2 ? -1 : 1;
	return size ? memcmp(key, key2, size) : 0;
}

static int order_copies(const void *a, const void *b)
{
	const struct walk_copy *x = *(struct walk_copy *const *)a;
	const struct walk_copy *y = *(struct walk_copy *const *)b;

	return order(x->hash, x->entry.key, x->entry.key_size, y->hash, y->entry.key,
		     y->entry.key_size);
}

/* The stripe's entries, sorted, into w->now. */
static int stripe_read(struct dsm_map_watcher *w, uint32_t stripe)
{
	uint64_t groups = walk_groups(w->map);
	size_t at = 0;
	int err = groups ? 0 : map_damaged("its table");

	w->copies.used = w->copies.count = 0;
	for (uint64_t g = stripe; !err && g < groups; g += MAP_STRIPES)
		err = walk_group_read(w->map, g, groups, w->prefix, w->prefix_size, &w->copies);
	if (err)
		return err;
	free(w->now);
	w->now = calloc(w->copies.count + 1, sizeof(*w->now));
	if (!w->now)
		return seg_error(-ENOMEM, "no memory for %zu entries", w->copies.count);
	w->nnow = w->copies.count;
	for (size_t i = 0; i < w->nnow; i++, at += w->now[i - 1]->bytes)
		w->now[i] = walk_copy_at(&w->copies, at);
	qsort(w->now, w->nnow, sizeof(*w->now), order_copies);
	return 0;
}

/* What is there now is what was seen next time. */
static int seen_make(const struct dsm_map_watcher *w, struct seen_list *ret)
{
	size_t bytes = 1;
	uint8_t *key;

	for (size_t i = 0; i < w->nnow; i++)
		bytes += sizeof(struct seen) + w->now[i]->entry.key_size;
	ret->keys = malloc(bytes);
	if (!ret->keys)
		return seg_error(-ENOMEM, "no memory for %zu keys", w->nnow);
	ret->n = w->nnow;
	ret->expires_ns = 0;
	key = (uint8_t *)(ret->keys + w->nnow);
	for (size_t i = 0; i < w->nnow; i++) {
		const struct dsm_map_entry *e = &w->now[i]->entry;

		ret->keys[i] = (struct seen){ .hash = w->now[i]->hash,
					      .version = e->version,
					      .expires_ns = e->expires_ns,
					      .key = key,
					      .key_size = e->key_size };
		bytes_copy(key, e->key, e->key_size);
		key += e->key_size;
		if (e->expires_ns && (!ret->expires_ns || e->expires_ns < ret->expires_ns))
			ret->expires_ns = e->expires_ns;
	}
	return 0;
}

/* Look at a stripe: what is different is told by stripe_tell() then. */
static int stripe_look(struct dsm_map_watcher *w, uint32_t stripe)
{
	struct seen_list *list = &w->stripes[stripe], fresh = { 0 };
	int err;

	fresh.version = atomic_load(&map_stripe(w->map, stripe)->version);
	if (fresh.version == list->version && !(list->expires_ns && map_expired(list->expires_ns)))
		return 0;
	err = stripe_read(w, stripe);
	if (!err)
		err = seen_make(w, &fresh);
	if (err) {
		w->nnow = 0;
		return err;
	}
	free(w->before.keys);
	w->before = *list;
	*list = fresh;
	w->at_before = w->at_now = 0;
	return 0;
}

/* The next difference of the stripe that was looked at last. False: no more. */
static bool stripe_tell(struct dsm_map_watcher *w, struct dsm_map_event *ret)
{
	for (;;) {
		const struct seen *old = w->at_before < w->before.n ? &w->before.keys[w->at_before]
								    : NULL;
		const struct walk_copy *new = w->at_now < w->nnow ? w->now[w->at_now] : NULL;
		int way;

		if (!old && !new)
			return false;
		way = !old   ? 1
		      : !new ? -1
			     : order(old->hash, old->key, old->key_size, new->hash, new->entry.key,
				     new->entry.key_size);
		w->at_before += way <= 0;
		w->at_now += way >= 0;
		if (way < 0) {
			*ret = (struct dsm_map_event){
				.kind = DSM_MAP_DELETED,
				.entry = { .key = old->key,
					   .key_size = old->key_size,
					   .version = old->version,
					   .expires_ns = old->expires_ns },
			};
			return true;
		}
		if (way > 0 || old->version != new->entry.version) {
			ret->kind = way ? DSM_MAP_ADDED : DSM_MAP_CHANGED;
			ret->entry = new->entry;
			return true;
		}
	}
}

/* What expires first, of all that was seen. */
static uint64_t first_end(const struct dsm_map_watcher *w)
{
	uint64_t first = 0;

	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		uint64_t end = w->stripes[i].expires_ns;

		if (end && (!first || end < first))
			first = end;
	}
	return first;
}

/* The next difference there is already. 0, -EAGAIN: none. */
static int tell(struct dsm_map_watcher *w, struct dsm_map_event *ret)
{
	for (;;) {
		int err;

		if (stripe_tell(w, ret))
			return 0;
		if (w->next == MAP_STRIPES)
			return -EAGAIN;
		w->before.n = w->nnow = 0;
		err = stripe_look(w, w->next);
		if (err)
			return err;
		w->next++;
	}
}

int dsm_map_watcher_next(dsm_map_watcher_t *w, uint64_t timeout_us, struct dsm_map_event *ret)
{
	uint64_t end = map_watch_end(timeout_us), version;

	for (;;) {
		int err = tell(w, ret);

		if (err != -EAGAIN)
			return err;
		err = map_watch_any(w->map, w->version, end, first_end(w), &version);
		if (err)
			return err;
		w->version = version;
		w->next = 0;
	}
}

int dsm_map_watcher_begin(dsm_map_t *map, const void *prefix, size_t prefix_size, uint32_t flags,
			  dsm_map_watcher_t **ret)
{
	dsm_map_watcher_t *w;
	struct dsm_map_event event;
	int err = 0;

	if (flags & ~DSM_MAP_WATCH_PRESENT)
		return seg_error(-EINVAL, "unknown flags %#x", flags);
	w = calloc(1, sizeof(*w) + prefix_size);
	if (!w)
		return seg_error(-ENOMEM, "no memory for a watcher");
	w->map = map;
	w->prefix_size = prefix_size;
	bytes_copy(w->prefix, prefix, prefix_size);
	w->version = dsm_map_version(map);
	if (!(flags & DSM_MAP_WATCH_PRESENT)) {
		do
			err = tell(w, &event);
		while (!err);
	}
	if (err && err != -EAGAIN) {
		dsm_map_watcher_end(w);
		return err;
	}
	*ret = w;
	return 0;
}

void dsm_map_watcher_end(dsm_map_watcher_t *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < MAP_STRIPES; i++)
		free(w->stripes[i].keys);
	free(w->before.keys);
	free(w->now);
	free(w->copies.bytes);
	free(w);
}
