/* SPDX-License-Identifier: MIT */
/*
 * How a stripe is changed in one step. The journal says which word will make the
 * change and what the stripe has afterwards; then the word is stored; then the
 * rest. A kill before the store leaves nothing but the journal, a kill after it is completed by
 * who recovers: all of the rest are plain values, so that doing it twice does no harm.
 */
#ifndef DSM_LIB_MAP_COMMIT_H
#define DSM_LIB_MAP_COMMIT_H

#include "lib/map/map.h"

/* The journal of a change that leaves all as it is; the caller alters what will be different. */
static inline void commit_prepare(const struct map_writer *w)
{
	struct map_journal *j = w->journal;
	struct map_stripe *s = w->stripe;

	j->version = atomic_load_explicit(&s->version, memory_order_relaxed);
	j->count = atomic_load_explicit(&s->count, memory_order_relaxed);
	j->ttl = atomic_load_explicit(&s->ttl, memory_order_relaxed);
	j->fresh_list = atomic_load_explicit(&s->fresh_list, memory_order_relaxed);
	j->fresh_count = atomic_load_explicit(&s->fresh_count, memory_order_relaxed);
	j->over_index = 0;
	j->over = atomic_load_explicit(&s->over[0], memory_order_relaxed);
}

/* The change takes @e out of the map. It goes to the retired ones. */
static inline void commit_retire(const struct map_writer *w, struct map_entry *e)
{
	struct map_journal *j = w->journal;

	e->retire_next = j->fresh_list;
	j->fresh_list = seg_off(w->m->seg, e);
	j->fresh_count++;
	j->count--;
	j->ttl -= e->expires_ns != 0;
}

/* The rest, after the word. Also done by who recovers. */
static inline void commit_finish(struct map_journal *j, struct map_stripe *s)
{
	atomic_store_explicit(&s->count, j->count, memory_order_relaxed);
	atomic_store_explicit(&s->ttl, j->ttl, memory_order_relaxed);
	atomic_store_explicit(&s->fresh_list, j->fresh_list, memory_order_relaxed);
	atomic_store_explicit(&s->fresh_count, j->fresh_count, memory_order_relaxed);
	atomic_store_explicit(&s->over[j->over_index & 1], j->over, memory_order_relaxed);
	atomic_store_explicit(&s->version, j->version, memory_order_release);
	/* The entry is the map's before the journal forgets that it may not be. */
	if (atomic_load_explicit(&j->op, memory_order_relaxed) == MAP_OP_ENTRY)
		atomic_store_explicit(&j->fresh, 0, memory_order_release);
	atomic_store_explicit(&j->op, MAP_OP_NONE, memory_order_release);
}

static inline void commit(struct map_writer *w, enum map_op op, _Atomic uint64_t *word,
			  uint64_t value)
{
	struct map_journal *j = w->journal;

	j->word = seg_off(w->m->seg, word);
	j->value = value;
	atomic_store_explicit(&j->op, op, memory_order_release);
	/* What has to come after it has a fence of its own: map_grace_next(), map_watch_notify(). */
	atomic_store_explicit(word, value, memory_order_release);
	commit_finish(j, w->stripe);
	w->changed = true;
}

/* Have @slot, which names @e, empty. */
static inline void commit_take_out(struct map_writer *w, _Atomic uint64_t *slot,
				   struct map_entry *e)
{
	commit_prepare(w);
	w->journal->version++;
	commit_retire(w, e);
	commit(w, MAP_OP_BUCKET, slot, 0);
}

#endif
