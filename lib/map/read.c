// SPDX-License-Identifier: MIT
/* Reading: without a lock, and without a store outside the thread's own slot. */
#include "lib/map/section.h"
#include "lib/map/siphash.h"
#include "lib/map/table.h"

bool map_limit_raise(struct dsm_map *m, uint64_t end)
{
	uint64_t size = seg_size(m->seg);

	if (end > size || size > m->seg->capacity)
		return false;
	atomic_store_explicit(&m->limit, size, memory_order_relaxed);
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

uint64_t map_hash(const struct dsm_map *m, const void *key, size_t key_size)
{
	return siphash13(m->hash_key, key, key_size);
}

static int damaged_at(const void *key, size_t key_size)
{
	return seg_error(-EBADMSG, "the map is damaged where the key '%.*s' belongs",
			 (int)(key_size > 32 ? 32 : key_size), (const char *)key);
}

/* In a section. 0, -ENOENT, -EBADMSG. */
static inline int look_up(struct dsm_map *m, uint64_t hash, const void *key, size_t key_size,
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
				if (unlikely(err))
					break;
				return ret->entry && !map_expired(ret->entry->expires_ns) ? 0
											  : -ENOENT;
			}
		}
		table = table_next(m, table);
	}
	return damaged_at(key, key_size);
}

ssize_t dsm_map_get(dsm_map_t *map, const void *key, size_t key_size, void *buffer, size_t size,
		    uint64_t *ret_version)
{
	struct seg_slot *self = seg_self(map->seg);
	struct map_found f;
	ssize_t result;
	uint64_t hash;
	bool entered;

	if (unlikely(!self))
		return -EUSERS;
	hash = siphash13(map->hash_key, key, key_size);
	map_fetch(map, hash);
	entered = section_enter(self);
	result = look_up(map, hash, key, key_size, &f);
	if (likely(!result)) {
		bytes_copy(buffer, found_value(&f), f.value_size < size ? f.value_size : size);
		if (ret_version)
			*ret_version = f.entry->version;
		result = f.value_size;
	}
	section_leave(self, entered);
	return result;
}

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
	section_leave(self, depth == 1);
}

int dsm_map_find(dsm_map_t *map, const void *key, size_t key_size, struct dsm_map_entry *ret)
{
	struct map_found f;
	int err = look_up(map, map_hash(map, key, key_size), key, key_size, &f);

	if (err)
		return err;
	*ret = (struct dsm_map_entry){
		.key = f.entry->key,
		.value = found_value(&f),
		.key_size = f.key_size,
		.value_size = f.value_size,
		.version = f.entry->version,
		.expires_ns = f.entry->expires_ns,
	};
	return 0;
}

int64_t dsm_map_count(dsm_map_t *map)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < MAP_STRIPES; i++)
		n += atomic_load_explicit(&map_stripe(map, i)->count, memory_order_relaxed);
	return (int64_t)n;
}

uint64_t dsm_map_version(dsm_map_t *map)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < MAP_STRIPES; i++)
		n += atomic_load(&map_stripe(map, i)->version);
	return n;
}
