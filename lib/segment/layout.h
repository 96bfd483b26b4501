/* SPDX-License-Identifier: MIT */
/*
 * What lies where in a segment. Everything here is seen by processes that may
 * be of another build: it changes only with SEG_VERSION.
 *
 *	page 0		struct seg_header: written once, but for its size
 *	page 1		struct seg_common: what participants change together
 *	page 2 ...	struct seg_root[SEG_ROOTS]
 *	SEG_SLOTS_AT	struct seg_slot[SEG_SLOTS], memory for those below slots_high only
 *	SEG_GRAINS_AT	struct seg_grain, one for each grain of data
 *	then, at a multiple of SEG_GRAIN, the grains
 */
#ifndef DSM_LIB_SEGMENT_LAYOUT_H
#define DSM_LIB_SEGMENT_LAYOUT_H

#include "lib/segment/segment.h"

enum seg_state {
	SEG_MAKING = 1,
	SEG_READY = 2,
};

struct seg_header {
	uint64_t magic;
	uint32_t version;
	uint32_t page; /* SEG_PAGE and so on: layouts that differ in them are different layouts */
	uint32_t grain, slots, roots;
	uint32_t creator_uid;
	uint32_t creator_pid;
	uint32_t reserved0;
	uint64_t id;
	uint64_t created_ns;
	uint64_t capacity; /* bytes, all included */
	uint64_t data_at;  /* first grain */
	_Atomic uint32_t state;
	_Atomic uint32_t slots_high; /* slots that have memory */
	_Atomic uint64_t size; /* bytes from the start to the end of the grains that have memory */
	uint8_t reserved[4008];
};
static_assert(sizeof(struct seg_header) == SEG_PAGE, "layout of segments");

struct seg_common {
	struct seg_lock roots_lock;
	_Atomic uint32_t recovered;
	_Atomic uint32_t probe; /* next slot to look at for a dead one: see slot.c */
	uint32_t reserved0[12];
	struct seg_lock grains_lock;
	_Atomic uint64_t lowest;  /* no grain below this index is free */
	_Atomic uint64_t touched; /* no grain from this index on was ever given out */
	_Atomic uint64_t used;	  /* grains given out */
	uint8_t reserved[4000];
};
static_assert(sizeof(struct seg_common) == SEG_PAGE, "layout of segments");

enum seg_root_state {
	ROOT_FREE = 0,
	ROOT_MAKING = 1,
	ROOT_READY = 2,
	ROOT_DROPPING = 3,
};

struct seg_root {
	_Atomic uint32_t state; /* enum seg_root_state */
	_Atomic uint32_t maker; /* participant, while making or dropping */
	uint32_t kind;
	uint32_t reserved;
	_Atomic uint64_t off;
	char name[DSM_ROOT_NAME_MAX];
};
static_assert(sizeof(struct seg_root) == 64, "layout of segments");

/*
 * The first grain of a run tells whose it is; the others say how far back that
 * is. A GRAIN_REST that no run reaches is free: left by a kill, or by freeing.
 */
struct seg_grain {
	uint32_t owner;
	uint32_t count;
};
#define GRAIN_FREE    0u
#define GRAIN_REST    0x7fffffffu
#define GRAIN_PRIVATE 0x80000000u /* | participant */
#define GRAIN_ROOT(r) ((r) + 1u)  /* root table index */

/* Of the slot's grains_area. */
struct grains_journal {
	_Atomic uint32_t private_runs; /* at least so many belong to the participant */
	_Atomic uint32_t roots;	       /* at least so many it is making or dropping */
};

#define SEG_ROOTS_AT  (2 * (uint64_t)SEG_PAGE)
#define SEG_SLOTS_AT  (8 * (uint64_t)SEG_PAGE)
#define SEG_GRAINS_AT (SEG_SLOTS_AT + SEG_SLOTS * (uint64_t)SEG_PAGE)
static_assert(SEG_ROOTS_AT + SEG_ROOTS * sizeof(struct seg_root) <= SEG_SLOTS_AT, "layout");

/* The last slot is never a participant's: its claim guards the making of the segment. */
#define SEG_MAKER_SLOT (SEG_SLOTS - 1)

static inline struct seg_common *seg_common(const dsm_segment_t *seg)
{
	return (struct seg_common *)(seg->base + SEG_PAGE);
}

static inline struct seg_root *seg_roots(const dsm_segment_t *seg)
{
	return (struct seg_root *)(seg->base + SEG_ROOTS_AT);
}

/* Read and written as one word, so that a run begins or ends in one step. */
static inline _Atomic uint64_t *seg_grain_word(const dsm_segment_t *seg, uint64_t grain)
{
	return (_Atomic uint64_t *)(seg->base + SEG_GRAINS_AT) + grain;
}

/* Where data begins for so many bytes of it, and the bytes of all. */
static inline uint64_t seg_data_at(uint64_t grains)
{
	uint64_t end = SEG_GRAINS_AT + grains * sizeof(struct seg_grain);

	return (end + SEG_GRAIN - 1) / SEG_GRAIN * SEG_GRAIN;
}

#endif
