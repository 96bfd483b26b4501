// SPDX-License-Identifier: MIT
/* Size classes as a strategy of a heap. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/heap/class.h"

static uint64_t grains_of(const dsm_segment_t *seg)
{
	return seg->capacity / SEG_GRAIN;
}

static uint64_t class_extra(const dsm_segment_t *seg)
{
	return sizeof(struct class_part) + grains_of(seg) * sizeof(uint32_t);
}

static int class_create(dsm_segment_t *seg, uint32_t root, const struct dsm_heap_options *options,
			uint64_t extra, uint64_t *ret_part)
{
	struct class_part *part = seg_at(seg, extra);

	(void)root;
	(void)options;
	memset(part, 0, class_extra(seg));
	part->grains = grains_of(seg);
	part->magic = CLASS_MAGIC;
	*ret_part = extra;
	return 0;
}

static void class_close(dsm_heap_t *heap)
{
	struct class_heap *h = class_heap(heap);

	for (uint32_t i = 0; i < SEG_SLOTS; i++)
		free(atomic_load(&h->lanes[i]));
	(void)munmap(h->grain, h->grains * sizeof(*h->grain));
	free(h);
	heap->own = NULL;
}

static int class_open(dsm_heap_t *heap)
{
	dsm_segment_t *seg = heap->seg;
	struct class_part *part = seg_checked(seg, heap->part, class_extra(seg), SEG_PAGE);
	struct class_heap *h;

	if (!part || part->magic != CLASS_MAGIC || part->grains != grains_of(seg))
		return seg_error(-EBADMSG, "%s: the heap's table at %#llx is damaged",
				 dsm_segment_uri(seg), (unsigned long long)heap->part);
	class_sizes_prepare();
	h = calloc(1, sizeof(*h));
	if (!h)
		return seg_error(-ENOMEM, "no memory");
	h->base = seg->base;
	h->seg = seg;
	h->slots = seg->slots;
	h->part = part;
	h->table = (void *)(part + 1);
	h->grains = grains_of(seg);
	/* Of what is looked at, it has memory: as much as there are spans of this process. */
	h->grain = mmap(NULL, h->grains * sizeof(*h->grain), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (h->grain == MAP_FAILED) {
		free(h);
		return seg_error(-ENOMEM, "no memory to keep an account of %llu grains",
				 (unsigned long long)grains_of(seg));
	}
	heap->own = h;
	return 0;
}

static int class_flush(dsm_heap_t *heap)
{
	struct class_lane *l = class_lane(heap);
	int err;

	if (!l)
		return -EUSERS;
	err = class_out_flush(heap, l->slot, l, true);
	if (!err)
		err = class_drain(l);
	class_span_trim(l, 0);
	return err;
}

static uint64_t class_size_max(const dsm_heap_t *heap)
{
	return class_heap(heap)->grains * SEG_GRAIN - sizeof(struct class_large);
}

const struct heap_ops heap_class_ops = {
	.name = "size classes",
	.extra = class_extra,
	.create = class_create,
	.open = class_open,
	.close = class_close,
	.alloc = class_alloc,
	.free = class_free,
	.usable = class_usable,
	.resize = class_resize,
	.flush = class_flush,
	.recover = class_recover,
	.walk = class_walk,
	.check = class_check,
	.size_max = class_size_max,
};
