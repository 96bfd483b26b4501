// SPDX-License-Identifier: MIT
/*
 * Heaps of size classes: what they give, what they refuse, what they find; the same over shared
 * memory and over a region of two nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/heap/class.h"
#include "lib/segment/layout.h"
#include "tests/unit/heap_rig.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

static void every_size_has_room_and_its_own_place(void **state)
{
	static const size_t sizes[] = { 1,     15,    16,    17,    24,	    100,    128,
					129,   1000,  4095,  4096,  4097,   8192,   30720,
					30721, 65472, 65473, 70000, 200000, 1000000 };
	enum { N = sizeof(sizes) / sizeof(sizes[0]) };
	uint64_t off[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		off[i] = rig_alloc(0, sizes[i]);
		assert_int_equal(off[i] % HEAP_ALIGN, 0);
		assert_true(dsm_heap_usable_size(rig_heap[0], off[i]) >= sizes[i]);
		assert_int_equal(dsm_heap_offset(rig_heap[0], dsm_heap_ptr(rig_heap[0], off[i])),
				 off[i]);
		memset(dsm_heap_ptr(rig_heap[0], off[i]), (int)i + 1,
		       dsm_heap_usable_size(rig_heap[0], off[i]));
	}
	rig_whole(rig_heap[0]);
	for (size_t i = 0; i < N; i++) {
		const uint8_t *p = dsm_heap_ptr(rig_heap[0], off[i]);

		for (size_t k = 0; k < dsm_heap_usable_size(rig_heap[0], off[i]); k += 7)
			assert_int_equal(p[k], i + 1);
		rig_free(0, off[i]);
	}
	rig_all_free();
}

static void classes_waste_little(void **state)
{
	(void)state;
	for (size_t size = 129; size <= 4096; size++) {
		uint32_t class = class_by_units[(size + 15) / 16];

		assert_true(class_sizes[class].size >= size);
		assert_true(class_sizes[class - 1].size < size);
		assert_true((class_sizes[class].size - size) * 4 < size + 64);
	}
	for (uint32_t c = 0; c < CLASS_COUNT; c++) {
		const struct class_size *s = &class_sizes[c];

		assert_true(s->words <= CLASS_WORDS);
		assert_true(CLASS_DATA + s->count * s->size <= SEG_GRAIN);
		/* Each byte of a span: a block begins there exactly where one does. */
		for (uint32_t at = 0; at < SEG_GRAIN; at++) {
			uint32_t n = at < CLASS_DATA ? UINT32_MAX : (at - CLASS_DATA) / s->size;
			bool begins = at >= CLASS_DATA && (at - CLASS_DATA) % s->size == 0 &&
				      n < s->count;

			assert_int_equal(class_block(s, 7 * SEG_GRAIN + at),
					 begins ? n : UINT32_MAX);
		}
	}
}

static void blocks_lie_where_asked(void **state)
{
	uint64_t off[64];
	int n = 0;

	(void)state;
	for (size_t align = 1; align <= DSM_HEAP_ALIGN_MAX; align *= 2)
		for (size_t size = 1; size <= 100000; size = size * 7 + 3) {
			off[n] = dsm_heap_aligned_alloc(rig_heap[0], align, size);
			assert_int_not_equal(off[n], 0);
			assert_int_equal((uintptr_t)dsm_heap_ptr(rig_heap[0], off[n]) % align, 0);
			memset(dsm_heap_ptr(rig_heap[0], off[n]), 0x77, size);
			rig_free(0, off[n]);
		}
	assert_int_equal(dsm_heap_aligned_alloc(rig_heap[0], 3, 8), 0);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(dsm_heap_aligned_alloc(rig_heap[0], 8192, 8), 0);
	assert_int_equal(dsm_heap_aligned_alloc(rig_heap[0], 0, 8), 0);
	rig_all_free();
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void calloc_is_zeroed_and_counts_right(void **state)
{
	uint64_t a, b;

	(void)state;
	for (int round = 0; round < 2; round++) {
		a = dsm_heap_calloc(rig_heap[0], 10, 30);
		b = dsm_heap_calloc(rig_heap[0], 3, 40000);
		assert_true(all_zero(dsm_heap_ptr(rig_heap[0], a), 300));
		assert_true(all_zero(dsm_heap_ptr(rig_heap[0], b), 120000));
		memset(dsm_heap_ptr(rig_heap[0], a), 1, 300);
		memset(dsm_heap_ptr(rig_heap[0], b), 1, 120000);
		rig_free(0, a);
		rig_free(0, b);
	}
	assert_int_equal(dsm_heap_calloc(rig_heap[0], SIZE_MAX / 2, 3), 0);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(dsm_heap_calloc(rig_heap[0], 0, 3), 0);
	assert_int_equal(errno, EINVAL);
	rig_all_free();
}

static void realloc_keeps_what_was_there(void **state)
{
	static const size_t sizes[] = { 10, 16, 200, 190, 5000, 100000, 120000, 70000, 600, 1 };
	uint64_t off = 0;
	size_t last = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		off = dsm_heap_realloc(rig_heap[0], off, sizes[i]);
		assert_int_not_equal(off, 0);
		for (size_t k = 0; k < last && k < sizes[i]; k++)
			assert_int_equal(((uint8_t *)dsm_heap_ptr(rig_heap[0], off))[k],
					 (uint8_t)(k * 31));
		for (size_t k = 0; k < sizes[i]; k++)
			((uint8_t *)dsm_heap_ptr(rig_heap[0], off))[k] = (uint8_t)(k * 31);
		last = sizes[i];
	}
	assert_int_equal(dsm_heap_realloc(rig_heap[0], off, 0), 0);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(dsm_heap_realloc(rig_heap[0], off, 1ull << 50), 0);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(dsm_heap_realloc(rig_heap[0], off + 8, 100), 0);
	assert_int_equal(errno, EINVAL);
	rig_free(0, off);
	rig_all_free();
}

static void what_is_no_block_is_refused(void **state)
{
	uint64_t a = rig_alloc(0, 100), b = rig_alloc(0, 100000), c;

	(void)state;
	assert_int_equal(dsm_heap_free(rig_heap[0], 0), 0);
	assert_int_equal(dsm_heap_alloc(rig_heap[0], 0), 0);
	assert_int_equal(errno, EINVAL);
	for (int side = 0; side < 2; side++) {
		dsm_heap_t *h = rig_heap[side];
		const uint64_t wild[] = {
			1,	    8,		4096,	       a + 1,	  a + 16,
			a - 16,	    b + 16,	b - 64,	       b + 65536, b / 65536 * 65536,
			1ull << 40, UINT64_MAX, h->header_off, h->part
		};

		for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
			int err = dsm_heap_free(h, wild[i]);

			/* The neighbour in the span may be a place that is free. */
			assert_true(err == -EINVAL || (err == -EALREADY && i == 4) ||
				    (err == -EALREADY && i == 5));
			assert_int_equal(dsm_heap_usable_size(h, wild[i]), 0);
		}
	}
	rig_free(0, a);
	assert_int_equal(dsm_heap_free(rig_heap[0], a), -EALREADY);
	assert_non_null(strstr(dsm_last_error(), "free already"));
	assert_int_equal(dsm_heap_free(rig_heap[1], a), -EALREADY);
	rig_free(1, b);
	c = dsm_heap_free(rig_heap[0], b) ? 0 : 1;
	assert_int_equal(c, 0);
	assert_int_equal(dsm_heap_alloc(rig_heap[0], 1ull << 60), 0);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(dsm_heap_alloc(rig_heap[0], SIZE_MAX), 0);
	assert_int_equal(errno, ENOMEM);
	assert_null(dsm_heap_ptr(rig_heap[0], 0));
	assert_null(dsm_heap_ptr(rig_heap[0], 1ull << 60));
	assert_int_equal(dsm_heap_offset(rig_heap[0], &a), 0);
	rig_all_free();
}

/* ------------------------------------------------------------ on one host */

static dsm_heap_t *heap_with(const char *uri, uint32_t flags, dsm_segment_t **ret_seg)
{
	struct dsm_heap_options o = { .flags = flags };
	dsm_heap_t *heap;

	*ret_seg = rig_segment(uri, 4u << 20);
	assert_int_equal(dsm_heap_create(*ret_seg, &o, &heap), 0);
	return heap;
}

static void a_segment_has_one_heap(void **state)
{
	struct dsm_heap_options o = { .strategy = 77 };
	dsm_segment_t *seg;
	dsm_heap_t *a, *b;
	char uri[128];

	(void)state;
	strcpy(uri, rig_uri("one"));
	seg = rig_segment(uri, 1u << 20);
	assert_int_equal(dsm_heap_open(seg, &a), -ENOENT);
	assert_int_equal(dsm_heap_create(seg, &o, &a), -EINVAL);
	o = (struct dsm_heap_options){ .flags = 0x100 };
	assert_int_equal(dsm_heap_create(seg, &o, &a), -EINVAL);
	assert_int_equal(dsm_heap_open(NULL, &a), -EINVAL);
	assert_int_equal(dsm_heap_free(NULL, 5), -EINVAL);
	assert_int_equal(dsm_heap_alloc(NULL, 5), 0);
	assert_int_equal(heap_default(seg, &a), 0);
	assert_int_equal(heap_default(seg, &b), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(dsm_heap_create(seg, NULL, &b), -EEXIST);
	assert_ptr_equal(dsm_heap_segment(a), seg);
	assert_int_equal(dsm_heap_strategy(a), DSM_HEAP_SIZE_CLASSES);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(uri, NULL), 0);
}

static void guards_and_poison_show_what_was_written(void **state)
{
	dsm_segment_t *seg;
	dsm_heap_t *h = heap_with(rig_uri("guard"),
				  DSM_HEAP_GUARDS | DSM_HEAP_POISON | DSM_HEAP_LOG, &seg);
	uint64_t off[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		off[i] = dsm_heap_alloc(h, i < 3 ? 100 : 100000);
		assert_int_equal(dsm_heap_usable_size(h, off[i]), i < 3 ? 100 : 100000);
		assert_int_equal(((uint8_t *)dsm_heap_ptr(h, off[i]))[50], HEAP_POISON_NEW);
	}
	((uint8_t *)dsm_heap_ptr(h, off[1]))[100] = 0;
	assert_int_equal(dsm_heap_free(h, off[1]), -EBADMSG);
	assert_non_null(strstr(dsm_last_error(), "beyond its end"));
	assert_int_equal(dsm_heap_usable_size(h, off[1]), 0);
	((uint8_t *)dsm_heap_ptr(h, off[3]))[100000] = 0;
	assert_int_equal(dsm_heap_free(h, off[3]), -EBADMSG);
	assert_int_equal(dsm_heap_free(h, off[0]), 0);
	assert_int_equal(((uint8_t *)dsm_heap_ptr(h, off[0]))[50], HEAP_POISON_FREE);
	assert_int_equal(dsm_heap_free(h, off[0]), -EALREADY);
	off[2] = dsm_heap_realloc(h, off[2], 5000);
	assert_int_equal(dsm_heap_usable_size(h, off[2]), 5000);
	off[0] = dsm_heap_calloc(h, 10, 10);
	assert_true(all_zero(dsm_heap_ptr(h, off[0]), 100));
	rig_whole(h);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(rig_uri("guard"), NULL), 0);
}

/* Whatever stands in its header and table: an error, or a heap that refuses; never a crash. */
static void a_damaged_heap_is_refused(void **state)
{
	dsm_segment_t *seg, *other;
	dsm_heap_t *h = heap_with(rig_uri("bad"), 0, &seg), *again;
	struct heap_header *header = seg_at(seg, h->header_off), good = *header;
	char uri[128];

	(void)state;
	strcpy(uri, rig_uri("bad"));
	assert_int_equal(dsm_segment_open(uri, NULL, &other), 0);
	header->magic++;
	assert_int_equal(dsm_heap_open(other, &again), -EBADMSG);
	*header = good;
	header->version++;
	assert_int_equal(dsm_heap_open(other, &again), -EPROTO);
	*header = good;
	header->strategy = 1000;
	assert_int_equal(dsm_heap_open(other, &again), -EBADMSG);
	*header = good;
	header->part += SEG_PAGE;
	assert_int_equal(dsm_heap_open(other, &again), -EBADMSG);
	header->part = UINT64_MAX;
	assert_int_equal(dsm_heap_open(other, &again), -EBADMSG);
	*header = good;
	class_heap(h)->part->grains++;
	assert_int_equal(dsm_heap_open(other, &again), -EBADMSG);
	class_heap(h)->part->grains--;
	assert_int_equal(dsm_heap_open(other, &again), 0);
	dsm_segment_close(other);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(uri, NULL), 0);
}

static int count_fault(void *context, uint64_t off, const char *what)
{
	(void)off;
	(void)what;
	++*(int *)context;
	return 0;
}

static void damage_is_found(void **state)
{
	dsm_segment_t *seg;
	dsm_heap_t *heap = heap_with(rig_uri("find"), 0, &seg);
	struct class_heap *h = class_heap(heap);
	uint64_t a = dsm_heap_alloc(heap, 100), b = dsm_heap_alloc(heap, 100000);
	_Atomic uint64_t *words = class_bitmap(h, a / SEG_GRAIN);
	uint32_t word = class_word(h, a / SEG_GRAIN);
	uint64_t last = class_sizes[class_of_word(word)].words - 1, *large;
	int n = 0;

	(void)state;
	rig_whole(heap);
	words[last] |= 1ull << 63;
	(void)class_check(heap, count_fault, &n);
	assert_int_equal(n, 1);
	words[last] &= ~(1ull << 63);
	h->table[a / SEG_GRAIN] = CLASS_NONE;
	(void)class_check(heap, count_fault, &n);
	assert_int_equal(n, 2);
	h->table[a / SEG_GRAIN] = CLASS_SPAN | 200u << 8;
	(void)class_check(heap, count_fault, &n);
	assert_int_equal(n, 3);
	h->table[a / SEG_GRAIN] = class_span_word(class_of_word(word), 777);
	(void)class_check(heap, count_fault, &n);
	assert_int_equal(n, 4);
	h->table[a / SEG_GRAIN] = word;
	large = seg_at(seg, b - 64);
	large[0]++;
	(void)class_check(heap, count_fault, &n);
	assert_int_equal(n, 5);
	assert_int_equal(dsm_heap_free(heap, b), -EBADMSG);
	large[0]--;
	rig_whole(heap);
	dsm_segment_close(seg);
	assert_int_equal(dsm_segment_unlink(rig_uri("find"), NULL), 0);
}

#define BOTH                                                                                       \
	cmocka_unit_test(every_size_has_room_and_its_own_place),                                   \
		cmocka_unit_test(blocks_lie_where_asked),                                          \
		cmocka_unit_test(calloc_is_zeroed_and_counts_right),                               \
		cmocka_unit_test(realloc_keeps_what_was_there),                                    \
		cmocka_unit_test(what_is_no_block_is_refused)

int main(void)
{
	const struct CMUnitTest host[] = {
		BOTH,
		cmocka_unit_test(classes_waste_little),
		cmocka_unit_test(a_segment_has_one_heap),
		cmocka_unit_test(guards_and_poison_show_what_was_written),
		cmocka_unit_test(a_damaged_heap_is_refused),
		cmocka_unit_test(damage_is_found),
	};
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	const struct CMUnitTest cluster[] = { BOTH };
	struct dsm_segment_options host_size = rig_size;
	int failed;

	rig_size.max_size = 16u << 20;
	failed = cmocka_run_group_tests_name("cluster", cluster, heap_open_cluster,
					     heap_close_cluster);
	rig_size = host_size;
#else
	int failed = 0;
#endif

	return failed + cmocka_run_group_tests_name("host", host, heap_open_host, heap_close_host);
}
