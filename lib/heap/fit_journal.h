/* SPDX-License-Identifier: MIT */
/* What a thread leaves in its slot about its work in a fit heap. */
#ifndef DSM_HEAP_FIT_JOURNAL_H
#define DSM_HEAP_FIT_JOURNAL_H

#include "lib/heap/fit.h"

/* In the low bits of fit_journal.work; a heap's part is at a multiple of 64. */
enum fit_work {
	FIT_WORK_NONE,	/* under the lock, and nothing that could be half-done */
	FIT_WORK_ALLOC, /* block becomes used, its offset stored in dest; else it is free */
	FIT_WORK_FREE,	/* dest becomes 0 and block free, whatever was done */
	FIT_WORK_OTHER, /* nothing but the chain of headers is known to be good */
};

/*
 * Work is set last when something begins and becomes 0 first thing at its end, all while the
 * lock is held: so where it is not 0, the lock is the dead thread's.
 */
struct fit_journal {
	_Atomic uint64_t work;	/* place of the heap's part | enum fit_work; 0: none */
	_Atomic uint64_t block; /* header's place */
	_Atomic uint64_t dest;	/* 0: none */
	_Atomic uint64_t run;	/* grains that are being made an arena, or given back; 0: none */
};

static_assert(sizeof(struct fit_journal) <= sizeof(((struct seg_slot *)0)->heap_area),
	      "the slot's area has room");

/* A segment has one heap, so the area is its strategy's alone; heap_recover() looks at its first word. */
static inline struct fit_journal *fit_journal_of(struct seg_slot *slot)
{
	return (struct fit_journal *)(void *)slot->heap_area;
}

/* The calling thread's; NULL: it can be no participant. */
static inline struct fit_journal *fit_journal(dsm_segment_t *seg)
{
	struct seg_slot *self = seg_self(seg);

	return likely(self) ? fit_journal_of(self) : NULL;
}

#endif
