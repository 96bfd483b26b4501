// SPDX-License-Identifier: MIT
/*
 * Segments of a cluster that want more memory than its nodes have donated: the call that wants it
 * says so, at any place where a structure grows, and nobody touches memory that is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dsm_channel.h>
#include <dsm_heap_report.h>
#include <dsm_map.h>
#include <dsm_ring.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/lib_nodes.h"

#define CHUNKS	   1024u
#define DONATED	   (2u * CHUNKS * PAGE) /* by both nodes */
#define BLOCK	   30000u
#define BLOCKS_MAX (DONATED / BLOCK)
#define LEAST	   (1u << 20) /* what a small segment takes */

static dsm_segment_t *seg[2];

static uint64_t used_bytes(void)
{
	struct dsm_status s;

	assert_int_equal(dsm_status_get(node[0], &s), 0);
	assert_int_equal(s.total_bytes, DONATED);
	return s.used_bytes;
}

static void open_both(const char *uri)
{
	struct dsm_segment_options o = { .size = LEAST, .max_size = 8ull * DONATED };

	for (int i = 0; i < 2; i++) {
		o.ctx = node[i];
		o.flags = i ? DSM_SEGMENT_EXISTING : 0;
		if (dsm_segment_create(uri, &o, &seg[i]))
			fail_msg("%s", dsm_last_error());
	}
}

static void close_both(const char *uri)
{
	for (int i = 0; i < 2; i++)
		dsm_segment_close(seg[i]);
	assert_int_equal(dsm_segment_unlink(uri, node[0]), 0);
}

static void a_segment_larger_than_the_pool_is_refused_whole(void **state)
{
	struct dsm_segment_options o = { .size = 2ull * DONATED,
					 .max_size = 4ull * DONATED,
					 .ctx = node[0] };
	uint64_t before = used_bytes();
	dsm_region_t *region;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dsm_segment_create("dsm:large", &o, &seg[0]), -ENOSPC);
		assert_non_null(strstr(dsm_last_error(), "dsm:large"));
		assert_int_equal(dsm_region_open(node[1], "large", &region), -ENOENT);
		assert_int_equal(used_bytes(), before);
	}
	/* The name is free for one that fits. */
	open_both("dsm:large");
	close_both("dsm:large");
	assert_int_equal(used_bytes(), before);
}

/* All that can be had, each byte written, by both nodes in turn. How many blocks. */
static unsigned int fill_heap(dsm_heap_t *heap[2], uint64_t off[BLOCKS_MAX])
{
	unsigned int n = 0;

	for (; n < BLOCKS_MAX; n++) {
		off[n] = dsm_heap_alloc(heap[n % 2], BLOCK);
		if (!off[n])
			break;
		memset(dsm_heap_ptr(heap[n % 2], off[n]), (int)n, BLOCK);
	}
	if (off[n])
		fail_msg("%u blocks of %u bytes, of %u", n, BLOCK, DONATED);
	assert_int_equal(errno, ENOMEM);
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = dsm_heap_ptr(heap[!(i % 2)], off[i]);

		assert_true(p[0] == (uint8_t)i && p[BLOCK - 1] == (uint8_t)i);
	}
	return n;
}

static void a_heap_takes_all_there_is_and_no_more(void **state)
{
	static uint64_t off[BLOCKS_MAX + 1];

	(void)state;
	for (uint32_t strategy = 0; strategy <= DSM_HEAP_WORST_FIT; strategy++) {
		struct dsm_heap_options o = { .strategy = strategy };
		dsm_heap_t *heap[2];
		unsigned int n;

		open_both("dsm:heap");
		assert_int_equal(dsm_heap_create(seg[0], &o, &heap[0]), 0);
		assert_int_equal(dsm_heap_open(seg[1], &heap[1]), 0);
		n = fill_heap(heap, off);
		assert_true(n > BLOCKS_MAX / 2);
		assert_int_equal(dsm_heap_validate(heap[0], NULL, NULL), 0);
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(dsm_heap_free(heap[1], off[i]), 0);
		assert_int_equal(dsm_heap_flush(heap[1]), 0);
		off[0] = dsm_heap_alloc(heap[0], BLOCK);
		assert_int_not_equal(off[0], 0);
		for (int i = 0; i < 2; i++)
			dsm_heap_close(heap[i]);
		close_both("dsm:heap");
	}
}

#define TURN 1000 /* entries by one node, before the other goes on */

/* Entries of @size bytes until there is room for no more. How many. */
static int fill_map(dsm_map_t *map[2], size_t size)
{
	static const char value[2000];
	char key[16];
	int n = 0, err;

	do
		err = dsm_map_set(map[n / TURN % 2], key,
				  (size_t)snprintf(key, sizeof(key), "%d", n), value, size, NULL);
	while (!err && ++n < 1000000);
	assert_int_equal(err, -ENOSPC);
	return n;
}

static void a_map_grows_until_the_pool_is_used_up(void **state)
{
	static const size_t sizes[] = { 2000, 100 };

	(void)state;
	/* With large entries the heap wants the last memory, with small ones a table. */
	for (int i = 0; i < 2; i++) {
		dsm_map_t *map[2];
		int n;

		open_both("dsm:map");
		assert_int_equal(dsm_map_create(seg[0], "m", NULL, &map[0]), 0);
		assert_int_equal(dsm_map_open(seg[1], "m", &map[1]), 0);
		n = fill_map(map, sizes[i]);
		assert_true(n > 1000);
		assert_int_equal(dsm_map_count(map[0]), n);
		assert_int_equal(dsm_map_validate(map[1]), 0);
		for (int k = 0; k < 100; k++) {
			char key[16];

			assert_int_equal(
				dsm_map_delete(map[1], key,
					       (size_t)snprintf(key, sizeof(key), "%d", k)),
				0);
		}
		assert_int_equal(dsm_map_count(map[0]), n - 100);
		for (int k = 0; k < 2; k++)
			dsm_map_close(map[k]);
		close_both("dsm:map");
	}
}

static void *allocates(void *heap)
{
	return (void *)dsm_heap_alloc(heap, BLOCK);
}

/* While a heap has all of the pool. */
static void nothing_else_grows(dsm_heap_t *heap)
{
	struct dsm_segment_options small = { .size = LEAST, .max_size = LEAST, .ctx = node[1] };
	struct dsm_ring_options ring = { .capacity = 4 * LEAST };
	dsm_segment_t *another;
	pthread_t threads[3];
	dsm_channel_t *ch;
	dsm_ring_t *r;
	void *got;

	assert_int_equal(dsm_segment_create("dsm:small", &small, &another), -ENOSPC);
	assert_int_equal(dsm_ring_create(seg[0], "r", &ring, &r), -ENOSPC);
	assert_int_equal(dsm_segment_grow(seg[1], DONATED), -ENOSPC);
	/* Each of them wants a slot, which is a page. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, allocates, heap), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(threads[i], &got), 0);
		assert_null(got);
	}
	if (!dsm_channel_open(seg[0], "c", NULL, &ch))
		dsm_channel_close(ch);
}

static void several_segments_share_what_there_is(void **state)
{
	static uint64_t off[BLOCKS_MAX + 1];
	dsm_heap_t *heap[2];
	unsigned int n;
	void *page;

	(void)state;
	open_both("dsm:one");
	assert_int_equal(dsm_heap_create(seg[0], NULL, &heap[0]), 0);
	assert_int_equal(dsm_heap_open(seg[1], &heap[1]), 0);
	n = fill_heap(heap, off);
	/* The last pages too. */
	while (!dsm_alloc(dsm_region_default(node[0]), PAGE, &page))
		*(volatile char *)page = 1;
	assert_int_equal(used_bytes(), DONATED);
	nothing_else_grows(heap[0]);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(dsm_heap_free(heap[0], off[i]), 0);
	for (int i = 0; i < 2; i++)
		dsm_heap_close(heap[i]);
	close_both("dsm:one");
	open_both("dsm:two");
	close_both("dsm:two");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_segment_larger_than_the_pool_is_refused_whole),
		cmocka_unit_test(a_heap_takes_all_there_is_and_no_more),
		cmocka_unit_test(a_map_grows_until_the_pool_is_used_up),
		cmocka_unit_test(several_segments_share_what_there_is),
	};

	nodes_chunks = CHUNKS;
	return cmocka_run_group_tests(tests, nodes_setup, nodes_teardown);
}
