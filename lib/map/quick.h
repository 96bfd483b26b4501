/* SPDX-License-Identifier: MIT */
/*
 * What most changes are: a key that is there gets another value, of the same size, while nobody
 * wants the stripe, watches it, or makes the table grow. All that is different is left to
 * write.c. The memory that is waited for is asked for before the lock is taken, and nothing here
 * waits until the change has reached the cache: so the next change begins meanwhile.
 */
#ifndef DSM_LIB_MAP_QUICK_H
#define DSM_LIB_MAP_QUICK_H

#include "lib/map/rewrite.h"

enum quick {
	QUICK_NOT,	/* nothing was done: it needs an entry */
	QUICK_PREPARED, /* nothing but rewrite_prepare(): it is not as simple */
	QUICK_DONE,
};

/* With the stripe locked: nothing has to be done but the change, which is to what @slot names. */
static inline bool quick_simple(struct map_writer *w, const struct map_change *c, uint64_t hash,
				_Atomic uint64_t *slot, struct map_found *ret)
{
	const struct map_stripe *s = w->stripe;
	uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);

	return likely(atomic_load_explicit(&w->m->header->table, memory_order_acquire) ==
		      w->table) &&
	       likely(!table_next(w->m, w->table)) &&
	       likely(!atomic_load_explicit(&s->wait_list, memory_order_relaxed)) &&
	       likely(!atomic_load_explicit(&s->ttl, memory_order_relaxed)) &&
	       likely(!map_watched(w->m, w->index)) && likely(!((word ^ hash) >> SLOT_TAG_BITS)) &&
	       likely(entry_look(w->m, word, ret)) && likely(ret->key_size == c->key_size) &&
	       likely(bytes_same(ret->entry->key, c->key, c->key_size)) &&
	       likely(rewrite_fits(w, c, ret));
}

static inline enum quick map_change_quick(struct dsm_map *m, struct seg_slot *self,
					  struct map_change *c, uint64_t hash)
{
	const struct map_view *v = view_now(m);
	_Atomic uint64_t *slot = likely(v) ? map_fetch(m, v, hash, true) : NULL;
	struct map_found f;
	struct map_writer w;
	bool done;

	if (unlikely(!slot))
		return QUICK_NOT;
	rewrite_prepare(map_journal(self), c);
	if (unlikely(c->want != MAP_SET))
		return QUICK_PREPARED;
	w.m = m;
	w.table = atomic_load_explicit(&v->table, memory_order_relaxed);
	map_writer_prepare(&w, self, map_stripe_of(hash));
	if (unlikely(seg_lock_quick(m->seg, self, &w.stripe->lock, SEG_LAYER_TOP)))
		return QUICK_PREPARED;
	done = quick_simple(&w, c, hash, slot, &f);
	if (likely(done))
		c->ret_version = rewrite(&w, &f);
	map_writer_leave(&w);
	return likely(done) ? QUICK_DONE : QUICK_PREPARED;
}

#endif
