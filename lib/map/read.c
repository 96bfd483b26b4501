// SPDX-License-Identifier: MIT
/* Reading: without a lock, and without a store but in the thread's own slot. */
#include "lib/map/section.h"
#include "lib/map/table.h"

#define GLANCE_MAX 4096 /* bytes of a value that a glance can be expected to be quick enough for */
#define SHY_GETS   65536u

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

/*
 * What nearly every get is, in one glance: the key is in the bucket it belongs to, or the bucket
 * has room, and so it is nowhere. -EAGAIN: it is not so, or somebody wrote meanwhile.
 */
static inline ssize_t glance(struct dsm_map *m, uint64_t hash, const void *key, size_t key_size,
			     void *buffer, size_t size, uint64_t *ret_version)
{
	uint64_t began = glance_begin(m), ctl, off, expires = 0;
	uint64_t table = atomic_load_explicit(&m->header->table, memory_order_acquire);
	const struct map_bucket *b;
	const struct map_entry *e;
	ssize_t result = -ENOENT;
	uint32_t match;
	size_t n;

	if (unlikely(!table_good(m, table)))
		return -EAGAIN;
	b = table_bucket_of(m, table, hash);
	ctl = atomic_load_explicit(&b->ctl, memory_order_acquire);
	match = bucket_match(b, hash);
	if (likely(match)) {
		off = atomic_load_explicit(&b->slot[match_slot(match)], memory_order_acquire) &
		      SLOT_OFF_MASK & ~7ull;
		e = (const struct map_entry *)(m->base + off);
		__builtin_prefetch((const uint8_t *)e + 64);
		__builtin_prefetch((const uint8_t *)e + 128);
		if (!map_within(m, off + sizeof(*e)))
			return -EAGAIN;
		/* Once: it may change between the check and the copy. */
		result = *(const volatile uint32_t *)&e->value_size;
		if (unlikely(e->key_size != key_size) || result > GLANCE_MAX ||
		    !map_within(m, off + entry_value_at(key_size) + (uint64_t)result) ||
		    unlikely(!bytes_same(e->key, key, key_size)))
			return -EAGAIN;
		n = (size_t)result < size ? (size_t)result : size;
		/* Not told that it is small, the compiler calls memcpy(), which is quicker. */
		__asm__("" : "+r"(n));
		bytes_copy(buffer, (const uint8_t *)e + entry_value_at(key_size), n);
		if (ret_version)
			*ret_version = e->version;
		expires = e->expires_ns;
	} else if (ctl & BUCKET_NEXT) {
		return -EAGAIN;
	}
	if (unlikely((ctl | atomic_load_explicit(&b->ctl, memory_order_acquire)) & BUCKET_MOVED) ||
	    !glance_good(m, began))
		return -EAGAIN;
	return map_expired(expires) ? -ENOENT : result;
}

/*
 * In a cluster the page that a glance begins and ends with comes from afar when somebody has made
 * a pass. So who sees that begins sections for a while, which touch no page of others.
 */
static bool glance_wise(struct dsm_map *m)
{
	struct seg_slot *self = seg_self(m->seg);
	struct map_journal *j = self ? map_journal(self) : NULL;
	uint64_t pass;

	if (unlikely(!j))
		return false;
	if (j->shy) {
		j->shy--;
		return false;
	}
	pass = atomic_load_explicit(&m->grace->started, memory_order_relaxed);
	if (likely(pass == atomic_load_explicit(&m->pass_seen, memory_order_relaxed)))
		return true;
	atomic_store_explicit(&m->pass_seen, pass, memory_order_relaxed);
	j->shy = SHY_GETS;
	return false;
}

static __attribute__((noinline)) ssize_t get_in_section(struct dsm_map *m, uint64_t hash,
							const void *key, size_t key_size,
							void *buffer, size_t size,
							uint64_t *ret_version)
{
	struct seg_slot *self = seg_self(m->seg);
	struct map_found f;
	ssize_t result;
	bool entered;

	if (unlikely(!self))
		return -EUSERS;
	map_fetch(m, hash);
	entered = section_enter(self);
	result = look_up(m, hash, key, key_size, &f);
	if (likely(!result)) {
		bytes_copy(buffer, found_value(&f), f.value_size < size ? f.value_size : size);
		if (ret_version)
			*ret_version = f.entry->version;
		result = f.value_size;
	}
	section_leave(self, entered);
	return result;
}

ssize_t dsm_map_get(dsm_map_t *map, const void *key, size_t key_size, void *buffer, size_t size,
		    uint64_t *ret_version)
{
	uint64_t hash = map_hash(map, key, key_size);
	ssize_t result = -EAGAIN;

	if (!MAP_UNDER_TSAN && likely(!map->seg->cluster || glance_wise(map)))
		result = glance(map, hash, key, key_size, buffer, size, ret_version);
	if (likely(result != -EAGAIN))
		return result;
	return get_in_section(map, hash, key, key_size, buffer, size, ret_version);
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
