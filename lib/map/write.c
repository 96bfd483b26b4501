// SPDX-License-Identifier: MIT
/*
 * Writing. Under the stripe's lock the value that is there is overwritten, where that can be done;
 * or one word puts a new entry, which was made before, in its place, and the one that was there
 * to the retired ones.
 */
#include "lib/map/commit.h"
#include "lib/map/quick.h"

#define WRITE_TRIES 16 /* growing makes room each time */
#define WANTS_ENTRY 1  /* of a change: it cannot be made without one */

/* Where a key is, or could be. */
struct place {
	struct map_found found;
	_Atomic uint64_t *empty;
	struct map_bucket *last;
};

/* The stripe is locked; on an error it is unlocked again. */
static int writer_tables(struct map_writer *w)
{
	struct dsm_map *m = w->m;
	uint64_t table, next;

	table = atomic_load_explicit(&m->header->table, memory_order_acquire);
	if (unlikely(!table_good(m, table)))
		goto damaged;
	w->table = table;
	next = table_next(m, table);
	if (likely(!next))
		return 0;
	if (!table_good(m, next) || table_log(next) != table_log(table) + 1)
		goto damaged;
	w->moving = table;
	w->table = next;
	map_move_prepare(w);
	return 0;
damaged:
	map_writer_leave(w);
	return map_damaged("its table");
}

int map_writer_begin(struct map_writer *w, struct dsm_map *m, struct seg_slot *self, uint32_t index)
{
	int err;

	*w = (struct map_writer){ .m = m };
	map_writer_prepare(w, self, index);
	err = seg_lock_quick(m->seg, self, &w->stripe->lock, SEG_LAYER_TOP);
	return likely(!err) ? writer_tables(w) : err;
}

int map_writer_try(struct map_writer *w, struct dsm_map *m, struct seg_slot *self, uint32_t index)
{
	int err;

	*w = (struct map_writer){ .m = m };
	map_writer_prepare(w, self, index);
	err = map_trylock(m, &w->stripe->lock);
	return err ? err : writer_tables(w);
}

void map_writer_end(struct map_writer *w)
{
	struct dsm_map *m = w->m;
	bool watched = map_watched(m, w->index);

	map_writer_leave(w);
	if (unlikely(watched) && w->changed)
		map_watch_notify(m, w->index);
	if (unlikely(w->retire_due)) {
		map_grace_step(m);
		map_grow_reap(m);
	}
	if (unlikely(w->moving))
		map_grow_help(m);
	else if (unlikely(w->grow_due))
		(void)map_grow_start(m, w->table);
}

/* ------------------------------------------------------------ entries */

static int entry_make(struct dsm_map *m, struct map_journal *j, const struct map_change *c,
		      uint64_t hash)
{
	uint64_t value_at = entry_value_at(c->key_size);
	struct map_entry *e;
	int err;

	if (c->key_size > UINT32_MAX || c->value_size > UINT32_MAX)
		return seg_error(-EINVAL, "keys and values of a map are smaller than 4 GiB");
	if (!map_spare_take(m, j, value_at + c->value_size)) {
		err = dsm_heap_alloc_to(m->heap, value_at + c->value_size, plain_word(&j->fresh));
		if (unlikely(err == -ENOMEM) && map_retire_reclaim(m))
			err = dsm_heap_alloc_to(m->heap, value_at + c->value_size,
						plain_word(&j->fresh));
		if (unlikely(err))
			return err == -ENOMEM ? -ENOSPC : err;
	}
	e = seg_at(m->seg, atomic_load_explicit(&j->fresh, memory_order_relaxed));
	e->hash = hash;
	e->expires_ns = c->expires_ns;
	e->key_size = (uint32_t)c->key_size;
	e->value_size = (uint32_t)c->value_size;
	e->retire_next = 0;
	bytes_copy(e->key, c->key, c->key_size);
	bytes_copy((uint8_t *)e + value_at, c->value, c->value_size);
	return 0;
}

static int place_find(struct map_writer *w, const struct map_change *c, uint64_t hash,
		      struct place *p)
{
	struct map_bucket *b = table_bucket_of(w->m, w->table, hash);
	uint32_t steps = table_over(w->table) + 1;

	p->empty = NULL;
	do {
		int err = bucket_find(w->m, b, hash, c->key, c->key_size, &p->found);

		if (likely(!err))
			return 0;
		if (unlikely(err != -ENOENT))
			return map_damaged("a bucket");
		for (uint32_t i = 0; i < MAP_SLOTS && !p->empty; i++)
			if (!atomic_load_explicit(&b->slot[i], memory_order_relaxed))
				p->empty = &b->slot[i];
		p->found.entry = NULL;
		p->last = b;
		b = chain_next(w->m, w->table, atomic_load_explicit(&b->ctl, memory_order_relaxed));
	} while (b && --steps);
	return b ? map_damaged("a chain without an end") : 0;
}

/* One more bucket after @p->last. -EAGAIN: the table has none left for this stripe. */
static int place_extend(struct map_writer *w, struct place *p)
{
	uint32_t parity = atomic_load_explicit(&w->stripe->generation, memory_order_relaxed) & 1;
	uint32_t used = atomic_load_explicit(&w->stripe->over[parity], memory_order_relaxed);
	uint32_t room = table_over(w->table);
	uint64_t n = (uint64_t)w->index * room + used, ctl;
	struct map_bucket *b = table_bucket(w->m, w->table, table_buckets(w->table) + n);

	/* What the table before has chained must find room here, too. */
	if (w->moving)
		room -= table_over(w->moving);
	if (used >= room)
		return -EAGAIN;
	for (uint32_t i = 0; i < MAP_SLOTS; i++)
		atomic_store_explicit(&b->slot[i], 0, memory_order_relaxed);
	atomic_store_explicit(&b->ctl, 0, memory_order_relaxed);
	ctl = atomic_load_explicit(&p->last->ctl, memory_order_relaxed);
	commit_prepare(w);
	w->journal->over_index = parity;
	w->journal->over = used + 1;
	commit(w, MAP_OP_BUCKET, &p->last->ctl, (ctl & ~BUCKET_NEXT) | (n + 1));
	p->empty = &b->slot[0];
	return 0;
}

/* ------------------------------------------------------------ changes */

static int decide_version(const struct map_change *c, uint64_t version)
{
	if (c->want == MAP_DELETE_VERSION && !version)
		return -ENOENT;
	return c->version == version ? 0 : -ESTALE;
}

/* May @c be, when @f is there (without an entry: when it is absent)? */
static int decide(struct map_change *c, const struct map_found *f)
{
	c->ret_version = f->entry ? atomic_load_explicit(&f->entry->version, memory_order_relaxed)
				  : 0;
	switch (c->want) {
	case MAP_SET:
		return 0;
	case MAP_ADD:
		return f->entry ? -EEXIST : 0;
	case MAP_CAS:
	case MAP_DELETE_VERSION:
		return decide_version(c, c->ret_version);
	case MAP_CAS_VALUE:
		if (!f->entry)
			return -ENOENT;
		return f->value_size == c->old_size &&
				       bytes_same(found_value(f), c->old, c->old_size)
			       ? 0
			       : -ESTALE;
	case MAP_DELETE:
	default:
		return f->entry ? 0 : -ENOENT;
	}
}

static void put_in(struct map_writer *w, struct map_change *c, struct place *p)
{
	struct map_journal *j = w->journal;
	uint64_t off = atomic_load_explicit(&j->fresh, memory_order_relaxed);
	uint32_t calm = atomic_load_explicit(&w->stripe->calm, memory_order_relaxed);
	struct map_entry *e = seg_at(w->m->seg, off);

	commit_prepare(w);
	if (p->found.entry)
		commit_retire(w, p->found.entry);
	j->count++;
	j->ttl += e->expires_ns != 0;
	c->ret_version = ++j->version;
	atomic_store_explicit(&e->version, j->version, memory_order_relaxed);
	commit(w, MAP_OP_ENTRY, p->found.entry ? p->found.slot : p->empty,
	       off | e->hash >> SLOT_TAG_BITS << SLOT_TAG_BITS);
	if (unlikely(calm))
		atomic_store_explicit(&w->stripe->calm, calm - 1, memory_order_relaxed);
	if (j->count > MAP_LOAD * (table_buckets(w->table) / MAP_STRIPES))
		w->grow_due = true;
}

/* Under the stripe's lock. -EAGAIN: the table has no room. */
static int change_locked(struct map_writer *w, struct map_change *c, uint64_t hash)
{
	struct map_found none = { 0 };
	struct place p;
	bool expired;
	int err = 0;

	if (unlikely(w->moving))
		err = map_move_bucket(w, hash & (table_buckets(w->moving) - 1));
	if (!err)
		err = place_find(w, c, hash, &p);
	if (err)
		return err;
	expired = p.found.entry && map_expired(p.found.entry->expires_ns);
	err = decide(c, expired ? &none : &p.found);
	if (expired && err)
		commit_take_out(w, p.found.slot, p.found.entry);
	if (err)
		return err;
	if (c->want >= MAP_DELETE && p.found.entry) {
		commit_take_out(w, p.found.slot, p.found.entry);
		return 0;
	}
	if (!atomic_load_explicit(&w->journal->fresh, memory_order_relaxed)) {
		if (unlikely(!p.found.entry) || unlikely(expired) || !rewrite_fits(w, c, &p.found))
			return WANTS_ENTRY;
		c->ret_version = rewrite(w, &p.found);
		return 0;
	}
	if (!p.found.entry && !p.empty)
		err = place_extend(w, &p);
	if (!err)
		put_in(w, c, &p);
	return err;
}

static void change_end(struct map_writer *w)
{
	const struct map_stripe *s = w->stripe;

	if (unlikely(atomic_load_explicit(&s->ttl, memory_order_relaxed)))
		map_sweep(w);
	if (atomic_load_explicit(&s->wait_list, memory_order_relaxed) ||
	    atomic_load_explicit(&s->fresh_count, memory_order_relaxed) >= RETIRE_BATCH)
		map_retire_turn(w);
	map_writer_end(w);
}

static int change_made(struct dsm_map *m, struct seg_slot *self, struct map_change *c,
		       uint64_t hash)
{
	struct map_writer w;
	int err;

	for (uint32_t tries = 0; tries < WRITE_TRIES; tries++) {
		err = map_writer_begin(&w, m, self, map_stripe_of(hash));
		if (unlikely(err))
			return err;
		err = change_locked(&w, c, hash);
		if (likely(err != -EAGAIN && err != WANTS_ENTRY)) {
			change_end(&w);
			return err;
		}
		map_writer_leave(&w);
		err = err == WANTS_ENTRY ? entry_make(m, w.journal, c, hash)
					 : map_grow_now(m, w.table);
		if (err)
			return err;
	}
	return seg_error(-ENOSPC, "the map's table has no room, however much it grows");
}

int map_change(struct dsm_map *m, struct map_change *c)
{
	struct seg_slot *self = seg_self(m->seg);
	enum quick quick = QUICK_NOT;
	struct map_journal *j;
	uint64_t hash;
	int err = 0;

	if (unlikely(!self))
		return -EUSERS;
	j = map_journal(self);
	hash = map_hash(m, c->key, c->key_size);
	if (likely(rewrite_likely(m, c)))
		quick = map_change_quick(m, self, c, hash);
	if (likely(quick == QUICK_DONE))
		return 0;
	/* What the change before has left. */
	if (atomic_load_explicit(&j->trash_list, memory_order_relaxed))
		map_trash_empty(m, j, true);
	if (c->want < MAP_DELETE && quick != QUICK_PREPARED)
		err = entry_make(m, j, c, hash);
	if (likely(!err))
		err = change_made(m, self, c, hash);
	if (unlikely(atomic_load_explicit(&j->fresh, memory_order_relaxed)))
		(void)dsm_heap_free_from(m->heap, plain_word(&j->fresh));
	return err;
}
