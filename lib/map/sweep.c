// SPDX-License-Identifier: MIT
/* What has expired is taken out by writers: a bucket of their stripe each time, in turns. */
#include "lib/map/commit.h"
#include "lib/map/table.h"

static void bucket_sweep(struct map_writer *w, struct map_bucket *b)
{
	struct map_found f;

	for (uint32_t i = 0; i < MAP_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&b->slot[i], memory_order_relaxed);

		if (word && entry_look(w->m, word, &f) && map_expired(f.entry->expires_ns))
			commit_take_out(w, &b->slot[i], f.entry);
	}
}

void map_sweep(struct map_writer *w)
{
	uint32_t n = (uint32_t)(table_buckets(w->table) / MAP_STRIPES);
	uint32_t at = atomic_load_explicit(&w->stripe->sweep, memory_order_relaxed) & (n - 1);
	uint32_t steps = table_over(w->table) + 1;
	struct map_bucket *b = table_bucket(w->m, w->table, (uint64_t)at * MAP_STRIPES + w->index);

	/* Moving takes out what has expired by itself. */
	if (w->moving)
		return;
	for (; b && steps; steps--) {
		bucket_sweep(w, b);
		b = chain_next(w->m, w->table, atomic_load_explicit(&b->ctl, memory_order_relaxed));
	}
	atomic_store_explicit(&w->stripe->sweep, at + 1, memory_order_relaxed);
}
