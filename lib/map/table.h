/* SPDX-License-Identifier: MIT */
/*
 * From a hash to a bucket to an entry. Whatever is read from the segment is checked before it
 * leads anywhere.
 */
#ifndef DSM_LIB_MAP_TABLE_H
#define DSM_LIB_MAP_TABLE_H

#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "lib/map/bytes.h"
#include "lib/map/map.h"

static inline uint32_t table_log(uint64_t table)
{
	return (uint32_t)(table & TABLE_LOG_MASK);
}
static inline uint64_t table_off(uint64_t table)
{
	return table & SLOT_OFF_MASK & ~(uint64_t)(SEG_PAGE - 1);
}
static inline uint64_t table_buckets(uint64_t table)
{
	return 1ull << table_log(table);
}
/* Overflow buckets of each stripe. */
static inline uint32_t table_over(uint64_t table)
{
	return (uint32_t)(table_buckets(table) / MAP_STRIPES / 8 + 4);
}
static inline uint64_t table_bytes(uint32_t log)
{
	return SEG_PAGE + ((1ull << log) + MAP_STRIPES * (uint64_t)table_over(log)) *
				  sizeof(struct map_bucket);
}
static inline struct map_table *table_head(const struct dsm_map *m, uint64_t table)
{
	return seg_at(m->seg, table_off(table));
}
static inline struct map_bucket *table_bucket(const struct dsm_map *m, uint64_t table, uint64_t i)
{
	return (struct map_bucket *)(m->base + table_off(table) + SEG_PAGE) + i;
}
static inline struct map_bucket *table_bucket_of(const struct dsm_map *m, uint64_t table,
						 uint64_t hash)
{
	return table_bucket(m, table, hash & (table_buckets(table) - 1));
}

/* read.c: looks at the table itself. */
bool table_check(struct dsm_map *m, uint64_t table);

static inline bool table_good(struct dsm_map *m, uint64_t table)
{
	return likely(atomic_load_explicit(&m->known_table[table & 1], memory_order_acquire) ==
		      table) ||
	       table_check(m, table);
}

/* read.c: has the table in use as the map's view. NULL: it is damaged. */
const struct map_view *view_make(struct dsm_map *m);

static inline bool view_good(const struct dsm_map *m, const struct map_view *v)
{
	return likely(atomic_load_explicit(&v->table, memory_order_relaxed) ==
		      atomic_load_explicit(&m->header->table, memory_order_acquire));
}

/* The table in use, which may be another one the next moment. */
static inline const struct map_view *view_now(struct dsm_map *m)
{
	const struct map_view *v = atomic_load_explicit(&m->view, memory_order_acquire);

	return view_good(m, v) ? v : view_make(m);
}

static inline struct map_bucket *view_bucket(const struct map_view *v, uint64_t hash)
{
	uint64_t at = hash * sizeof(struct map_bucket) &
		      atomic_load_explicit(&v->mask, memory_order_relaxed);

	return (struct map_bucket *)(atomic_load_explicit(&v->buckets, memory_order_relaxed) + at);
}

/* The table after @table; 0: none. */
static inline uint64_t table_next(const struct dsm_map *m, uint64_t table)
{
	return atomic_load(&table_head(m, table)->next);
}

/* The overflow bucket that follows @ctl's in a chain; NULL: none. */
static inline struct map_bucket *chain_next(const struct dsm_map *m, uint64_t table, uint64_t ctl)
{
	uint64_t n = ctl & BUCKET_NEXT;

	if (likely(!n) || n > (uint64_t)MAP_STRIPES * table_over(table))
		return NULL;
	return table_bucket(m, table, table_buckets(table) + n - 1);
}

/* read.c: the segment has @size bytes; it may have grown. */
void map_limit_set(struct dsm_map *m, uint64_t size);
bool map_limit_raise(struct dsm_map *m, uint64_t end);

static inline bool map_within(struct dsm_map *m, uint64_t end)
{
	return likely(end <= atomic_load_explicit(&m->limit, memory_order_relaxed)) ||
	       map_limit_raise(m, end);
}

static inline uint64_t entry_value_at(uint64_t key_size)
{
	return (sizeof(struct map_entry) + key_size + 7) & ~7ull;
}

/* An entry with the sizes it had when it was looked at: they are not read again. */
struct map_found {
	struct map_entry *entry; /* NULL: none */
	_Atomic uint64_t *slot;
	uint32_t key_size, value_size;
};

static inline const uint8_t *found_value(const struct map_found *f)
{
	return (const uint8_t *)f->entry + entry_value_at(f->key_size);
}

/* False: no entry lies there. */
static inline bool entry_look(struct dsm_map *m, uint64_t word, struct map_found *ret)
{
	uint64_t off = word & SLOT_OFF_MASK;
	struct map_entry *e = (struct map_entry *)(m->base + off);

	if (unlikely(off & 7) || !map_within(m, off + sizeof(*e)))
		return false;
	ret->entry = e;
	ret->key_size = e->key_size;
	ret->value_size = atomic_load_explicit(&e->value_size, memory_order_relaxed);
	return map_within(m, off + entry_value_at(ret->key_size) + ret->value_size);
}

/*
 * The slots of @b with the tag of @hash, as a set: bit 2 * i + 1 for slot i. Four slots at a time
 * where the processor can: a slot is a word that is stored whole, and whoever follows a match
 * loads it again.
 */
#define MATCH_BITS  2u /* a slot has in a set */
#define MATCH_SLOTS 0x2aaau

static inline uint32_t match_slot(uint32_t set)
{
	return (uint32_t)__builtin_ctz(set) / MATCH_BITS;
}

static inline uint32_t bucket_match(const struct map_bucket *b, uint64_t hash)
{
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
	const __m128 *v = (const __m128 *)(const void *)b;
	__m128i tag = _mm_set1_epi16((short)(hash >> SLOT_TAG_BITS));
	/* The upper halves of four slots each: the tag is the odd word of a half. */
	__m128i low = _mm_castps_si128(_mm_shuffle_ps(v[0], v[1], _MM_SHUFFLE(3, 1, 3, 1)));
	__m128i high = _mm_castps_si128(_mm_shuffle_ps(v[2], v[3], _MM_SHUFFLE(3, 1, 3, 1)));

	return (uint32_t)_mm_movemask_epi8(
		       _mm_packs_epi16(_mm_cmpeq_epi16(low, tag), _mm_cmpeq_epi16(high, tag))) &
	       MATCH_SLOTS;
#else
	uint32_t set = 0;

	for (uint32_t i = 0; i < MAP_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&b->slot[i], memory_order_relaxed);

		set |= (uint32_t)(!((word ^ hash) >> SLOT_TAG_BITS)) << (MATCH_BITS * i + 1);
	}
	return set;
#endif
}

#ifdef __SANITIZE_THREAD__
#define MAP_UNDER_TSAN true
#else
#define MAP_UNDER_TSAN false
#endif

/*
 * Have the bucket of @hash, and the entry that is likely to be meant, on their way from memory
 * before they are needed: while the processor waits for a section to begin, or for what was
 * changed before. The table may be retired meanwhile, which does no harm: grains stay mapped when
 * they are free. NULL: it seems that there is no such entry.
 */
static inline __attribute__((always_inline)) _Atomic uint64_t *map_fetch(const struct dsm_map *m,
									 const struct map_view *v,
									 uint64_t hash, bool write)
{
	struct map_bucket *b = view_bucket(v, hash);
	uint32_t set = bucket_match(b, hash);
	_Atomic uint64_t *slot;
	const uint8_t *entry;

	if (unlikely(!set))
		return NULL;
	slot = &b->slot[match_slot(set)];
	entry = m->base + (atomic_load_explicit(slot, memory_order_relaxed) & SLOT_OFF_MASK);
	for (uint32_t i = 0; i < 3; i++)
		if (write)
			__builtin_prefetch(entry + i * SEG_LINE, 1);
		else
			__builtin_prefetch(entry + i * SEG_LINE);
	return slot;
}

/* 0 with @ret; -ENOENT; -EBADMSG. */
static inline int bucket_find(struct dsm_map *m, struct map_bucket *b, uint64_t hash,
			      const void *key, size_t key_size, struct map_found *ret)
{
	for (uint32_t mask = bucket_match(b, hash); mask; mask &= mask - 1) {
		_Atomic uint64_t *slot = &b->slot[match_slot(mask)];
		uint64_t word = atomic_load_explicit(slot, memory_order_acquire);

		if (unlikely(!word))
			continue;
		__builtin_prefetch(m->base + (word & SLOT_OFF_MASK) + 64);
		__builtin_prefetch(m->base + (word & SLOT_OFF_MASK) + 128);
		if (unlikely(!entry_look(m, word, ret)))
			return -EBADMSG;
		if (likely(ret->key_size == key_size &&
			   bytes_same(ret->entry->key, key, key_size))) {
			ret->slot = slot;
			return 0;
		}
	}
	return -ENOENT;
}

/* The same along the chain of @b. */
static inline int chain_find(struct dsm_map *m, uint64_t table, struct map_bucket *b, uint64_t hash,
			     const void *key, size_t key_size, struct map_found *ret)
{
	uint32_t steps = 0;

	for (;;) {
		int err = bucket_find(m, b, hash, key, key_size, ret);

		if (likely(err != -ENOENT))
			return err;
		b = chain_next(m, table, atomic_load_explicit(&b->ctl, memory_order_acquire));
		if (likely(!b))
			return -ENOENT;
		if (unlikely(++steps > table_over(table)))
			return -EBADMSG;
	}
}

#endif
