// SPDX-License-Identifier: MIT
/* A map as a whole, counted without a stop. */
#include "lib/map/section.h"
#include "lib/map/table.h"

static void entry_count(struct dsm_map *m, uint64_t word, struct dsm_map_stat *s)
{
	struct map_found f;

	if (!entry_look(m, word, &f))
		return;
	s->key_bytes += f.key_size;
	s->value_bytes += f.value_size;
	s->with_ttl += f.entry->expires_ns != 0;
	s->expired += map_expired(f.entry->expires_ns);
}

static void chain_count(struct dsm_map *m, uint64_t table, struct map_bucket *b,
			struct dsm_map_stat *s)
{
	uint32_t steps = table_over(table) + 1, length = 0;

	for (; b && steps; steps--) {
		for (uint32_t i = 0; i < MAP_SLOTS; i++) {
			uint64_t word = atomic_load_explicit(&b->slot[i], memory_order_acquire);

			if (!word)
				continue;
			length++;
			entry_count(m, word, s);
		}
		b = chain_next(m, table, atomic_load_explicit(&b->ctl, memory_order_acquire));
		s->overflow += b != NULL;
	}
	if (length > s->longest_chain)
		s->longest_chain = length;
}

/* One bucket of @table, or the two it became in @next. */
static void bucket_count(struct dsm_map *m, uint64_t table, uint64_t next, uint64_t i,
			 struct dsm_map_stat *s)
{
	struct map_bucket *b = table_bucket(m, table, i);

	if (!(atomic_load_explicit(&b->ctl, memory_order_acquire) & BUCKET_MOVED)) {
		chain_count(m, table, b, s);
		return;
	}
	s->moved++;
	if (!next)
		return;
	chain_count(m, next, table_bucket(m, next, i), s);
	chain_count(m, next, table_bucket(m, next, i + table_buckets(table)), s);
}

static void stripes_count(struct dsm_map *m, struct dsm_map_stat *s)
{
	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		const struct map_stripe *stripe = map_stripe(m, i);

		s->retired += atomic_load_explicit(&stripe->fresh_count, memory_order_relaxed) +
			      atomic_load_explicit(&stripe->wait_count, memory_order_relaxed);
	}
}

int dsm_map_stat(dsm_map_t *map, struct dsm_map_stat *ret)
{
	struct seg_slot *self = seg_self(map->seg);
	struct dsm_map_stat s = { .stripes = MAP_STRIPES };
	uint64_t table, next;
	bool entered;

	if (!self)
		return -EUSERS;
	s.entries = (uint64_t)dsm_map_count(map);
	s.version = dsm_map_version(map);
	entered = section_enter(self);
	table = atomic_load(&map->header->table);
	next = table_good(map, table) ? table_next(map, table) : 1;
	if (!table_good(map, table) ||
	    (next && (!table_good(map, next) || table_log(next) != table_log(table) + 1))) {
		section_leave(self, entered);
		return map_damaged("its table");
	}
	s.buckets = table_buckets(table);
	s.growing_to = next ? table_buckets(next) : 0;
	s.table_bytes = table_bytes(table_log(table)) + (next ? table_bytes(table_log(next)) : 0);
	for (uint64_t i = 0; i < s.buckets; i++)
		bucket_count(map, table, next, i, &s);
	section_leave(self, entered);
	stripes_count(map, &s);
	*ret = s;
	return 0;
}
