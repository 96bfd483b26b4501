// SPDX-License-Identifier: MIT
/*
 * A heap beside a model of it under random operations by two participants: blocks never overlap, keep
 * what was written into them, and places that are free can be had.
 *
 *	test_heap_model [STEPS [SEED]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/heap/heap.h"
#include "tests/unit/heap_rig.h"
#include "tests/unit/lib_nodes.h"

#define BLOCKS 2000u

/* The model: what was given and what stands in it. */
struct block {
	uint64_t off, size;
	uint8_t byte;
};

static struct block block[BLOCKS];
static unsigned long steps = 100000;
static uint64_t seed = 1;

static dsm_heap_t *side(uint64_t *x)
{
	return rig_heap[rig_next(x) % 2];
}

static uint64_t size_of(uint64_t *x)
{
	switch (rig_next(x) % 16) {
	case 0:
		return 1 + rig_next(x) % 150000;
	case 1:
		return 1 + rig_next(x) % 31000;
	default:
		return rig_pick(x);
	}
}

static void fill(dsm_heap_t *h, struct block *b)
{
	memset(dsm_heap_ptr(h, b->off), b->byte, b->size);
}

static void is_as_written(dsm_heap_t *h, const struct block *b, uint64_t size)
{
	const uint8_t *p = dsm_heap_ptr(h, b->off);

	for (uint64_t i = 0; i < size; i += 1 + (i > 64 && i + 300 < size) * 97)
		if (p[i] != b->byte)
			fail_msg("byte %llu of block %#llx (%llu) is %#x, not %#x",
				 (unsigned long long)i, (unsigned long long)b->off,
				 (unsigned long long)b->size, p[i], b->byte);
}

static void allocate(dsm_heap_t *h, struct block *b, uint64_t *x)
{
	uint64_t align = 1ull << rig_next(x) % 13;

	b->size = size_of(x);
	b->byte = (uint8_t)rig_next(x);
	if (rig_next(x) % 4) {
		b->off = dsm_heap_alloc(h, b->size);
		align = HEAP_ALIGN;
	} else {
		b->off = dsm_heap_aligned_alloc(h, align, b->size);
	}
	if (!b->off)
		return assert_int_equal(errno, ENOMEM);
	assert_int_equal((uintptr_t)dsm_heap_ptr(h, b->off) % align, 0);
	assert_true(dsm_heap_usable_size(h, b->off) >= b->size);
	fill(h, b);
}

static void resize(dsm_heap_t *h, struct block *b, uint64_t *x)
{
	uint64_t size = size_of(x), off = dsm_heap_realloc(h, b->off, size);

	if (!off)
		return assert_int_equal(errno, ENOMEM);
	b->off = off;
	is_as_written(h, b, size < b->size ? size : b->size);
	b->size = size;
	fill(h, b);
}

static void release(dsm_heap_t *h, struct block *b)
{
	is_as_written(h, b, b->size);
	if (dsm_heap_free(h, b->off))
		fail_msg("%s", dsm_last_error());
	b->off = 0;
}

static void all_is_as_in_the_model(bool quiet)
{
	static uint64_t off[BLOCKS];

	for (int i = 0; i < 3; i++)
		assert_int_equal(dsm_heap_flush(rig_heap[i % 2]), 0);
	rig_whole(rig_heap[0]);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		off[i] = block[i].off;
		if (off[i] && !quiet)
			is_as_written(rig_heap[i % 2], &block[i], block[i].size);
	}
	assert_int_equal(rig_used_are(rig_heap[0], off, BLOCKS), 0);
}

static void it_does_what_the_model_does(void **state)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull | 1;
	unsigned long n = rig_seg[0]->cluster ? steps / 50 : steps;

	(void)state;
	memset(block, 0, sizeof(block));
	for (unsigned long i = 0; i < n; i++) {
		struct block *b = &block[rig_next(&x) % (rig_seg[0]->cluster ? 200 : BLOCKS)];
		dsm_heap_t *h = side(&x);

		if (!b->off)
			allocate(h, b, &x);
		else if (rig_next(&x) % 5)
			release(h, b);
		else
			resize(h, b, &x);
		if (i % (n / 10) == n / 10 - 1)
			all_is_as_in_the_model(false);
	}
	for (unsigned int i = 0; i < BLOCKS; i++)
		if (block[i].off)
			release(side(&x), &block[i]);
	all_is_as_in_the_model(true);
	assert_int_equal(rig_used(rig_heap[0]), 0);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(it_does_what_the_model_does) };

static int run(const char *name, uint32_t strategy, uint32_t flags)
{
	rig_options = (struct dsm_heap_options){ .strategy = strategy, .flags = flags };
	return _cmocka_run_group_tests(name, tests, 1, heap_open_host, heap_close_host);
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (argc > 1)
		steps = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	rig_size.max_size = 256u << 20;
	failed += run("size classes", DSM_HEAP_SIZE_CLASSES, 0);
	failed += run("size classes, guards, poison, log", DSM_HEAP_SIZE_CLASSES, HEAP_FLAGS);
	rig_size.max_size = 24u << 20;
	failed += run("size classes, often full", DSM_HEAP_SIZE_CLASSES, 0);
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	rig_options = (struct dsm_heap_options){ 0 };
	failed += cmocka_run_group_tests_name("cluster", tests, heap_open_cluster,
					      heap_close_cluster);
#endif
	return failed;
}
