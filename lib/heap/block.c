// SPDX-License-Identifier: MIT
/* What programs do with blocks, whatever the strategy. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/heap/class_fast.h"

static int alloc_failed(dsm_heap_t *heap, uint64_t size, int err)
{
	const char *uri = dsm_segment_uri(heap->seg);
	char why[160];

	if (err == -ENOMEM && size > heap->ops->size_max(heap))
		return seg_error(err, "%s: no block has %llu bytes, the largest has %llu", uri,
				 (unsigned long long)size,
				 (unsigned long long)heap->ops->size_max(heap));
	if (err != -ENOMEM)
		return err;
	(void)snprintf(why, sizeof(why), "%s", dsm_last_error());
	return seg_error(err, "%s: the heap is full: no %llu bytes; %s", uri,
			 (unsigned long long)size, why);
}

/* Allocate with all that the heap's flags want. @dest: 0 or where the offset is to be. */
static int alloc(dsm_heap_t *heap, uint64_t size, uint64_t align, uint64_t dest, uint64_t *ret,
		 bool *ret_zeroed)
{
	struct heap_ask ask = { .size = size, .align = align, .dest = dest, .heap = heap };
	bool fits;
	int err;

	if (!heap || !size)
		return seg_error(-EINVAL, heap ? "a block has at least one byte" : "no heap");
	if (heap->flags & DSM_HEAP_GUARDS)
		ask.size += HEAP_GUARD;
	if (heap->flags & (DSM_HEAP_GUARDS | DSM_HEAP_POISON))
		ask.fill = heap_fill_new;
	fits = size <= heap->ops->size_max(heap);
	do
		err = fits ? heap->ops->alloc(heap, &ask, ret) : -ENOMEM;
	while (unlikely(err == -ENOMEM) && fits && seg_reclaim(heap->seg));
	if (unlikely(err))
		err = alloc_failed(heap, size, err);
	else if (ret_zeroed)
		*ret_zeroed = ask.zeroed && !heap->flags;
	if (heap->flags & DSM_HEAP_LOG)
		heap_log(heap, HEAP_EVENT_ALLOC, err ? 0 : *ret, size, err);
	return err;
}

/* The same, for those who give an offset. */
static uint64_t alloc_or_0(dsm_heap_t *heap, uint64_t size, uint64_t align, bool *ret_zeroed)
{
	uint64_t off = 0;
	int err = alloc(heap, size, align, 0, &off, ret_zeroed);

	if (likely(!err))
		return off;
	errno = -err;
	return 0;
}

uint64_t dsm_heap_alloc(dsm_heap_t *heap, size_t size)
{
	uint64_t off = heap && likely(heap->fast) ? class_alloc_fast(heap, size) : 0;

	return likely(off) ? off : alloc_or_0(heap, size, HEAP_ALIGN, NULL);
}

uint64_t dsm_heap_calloc(dsm_heap_t *heap, size_t n, size_t size)
{
	bool zeroed = false;
	uint64_t off;
	size_t all;

	if (__builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		(void)seg_error(-ENOMEM, "%zu elements of %zu bytes are too much", n, size);
		return 0;
	}
	off = alloc_or_0(heap, all, HEAP_ALIGN, &zeroed);
	if (off && !zeroed)
		memset(seg_at(heap->seg, off), 0, all);
	return off;
}

uint64_t dsm_heap_aligned_alloc(dsm_heap_t *heap, size_t align, size_t size)
{
	if (!align || (align & (align - 1)) || align > DSM_HEAP_ALIGN_MAX) {
		errno = EINVAL;
		(void)seg_error(-EINVAL, "%zu is no alignment: a power of two up to %u", align,
				DSM_HEAP_ALIGN_MAX);
		return 0;
	}
	return alloc_or_0(heap, size, align < HEAP_ALIGN ? HEAP_ALIGN : align, NULL);
}

static int free_failed(dsm_heap_t *heap, uint64_t off, int err)
{
	const char *uri = dsm_segment_uri(heap->seg);

	if (err == -EINVAL)
		return seg_error(err, "%s: no block begins at %#llx", uri, (unsigned long long)off);
	if (err == -EALREADY)
		return seg_error(err, "%s: block %#llx is free already", uri,
				 (unsigned long long)off);
	return err;
}

static int free_slow(dsm_heap_t *heap, uint64_t off, uint64_t dest)
{
	struct heap_ask ask = { .align = HEAP_ALIGN, .dest = dest, .heap = heap };
	int err;

	if (heap->flags & (DSM_HEAP_GUARDS | DSM_HEAP_POISON))
		ask.fill = heap_fill_free;
	err = heap->ops->free(heap, &ask, off);
	if (unlikely(err))
		err = free_failed(heap, off, err);
	if (heap->flags & DSM_HEAP_LOG)
		heap_log(heap, HEAP_EVENT_FREE, off, 0, err);
	return err;
}

int dsm_heap_free(dsm_heap_t *heap, uint64_t off)
{
	if (unlikely(!heap))
		return seg_error(-EINVAL, "no heap");
	if (likely(heap->fast) && likely(class_free_fast(heap, off)))
		return 0;
	return off ? free_slow(heap, off, 0) : 0;
}

/* The offset of a word that names a block; 0: it cannot be one. */
static uint64_t word_off(const dsm_heap_t *heap, const uint64_t *word)
{
	uint64_t off = heap ? dsm_heap_offset(heap, word) : 0;

	return off && heap_dest(heap->seg, off) ? off : 0;
}

int dsm_heap_alloc_to(dsm_heap_t *heap, size_t size, uint64_t *dest)
{
	uint64_t word = word_off(heap, dest), off = 0;

	if (!word)
		return seg_error(-EINVAL, "the word for the offset is not in the heap's segment");
	return alloc(heap, size, HEAP_ALIGN, word, &off, NULL);
}

int dsm_heap_free_from(dsm_heap_t *heap, uint64_t *dest)
{
	uint64_t word = word_off(heap, dest), off;

	if (!word)
		return seg_error(-EINVAL, "the word with the offset is not in the heap's segment");
	off = atomic_load_explicit((_Atomic uint64_t *)dest, memory_order_acquire);
	return off ? free_slow(heap, off, word) : 0;
}

/* Bytes that the user of block @off may use. */
static int usable_of(dsm_heap_t *heap, uint64_t off, uint64_t *ret)
{
	int err = heap->ops->usable(heap, off, ret);

	if (err)
		return free_failed(heap, off, err);
	if (!(heap->flags & DSM_HEAP_GUARDS))
		return 0;
	err = heap_guard_check(heap, seg_at(heap->seg, off), *ret, ret);
	return err ? seg_error(err, "%s: block %#llx was written beyond its end",
			       dsm_segment_uri(heap->seg), (unsigned long long)off)
		   : 0;
}

size_t dsm_heap_usable_size(dsm_heap_t *heap, uint64_t off)
{
	uint64_t size;

	return heap && off && !usable_of(heap, off, &size) ? size : 0;
}

uint64_t dsm_heap_realloc(dsm_heap_t *heap, uint64_t off, size_t size)
{
	uint64_t usable, moved;
	int err;

	if (!heap || !size || !off)
		return alloc_or_0(heap, size, HEAP_ALIGN, NULL);
	err = usable_of(heap, off, &usable);
	if (err) {
		errno = -err;
		return 0;
	}
	/* Guards stand where a block ends: it moves. */
	if (!(heap->flags & DSM_HEAP_GUARDS) && heap->ops->resize &&
	    !heap->ops->resize(heap, off, size))
		return off;
	moved = alloc_or_0(heap, size, HEAP_ALIGN, NULL);
	if (!moved)
		return 0;
	memcpy(seg_at(heap->seg, moved), seg_at(heap->seg, off), size < usable ? size : usable);
	(void)dsm_heap_free(heap, off);
	return moved;
}

int dsm_heap_flush(dsm_heap_t *heap)
{
	if (!heap)
		return seg_error(-EINVAL, "no heap");
	return heap->ops->flush ? heap->ops->flush(heap) : 0;
}
