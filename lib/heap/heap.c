// SPDX-License-Identifier: MIT
/* Handles: make a segment's heap, open it, let it go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/heap/heap.h"
#include "lib/segment/layout.h"

static const struct heap_ops *const strategies[] = {
	[DSM_HEAP_SIZE_CLASSES] = &heap_class_ops,
	[DSM_HEAP_FIRST_FIT] = &heap_fit_ops,
	[DSM_HEAP_BEST_FIT] = &heap_fit_ops,
	[DSM_HEAP_WORST_FIT] = &heap_fit_ops,
};
#define STRATEGIES (sizeof(strategies) / sizeof(strategies[0]))

_Atomic uint64_t *heap_dest(const dsm_segment_t *seg, uint64_t off)
{
	if (off >= SEG_SLOTS_AT && off < SEG_GRAINS_AT && off % 8 == 0)
		return (off - SEG_SLOTS_AT) / SEG_PAGE < atomic_load(&seg->header->slots_high)
			       ? seg_at(seg, off)
			       : NULL;
	return seg_checked(seg, off, 8, 8);
}

static int check_header(dsm_segment_t *seg, const struct heap_header *h, uint32_t root)
{
	const char *uri = dsm_segment_uri(seg);

	if (!h || h->magic != HEAP_MAGIC)
		return seg_error(-EBADMSG, "%s: '%s' is no heap", uri, HEAP_ROOT);
	if (h->version != HEAP_VERSION)
		return seg_error(-EPROTO,
				 "%s: the heap has layout version %u, this library's is %u", uri,
				 h->version, HEAP_VERSION);
	if (h->strategy >= STRATEGIES || (h->flags & ~HEAP_FLAGS) || h->root != root)
		return seg_error(-EBADMSG, "%s: the heap's header is damaged", uri);
	return 0;
}

static int open_at(dsm_segment_t *seg, uint32_t root, uint64_t off, dsm_heap_t **ret)
{
	const struct heap_header *h = seg_checked(seg, off, sizeof(*h), SEG_PAGE);
	int err = check_header(seg, h, root);
	dsm_heap_t *heap;

	if (err)
		return err;
	heap = calloc(1, sizeof(*heap));
	if (!heap)
		return seg_error(-ENOMEM, "no memory");
	*heap = (struct dsm_heap){
		.view = { seg->base, seg->capacity },
		.seg = seg,
		.ops = strategies[h->strategy],
		.strategy = h->strategy,
		.flags = h->flags,
		.root = root,
		.fast = h->strategy == DSM_HEAP_SIZE_CLASSES && !h->flags,
		.key = h->key,
		.part = h->part,
		.log = h->log,
		.header_off = off,
	};
	err = heap->ops->open(heap);
	if (err)
		free(heap);
	else
		*ret = heap;
	return err;
}

static void handle_free(dsm_heap_t *heap)
{
	heap->ops->close(heap);
	free(heap);
}

int dsm_heap_open(dsm_segment_t *seg, dsm_heap_t **ret)
{
	dsm_heap_t *heap, *other = NULL;
	uint32_t root;
	uint64_t off;
	int err;

	if (!seg || !ret)
		return seg_error(-EINVAL, "no segment, or nowhere to put the heap");
	heap = atomic_load(&seg->heap);
	if (!heap) {
		err = seg_root_find(seg, HEAP_ROOT, DSM_ROOT_HEAP, &root, &off);
		if (!err)
			err = open_at(seg, root, off, &heap);
		if (err)
			return err;
		/* Somebody was faster: theirs it is. */
		if (!atomic_compare_exchange_strong(&seg->heap, &other, heap)) {
			handle_free(heap);
			heap = other;
		}
	}
	*ret = heap;
	return 0;
}

/* The root is being made: its grains, its header. */
static int fill_root(dsm_segment_t *seg, uint32_t root, const struct dsm_heap_options *o,
		     uint64_t *ret_off)
{
	const struct heap_ops *ops = strategies[o->strategy];
	uint64_t bytes = sizeof(struct heap_header) + ops->extra(seg), off;
	struct heap_header *h;
	int err = seg_grains_alloc(seg, (bytes + SEG_GRAIN - 1) / SEG_GRAIN, &off, NULL);

	if (err)
		return err;
	seg_grains_adopt(seg, off, root);
	seg_crash_point("heap: grains adopted, no header");
	h = seg_at(seg, off);
	memset(h, 0, sizeof(*h));
	h->magic = HEAP_MAGIC;
	h->version = HEAP_VERSION;
	h->strategy = o->strategy;
	h->flags = o->flags;
	h->root = root;
	if (getrandom(&h->key, sizeof(h->key), GRND_NONBLOCK) != sizeof(h->key))
		h->key = seg_now_ns() * 0x9e3779b97f4a7c15ull;
	if (o->flags & DSM_HEAP_LOG)
		err = heap_log_create(seg, root, &h->log);
	if (!err)
		err = ops->create(seg, root, o, off + sizeof(*h), &h->part);
	*ret_off = off;
	return err;
}

int dsm_heap_create(dsm_segment_t *seg, const struct dsm_heap_options *options, dsm_heap_t **ret)
{
	struct dsm_heap_options o = options ? *options : (struct dsm_heap_options){ 0 };
	uint32_t root;
	uint64_t off;
	int err;

	if (!seg || !ret)
		return seg_error(-EINVAL, "no segment, or nowhere to put the heap");
	if (o.strategy >= STRATEGIES)
		return seg_error(-EINVAL, "a heap has no strategy %u", o.strategy);
	if (o.flags & ~HEAP_FLAGS)
		return seg_error(-EINVAL, "a heap has no flags %#x", o.flags & ~HEAP_FLAGS);
	err = seg_root_make(seg, HEAP_ROOT, DSM_ROOT_HEAP, &root);
	if (err)
		return err;
	err = fill_root(seg, root, &o, &off);
	if (err) {
		seg_root_drop(seg, root);
		return err;
	}
	seg_root_publish(seg, root, off);
	return dsm_heap_open(seg, ret);
}

void dsm_heap_close(dsm_heap_t *heap)
{
	(void)heap;
}

int heap_default(dsm_segment_t *seg, dsm_heap_t **ret)
{
	int err;

	do {
		err = dsm_heap_open(seg, ret);
		if (err == -ENOENT)
			err = dsm_heap_create(seg, NULL, ret);
	} while (err == -EEXIST);
	return err;
}

dsm_heap_t *heap_of(dsm_segment_t *seg)
{
	dsm_heap_t *heap = NULL;

	return dsm_heap_open(seg, &heap) ? NULL : heap;
}

void heap_detach(dsm_segment_t *seg)
{
	dsm_heap_t *heap = atomic_exchange(&seg->heap, NULL);

	if (heap)
		handle_free(heap);
}

void heap_recover(dsm_segment_t *seg, struct seg_slot *dead)
{
	dsm_heap_t *heap;

	/* Every strategy's journal begins with what is not 0 where there is something to do. */
	if (!atomic_load((_Atomic uint64_t *)(void *)dead->heap_area))
		return;
	heap = heap_of(seg);
	if (heap)
		heap->ops->recover(heap, dead);
}

dsm_segment_t *dsm_heap_segment(const dsm_heap_t *heap)
{
	return heap ? heap->seg : NULL;
}

uint32_t dsm_heap_strategy(const dsm_heap_t *heap)
{
	return heap ? heap->strategy : 0;
}

uint32_t dsm_heap_flags(const dsm_heap_t *heap)
{
	return heap ? heap->flags : 0;
}
