/* SPDX-License-Identifier: MIT */
/* The debug log: the last operations on a heap, in a grain of it. */
#ifndef DSM_HEAP_LOG_FORMAT_H
#define DSM_HEAP_LOG_FORMAT_H

#include "lib/heap/heap.h"

#define HEAP_LOG_MAGIC 0x474f4c504145482eull /* ".HEAPLOG" */

struct heap_log_entry {
	_Atomic uint64_t number; /* of the operation, from 1; 0: is being written, or was never */
	uint64_t when_ns;	 /* CLOCK_MONOTONIC of who did it */
	uint32_t id;		 /* participant */
	uint16_t event;		 /* enum heap_event */
	int16_t result;		 /* 0 or a negative errno */
	uint64_t off, size;
	uint64_t reserved[3];
};
static_assert(sizeof(struct heap_log_entry) == 64, "layout of heaps");

#define HEAP_LOG_ENTRIES (SEG_GRAIN / 64 - 1)

struct heap_log {
	uint64_t magic;
	_Atomic uint64_t
		count; /* operations so far; entry number n is at (n - 1) % HEAP_LOG_ENTRIES */
	uint64_t reserved[6];
	struct heap_log_entry entry[HEAP_LOG_ENTRIES];
};
static_assert(sizeof(struct heap_log) == SEG_GRAIN, "layout of heaps");

/* NULL: the heap has none, or it is damaged. */
struct heap_log *heap_log_of(const dsm_heap_t *heap);

#endif
