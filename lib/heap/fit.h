/* SPDX-License-Identifier: MIT */
/*
 * First, best and worst fit: blocks of any size side by side in arenas, which are runs of
 * grains. One lock for all of a heap's arenas.
 *
 *   fit_block.h	one block: its tags
 *   fit_arena.c	where arenas are and what lies where in them; more of them, fewer
 *   fit_area.c		index by address, for first fit
 *   fit_size.c		index by size, for best and worst fit; large sizes in fit_tree.c
 *   fit.c		allocate and free
 *   fit_recover.c	after a kill
 *   fit_walk.c, fit_check.c	diagnostics
 *   fit_ops.c		the strategy as the heap sees it; making and opening
 *
 * A process keeps what it knows of the arenas in struct fit, which is changed under the lock too. All
 * geometry follows from an arena's place and size, which were checked; so what is
 * read from shared memory afterwards is checked only where it is a block's place or size.
 */
#ifndef DSM_HEAP_FIT_H
#define DSM_HEAP_FIT_H

#include "lib/heap/fit_block.h"
#include "lib/heap/heap.h"

#define FIT_MAGIC	0x5449463248534d44ull
#define FIT_ARENA_MAGIC 0x414e455241544946ull
#define FIT_ARENAS	256u
#define FIT_LEVELS	9u
#define FIT_CELL_UNITS	64u	      /* of an arena's cells, 1 KiB each */
#define FIT_FAN		16u	      /* cells, or groups of them, that one maximum stands for */
#define FIT_UNITS_MAX	0x7fffffffull /* 32 GiB - 16: no block is larger */
#define FIT_SIZE_MAX	((FIT_UNITS_MAX + 1) / 2 * FIT_UNIT) /* bytes to ask for */
#define FIT_BINS	1024u /* smaller blocks have a list for each size */

/* An arena's place, as the segment tells; size 0: none. Written last, read under the lock. */
struct fit_span {
	_Atomic uint64_t off;
	_Atomic uint64_t size;
};

/* The heap's part in the segment, behind its header. */
struct fit_ctl {
	uint64_t magic;
	uint32_t strategy; /* enum dsm_heap_strategy */
	uint32_t root;	   /* whom the grains belong to */
	uint64_t key;	   /* random, of all headers' checks */
	uint64_t reserved0;
	_Alignas(64) struct seg_lock lock; /* SEG_LAYER_HEAP: of all that follows, and all arenas */
	_Atomic uint64_t generation;	   /* of the arenas; changes with them */
	_Atomic uint64_t rebuilt;	   /* how often somebody was killed at work */
	uint64_t reserved1[4];
	struct fit_span arenas[FIT_ARENAS];
	/* By size: heads of the lists by size, which of them are not empty, the tree of the large. */
	uint64_t tree;
	uint64_t some; /* bit i: bins_used[i] is not 0 */
	uint64_t bins_used[FIT_BINS / 64];
	uint64_t bins[FIT_BINS];
};

/* What an arena begins with; the maxima and bits of fit_area.c follow, then the blocks. */
struct fit_head {
	uint64_t magic;
	uint64_t size;	      /* bytes of the arena, this included */
	uint64_t used_blocks; /* given out */
	uint64_t used_units;  /* their size, headers included */
	uint64_t reserved[4];
};

/* An arena as this process knows it. */
struct fit_arena {
	uint64_t off, size;
	uint64_t first, end;   /* places of the first block and of the tag behind the last */
	struct fit_head *head; /* mapped */
	uint64_t *bits;	       /* by area: free blocks that start in a cell, one bit a unit */
	uint32_t *max
		[FIT_LEVELS]; /* by area: units of the largest that starts in a cell, a group... */
	uint32_t cells, levels;
};

struct fit {
	dsm_segment_t *seg;
	struct fit_ctl *ctl; /* mapped */
	uint64_t off;	     /* its place */
	uint64_t key;
	uint32_t strategy, root;
	uint64_t generation; /* of what follows */
	uint32_t n;
	struct fit_arena arenas[FIT_ARENAS]; /* by address */
	uint64_t first[FIT_ARENAS];	     /* theirs; UINT64_MAX behind the last */
	uint32_t half;			     /* of the power of two that is at least n */
};

/* The index by size serves best and worst fit, that by address first fit. */
static inline bool fit_by_size(const struct fit *f)
{
	return f->strategy != DSM_HEAP_FIRST_FIT;
}

/* ------------------------------------------------------------ fit.c: see struct heap_ops */

int fit_alloc(struct fit *f, struct heap_ask *ask, uint64_t *ret);
int fit_free(struct fit *f, struct heap_ask *ask, uint64_t off);
int fit_resize(struct fit *f, uint64_t off, uint64_t size);
int fit_usable(struct fit *f, uint64_t off, uint64_t *ret);

/* ------------------------------------------------------------ fit_arena.c */

/* What lies where in an arena at [@off, @off + @size). False: it cannot be one. */
bool fit_geometry(const dsm_segment_t *seg, bool area, uint64_t off, uint64_t size,
		  struct fit_arena *ret);
/* Make the arena one free block, which the index is not told. @zeroed: its memory is. */
void fit_format(struct fit *f, struct fit_arena *a, bool zeroed);
/* Read the table of arenas, which is of @generation. -EBADMSG. Lock held. */
int fit_reread(struct fit *f, uint64_t generation);
/* One more, with a free block of @units and about @bytes where there is room. Lock held. -ENOMEM. */
int fit_grow(struct fit *f, uint64_t units, uint64_t bytes);
/* By how much to grow. */
uint64_t fit_growth(const struct fit *f);
/* Give back an arena without used blocks, where there is another such. Lock held. */
void fit_shrink(struct fit *f, struct fit_arena *a);

/* The same where it changed. */
static inline int fit_refresh(struct fit *f)
{
	uint64_t generation = atomic_load_explicit(&f->ctl->generation, memory_order_relaxed);

	return likely(f->generation == generation) ? 0 : fit_reread(f, generation);
}

/*
 * The arena that @b lies in, NULL: none. Blocks are asked for in no order that a processor could
 * guess, so the search has no branch that depends on the place.
 */
static inline struct fit_arena *fit_arena_of(struct fit *f, uint64_t b)
{
	uint32_t i = 0;

	for (uint32_t step = f->half; step; step /= 2)
		i += f->first[i + step] <= b ? step : 0;
	return b - f->arenas[i].first < f->arenas[i].end - f->arenas[i].first ? &f->arenas[i]
									      : NULL;
}

/* ------------------------------------------------------------ fit_area.c, fit_size.c, fit_tree.c */

/* Of the maxima of an arena of @cells: entries of level @level. */
uint32_t fit_area_entries(uint32_t cells, unsigned int level);
void fit_area_add(struct fit_arena *a, uint64_t b, uint64_t units);
void fit_area_remove(struct fit *f, struct fit_arena *a, uint64_t b, uint64_t units);
/* -ENOMEM; -EBADMSG the index is damaged. */
int fit_area_first(struct fit *f, uint64_t units, struct fit_arena **ret_a, uint64_t *ret);

/* False: links are damaged. */
bool fit_size_add(struct fit *f, uint64_t b, uint64_t units);
bool fit_size_remove(struct fit *f, uint64_t b, uint64_t units);
/* -ENOMEM; -EBADMSG the index is damaged. */
int fit_size_best(struct fit *f, uint64_t units, struct fit_arena **ret_a, uint64_t *ret);
int fit_size_worst(struct fit *f, uint64_t units, struct fit_arena **ret_a, uint64_t *ret);

bool fit_tree_add(struct fit *f, uint64_t b, uint64_t units);
bool fit_tree_remove(struct fit *f, uint64_t b, uint64_t units);
/* 0: none of at least @units. UINT64_MAX: damaged. */
uint64_t fit_tree_best(struct fit *f, uint64_t units);
/* 0: it is empty. UINT64_MAX: damaged. */
uint64_t fit_tree_worst(struct fit *f, uint64_t *ret_units);

/* ------------------------------------------------------------ fit_recover.c */

/* Make all but the headers again from them. Lock held. -EBADMSG: a chain of headers is broken. */
int fit_rebuild(struct fit *f);
void fit_recover(struct fit *f, struct seg_slot *dead);

/* ------------------------------------------------------------ fit_walk.c, fit_check.c: see struct heap_ops */

int fit_walk(struct fit *f, heap_place_fn fn, void *context);
int fit_check(struct fit *f, heap_fault_fn fn, void *context);

/* ------------------------------------------------------------ one block */

static inline _Atomic uint64_t *fit_tag(const struct fit *f, uint64_t b)
{
	return seg_at(f->seg, b);
}

static inline uint64_t fit_read(const struct fit *f, uint64_t b)
{
	return atomic_load_explicit(fit_tag(f, b), memory_order_relaxed);
}

/* In the order of the program: a kill leaves what was stored before. */
static inline void fit_write(const struct fit *f, uint64_t b, uint64_t units, unsigned int flags)
{
	atomic_store_explicit(fit_tag(f, b), fit_word(f->key, b, units, flags),
			      memory_order_release);
}

/*
 * The header a second time, at the end of a free block: whoever frees the block behind learns
 * from there alone where this one begins, and that it does.
 */
static inline void fit_write_footer(const struct fit *f, uint64_t b, uint64_t units)
{
	*(uint64_t *)seg_at(f->seg, b + units * FIT_UNIT - 8) = fit_word(f->key, b, units, 0);
}

/* The header of a block of @a at @b is good and the block ends in it. */
static inline bool fit_sound(const struct fit *f, const struct fit_arena *a, uint64_t b,
			     uint64_t word)
{
	return fit_good(f->key, b, word) && fit_units(word) >= FIT_UNITS_MIN &&
	       fit_units(word) * FIT_UNIT <= a->end - b;
}

#endif
