// SPDX-License-Identifier: MIT
/*
 * Growing. A table that is full gets a next one of twice the size, to which writers move its
 * buckets on their way: their own, and a few of others each time. When all are moved the next one
 * takes its place; the old one is freed when no reader can be in it.
 */
#include "lib/map/table.h"

#define HELP_BUCKETS 4u

int map_table_make(dsm_segment_t *seg, uint32_t log, uint32_t generation, bool zero,
		   uint64_t *ret_table)
{
	uint64_t bytes = table_bytes(log), off;
	struct map_table *t;
	bool zeroed;
	int err;

	if (log > TABLE_LOG_MAX)
		return seg_error(-ENOSPC, "a map's table has at most 2^%u buckets", TABLE_LOG_MAX);
	err = seg_grains_alloc(seg, (bytes + SEG_GRAIN - 1) / SEG_GRAIN, &off, &zeroed);
	if (err)
		return err;
	t = seg_at(seg, off);
	if (zero && !zeroed)
		memset(t, 0, bytes);
	t->magic = TABLE_MAGIC;
	t->log = log;
	t->generation = generation;
	t->old_tag = 0;
	atomic_store_explicit(&t->next, 0, memory_order_relaxed);
	atomic_store_explicit(&t->old_next, 0, memory_order_release);
	*ret_table = off | log;
	return 0;
}

/* What is done with a table, so that recovery knows whether the map has it. */
static void journal_table(struct dsm_map *m, struct map_journal *j, enum map_op op, uint64_t off)
{
	atomic_store_explicit(&j->map, seg_off(m->seg, m->header), memory_order_relaxed);
	atomic_store_explicit(&j->table, off, memory_order_relaxed);
	atomic_store_explicit(&j->op, op, memory_order_release);
}

static void journal_clear(struct map_journal *j)
{
	atomic_store_explicit(&j->op, MAP_OP_NONE, memory_order_release);
}

/* With the lock of growth. */
static int start_locked(struct dsm_map *m, struct map_journal *j, uint64_t table)
{
	struct map_table *t = table_head(m, table);
	uint64_t next;
	int err;

	if (atomic_load(&m->header->table) != table || atomic_load(&t->next))
		return 0;
	err = map_table_make(m->seg, table_log(table) + 1, t->generation + 1, false, &next);
	if (err)
		return err;
	journal_table(m, j, MAP_OP_TABLE, table_off(next));
	seg_crash_point("map: next table made, not the map's");
	seg_grains_adopt(m->seg, table_off(next), m->root);
	seg_crash_point("map: next table the map's, not named");
	atomic_store_explicit(&m->growth->helped, 0, memory_order_relaxed);
	atomic_store(&t->next, next);
	journal_clear(j);
	return 0;
}

int map_grow_start(struct dsm_map *m, uint64_t table)
{
	struct seg_slot *self = seg_self(m->seg);
	int err;

	if (!self)
		return -EUSERS;
	err = map_trylock(m, &m->growth->lock);
	/* Somebody else grows it. */
	if (err)
		return err == -EBUSY ? 0 : err;
	err = start_locked(m, map_journal(self), table);
	seg_unlock(m->seg, &m->growth->lock);
	return err;
}

/* ------------------------------------------------------------ finishing */

/* Locked once, so who was in the stripe is out of it. 1: all buckets of it are in @next. */
static int stripe_moved(struct dsm_map *m, uint32_t i, uint64_t table, uint64_t next)
{
	struct map_stripe *s = map_stripe(m, i);
	int err = seg_lock(m->seg, &s->lock, SEG_LAYER_TOP);
	bool done;

	if (err)
		return err;
	done = atomic_load_explicit(&s->generation, memory_order_relaxed) ==
		       table_head(m, next)->generation &&
	       atomic_load_explicit(&s->moved, memory_order_relaxed) >=
		       table_buckets(table) / MAP_STRIPES;
	seg_unlock(m->seg, &s->lock);
	return done;
}

/* The table's buckets are all moved: the next one takes its place. Also done by who recovers. */
void map_table_retire(struct dsm_map *m, uint64_t off)
{
	struct map_table *t = seg_at(m->seg, off);
	uint64_t old = atomic_load_explicit(&m->growth->old, memory_order_relaxed);

	if (old == off)
		return;
	atomic_store_explicit(&t->old_next, old, memory_order_relaxed);
	atomic_store(&m->header->table, atomic_load(&t->next));
	seg_crash_point("map: table replaced, not retired");
	t->old_tag = map_grace_next(m);
	atomic_store_explicit(&m->growth->old, off, memory_order_release);
}

static int finish_locked(struct dsm_map *m, struct map_journal *j)
{
	uint64_t table = atomic_load(&m->header->table), next;

	if (!table_good(m, table))
		return map_damaged("its table");
	next = table_next(m, table);
	if (!next)
		return 0;
	if (!table_good(m, next))
		return map_damaged("its next table");
	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		int done = stripe_moved(m, i, table, next);

		if (done < 0)
			return done;
		if (!done) {
			atomic_store_explicit(&m->growth->helped, i, memory_order_relaxed);
			return 0;
		}
	}
	journal_table(m, j, MAP_OP_FINISH, table_off(table));
	map_table_retire(m, table_off(table));
	journal_clear(j);
	return 0;
}

static void grow_finish(struct dsm_map *m)
{
	struct seg_slot *self = seg_self(m->seg);

	if (!self || map_trylock(m, &m->growth->lock))
		return;
	(void)finish_locked(m, map_journal(self));
	seg_unlock(m->seg, &m->growth->lock);
	map_grace_step(m);
	map_grow_reap(m);
}

void map_grow_help(struct dsm_map *m)
{
	uint32_t i = atomic_load_explicit(&m->growth->helped, memory_order_relaxed);
	struct seg_slot *self = seg_self(m->seg);
	struct map_writer w;
	int done;

	if (!self)
		return;
	if (i >= MAP_STRIPES) {
		grow_finish(m);
		return;
	}
	if (map_writer_try(&w, m, self, i))
		return;
	done = w.moving ? map_move_some(&w, HELP_BUCKETS) : 0;
	map_writer_leave(&w);
	if (done > 0)
		atomic_compare_exchange_strong_explicit(&m->growth->helped, &i, i + 1,
							memory_order_relaxed, memory_order_relaxed);
}

/* All of stripe @i. */
static int stripe_move(struct dsm_map *m, struct seg_slot *self, uint32_t i)
{
	struct map_writer w;
	int done = map_writer_begin(&w, m, self, i);

	if (done)
		return done;
	done = w.moving ? map_move_some(&w, UINT32_MAX) : 1;
	map_writer_leave(&w);
	return done < 0 ? done : 0;
}

/* Whoever grows it now does so for us, too. */
static int start_now(struct dsm_map *m, struct seg_slot *self, uint64_t table)
{
	int err;

	do {
		err = seg_lock(m->seg, &m->growth->lock, SEG_LAYER_TOP);
		if (err)
			return err;
		err = start_locked(m, map_journal(self), table);
		seg_unlock(m->seg, &m->growth->lock);
	} while (err == -ENOSPC && seg_reclaim(m->seg));
	return err;
}

int map_grow_now(struct dsm_map *m, uint64_t table)
{
	struct seg_slot *self = seg_self(m->seg);
	uint64_t now = atomic_load(&m->header->table);
	int err;

	if (!self)
		return -EUSERS;
	if (!table_good(m, now))
		return map_damaged("its table");
	if (now == table && !table_next(m, now))
		return start_now(m, self, table);
	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		err = stripe_move(m, self, i);
		if (err)
			return err;
	}
	atomic_store_explicit(&m->growth->helped, MAP_STRIPES, memory_order_relaxed);
	grow_finish(m);
	return 0;
}

/* ------------------------------------------------------------ freeing */

/*
 * With the lock of growth. Who is in a stripe may have seen the table there; none is after this.
 */
static int writers_pass(struct dsm_map *m)
{
	for (uint32_t i = 0; i < MAP_STRIPES; i++) {
		struct seg_lock *lock = &map_stripe(m, i)->lock;
		int err = seg_lock(m->seg, lock, SEG_LAYER_TOP);

		if (err)
			return err;
		seg_unlock(m->seg, lock);
	}
	return 0;
}

bool map_table_free(struct dsm_map *m, uint64_t off)
{
	uint64_t first, n;
	uint32_t root;

	return !seg_grains_find(m->seg, off, &first, &n, &root) && first == off &&
	       root == m->root && !seg_grains_free(m->seg, off);
}

static void reap_locked(struct dsm_map *m, struct map_journal *j)
{
	bool freed;

	for (;;) {
		uint64_t off = atomic_load_explicit(&m->growth->old, memory_order_relaxed);
		const struct map_table *t = off ? seg_checked(m->seg, off, sizeof(*t), SEG_PAGE)
						: NULL;

		if (!t || t->magic != TABLE_MAGIC || !map_grace_done(m, t->old_tag) ||
		    writers_pass(m))
			return;
		journal_table(m, j, MAP_OP_TABLE, off);
		atomic_store_explicit(&m->growth->old, atomic_load(&t->old_next),
				      memory_order_release);
		seg_crash_point("map: old table not named, not freed");
		freed = map_table_free(m, off);
		journal_clear(j);
		/* A list without an end, or somebody else's memory. */
		if (!freed)
			return;
	}
}

void map_grow_reap(struct dsm_map *m)
{
	struct seg_slot *self;

	if (likely(!atomic_load_explicit(&m->growth->old, memory_order_relaxed)))
		return;
	self = seg_self(m->seg);
	if (!self || map_trylock(m, &m->growth->lock))
		return;
	reap_locked(m, map_journal(self));
	seg_unlock(m->seg, &m->growth->lock);
}
