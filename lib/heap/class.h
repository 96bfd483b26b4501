/* SPDX-License-Identifier: MIT */
/*
 * Size classes: every block lies in a span, a grain cut into blocks of one size, or alone in a run
 * of grains. A span belongs to one participant, who alone changes its bitmap, with plain stores:
 * that bitmap, and nothing else, says which blocks are given out.
 *
 *   class_size.c	the sizes
 *   class.c		make, open and close; what a strategy has to have
 *   class_lane.c	what a thread keeps of its spans
 *   class_span.c	a thread's spans: take, give back
 *   class_orphan.c	spans whose owner is gone
 *   class_fast.h	allocate and free where it is simple
 *   class_alloc.c	allocate
 *   class_free.c	free
 *   class_remote.c	frees on their way to the owner
 *   class_large.c	runs of grains
 *   class_recover.c	after a kill
 *   class_walk.c	look at all of it; class_check.c: find damage
 *
 * In the segment, behind the heap's header:
 *
 *   struct class_part | table: a word for each grain of the segment, who has it and what for
 *
 *   a span:	bitmap (at one of 32 places of its first page) ... frees from elsewhere | blocks
 *   a lane:	a page for each participant that ever had a span: its inbox
 *
 * Locks, all of SEG_LAYER_HEAP, one at a time: part->lock (table, spans coming and going, orphans, large
 * blocks); a lane's lock (its inbox, and whether it is open).
 *
 * A span whose word names a participant with an open lane is that participant's. One that names a closed
 * lane, or nobody (an orphan), is whose who holds part->lock. Only recovery closes lanes, and makes
 * orphans of all their spans before the slot is anybody else's.
 *
 * Kills. A block is given out or taken back by one store into the bitmap. What takes several is told in
 * the slot's journal first, the operation last; it is undone or completed by class_recover.c. Under
 * a lock the order of stores is chosen so that doing it all once more is right.
 */
#ifndef DSM_HEAP_CLASS_H
#define DSM_HEAP_CLASS_H

#include <string.h>

#include "lib/heap/heap.h"

#define CLASS_MAGIC    0x5353414c434d5344ull /* "DSMCLASS" */
#define CLASS_COUNT    37u
#define CLASS_MAX      30720u			      /* largest block in a span */
#define CLASS_DATA     4096u			      /* where in a span its blocks begin */
#define CLASS_WORDS    60u			      /* of a bitmap: 3840 blocks of 16 bytes */
#define CLASS_REMOTE   (CLASS_DATA - CLASS_WORDS * 8) /* where in a span frees from elsewhere are */
#define CLASS_COLOURS  32u
#define CLASS_OUT      128u /* frees of others' blocks that wait at a thread */
#define CLASS_OUT_SOON 64u  /* from here on they go where nobody is in the way */
#define CLASS_INBOX    504u
#define CLASS_LANES    16u /* in a grain */
#define CLASS_SPARE    4u  /* empty spans that a thread keeps */

/* A size. */
struct class_size {
	uint32_t size;
	uint32_t count; /* blocks in a span */
	uint32_t recip; /* 2^32 / size, rounded up: division by multiplication, exact below 2^16 */
	uint32_t words; /* of the bitmap */
};
/* Hidden, so that the shared library finds them without a detour. */
extern const struct class_size class_sizes[CLASS_COUNT] __attribute__((visibility("hidden")));
/* Class by size in units of 16 bytes, rounded up. */
extern uint8_t class_by_units[CLASS_MAX / 16 + 1] __attribute__((visibility("hidden")));
void class_sizes_prepare(void);

/* ------------------------------------------------------------ in the segment */

/* A grain's word in the table. */
enum class_kind {
	CLASS_NONE = 0,	  /* not ours, or not the first of a large run */
	CLASS_SPAN = 1,	  /* bits 8..15 class, 16..26 slot of the owner */
	CLASS_ORPHAN = 2, /* bits 8..15 class, 27 it has free blocks */
	CLASS_LARGE = 3,  /* bits 2..31 grains */
};
#define CLASS_HAS_ROOM (1u << 27)

static inline enum class_kind class_kind(uint32_t w)
{
	return (enum class_kind)(w & 3);
}
static inline uint32_t class_of_word(uint32_t w)
{
	return w >> 8 & 0xff;
}
static inline uint32_t class_slot_of(uint32_t w)
{
	return w >> 16 & (SEG_SLOTS - 1);
}
static inline uint32_t class_span_word(uint32_t class, uint32_t slot)
{
	return CLASS_SPAN | class << 8 | slot << 16;
}

struct class_part {
	uint64_t magic;
	uint64_t grains; /* words of the table: offsets / SEG_GRAIN */
	uint8_t reserved0[48];
	struct seg_lock lock;
	_Atomic uint64_t
		strange; /* frees that reached the owner and were none: double, or damage */
	uint8_t reserved1[48];
	_Atomic uint32_t orphans[CLASS_COUNT]; /* with room, by class */
	_Atomic uint32_t hint[CLASS_COUNT];    /* where in the table to look for one first */
	uint8_t reserved2[SEG_PAGE - 128 - 8 * CLASS_COUNT - SEG_SLOTS / CLASS_LANES * 8];
	_Atomic uint64_t
		lanes[SEG_SLOTS / CLASS_LANES]; /* grains of lanes by slot / CLASS_LANES; 0 */
};
static_assert(sizeof(struct class_part) == SEG_PAGE, "layout of heaps");

/* A lane: where others put what they freed of a participant's blocks. */
struct class_inbox {
	struct seg_lock lock;
	_Atomic uint32_t open; /* participant whose it is; 0: its spans are nobody's */
	_Atomic uint32_t
		overflow; /* the inbox was full: look at the spans for frees from elsewhere */
	_Atomic uint32_t count;
	uint8_t reserved[44];
	_Atomic uint64_t off[CLASS_INBOX];
};
static_assert(sizeof(struct class_inbox) == SEG_PAGE, "layout of heaps");

/* What a large block's run begins with. */
struct class_large {
	uint64_t magic; /* of the key and the place */
	uint64_t size;	/* asked for */
	uint64_t user;	/* the block's offset */
	uint64_t reserved[5];
};
static_assert(sizeof(struct class_large) == 64, "layout of heaps");

enum class_op {
	CLASS_IDLE = 0,
	CLASS_ALLOC_TO,	 /* off, dest: a block of an own span */
	CLASS_FREE_FROM, /* off, dest: any span's */
	/* Under part->lock. */
	CLASS_SPAN_TAKE,   /* run */
	CLASS_SPAN_DROP,   /* run */
	CLASS_LANE_TAKE,   /* run, for its own slot */
	CLASS_LARGE_ALLOC, /* run, off, dest */
	CLASS_LARGE_FREE,  /* run, off, dest */
};

/* The slot's heap_area. */
struct class_journal {
	_Atomic uint64_t joined; /* not 0: there may be something to clean up */
	_Atomic uint32_t op;	 /* enum class_op; written last, cleared first */
	_Atomic uint32_t lane;	 /* slot + 1 of the lane whose lock is being taken or held */
	_Atomic uint64_t off, dest, run;
	uint8_t reserved0[24];
	_Atomic uint32_t out_count; /* entries below it may be 0 */
	uint8_t reserved1[60];
	_Atomic uint64_t out[CLASS_OUT];
};
static_assert(sizeof(struct class_journal) <= sizeof(((struct seg_slot *)0)->heap_area), "journal");

/* What was stored before is there before what comes now, if we are killed between. */
#define class_step() atomic_signal_fence(memory_order_seq_cst)

/* ------------------------------------------------------------ in this process */

enum class_state { SPAN_FULL, SPAN_CURRENT, SPAN_PARTIAL };

/* A grain, as its owner knows it; for spans of this process's threads. Index: offset / SEG_GRAIN. */
struct class_grain {
	_Atomic uint32_t tag; /* the lane's; what else is here only that lane's thread looks at */
	uint16_t used;	      /* blocks given out */
	uint8_t class;
	uint8_t state;
	uint32_t next, prev; /* in the list of partial ones; 0: none */
};

/* A thread's work with one class. */
struct class_work {
	_Atomic uint64_t *at; /* word of the current span's bitmap that blocks are taken from */
	uint64_t mask;	      /* bits of the word that are blocks */
	uint64_t base;	      /* offset of the block that its lowest bit is */
	struct class_grain *grain; /* current span; the handle's dummy: none */
	uint32_t current;	   /* its index; 0: none */
	uint32_t word;		   /* which word */
	uint32_t first, last;	   /* partial spans, in the order they became so; 0: none */
};

/* What a participant of this process keeps; it is its thread's alone. */
struct class_lane {
	uint64_t key; /* serial of the handle << 31 ^ id: whose it is */
	dsm_heap_t *heap;
	struct seg_slot *slot;
	struct class_journal *journal;
	struct class_inbox *inbox; /* NULL: no span was taken yet */
	uint32_t tag;		   /* marks its grains; never used twice in a process */
	uint32_t index;		   /* of the slot */
	uint32_t empties;	   /* partial spans with no block given out */
	struct class_work work[CLASS_COUNT];
};

/* heap->own */
struct class_heap {
	uint8_t *base;
	dsm_segment_t *seg;
	struct seg_slot *slots;
	struct class_part *part;
	_Atomic uint32_t *table;
	uint64_t grains;	   /* words of the table, as checked */
	struct class_grain *grain; /* by index */
	_Atomic uint32_t tags;	   /* given to lanes */
	struct class_grain none;   /* stands for no current span */
	_Atomic uint64_t no_word;  /* 0, of no span */
	_Atomic(struct class_lane *) lanes[SEG_SLOTS];
};

static inline struct class_heap *class_heap(const dsm_heap_t *heap)
{
	return heap->own;
}

static inline struct class_journal *class_journal(struct seg_slot *s)
{
	return (struct class_journal *)(void *)s->heap_area;
}

static inline _Atomic uint64_t *class_bitmap(const struct class_heap *h, uint64_t grain)
{
	return (_Atomic uint64_t *)(void *)(h->base + grain * SEG_GRAIN +
					    grain % CLASS_COLOURS * SEG_LINE);
}

static inline _Atomic uint64_t *class_remote(const struct class_heap *h, uint64_t grain)
{
	return (_Atomic uint64_t *)(void *)(h->base + grain * SEG_GRAIN + CLASS_REMOTE);
}

/* A grain's word; CLASS_NONE for what is no grain. */
static inline uint32_t class_word(const struct class_heap *h, uint64_t grain)
{
	return grain < h->grains ? atomic_load_explicit(&h->table[grain], memory_order_acquire) : 0;
}

/* Bits of word @i of a bitmap that are blocks. */
static inline uint64_t class_mask(const struct class_size *s, uint32_t i)
{
	uint32_t left = s->count - i * 64;

	return left >= 64 ? UINT64_MAX : (1ull << left) - 1;
}

/* The number of the block that begins at @off; UINT32_MAX: none does. */
static inline uint32_t class_block(const struct class_size *s, uint64_t off)
{
	uint32_t delta = (uint32_t)(off % SEG_GRAIN) - CLASS_DATA;
	uint32_t i = (uint32_t)((uint64_t)delta * s->recip >> 32);

	return likely(i < s->count && i * s->size == delta) ? i : UINT32_MAX;
}

/* ------------------------------------------------------------ class_lane.c */

struct class_lane *class_lane_slow(dsm_heap_t *heap, struct seg_slot *slot);

static inline uint64_t class_lane_key(const struct class_heap *h, const struct seg_slot *slot)
{
	return atomic_load_explicit(&h->seg->serial, memory_order_relaxed) << 31 ^
	       seg_slot_id(slot);
}

/* The calling thread's; NULL: it is no participant, or there is no memory. */
static inline struct class_lane *class_lane(dsm_heap_t *heap)
{
	struct class_heap *h = class_heap(heap);
	struct seg_slot *slot = seg_self(h->seg);
	struct class_lane *l;

	if (unlikely(!slot))
		return NULL;
	l = atomic_load_explicit(&h->lanes[slot - h->slots], memory_order_acquire);
	return likely(l && l->key == class_lane_key(h, slot)) ? l : class_lane_slow(heap, slot);
}

/* What this process knows of the slot's spans is not so any more. */
void class_lane_forget(struct class_heap *h, struct seg_slot *slot);
/* The lane has an inbox, so that it may own spans. -ENOMEM. */
int class_lane_open(struct class_lane *l);
/* NULL: that slot never had one. */
struct class_inbox *class_inbox(const struct class_heap *h, uint32_t slot);

/* ------------------------------------------------------------ class_span.c */

/* The lane's by the table: know it. As a partial span, or a full one. */
void class_span_learn(struct class_lane *l, uint64_t grain, uint32_t class);
/* A block of it became free: it may be of use again. */
void class_span_freed(struct class_lane *l, uint64_t grain);
/* Take it out of the list of partial ones. */
void class_span_unlink(struct class_lane *l, uint32_t grain);
/* Give back empty spans until only @keep are left. Takes part->lock. */
void class_span_trim(struct class_lane *l, uint32_t keep);
/* One more span of @class among the partial ones: an orphan, or a new one. -ENOMEM. */
int class_span_get(struct class_lane *l, uint32_t class);
/* Under part->lock: @grain is out of the table and free. */
void class_span_drop(dsm_heap_t *heap, struct class_journal *j, uint64_t grain);
/* Free the run of grains at @off if it is the heap's. */
void class_run_free(dsm_heap_t *heap, uint64_t off);
/* Blocks of it that are given out, by its bitmap. */
uint32_t class_span_used(const struct class_heap *h, uint64_t grain, uint32_t class);
/* The block at @off is in a span; @ret_word its word of the bitmap. -EINVAL, -EBADMSG. */
int class_span_find(const struct class_heap *h, uint64_t off, uint32_t word,
		    _Atomic uint64_t **ret_word, uint64_t *ret_bit);

/* ------------------------------------------------------------ class_orphan.c: under part->lock */

/* After a kill: have the table and the counts say of all what is so, and let go of those that are empty. */
void class_orphans_mend(dsm_heap_t *heap, struct class_journal *j);
/* UINT64_MAX: none of @class has room. */
uint64_t class_orphan_adopt(struct class_heap *h, uint32_t class, uint32_t slot);
/* A block of a span that is nobody's is free. Right too when done again. */
void class_orphan_free(dsm_heap_t *heap, struct class_journal *j, uint64_t off);
/* The span is nobody's from now on. */
void class_orphan_make(dsm_heap_t *heap, struct class_journal *j, uint64_t grain);

/* ------------------------------------------------------------ class_alloc.c, class_free.c, class_large.c */

int class_alloc(dsm_heap_t *heap, struct heap_ask *ask, uint64_t *ret);
int class_free(dsm_heap_t *heap, struct heap_ask *ask, uint64_t off);
int class_usable(dsm_heap_t *heap, uint64_t off, uint64_t *ret);
int class_resize(dsm_heap_t *heap, uint64_t off, uint64_t size);

int class_large_alloc(struct class_lane *l, struct heap_ask *ask, uint64_t *ret);
int class_large_free(struct class_lane *l, struct heap_ask *ask, uint64_t off);
/* The block that the run at @grain holds. -EBADMSG: its header is damaged. */
int class_large_find(const dsm_heap_t *heap, uint64_t grain, uint64_t *ret_user,
		     uint64_t *ret_usable, uint64_t *ret_asked);
void class_large_recover(dsm_heap_t *heap, struct class_journal *j, enum class_op op);

/* ------------------------------------------------------------ class_remote.c */

/* Put @off with those on their way. There is room: see class_out_room(). */
void class_out(struct class_journal *j, uint64_t off);
/* Have room for one more. */
int class_out_room(struct class_lane *l);
/* Send them; @l NULL: the slot's owner is dead. @wait: also where others are in the way. */
int class_out_flush(dsm_heap_t *heap, struct seg_slot *slot, struct class_lane *l, bool wait);
/* Under the lock of the inbox of @index: those that are for it. */
void class_out_push(dsm_heap_t *heap, struct class_journal *j, uint32_t index);
/* Under part->lock: those of spans that are nobody's. */
void class_out_orphans(dsm_heap_t *heap, struct class_journal *j);
/* Take what others freed of the calling thread's. */
int class_drain(struct class_lane *l);
/* Under its lock: the inbox's frees are told to the bitmaps. @l: whose it is, NULL: of a dead one. */
void class_inbox_empty(dsm_heap_t *heap, uint32_t index, struct class_lane *l);
/* A block of a span of slot @index is free, if it is one. Right too when done again. @l as above. */
void class_settle(dsm_heap_t *heap, uint32_t index, struct class_lane *l, uint64_t off);

/* ------------------------------------------------------------ class_recover.c, class_walk.c, class_check.c */

void class_recover(dsm_heap_t *heap, struct seg_slot *dead);
int class_walk(dsm_heap_t *heap, heap_place_fn fn, void *context);
int class_check(dsm_heap_t *heap, heap_fault_fn fn, void *context);

#endif
