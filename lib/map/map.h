/* SPDX-License-Identifier: MIT */
/*
 * Inside maps.
 *
 *	open.c		make, open, remove
 *	table.h		from a hash to a bucket to an entry; the reader's fast path
 *	hash.h		from a key to a hash
 *	section.h	how readers keep what they look at from being freed, or learn that it was
 *	read.c		get, find, sections
 *	write.c		set, delete and the like: all are one decision under a stripe's lock
 *	rewrite.h	a value overwritten in its place, and how it is read then
 *	commit.h	how a change is made in one step, and made complete after a kill
 *	retire.c	what readers may still look at: grace passes
 *	spare.c		old entries' blocks, used again without asking the heap
 *	sweep.c		what has expired, taken out by writers on their way
 *	grow.c		the table that follows a full one
 *	move.c		buckets from one table to the next
 *	recover.c	what a kill left
 *	iter.c, watch.c, watcher.c, stat.c, validate.c
 *
 * Locks, in their order: growth, one stripe, then those of lower layers. Nobody waits for
 * the lock of the grace passes.
 */
#ifndef DSM_LIB_MAP_MAP_H
#define DSM_LIB_MAP_MAP_H

#include <dsm/heap.h>
#include <dsm/map.h>

#include "lib/map/hash.h"
#include "lib/map/layout.h"
#include "lib/segment/lock.h"

/* A table that was found good: from a hash to its bucket in a few instructions. */
struct map_view {
	_Atomic uint64_t table;	   /* its word; 0: the view is not made yet */
	_Atomic uint64_t mask;	   /* of a hash times the size of a bucket */
	_Atomic uintptr_t buckets; /* where they begin */
};

struct dsm_map {
	/* What a glance needs. */
	uint8_t *base; /* of the segment */
	struct map_header *header;
	_Atomic(struct map_view *) view; /* of the table in use */
	_Atomic uint64_t glance_limit;	 /* where keys of entries end that a glance may look at */
	dsm_segment_t *seg;
	_Atomic uint32_t shy; /* gets until the next one may be a glance: cluster */
	bool cluster;	      /* as the segment's */
	bool spares;	      /* old blocks may be used again as they are */
	struct hash_key hash_key;
	/* The rest. */
	uint64_t data_at; /* below are the segment's own pages */
	dsm_heap_t *heap;
	struct map_watch *watch;
	struct map_grace *grace;
	struct map_growth *growth;
	uint8_t *stripes;
	uint32_t stripe_shift, root;
	_Atomic uint64_t limit;	    /* bytes of the segment as seen last: it only grows */
	_Atomic uint64_t pass_seen; /* that had started: cluster */
	_Atomic uint32_t busy;	    /* locks that somebody had when they were tried */
	_Atomic uint64_t
		known_table[2]; /* words found good, by the lowest bit of their logarithm */
	struct map_view views[TABLE_LOG_MAX + 1]; /* by the logarithm; each is made once */
};

/* A moment of the wall clock in ns; tests turn it. */
extern uint64_t (*map_clock)(void);

static inline struct map_stripe *map_stripe(const struct dsm_map *m, uint32_t i)
{
	return (struct map_stripe *)(m->stripes + ((uint64_t)i << m->stripe_shift));
}

static inline struct map_journal *map_journal(struct seg_slot *self)
{
	return (struct map_journal *)self->map_area;
}

static inline uint32_t map_stripe_of(uint64_t hash)
{
	return (uint32_t)hash & (MAP_STRIPES - 1);
}

static inline bool map_expired(uint64_t expires_ns)
{
	return unlikely(expires_ns) && expires_ns <= map_clock();
}

/*
 * The thread has released a stripe without a barrier: what it reads next may be older than that.
 * Whoever reads a map without its locks puts one there first, so that a thread which sets one
 * key and gets another, beside one that does the same the other way round, sees what it has to.
 */
extern __thread bool map_unfenced __attribute__((tls_model("initial-exec")));

static inline void map_fence(void)
{
#ifdef DSM_MUTANT_MAP_UNFENCED
	return;
#endif
	if (unlikely(map_unfenced)) {
		/* ORDER: the unlocking store before any look at a table. */
#ifdef __SANITIZE_THREAD__ /* knows no fences */
		static _Atomic uint32_t any;

		atomic_fetch_add(&any, 0);
#else
		atomic_thread_fence(memory_order_seq_cst);
#endif
		map_unfenced = false;
	}
}

/* The heap's functions take a plain word. */
static inline uint64_t *plain_word(_Atomic uint64_t *word)
{
	return (uint64_t *)word;
}

/*
 * open.c: fills @m, but for the heap, over the header at @off. Everything there is checked but
 * the table.
 */
int map_attach(struct dsm_map *m, dsm_segment_t *seg, uint64_t off);
int map_damaged(const char *what);

/* ------------------------------------------------------------ writing */

enum map_want {
	MAP_SET,
	MAP_ADD,
	MAP_CAS,       /* by version, 0: absent */
	MAP_CAS_VALUE, /* by value */
	MAP_DELETE,
	MAP_DELETE_VERSION,
};

/* One change that somebody wants. */
struct map_change {
	enum map_want want;
	const void *key, *value, *old;
	size_t key_size, value_size, old_size;
	uint64_t version, expires_ns;
	uint64_t ret_version;
};

static inline uint64_t map_hash(const struct dsm_map *m, const void *key, size_t key_size)
{
	return hash_of(&m->hash_key, key, key_size);
}

/* write.c: make it, or say why not. */
int map_change(struct dsm_map *m, struct map_change *c);

/* A writer at work in a stripe whose lock it holds. */
struct map_writer {
	struct dsm_map *m;
	struct seg_slot *self;
	struct map_journal *journal;
	struct map_stripe *stripe;
	uint32_t index;	 /* of the stripe */
	uint64_t table;	 /* word of the table that new entries go to */
	uint64_t moving; /* word of the table before it, with buckets in use still; 0: none */
	bool retire_due, grow_due, changed;
};

/* Before its stripe is locked: recovery has to know which one the lock is of. */
static inline void map_writer_prepare(struct map_writer *w, struct seg_slot *self, uint32_t index)
{
	struct map_journal *j = map_journal(self);

	w->self = self;
	w->journal = j;
	w->stripe = map_stripe(w->m, index);
	w->index = index;
	atomic_store_explicit(&j->map, seg_off(w->m->seg, w->m->header), memory_order_relaxed);
	atomic_store_explicit(&j->stripe, index, memory_order_release);
}

/* Lock stripe @index, and see which tables there are. */
int map_writer_begin(struct map_writer *w, struct dsm_map *m, struct seg_slot *self,
		     uint32_t index);
/* The same for work that others may do as well: see map_trylock(). */
int map_writer_try(struct map_writer *w, struct dsm_map *m, struct seg_slot *self, uint32_t index);
/* Unlock it; then wake who watches, make a pass and grow as is due. Not with the lock of growth held. */
void map_writer_end(struct map_writer *w);
/* Unlock it and nothing else. */
static inline void map_writer_leave(struct map_writer *w)
{
	seg_unlock_quick(w->m->seg, w->self, &w->stripe->lock, SEG_LAYER_TOP);
	map_unfenced = true;
}

/* ------------------------------------------------------------ retiring */

#define RETIRE_BATCH 6u /* entries retired, at least, before a pass is made for them */

/* With the stripe locked: take what no reader sees any more, and set aside what was retired. */
void map_retire_turn(struct map_writer *w);
/* spare.c: see to what map_retire_turn() took: kept for new entries (@keep), or freed. */
void map_trash_empty(struct dsm_map *m, struct map_journal *j, bool keep);
/*
 * A block of @size bytes at least from what was kept, as the journal's fresh one. False: none
 * fits.
 */
bool map_spare_take(struct dsm_map *m, struct map_journal *j, uint64_t size);
/*
 * For work that somebody else may do as well. -EBUSY; who died with it is found out after a
 * while. No lock may be held.
 */
int map_trylock(struct dsm_map *m, struct seg_lock *lock);
/* Begin a grace pass, or look whether the one that runs is done. No lock may be held. */
void map_grace_step(struct dsm_map *m);
/* Free all that is retired, waiting for readers. -EBUSY: one goes on for too long. */
int map_retire_flush(struct dsm_map *m);
/*
 * There is no memory: free what is retired as far as readers allow it soon. True: it is worth
 * trying again. No lock may be held.
 */
bool map_retire_reclaim(struct dsm_map *m);

static inline bool map_grace_done(const struct dsm_map *m, uint64_t pass)
{
	return atomic_load_explicit(&m->grace->done, memory_order_acquire) >= pass;
}
/* The pass that begins after now, for what was taken out before. */
static inline uint64_t map_grace_next(const struct dsm_map *m)
{
	/* ORDER: by a store, so after the one that took it out; pairs with sections_list(). */
	return atomic_fetch_add(&m->grace->started, 0) + 1;
}

/* ------------------------------------------------------------ growing */

/*
 * Memory for a table, which belongs to the participant still. @zero: its buckets are
 * empty, else they are anything, to be filled before they are looked at.
 */
int map_table_make(dsm_segment_t *seg, uint32_t log, uint32_t generation, bool zero,
		   uint64_t *ret_table);
/* Begin to grow beyond @table, unless somebody did. No stripe may be locked. */
int map_grow_start(struct dsm_map *m, uint64_t table);
/* Move some buckets of other stripes; finish when all are moved. */
void map_grow_help(struct dsm_map *m);
/* Make room at once: finish growing, or grow. */
int map_grow_now(struct dsm_map *m, uint64_t table);
/*
 * With the lock of growth, or in its dead holder's place: the table at @off has no buckets in use
 * any more.
 */
void map_table_retire(struct dsm_map *m, uint64_t off);
/* Free the run at @off, if it is the map's. */
bool map_table_free(struct dsm_map *m, uint64_t off);
/* Free retired tables that no reader sees any more. */
void map_grow_reap(struct dsm_map *m);

/* move.c: the stripe's numbers are those of the new table from now on. */
void map_move_prepare(struct map_writer *w);
/* Have bucket @i of the moving table moved. -ENOSPC no overflow bucket. */
int map_move_bucket(struct map_writer *w, uint64_t i);
/* The next @n buckets of the stripe in their order. 1: all of them are moved. */
int map_move_some(struct map_writer *w, uint32_t n);

/* sweep.c: with the stripe locked, take out what has expired in the next bucket of it. */
void map_sweep(struct map_writer *w);

/* watch.c: after a change in stripe @index, which is not locked any more. */
void map_watch_notify(struct dsm_map *m, uint32_t index);
/* Whether somebody waits for it; with the stripe locked. */
static inline bool map_watched(const struct dsm_map *m, uint32_t index)
{
	/* ORDER: after the lock was taken; pairs with writer_inside(). */
	return (atomic_load(&m->watch->any) | atomic_load(&m->watch->stripe[index])) & MAP_WATCHED;
}
/* When a wait that begins now ends, by seg_now_ns(). */
uint64_t map_watch_end(uint64_t timeout_us);
/*
 * Until the map's version is not @version, or @expires_ns (0: never) has come. -ETIMEDOUT at
 * @end.
 */
int map_watch_any(struct dsm_map *m, uint64_t version, uint64_t end, uint64_t expires_ns,
		  uint64_t *ret_version);

#endif
