// SPDX-License-Identifier: MIT
/* First, best and worst fit as strategies of a heap. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/heap/fit.h"
#include "lib/heap/fit_journal.h"

#define RESERVE_MIN (4 * (uint64_t)SEG_GRAIN)

static uint64_t ops_extra(const dsm_segment_t *seg)
{
	(void)seg;
	return sizeof(struct fit_ctl);
}

static struct fit *handle_new(dsm_segment_t *seg, uint64_t off)
{
	struct fit_ctl *ctl = seg_at(seg, off);
	struct fit *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->seg = seg;
	f->ctl = ctl;
	f->off = off;
	f->key = ctl->key;
	f->strategy = ctl->strategy;
	f->root = ctl->root;
	return f;
}

static int ops_create(dsm_segment_t *seg, uint32_t root, const struct dsm_heap_options *options,
		      uint64_t extra, uint64_t *ret_part)
{
	struct fit_ctl *ctl = seg_checked(seg, extra, sizeof(*ctl), 64);
	uint64_t bytes = options->reserve < RESERVE_MIN ? RESERVE_MIN : options->reserve;
	struct fit *f;
	int err;

	if (!ctl)
		return seg_error(-EINVAL, "heap: its part would lie outside the segment");
	if (bytes > FIT_SIZE_MAX)
		return seg_error(-ENOSPC, "heap: no more than %lu bytes can be reserved",
				 (unsigned long)FIT_SIZE_MAX);
	memset(ctl, 0, sizeof(*ctl));
	ctl->strategy = options->strategy;
	ctl->root = root;
	if (getrandom(&ctl->key, sizeof(ctl->key), GRND_NONBLOCK) != sizeof(ctl->key))
		ctl->key = seg_now_ns() * 0x9e3779b97f4a7c15ull;
	ctl->generation = 1;
	ctl->magic = FIT_MAGIC;
	f = handle_new(seg, extra);
	if (!f)
		return seg_error(-ENOMEM, "heap: no memory for a handle");
	err = seg_lock(seg, &ctl->lock, SEG_LAYER_HEAP);
	if (!err) {
		err = fit_grow(f, FIT_UNITS_MIN, bytes);
		seg_unlock(seg, &ctl->lock);
	}
	free(f);
	*ret_part = extra;
	return err == -ENOMEM ? -ENOSPC : err;
}

/* Without the lock, which a dead thread may hold that this handle is opened to clean up after. */
static bool table_possible(const struct fit *f)
{
	struct fit_arena a;

	for (uint32_t i = 0; i < FIT_ARENAS; i++) {
		const struct fit_span *s = &f->ctl->arenas[i];
		uint64_t size = atomic_load(&s->size), off = atomic_load(&s->off);

		if (size && !fit_geometry(f->seg, !fit_by_size(f), off, size, &a) &&
		    atomic_load(&s->size) == size && atomic_load(&s->off) == off)
			return false;
	}
	return true;
}

static int ops_open(dsm_heap_t *heap)
{
	const struct fit_ctl *ctl = seg_checked(heap->seg, heap->part, sizeof(*ctl), 64);
	struct fit *f;

	if (!ctl || ctl->magic != FIT_MAGIC || ctl->strategy != heap->strategy ||
	    ctl->root != heap->root)
		return seg_error(-EBADMSG, "heap: the part of its strategy at %#lx is damaged",
				 (unsigned long)heap->part);
	f = handle_new(heap->seg, heap->part);
	if (!f)
		return seg_error(-ENOMEM, "heap: no memory for a handle");
	if (!table_possible(f)) {
		free(f);
		return seg_error(-EBADMSG, "heap: the table of arenas at %#lx is damaged",
				 (unsigned long)heap->part);
	}
	heap->own = f;
	return 0;
}

static void ops_close(dsm_heap_t *heap)
{
	free(heap->own);
	heap->own = NULL;
}

static int ops_alloc(dsm_heap_t *heap, struct heap_ask *ask, uint64_t *ret)
{
	return fit_alloc(heap->own, ask, ret);
}

static int ops_free(dsm_heap_t *heap, struct heap_ask *ask, uint64_t off)
{
	return fit_free(heap->own, ask, off);
}

static int ops_usable(dsm_heap_t *heap, uint64_t off, uint64_t *ret)
{
	return fit_usable(heap->own, off, ret);
}

static int ops_resize(dsm_heap_t *heap, uint64_t off, uint64_t size)
{
	return fit_resize(heap->own, off, size);
}

static void ops_recover(dsm_heap_t *heap, struct seg_slot *dead)
{
	fit_recover(heap->own, dead);
}

static int ops_walk(dsm_heap_t *heap, heap_place_fn fn, void *context)
{
	return fit_walk(heap->own, fn, context);
}

static int ops_check(dsm_heap_t *heap, heap_fault_fn fn, void *context)
{
	return fit_check(heap->own, fn, context);
}

static uint64_t ops_size_max(const dsm_heap_t *heap)
{
	(void)heap;
	return FIT_SIZE_MAX;
}

const struct heap_ops heap_fit_ops = {
	.name = "fit",
	.extra = ops_extra,
	.create = ops_create,
	.open = ops_open,
	.close = ops_close,
	.alloc = ops_alloc,
	.free = ops_free,
	.usable = ops_usable,
	.resize = ops_resize,
	.recover = ops_recover,
	.walk = ops_walk,
	.check = ops_check,
	.size_max = ops_size_max,
};
