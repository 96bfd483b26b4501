/* SPDX-License-Identifier: MIT */
/*
 * The heap of a segment: blocks of any size, named by their offset, which any
 * process and any node that has the segment open may read, write and free.
 *
 * Before you use it:
 *
 *  - A block given by dsm_heap_alloc() is the program's from that moment on. A program that is
 *    killed before it wrote the offset down where others find it has lost the block: nobody
 *    can know whether it told somebody. Where that matters, use dsm_heap_alloc_to()
 *    and dsm_heap_free_from(), which move a block into and out of a word of the segment in one step.
 *  - What a thread frees of others' blocks goes back to them in batches (size classes): up to 128
 *    blocks may wait at each thread, see dsm_heap_flush().
 *  - Zero bytes are not given: size 0 is -EINVAL everywhere.
 *
 * A segment has one heap at most; the maps and whatever else needs memory in pieces take it from there.
 * A heap handle may be used by any number of threads, and after fork() by the child too.
 *
 * Functions that give an offset give 0 where they fail, and set errno; the others give 0 or a
 * negative errno. dsm_last_error() tells more in both cases. Every function may fail with EUSERS (no
 * slot is free) and ENOTCONN (the cluster has gone). See docs/heap.md.
 *
 * Spans of one size with a bitmap each, owned by one thread, and frees from elsewhere
 * kept apart from the owner's: after Leijen, Zorn, de Moura, "Mimalloc: free list sharding in
 * action", APLAS 2019. Block sizes: four to each doubling, as in jemalloc (Evans, BSDCan 2006).
 */
#ifndef DSM_HEAP_H
#define DSM_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include <dsm/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A heap as a process uses it. */
typedef struct dsm_heap dsm_heap_t;

/** How a heap chooses where a block goes. Fixed when it is created. */
enum dsm_heap_strategy {
	DSM_HEAP_SIZE_CLASSES =
		0,		/**< spans of equal blocks for each thread: the fastest, no lock */
	DSM_HEAP_FIRST_FIT = 1, /**< the lowest free place that is large enough */
	DSM_HEAP_BEST_FIT = 2,	/**< the smallest free place that is large enough */
	DSM_HEAP_WORST_FIT = 3, /**< the largest free place */
};

/** Room behind every block that shows writes beyond its size; checked when it is freed, and by validation. */
#define DSM_HEAP_GUARDS 1u
/** Blocks are filled with a pattern when given and when freed. */
#define DSM_HEAP_POISON 2u
/** Every operation is noted in a ring in the segment, for `dsm heap dump`. */
#define DSM_HEAP_LOG 4u

/** How to create a heap. Zeroed: the defaults. */
struct dsm_heap_options {
	uint32_t strategy; /**< enum dsm_heap_strategy */
	uint32_t flags;	   /**< DSM_HEAP_GUARDS, _POISON, _LOG */
	uint64_t
		reserve; /**< bytes to have ready from the start (fit strategies: the first arena); 0: little */
};

/** Largest alignment of a block, as addresses are. */
#define DSM_HEAP_ALIGN_MAX 4096u

/**
 * Make the heap of a segment. @options may be NULL. -EEXIST there is one; -EINVAL unknown strategy or
 * flags; -ENOSPC the segment is full.
 */
int dsm_heap_create(dsm_segment_t *seg, const struct dsm_heap_options *options, dsm_heap_t **ret);

/**
 * Open the heap of a segment. -ENOENT there is none; -EBADMSG it is damaged;
 * -EPROTO its layout is of another version.
 */
int dsm_heap_open(dsm_segment_t *seg, dsm_heap_t **ret);

/**
 * Let go of a handle. The heap and its blocks stay. A process has one handle for each segment it
 * has open, however often it opens the heap, and what it holds is given back by
 * dsm_segment_close(); so nothing is used up where this is not called. NULL is allowed.
 */
void dsm_heap_close(dsm_heap_t *heap);

/** The segment it lies in. */
dsm_segment_t *dsm_heap_segment(const dsm_heap_t *heap);
/** enum dsm_heap_strategy it was created with. */
uint32_t dsm_heap_strategy(const dsm_heap_t *heap);
/** DSM_HEAP_* flags it was created with. */
uint32_t dsm_heap_flags(const dsm_heap_t *heap);

/**
 * A block of at least @size bytes, aligned to 16; what is in it is undefined. 0: EINVAL @size is 0;
 * ENOMEM the heap is full and its segment cannot grow, or no block is ever that large; EBADMSG
 * the heap is damaged.
 */
uint64_t dsm_heap_alloc(dsm_heap_t *heap, size_t size);
/** A zeroed block for @n elements of @size bytes. Errors as of dsm_heap_alloc(). */
uint64_t dsm_heap_calloc(dsm_heap_t *heap, size_t n, size_t size);
/**
 * A block whose address is a multiple of @align, a power of two up to DSM_HEAP_ALIGN_MAX (else
 * EINVAL). Errors as of dsm_heap_alloc().
 */
uint64_t dsm_heap_aligned_alloc(dsm_heap_t *heap, size_t align, size_t size);
/**
 * Make block @off at least @size bytes large, where it is or elsewhere; 0 for @off: a new one. Where it fails
 * @off is as it was: errors as of dsm_heap_alloc() and dsm_heap_free().
 */
uint64_t dsm_heap_realloc(dsm_heap_t *heap, uint64_t off, size_t size);

/**
 * Free a block, whoever allocated it. Offset 0 does nothing. -EINVAL no block begins there (wild or
 * foreign offsets, the middle of a block); -EALREADY it is free already, and nothing was done (a second
 * free that races with the first one, or comes when the block was given to somebody
 * else, cannot be told from a good one); -EBADMSG its guard is damaged: it stays allocated.
 */
int dsm_heap_free(dsm_heap_t *heap, uint64_t off);

/**
 * Allocate @size bytes and store the block's offset in *@dest, a word in the segment, as one step: whoever
 * is killed meanwhile, either *@dest names a block or there is none. Until it returns
 * (or the caller's death was cleaned up after) no other participant may
 * change *@dest: let it be in memory of the caller's own, or guarded by a lock of this
 * library. -EINVAL also: @dest is not in the segment or not aligned to 8. Else as dsm_heap_alloc().
 */
int dsm_heap_alloc_to(dsm_heap_t *heap, size_t size, uint64_t *dest);
/**
 * Set *@dest, a word in the segment that names a block, to 0 and free the block, as one step: once begun, it
 * will be completed whoever is killed. Who may change *@dest: as for dsm_heap_alloc_to(). Nothing happens
 * where it is 0. Errors as of dsm_heap_free(); *@dest is then as it was.
 */
int dsm_heap_free_from(dsm_heap_t *heap, uint64_t *dest);

/** Bytes of the block at @off that may be used; 0: none begins there. */
size_t dsm_heap_usable_size(dsm_heap_t *heap, uint64_t off);

/**
 * Hand back at once what the calling thread freed of others' blocks, and let the heap have what they
 * freed of its own. Happens by itself when enough has gathered, when the thread ends
 * and when the heap is full. -EUSERS.
 */
int dsm_heap_flush(dsm_heap_t *heap);

/** What dsm_heap_ptr() needs of a heap; the first bytes of every dsm_heap_t. */
struct dsm_heap_view {
	uint8_t *base; /**< where the segment is mapped */
	uint64_t size; /**< bytes mapped */
};

/**
 * Where offset @off is in this process; NULL for 0 and for what is outside the mapping. Whether a block is
 * there is not checked.
 */
static inline void *dsm_heap_ptr(const dsm_heap_t *heap, uint64_t off)
{
	const struct dsm_heap_view *v = (const struct dsm_heap_view *)(const void *)heap;

	return off && off < v->size ? v->base + off : NULL;
}

/** The offset of an address in the segment; 0 when it is elsewhere. */
static inline uint64_t dsm_heap_offset(const dsm_heap_t *heap, const void *ptr)
{
	const struct dsm_heap_view *v = (const struct dsm_heap_view *)(const void *)heap;
	uint64_t off = (uint64_t)((uintptr_t)ptr - (uintptr_t)v->base);

	return off < v->size ? off : 0;
}

#ifdef __cplusplus
}
#endif

#endif
