// SPDX-License-Identifier: MIT
/* Reading: without a lock, and without a store but in the thread's own slot. */
#include <stdlib.h>

#include "lib/map/glance.h"
#include "lib/map/rewrite.h"
#include "lib/segment/layout.h"

#define CALM_TRIES 64u /* copies of a value that was overwritten meanwhile, before a reader asks */
#define CALM_SETS  64u /* ... that so many changes are made without */

__thread bool map_unfenced __attribute__((tls_model("initial-exec")));

void map_limit_set(struct dsm_map *m, uint64_t size)
{
	atomic_store_explicit(&m->limit, size, memory_order_relaxed);
	atomic_store_explicit(&m->glance_limit, size < GLANCE_SPAN ? 0 : size - GLANCE_SPAN,
			      memory_order_relaxed);
}

bool map_limit_raise(struct dsm_map *m, uint64_t end)
{
	uint64_t size = seg_size(m->seg);

	if (end > size || size > m->seg->capacity)
		return false;
	map_limit_set(m, size);
	return true;
}

bool table_check(struct dsm_map *m, uint64_t table)
{
	uint32_t log = table_log(table);
	const struct map_table *t;

	if (log < TABLE_LOG_MIN || log > TABLE_LOG_MAX ||
	    (table & ~TABLE_LOG_MASK) != table_off(table))
		return false;
	t = seg_checked(m->seg, table_off(table), table_bytes(log), SEG_PAGE);
	if (!t || t->magic != TABLE_MAGIC || t->log != log)
		return false;
	atomic_store_explicit(&m->known_table[table & 1], table, memory_order_release);
	return true;
}

const struct map_view *view_make(struct dsm_map *m)
{
	uint64_t table = atomic_load_explicit(&m->header->table, memory_order_acquire);
	uintptr_t buckets = (uintptr_t)table_bucket(m, table, 0), none = 0;
	struct map_view *v;

	if (!table_good(m, table))
		return NULL;
	v = &m->views[table_log(table)];
	/* Several threads may do this at once. A map has one table of each size in its life. */
	if (!atomic_compare_exchange_strong(&v->buckets, &none, buckets) && none != buckets)
		return NULL;
	atomic_store_explicit(&v->mask, (table_buckets(table) - 1) * sizeof(struct map_bucket),
			      memory_order_relaxed);
	atomic_store_explicit(&v->table, table, memory_order_relaxed);
	atomic_store_explicit(&m->view, v, memory_order_release);
	return v;
}

static int damaged_at(const void *key, size_t key_size)
{
	return seg_error(-EBADMSG, "the map is damaged where the key '%.*s' belongs",
			 (int)(key_size > 32 ? 32 : key_size), (const char *)key);
}

/* In a section. 0, -ENOENT, -EBADMSG. */
static int look_up(struct dsm_map *m, uint64_t hash, const void *key, size_t key_size,
		   struct map_found *ret)
{
	uint64_t table = atomic_load_explicit(&m->header->table, memory_order_acquire);

	for (uint32_t hops = 0; hops <= TABLE_LOG_MAX; hops++) {
		struct map_bucket *b;

		if (unlikely(!table_good(m, table)))
			break;
		b = table_bucket_of(m, table, hash);
		/*
		 * Not moved before: so what the chain names was in use after the section
		 * began, and stays. Not moved after: so nobody changed it elsewhere.
		 */
		if (likely(!(atomic_load_explicit(&b->ctl, memory_order_acquire) & BUCKET_MOVED))) {
			int err = chain_find(m, table, b, hash, key, key_size, ret);

			if (likely(!(atomic_load_explicit(&b->ctl, memory_order_acquire) &
				     BUCKET_MOVED))) {
				if (unlikely(err == -EBADMSG))
					break;
				return !err && map_expired(ret->entry->expires_ns) ? -ENOENT : err;
			}
		}
		table = table_next(m, table);
	}
	return damaged_at(key, key_size);
}

/* From the journal of who has marked the entry, while the mark is there. False: it is damaged. */
static bool redo_read(struct dsm_map *m, uint64_t mark, void *buffer, size_t room,
		      struct value_seen *ret)
{
	uint64_t slot = (mark & ~ENTRY_REWRITTEN) >> ENTRY_SLOT_SHIFT;
	struct map_journal *j;

	if (slot >= SEG_SLOTS ||
	    slot >= atomic_load_explicit(&m->seg->header->slots_high, memory_order_relaxed))
		return false;
	j = map_journal(&m->seg->slots[slot]);
	ret->version = atomic_load_explicit(&j->redo_version, memory_order_relaxed);
	ret->size = atomic_load_explicit(&j->redo_size, memory_order_relaxed);
	if (ret->size > MAP_REWRITE_MAX || ((ret->version ^ mark) & ENTRY_VERSION_MASK))
		return false;
	bytes_load(buffer, j->redo, ret->size < room ? ret->size : room);
	return true;
}

static bool entry_read(struct dsm_map *m, const struct map_found *f, void *buffer, size_t room,
		       struct value_seen *ret)
{
	uint64_t value_at = entry_value_at(f->key_size);

	ret->size = atomic_load_explicit(&f->entry->value_size, memory_order_relaxed);
	if (!map_within(m, seg_off(m->seg, f->entry) + value_at + ret->size))
		return false;
	bytes_load(buffer, (const uint8_t *)f->entry + value_at,
		   ret->size < room ? ret->size : room);
	return true;
}

int value_read(struct dsm_map *m, const struct map_found *f, void *buffer, size_t room,
	       struct value_seen *ret)
{
	struct map_entry *e = f->entry;

	*ret = (struct value_seen){ 0 };
	for (uint32_t tries = 1;; tries++) {
		uint64_t version = atomic_load_explicit(&e->version, memory_order_acquire);
		bool good = version & ENTRY_REWRITTEN ? redo_read(m, version, buffer, room, ret)
						      : entry_read(m, f, buffer, room, ret);

		if (rewrite_none_since(e, version)) {
			if (!(version & ENTRY_REWRITTEN))
				ret->version = version;
			return good ? 0 : map_damaged("an entry");
		}
		/* Each failure is somebody's success, but this one wants some, too. */
		if (tries % CALM_TRIES == 0)
			atomic_store_explicit(&map_stripe(m, map_stripe_of(e->hash))->calm,
					      CALM_SETS, memory_order_relaxed);
	}
}

ssize_t glance_expired(uint64_t expires_ns, ssize_t result)
{
	return map_expired(expires_ns) ? -ENOENT : result;
}

static __attribute__((noinline)) ssize_t get_in_section(struct dsm_map *m, const void *key,
							size_t key_size, void *buffer, size_t size,
							uint64_t *ret_version)
{
	/* Once more: a glance that goes well does not have to keep it. */
	uint64_t hash = map_hash(m, key, key_size);
	const struct map_view *view = view_now(m);
	struct seg_slot *self = seg_self(m->seg);
	struct value_seen seen;
	struct map_found f;
	ssize_t result;
	bool entered;

	if (unlikely(!self))
		return -EUSERS;
	if (view)
		(void)map_fetch(m, view, hash, false);
	entered = section_enter(self);
	result = look_up(m, hash, key, key_size, &f);
	if (likely(!result))
		result = value_read(m, &f, buffer, size, &seen);
	if (likely(!result)) {
		if (ret_version)
			*ret_version = seen.version;
		result = seen.size;
	}
	section_leave(self, entered);
	return result;
}

static __attribute__((noinline)) ssize_t get_any(struct dsm_map *m, const void *key,
						 size_t key_size, void *buffer, size_t size,
						 uint64_t *ret_version)
{
	uint32_t shy = atomic_load_explicit(&m->shy, memory_order_relaxed);
	ssize_t result = -EAGAIN;

	map_fence();
	/* Threads may count some gets together: it is no exact number. */
	if (shy)
		atomic_store_explicit(&m->shy, shy - 1, memory_order_relaxed);
	else if (!MAP_UNDER_TSAN)
		result = glance(m, map_hash(m, key, key_size), key, key_size, buffer, size,
				ret_version);
	return result != -EAGAIN ? result
				 : get_in_section(m, key, key_size, buffer, size, ret_version);
}

ssize_t dsm_map_get(dsm_map_t *map, const void *key, size_t key_size, void *buffer, size_t size,
		    uint64_t *ret_version)
{
	ssize_t result;

	/* For keys as they mostly are, without a call: see glance.h. */
	if (MAP_UNDER_TSAN || unlikely(key_size - 8 > HASH_SHORT - 8) || unlikely(map_unfenced) ||
	    unlikely(atomic_load_explicit(&map->shy, memory_order_relaxed)))
		return get_any(map, key, key_size, buffer, size, ret_version);
	result = glance(map, hash_short(&map->hash_key, key, key_size), key, key_size, buffer, size,
			ret_version);
	return likely(result != -EAGAIN)
		       ? result
		       : get_in_section(map, key, key_size, buffer, size, ret_version);
}

/* ------------------------------------------------------------ sections of programs */

/* What dsm_map_find() gave of a value that may be overwritten, until its section ends. */
struct held {
	struct held *next;
	const struct seg_slot *slot; /* whose section */
	_Alignas(8) uint8_t value[];
};
static __thread struct held *held;

int dsm_map_read_begin(dsm_map_t *map)
{
	struct seg_slot *self = seg_self(map->seg);
	struct map_journal *j;

	if (!self)
		return -EUSERS;
	j = map_journal(self);
	if (!atomic_load_explicit(&j->depth, memory_order_relaxed))
		(void)section_enter(self);
	atomic_fetch_add_explicit(&j->depth, 1, memory_order_relaxed);
	return 0;
}

static void held_free(const struct seg_slot *self)
{
	for (struct held **at = &held; *at;) {
		struct held *h = *at;

		if (h->slot != self) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		free(h);
	}
}

void dsm_map_read_end(dsm_map_t *map)
{
	struct seg_slot *self = seg_self(map->seg);
	struct map_journal *j;
	uint32_t depth;

	if (!self)
		return;
	j = map_journal(self);
	depth = atomic_load_explicit(&j->depth, memory_order_relaxed);
	/* A child of fork() may end what its parent began. */
	if (!depth)
		return;
	atomic_store_explicit(&j->depth, depth - 1, memory_order_relaxed);
	if (depth == 1)
		held_free(self);
	section_leave(self, depth == 1);
}

/* A copy of the value of @f that stays as it is. */
static int value_hold(struct dsm_map *m, const struct map_found *f, const void **ret_value,
		      struct value_seen *ret)
{
	size_t room = (f->value_size + 7ull) & ~7ull;
	struct held *h = malloc(sizeof(*h) + room);
	int err;

	if (!h)
		return seg_error(-ENOMEM, "no memory for a value of %u bytes", f->value_size);
	err = value_read(m, f, h->value, room, ret);
	if (err) {
		free(h);
		return err;
	}
	if (ret->size > room)
		ret->size = (uint32_t)room;
	h->slot = seg_self(m->seg);
	h->next = held;
	held = h;
	*ret_value = h->value;
	return 0;
}

int dsm_map_find(dsm_map_t *map, const void *key, size_t key_size, struct dsm_map_entry *ret)
{
	struct value_seen seen;
	struct map_found f;
	const void *value;
	int err;

	map_fence();
	err = look_up(map, map_hash(map, key, key_size), key, key_size, &f);
	if (!err && f.value_size <= MAP_REWRITE_MAX && !map->seg->cluster) {
		err = value_hold(map, &f, &value, &seen);
	} else if (!err) {
		value = found_value(&f);
		seen.version = atomic_load_explicit(&f.entry->version, memory_order_relaxed);
		seen.size = f.value_size;
	}
	if (err)
		return err;
	*ret = (struct dsm_map_entry){
		.key = f.entry->key,
		.value = value,
		.key_size = f.key_size,
		.value_size = seen.size,
		.version = seen.version,
		.expires_ns = f.entry->expires_ns,
	};
	return 0;
}

int64_t dsm_map_count(dsm_map_t *map)
{
	uint64_t n = 0;

	map_fence();
	for (uint32_t i = 0; i < MAP_STRIPES; i++)
		n += atomic_load_explicit(&map_stripe(map, i)->count, memory_order_relaxed);
	return (int64_t)n;
}

uint64_t dsm_map_version(dsm_map_t *map)
{
	uint64_t n = 0;

	map_fence();
	for (uint32_t i = 0; i < MAP_STRIPES; i++)
		n += atomic_load(&map_stripe(map, i)->version);
	return n;
}
