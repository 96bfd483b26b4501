// SPDX-License-Identifier: MIT
/* A heap in figures: how much of it is used, how much is lost and to what. */
#include <errno.h>
#include <string.h>

#include <dsm/heap_report.h>

#include "lib/heap/heap.h"

const char *dsm_heap_strategy_name(uint32_t strategy)
{
	static const char *const names[] = { "size classes", "first fit", "best fit", "worst fit" };

	return strategy < sizeof(names) / sizeof(names[0]) ? names[strategy] : "unknown";
}

struct counting {
	dsm_heap_t *heap;
	struct dsm_heap_report *r;
	uint64_t run; /* the one that is being counted */
};

static struct dsm_heap_bucket *bucket_of(struct dsm_heap_report *r, uint64_t size)
{
	unsigned int i = size ? 63 - (unsigned int)__builtin_clzll(size) : 0;

	return &r->buckets[i < DSM_HEAP_BUCKETS ? i : DSM_HEAP_BUCKETS - 1];
}

static void used_count(const struct counting *c, const struct heap_place *p)
{
	struct dsm_heap_bucket *bucket = bucket_of(c->r, p->size);
	uint64_t asked = p->asked;

	c->r->used++;
	c->r->used_bytes += p->size;
	bucket->used++;
	bucket->used_bytes += p->size;
	/* What the strategy takes for asked for includes the guard. */
	if (c->heap->flags & DSM_HEAP_GUARDS &&
	    (!seg_checked(c->heap->seg, p->off, p->size, 1) ||
	     heap_guard_check(c->heap, seg_at(c->heap->seg, p->off), p->size, &asked)))
		asked = 0;
	if (asked && asked <= p->size) {
		c->r->known_bytes += p->size;
		c->r->asked_bytes += asked;
	}
}

static int place_count(void *context, const struct heap_place *p)
{
	struct counting *c = context;
	struct dsm_heap_report *r = c->r;

	if (p->run != c->run) {
		c->run = p->run;
		r->runs++;
		r->bytes += p->run_size;
	}
	switch (p->kind) {
	case HEAP_PLACE_USED:
		used_count(c, p);
		break;
	case HEAP_PLACE_FREE:
		r->free++;
		r->free_bytes += p->size;
		r->largest_free = p->size > r->largest_free ? p->size : r->largest_free;
		bucket_of(r, p->size)->free++;
		bucket_of(r, p->size)->free_bytes += p->size;
		break;
	case HEAP_PLACE_FREEING:
		r->freeing++;
		r->freeing_bytes += p->size;
		break;
	case HEAP_PLACE_META:
		break;
	}
	return 0;
}

int dsm_heap_report(dsm_heap_t *heap, struct dsm_heap_report *ret)
{
	struct dsm_heap_report r = { 0 };
	struct counting c = { .heap = heap, .r = &r };
	uint64_t known;
	int err;

	if (!heap || !ret)
		return seg_error(-EINVAL, "no heap");
	r.strategy = heap->strategy;
	r.flags = heap->flags;
	err = heap->ops->walk(heap, place_count, &c);
	if (err)
		return err;
	known = r.used_bytes + r.free_bytes + r.freeing_bytes;
	r.meta_bytes = r.bytes > known ? r.bytes - known : 0;
	if (r.free_bytes)
		r.external = 1 - (double)r.largest_free / (double)r.free_bytes;
	if (r.known_bytes)
		r.internal = 1 - (double)r.asked_bytes / (double)r.known_bytes;
	*ret = r;
	return 0;
}
