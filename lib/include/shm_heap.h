/* SPDX-License-Identifier: MIT */
/*
 * One heap in shared memory for a process, in five functions; C and C++. It is the
 * heap of segment shm:NAME (<dsm/heap.h>), so `dsm heap stat shm:NAME` and all else works on it.
 *
 *	shm_heap_init("orders", 64 << 20, BEST_FIT);
 *	uint64_t order = shm_heap_alloc(sizeof(struct order));
 *	struct order *o = shm_heap_local_ptr(order);
 *
 * Offsets mean the same in every process; local pointers do not. Any process may free what another
 * allocated. Killed processes leave nothing behind but the blocks they had. All functions may be
 * called by any thread at any time, but shm_heap_close() only when no other thread uses the heap.
 * dsm_last_error() tells what was wrong.
 */
#ifndef SHM_HEAP_H
#define SHM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the heap chooses a place for a block. */
typedef enum AllocStrategy {
	FIRST_FIT = 0, /**< the lowest free place that is large enough */
	BEST_FIT = 1,  /**< the smallest that is large enough */
	WORST_FIT = 2, /**< the largest */
	SIZE_CLASSES =
		3, /**< places of equal size side by side, each thread its own: the fastest */
} AllocStrategy;

/**
 * Open the heap @name, or make it with room for @size bytes of blocks and their headers, which is all it
 * will ever have. @name is that of a segment in shared memory, or a segment's URI ("dsm:REGION").
 * The heap stays when its processes end, until shm_heap_unlink().
 *
 * False: this process has a heap open already; @name cannot be a segment's; @size is 0; no memory; what is
 * there is no segment with a heap, or its heap has another strategy. When it is there already any other @size will do.
 */
bool shm_heap_init(const char *name, size_t size, AllocStrategy strategy);

/** The offset of a block of at least @size bytes, aligned to 16; 0: @size is 0, the heap is full or not open. */
uint64_t shm_heap_alloc(uint64_t size);

/**
 * Free the block at @offset. Nothing happens for 0; nothing but a message in dsm_last_error() where no block
 * begins there, or it is free already.
 */
void shm_heap_free(uint64_t offset);

/** Where @offset is in this process; NULL for 0, outside of the heap, or when none is open. */
void *shm_heap_local_ptr(uint64_t offset);

/** Let go of the heap. It stays for the others, and for the next shm_heap_init(). */
void shm_heap_close(void);

/** Remove the heap's name: those who have it open go on with it. False: there is none. */
bool shm_heap_unlink(const char *name);

#ifdef __cplusplus
}
#endif

#endif
