/* SPDX-License-Identifier: MIT */
/*
 * Heaps for tests: in a segment that is opened twice, on one host or on two nodes, and what
 * must hold of one that nobody changes.
 */
#ifndef DSM_TESTS_HEAP_RIG_H
#define DSM_TESTS_HEAP_RIG_H

#include <dsm/heap.h>

/* The same segment and its heap, opened twice. */
extern dsm_segment_t *rig_seg[2];
extern dsm_heap_t *rig_heap[2];
/* What the next heap is made with. */
extern struct dsm_heap_options rig_options;
extern struct dsm_segment_options rig_size;

/* For cmocka: on one host, in a cluster of two nodes. */
int heap_open_host(void **state);
int heap_close_host(void **state);
int heap_open_cluster(void **state);
int heap_close_cluster(void **state);

uint64_t rig_next(uint64_t *x);
/* 16 to 4095, as often in each doubling. */
uint64_t rig_pick(uint64_t *x);

/* Fails the test, and says how, unless the heap is whole. */
void rig_whole(dsm_heap_t *heap);
/* How many blocks are given out; those on their way back are not. */
uint64_t rig_used(dsm_heap_t *heap);
/*
 * 0: the blocks given out are those at the @n offsets in @off, which may be 0; else what is wrong is
 * printed. @off is sorted.
 */
int rig_used_are(dsm_heap_t *heap, uint64_t *off, size_t n);

/* On side 0 or 1; the test fails where they do. */
uint64_t rig_alloc(int side, size_t size);
void rig_free(int side, uint64_t off);
/* After all frees are where they belong: the heap is whole and empty. */
void rig_all_free(void);

#endif
