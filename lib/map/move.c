// SPDX-License-Identifier: MIT
/*
 * Moving buckets to the next table, which has twice as many: bucket i of n becomes i and i + n.
 * Both are filled before the mark in the old one tells; until then nobody looks at them, so a
 * kill leaves nothing to undo.
 */
#include "lib/map/commit.h"
#include "lib/map/table.h"

void map_move_prepare(struct map_writer *w)
{
	struct map_stripe *s = w->stripe;
	uint32_t generation = table_head(w->m, w->table)->generation;

	if (likely(atomic_load_explicit(&s->generation, memory_order_relaxed) == generation))
		return;
	atomic_store_explicit(&s->over[generation & 1], 0, memory_order_relaxed);
	atomic_store_explicit(&s->moved, 0, memory_order_relaxed);
	/* Last: done again if it was not done whole. */
	atomic_store_explicit(&s->generation, generation, memory_order_release);
}

/* One of the two buckets being filled. */
struct filling {
	struct map_bucket *bucket;
	uint32_t used;
};

static void bucket_clear(struct map_bucket *b)
{
	for (uint32_t i = 0; i < MAP_SLOTS; i++)
		atomic_store_explicit(&b->slot[i], 0, memory_order_relaxed);
	atomic_store_explicit(&b->ctl, 0, memory_order_relaxed);
}

/* -ENOSPC: the table has no overflow bucket left. */
static int fill(struct map_writer *w, struct filling *f, uint64_t word)
{
	struct map_journal *j = w->journal;
	uint64_t n;

	if (f->used == MAP_SLOTS) {
		if (j->over >= table_over(w->table))
			return -ENOSPC;
		n = (uint64_t)w->index * table_over(w->table) + j->over++;
		atomic_store_explicit(&f->bucket->ctl, n + 1, memory_order_relaxed);
		f->bucket = table_bucket(w->m, w->table, table_buckets(w->table) + n);
		f->used = 0;
		bucket_clear(f->bucket);
	}
	atomic_store_explicit(&f->bucket->slot[f->used++], word, memory_order_relaxed);
	return 0;
}

static int distribute(struct map_writer *w, struct map_bucket *b, struct filling to[2])
{
	struct map_found f;

	for (uint32_t i = 0; i < MAP_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&b->slot[i], memory_order_relaxed);
		int err;

		if (!word)
			continue;
		if (!entry_look(w->m, word, &f))
			return map_damaged("a bucket to be moved");
		if (map_expired(f.entry->expires_ns)) {
			commit_retire(w, f.entry);
			w->journal->version++;
			continue;
		}
		err = fill(w, &to[f.entry->hash >> table_log(w->moving) & 1], word);
		if (err)
			return err;
	}
	return 0;
}

int map_move_bucket(struct map_writer *w, uint64_t i)
{
	struct map_bucket *head = table_bucket(w->m, w->moving, i), *b = head;
	uint64_t ctl = atomic_load_explicit(&head->ctl, memory_order_relaxed);
	uint32_t steps = table_over(w->moving) + 1;
	uint32_t parity = atomic_load_explicit(&w->stripe->generation, memory_order_relaxed) & 1;
	struct filling to[2];
	int err;

	if (ctl & BUCKET_MOVED)
		return 0;
	for (uint32_t k = 0; k < 2; k++) {
		to[k].bucket = table_bucket(w->m, w->table, i + k * table_buckets(w->moving));
		to[k].used = 0;
		bucket_clear(to[k].bucket);
	}
	commit_prepare(w);
	w->journal->over_index = parity;
	w->journal->over = atomic_load_explicit(&w->stripe->over[parity], memory_order_relaxed);
	do {
		err = distribute(w, b, to);
		if (err)
			return err;
		b = chain_next(w->m, w->moving,
			       atomic_load_explicit(&b->ctl, memory_order_relaxed));
	} while (b && --steps);
	if (b)
		return map_damaged("a chain without an end");
	seg_crash_point("map: bucket filled, not marked as moved");
	commit(w, MAP_OP_BUCKET, &head->ctl, ctl | BUCKET_MOVED);
	return 0;
}

int map_move_some(struct map_writer *w, uint32_t n)
{
	uint64_t all = table_buckets(w->moving) / MAP_STRIPES;
	uint64_t at = atomic_load_explicit(&w->stripe->moved, memory_order_relaxed);

	for (; n && at < all; n--, at++) {
		int err = map_move_bucket(w, at * MAP_STRIPES + w->index);

		if (err)
			return err;
		atomic_store_explicit(&w->stripe->moved, at + 1, memory_order_release);
	}
	return at >= all;
}
