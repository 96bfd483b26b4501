// SPDX-License-Identifier: MIT
/*
 * Heaps of size classes: what they give, what they refuse, who may free what; the same over
 * shared memory and over a region of two nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/heap/class.h"
#include "lib/segment/layout.h"
#include "tests/unit/heap_rig.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

#define MANY 5000

static uint64_t must_alloc(int side, size_t size)
{
	uint64_t off = dsm_heap_alloc(rig_heap[side], size);

	if (!off)
		fail_msg("%zu bytes: %s", size, dsm_last_error());
	return off;
}

static void must_free(int side, uint64_t off)
{
	if (dsm_heap_free(rig_heap[side], off))
		fail_msg("%s", dsm_last_error());
}

/* Nothing is on its way, nothing is left. */
static void all_is_free(void)
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(dsm_heap_flush(rig_heap[i]), 0);
	assert_int_equal(dsm_heap_flush(rig_heap[0]), 0);
	rig_whole(rig_heap[0]);
	assert_int_equal(rig_used(rig_heap[0]), 0);
}

static void every_size_has_room_and_its_own_place(void **state)
{
	static const size_t sizes[] = { 1,     15,    16,    17,    24,	    100,    128,
					129,   1000,  4095,  4096,  4097,   8192,   30720,
					30721, 65472, 65473, 70000, 200000, 1000000 };
	enum { N = sizeof(sizes) / sizeof(sizes[0]) };
	uint64_t off[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		off[i] = must_alloc(0, sizes[i]);
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
		must_free(0, off[i]);
	}
	all_is_free();
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
			must_free(0, off[n]);
		}
	assert_int_equal(dsm_heap_aligned_alloc(rig_heap[0], 3, 8), 0);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(dsm_heap_aligned_alloc(rig_heap[0], 8192, 8), 0);
	assert_int_equal(dsm_heap_aligned_alloc(rig_heap[0], 0, 8), 0);
	all_is_free();
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
		must_free(0, a);
		must_free(0, b);
	}
	assert_int_equal(dsm_heap_calloc(rig_heap[0], SIZE_MAX / 2, 3), 0);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(dsm_heap_calloc(rig_heap[0], 0, 3), 0);
	assert_int_equal(errno, EINVAL);
	all_is_free();
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
	must_free(0, off);
	all_is_free();
}

static void what_is_no_block_is_refused(void **state)
{
	uint64_t a = must_alloc(0, 100), b = must_alloc(0, 100000), c;

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
	must_free(0, a);
	assert_int_equal(dsm_heap_free(rig_heap[0], a), -EALREADY);
	assert_non_null(strstr(dsm_last_error(), "free already"));
	assert_int_equal(dsm_heap_free(rig_heap[1], a), -EALREADY);
	must_free(1, b);
	c = dsm_heap_free(rig_heap[0], b) ? 0 : 1;
	assert_int_equal(c, 0);
	assert_int_equal(dsm_heap_alloc(rig_heap[0], 1ull << 60), 0);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(dsm_heap_alloc(rig_heap[0], SIZE_MAX), 0);
	assert_int_equal(errno, ENOMEM);
	assert_null(dsm_heap_ptr(rig_heap[0], 0));
	assert_null(dsm_heap_ptr(rig_heap[0], 1ull << 60));
	assert_int_equal(dsm_heap_offset(rig_heap[0], &a), 0);
	all_is_free();
}

/* Blocks go to the other side to be freed, and their places come back. */
static void anybody_frees_what_somebody_allocated(void **state)
{
	static uint64_t off[MANY];
	uint64_t x = 7;
	struct dsm_segment_info before, after;

	(void)state;
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < MANY; i++) {
			off[i] = must_alloc(0, rig_seg[0]->cluster ? 16 + rig_next(&x) % 200
								   : rig_pick(&x));
			memset(dsm_heap_ptr(rig_heap[0], off[i]), i, 8);
		}
		if (round < 2)
			assert_int_equal(dsm_segment_info(rig_seg[0], &before), 0);
		for (int i = 0; i < MANY; i++)
			must_free(1, off[i]);
	}
	assert_int_equal(dsm_segment_info(rig_seg[0], &after), 0);
	/* They did come back: six times as much was allocated. */
	assert_true(after.size - after.free_bytes < 2 * (before.size - before.free_bytes));
	all_is_free();
}

static void *end_with_blocks(void *arg)
{
	uint64_t *off = arg;

	for (int i = 0; i < 1000; i++)
		off[i] = must_alloc(0, 200);
	return NULL;
}

static void the_spans_of_a_thread_that_ended_are_used_again(void **state)
{
	static uint64_t off[1000];
	uint64_t again[300];
	pthread_t thread;
	bool met = false;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, end_with_blocks, off), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	rig_whole(rig_heap[0]);
	assert_int_equal(rig_used(rig_heap[0]), 1000);
	for (int i = 0; i < 1000; i += 2)
		must_free(1, off[i]);
	assert_int_equal(dsm_heap_flush(rig_heap[1]), 0);
	for (int i = 0; i < 300; i++) {
		again[i] = must_alloc(1, 200);
		met |= again[i] / SEG_GRAIN == off[0] / SEG_GRAIN;
	}
	assert_true(met);
	for (int i = 1; i < 1000; i += 2)
		must_free(0, off[i]);
	for (int i = 0; i < 300; i++)
		must_free(0, again[i]);
	all_is_free();
}

static void a_word_gets_and_loses_its_block(void **state)
{
	uint64_t at = must_alloc(0, 64), *word = dsm_heap_ptr(rig_heap[0], at), outside = 0;

	(void)state;
	memset(word, 0, 64);
	assert_int_equal(dsm_heap_alloc_to(rig_heap[0], 100, &word[0]), 0);
	assert_int_equal(dsm_heap_alloc_to(rig_heap[0], 100000, &word[1]), 0);
	assert_true(dsm_heap_usable_size(rig_heap[0], word[0]) >= 100);
	assert_true(dsm_heap_usable_size(rig_heap[0], word[1]) >= 100000);
	assert_int_equal(dsm_heap_free_from(rig_heap[0], &word[0]), 0);
	assert_int_equal(word[0], 0);
	assert_int_equal(dsm_heap_free_from(rig_heap[0], &word[0]), 0);
	/* On the other side. */
	word = dsm_heap_ptr(rig_heap[1], at);
	assert_int_equal(dsm_heap_free_from(rig_heap[1], &word[1]), 0);
	assert_int_equal(word[1], 0);
	assert_int_equal(dsm_heap_alloc_to(rig_heap[1], 48, &word[2]), 0);
	word = dsm_heap_ptr(rig_heap[0], at);
	assert_int_equal(dsm_heap_free_from(rig_heap[0], &word[2]), 0);
	word[3] = at + 4;
	assert_int_equal(dsm_heap_free_from(rig_heap[0], &word[3]), -EINVAL);
	assert_int_equal(word[3], at + 4);
	assert_int_equal(dsm_heap_alloc_to(rig_heap[0], 100, &outside), -EINVAL);
	assert_int_equal(dsm_heap_free_from(rig_heap[0], &outside), -EINVAL);
	assert_int_equal(dsm_heap_alloc_to(rig_heap[0], 100, (uint64_t *)((char *)word + 4)),
			 -EINVAL);
	must_free(0, at);
	all_is_free();
}

static void a_full_heap_says_so_and_goes_on(void **state)
{
	static uint64_t off[40000];
	int n = 0;
	size_t size = rig_seg[0]->cluster ? 20000 : 3000;

	(void)state;
	while (n < 40000 && (off[n] = dsm_heap_alloc(rig_heap[0], size)))
		n++;
	assert_true(n > 100 && n < 40000);
	assert_int_equal(errno, ENOMEM);
	assert_non_null(strstr(dsm_last_error(), "full"));
	assert_int_equal(dsm_heap_alloc(rig_heap[0], 200000), 0);
	rig_whole(rig_heap[0]);
	/* What the other side frees can be had again, if it says that it has. */
	for (int i = 0; i < n; i += 2)
		must_free(1, off[i]);
	assert_int_equal(dsm_heap_flush(rig_heap[1]), 0);
	for (int i = 0; i < n; i += 2)
		off[i] = must_alloc(0, size);
	for (int i = 0; i < n; i++)
		must_free(0, off[i]);
	all_is_free();
	must_free(0, must_alloc(0, 300000));
}

static void *churn(void *arg)
{
	uint64_t live[64] = { 0 }, x = (uintptr_t)arg * 77 + 1;
	int side = (uintptr_t)arg % 2;

	for (int i = 0; i < 20000; i++) {
		size_t k = rig_next(&x) % 64;

		if (live[k]) {
			uint64_t *p = dsm_heap_ptr(rig_heap[side], live[k]);

			assert_int_equal(*p, live[k]);
			must_free(side, live[k]);
		}
		live[k] = must_alloc(side, 16 + rig_next(&x) % 500);
		*(uint64_t *)dsm_heap_ptr(rig_heap[side], live[k]) = live[k];
	}
	for (int k = 0; k < 64; k++)
		must_free(side, live[k]);
	return NULL;
}

static void threads_do_not_meet(void **state)
{
	pthread_t thread[4];

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, churn, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	all_is_free();
}

static void a_child_goes_on_with_its_parents_heap(void **state)
{
	uint64_t mine = must_alloc(0, 500), word = dsm_heap_calloc(rig_heap[0], 1, 64), *p;
	int status;
	pid_t pid;

	(void)state;
	p = dsm_heap_ptr(rig_heap[0], word);
	pid = fork();
	if (!pid) {
		int err = dsm_heap_alloc_to(rig_heap[0], 500, p);

		if (!err && *p != mine)
			err = dsm_heap_free(rig_heap[0], mine);
		_exit(err || *p == mine);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)dsm_segment_recover(rig_seg[0]);
	must_free(0, *p);
	must_free(0, word);
	all_is_free();
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
		cmocka_unit_test(what_is_no_block_is_refused),                                     \
		cmocka_unit_test(anybody_frees_what_somebody_allocated),                           \
		cmocka_unit_test(the_spans_of_a_thread_that_ended_are_used_again),                 \
		cmocka_unit_test(a_word_gets_and_loses_its_block),                                 \
		cmocka_unit_test(threads_do_not_meet),                                             \
		cmocka_unit_test(a_child_goes_on_with_its_parents_heap),                           \
		cmocka_unit_test(a_full_heap_says_so_and_goes_on)

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
