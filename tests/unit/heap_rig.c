// SPDX-License-Identifier: MIT
#include "tests/unit/heap_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/heap/heap.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

dsm_segment_t *rig_seg[2];
dsm_heap_t *rig_heap[2];
struct dsm_heap_options rig_options;
struct dsm_segment_options rig_size = { .size = 4u << 20, .max_size = 64u << 20 };

static char uri[128];

static int said(int err)
{
	if (err)
		print_error("%s\n", dsm_last_error());
	return err;
}

static int open_both(dsm_t *a, dsm_t *b)
{
	struct dsm_segment_options o = rig_size;

	o.ctx = a;
	if (said(dsm_segment_create(uri, &o, &rig_seg[0])))
		return -1;
	o.ctx = b;
	if (said(dsm_segment_open(uri, &o, &rig_seg[1])) ||
	    said(dsm_heap_create(rig_seg[0], &rig_options, &rig_heap[0])))
		return -1;
	return said(dsm_heap_open(rig_seg[1], &rig_heap[1]));
}

static void close_both(void)
{
	for (int i = 1; i >= 0; i--) {
		dsm_heap_close(rig_heap[i]);
		dsm_segment_close(rig_seg[i]);
	}
}

int heap_open_host(void **state)
{
	(void)state;
	strcpy(uri, rig_uri("heap"));
	(void)dsm_segment_unlink(uri, NULL);
	return open_both(NULL, NULL);
}

int heap_close_host(void **state)
{
	(void)state;
	close_both();
	return dsm_segment_unlink(uri, NULL);
}

int heap_open_cluster(void **state)
{
	if (nodes_setup(state))
		return -1;
	strcpy(uri, "dsm:heap");
	return open_both(node[0], node[1]);
}

int heap_close_cluster(void **state)
{
	close_both();
	(void)dsm_segment_unlink(uri, node[0]);
	return nodes_teardown(state);
}

uint64_t rig_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

uint64_t rig_pick(uint64_t *x)
{
	uint64_t r = rig_next(x), base = 16ull << r % 8;

	return base + (r >> 32) % base;
}

static int say_fault(void *context, uint64_t off, const char *what)
{
	int *faults = context;

	print_error("%#llx: %s\n", (unsigned long long)off, what);
	return ++*faults > 20;
}

void rig_whole(dsm_heap_t *heap)
{
	int faults = 0;

	(void)heap->ops->check(heap, say_fault, &faults);
	assert_int_equal(faults, 0);
}

static int count_used(void *context, const struct heap_place *p)
{
	*(uint64_t *)context += p->kind == HEAP_PLACE_USED;
	return 0;
}

uint64_t rig_used(dsm_heap_t *heap)
{
	uint64_t n = 0;

	assert_int_equal(heap->ops->walk(heap, count_used, &n), 0);
	return n;
}

struct known {
	const uint64_t *off;
	size_t n, met;
	int wrong;
};

static int by_offset(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int is_known(void *context, const struct heap_place *p)
{
	struct known *k = context;

	if (p->kind != HEAP_PLACE_USED)
		return 0;
	if (bsearch(&p->off, k->off, k->n, sizeof(*k->off), by_offset)) {
		k->met++;
		return 0;
	}
	print_error("leaked: %llu bytes at %#llx\n", (unsigned long long)p->size,
		    (unsigned long long)p->off);
	return ++k->wrong > 20;
}

int rig_used_are(dsm_heap_t *heap, uint64_t *off, size_t n)
{
	struct known k = { .off = off, .n = n };
	size_t named = 0;

	qsort(off, n, sizeof(*off), by_offset);
	for (size_t i = 0; i < n; i++) {
		named += off[i] != 0;
		if (i && off[i] && off[i] == off[i - 1]) {
			print_error("given out twice: %#llx\n", (unsigned long long)off[i]);
			k.wrong++;
		}
	}
	(void)heap->ops->walk(heap, is_known, &k);
	if (k.met != named) {
		print_error("%zu blocks are named, %zu of them given out\n", named, k.met);
		k.wrong++;
	}
	return k.wrong;
}

uint64_t rig_alloc(int side, size_t size)
{
	uint64_t off = dsm_heap_alloc(rig_heap[side], size);

	if (!off)
		fail_msg("%zu bytes: %s", size, dsm_last_error());
	return off;
}

void rig_free(int side, uint64_t off)
{
	if (dsm_heap_free(rig_heap[side], off))
		fail_msg("%s", dsm_last_error());
}

/* Nothing is on its way, nothing is left. */
void rig_all_free(void)
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(dsm_heap_flush(rig_heap[i]), 0);
	assert_int_equal(dsm_heap_flush(rig_heap[0]), 0);
	rig_whole(rig_heap[0]);
	assert_int_equal(rig_used(rig_heap[0]), 0);
}
