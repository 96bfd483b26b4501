// SPDX-License-Identifier: MIT
/*
 * Each node allocates from a heap of its own, in a window of the default
 * region; what lies in another node's window is given back to that one's heap.
 */
#include "lib/node_heap.h"

#include <dsm/heap_report.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/context.h"
#include "lib/records.h"
#include "lib/segment/cluster.h"
#include "lib/segment/segment.h"

/*
 * Larger blocks are whole pages of the pool, and cost a message. They are to be aligned to pages, and
 * for that the heap would give each a grain of 16 pages of its own.
 */
#define HEAP_MOST ((size_t)LIB_PAGE)
/* A heap takes 90 pages before its first block: a pool with less than this left has a better use for them. */
#define POOL_LEAST (256 * (uint64_t)LIB_PAGE)

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static dsm_segment_t *segments[SEG_WINDOWS];
static _Atomic(dsm_heap_t *) heaps[SEG_WINDOWS];
static _Atomic uint32_t own; /* window of this node; 0: not known yet */

/* Only a node's own heap is made; a wild pointer makes none. */
static int open_heap(dsm_t *ctx, uint32_t window, bool make)
{
	const struct dsm_segment_options o = {
		.size = SEG_GRAIN,
		.max_size = SEG_WINDOW,
		.flags = DSM_SEGMENT_EXISTING,
		.ctx = ctx,
	};
	const struct dsm_segment_options open_only = { .ctx = ctx };
	dsm_heap_t *h;
	char uri[32];
	int err;

	(void)snprintf(uri, sizeof(uri), SEG_WINDOW_URI, window);
	err = make ? dsm_segment_create(uri, &o, &segments[window])
		   : dsm_segment_open(uri, &open_only, &segments[window]);
	if (err)
		return err;
	do {
		err = dsm_heap_open(segments[window], &h);
		if (err == -ENOENT && make)
			err = dsm_heap_create(segments[window], NULL, &h);
	} while (err == -EEXIST);
	if (err) {
		dsm_segment_close(segments[window]);
		segments[window] = NULL;
		return err;
	}
	atomic_store(&heaps[window], h);
	return 0;
}

static bool pool_has_room(dsm_t *ctx)
{
	struct dsm_status s;

	return !dsm_status_get(ctx, &s) && s.total_bytes >= s.used_bytes + POOL_LEAST;
}

/* NULL: there is none, and no memory for one. */
static dsm_heap_t *get_heap(dsm_t *ctx, uint32_t window, bool make)
{
	dsm_heap_t *h = atomic_load_explicit(&heaps[window], memory_order_acquire);

	if (h)
		return h;
	pthread_mutex_lock(&opening);
	h = atomic_load(&heaps[window]);
	if (!h && !open_heap(ctx, window, make && pool_has_room(ctx)))
		h = atomic_load(&heaps[window]);
	pthread_mutex_unlock(&opening);
	return h;
}

/* Window 0 is for programs. Ids are given in turn, so few nodes share a window, and only where there are many. */
static uint32_t own_window(dsm_t *ctx)
{
	uint32_t window = atomic_load_explicit(&own, memory_order_relaxed);
	struct dsm_status s;

	if (!window && !dsm_status_get(ctx, &s) && s.node_id) {
		window = (s.node_id - 1) % (SEG_WINDOWS - 1) + 1;
		atomic_store(&own, window);
	}
	return window;
}

int node_heap_alloc(dsm_t *ctx, size_t size, void **ret)
{
	uint32_t window = size && size <= HEAP_MOST ? own_window(ctx) : 0;
	dsm_heap_t *h = window ? get_heap(ctx, window, true) : NULL;
	uint64_t off = 0;

	if (h)
		off = size < LIB_PAGE ? dsm_heap_alloc(h, size)
				      : dsm_heap_aligned_alloc(h, LIB_PAGE, size);
	if (!off) /* a pool that is nearly empty may have a page or two when it has no span */
		return dsm_alloc(ctx->home, size, ret);
	*ret = memset(dsm_heap_ptr(h, off), 0, size);
	return 0;
}

/* Whose heap @ptr would be in; 0: none's. */
static uint32_t window_of(const dsm_t *ctx, const void *ptr)
{
	const uint8_t *base = (const uint8_t *)ctx->home->base + SEG_WINDOWS_AT, *p = ptr;

	if (p < base || p >= base + SEG_WINDOWS * SEG_WINDOW)
		return 0;
	return (uint32_t)((uint64_t)(p - base) / SEG_WINDOW);
}

int node_heap_free(dsm_t *ctx, void *ptr)
{
	uint32_t window = window_of(ctx, ptr);
	dsm_heap_t *h = window ? get_heap(ctx, window, false) : NULL;
	uint64_t off = h ? dsm_heap_offset(h, ptr) : 0;
	int err;

	if (!off)
		return dsm_release(ctx, ptr);
	err = dsm_heap_free(h, off);
	return err == -EALREADY ? -EINVAL : err;
}

/*
 * No block of this program's heap is in use, and nobody can be about to allocate there: the agent
 * is ours and leaves with us, and other nodes come to a window only to free a block of it.
 */
static bool heap_is_done(const dsm_t *ctx, uint32_t window)
{
	dsm_heap_t *h = atomic_load(&heaps[window]);
	struct dsm_segment_info info;
	struct dsm_heap_report report;

	/* An agent that has gone has taken the pages along. */
	return ctx && ctx->started && !atomic_load(&ctx->lost) && window && h &&
	       !dsm_heap_flush(h) && !dsm_segment_info(segments[window], &info) &&
	       info.participants == 1 && !dsm_heap_report(h, &report) && !report.used &&
	       !report.freeing;
}

/* Else the pool would lose a heap with each node that comes and goes. */
static void window_release(dsm_t *ctx, uint32_t window)
{
	uint64_t first = SEG_WINDOWS_AT + window * SEG_WINDOW, addr;
	const struct client_extent *e;
	struct records r = { 0 };

	if (records_get(ctx, LIST_GLOBAL_PAGES, &r))
		return;
	e = (const struct client_extent *)(const void *)r.bytes;
	for (size_t i = 0; i < r.len / sizeof(*e); i++) {
		addr = PAGE_KEY_PAGE(e[i].key) * LIB_PAGE;
		if (PAGE_KEY_REGION(e[i].key) == ctx->home->number && addr >= first &&
		    addr < first + SEG_WINDOW && (e[i].flags & EXTENT_HEAD))
			(void)dsm_release(ctx, ctx->home->base + addr);
	}
	free(r.bytes);
}

void node_heap_close(dsm_t *ctx)
{
	uint32_t window = atomic_exchange(&own, 0);
	bool done = heap_is_done(ctx, window);

	for (uint32_t i = 0; i < SEG_WINDOWS; i++) {
		atomic_store(&heaps[i], NULL);
		dsm_segment_close(segments[i]);
		segments[i] = NULL;
	}
	if (done)
		window_release(ctx, window);
}
