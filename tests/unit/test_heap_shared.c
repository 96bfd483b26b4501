// SPDX-License-Identifier: MIT
/*
 * Heaps of size classes in several hands: threads, processes and nodes that allocate and free each
 * other's blocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/heap/class.h"
#include "tests/unit/heap_rig.h"
#include "tests/unit/lib_nodes.h"

#define MANY 5000

/* Blocks go to the other side to be freed, and their places come back. */
static void anybody_frees_what_somebody_allocated(void **state)
{
	static uint64_t off[MANY];
	uint64_t x = 7;
	struct dsm_segment_info before, after;

	(void)state;
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < MANY; i++) {
			off[i] = rig_alloc(0, rig_seg[0]->cluster ? 16 + rig_next(&x) % 200
								  : rig_pick(&x));
			memset(dsm_heap_ptr(rig_heap[0], off[i]), i, 8);
		}
		if (round < 2)
			assert_int_equal(dsm_segment_info(rig_seg[0], &before), 0);
		for (int i = 0; i < MANY; i++)
			rig_free(1, off[i]);
	}
	assert_int_equal(dsm_segment_info(rig_seg[0], &after), 0);
	/* They did come back: six times as much was allocated. */
	assert_true(after.size - after.free_bytes < 2 * (before.size - before.free_bytes));
	rig_all_free();
}

static void *end_with_blocks(void *arg)
{
	uint64_t *off = arg;

	for (int i = 0; i < 1000; i++)
		off[i] = rig_alloc(0, 200);
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
		rig_free(1, off[i]);
	assert_int_equal(dsm_heap_flush(rig_heap[1]), 0);
	for (int i = 0; i < 300; i++) {
		again[i] = rig_alloc(1, 200);
		met |= again[i] / SEG_GRAIN == off[0] / SEG_GRAIN;
	}
	assert_true(met);
	for (int i = 1; i < 1000; i += 2)
		rig_free(0, off[i]);
	for (int i = 0; i < 300; i++)
		rig_free(0, again[i]);
	rig_all_free();
}

static void a_word_gets_and_loses_its_block(void **state)
{
	uint64_t at = rig_alloc(0, 64), *word = dsm_heap_ptr(rig_heap[0], at), outside = 0;

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
	rig_free(0, at);
	rig_all_free();
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
		rig_free(1, off[i]);
	assert_int_equal(dsm_heap_flush(rig_heap[1]), 0);
	for (int i = 0; i < n; i += 2)
		off[i] = rig_alloc(0, size);
	for (int i = 0; i < n; i++)
		rig_free(0, off[i]);
	rig_all_free();
	rig_free(0, rig_alloc(0, 300000));
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
			rig_free(side, live[k]);
		}
		live[k] = rig_alloc(side, 16 + rig_next(&x) % 500);
		*(uint64_t *)dsm_heap_ptr(rig_heap[side], live[k]) = live[k];
	}
	for (int k = 0; k < 64; k++)
		rig_free(side, live[k]);
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
	rig_all_free();
}

static void a_child_goes_on_with_its_parents_heap(void **state)
{
	uint64_t mine = rig_alloc(0, 500), word = dsm_heap_calloc(rig_heap[0], 1, 64), *p;
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
	rig_free(0, *p);
	rig_free(0, word);
	rig_all_free();
}

#ifndef __SANITIZE_THREAD__
/* ------------------------------------------------------------ on two nodes */

#define WATCHED 5

/* Pages that a small allocation reads or writes, as both nodes see them. */
static void look_at_pages(const uint64_t *span, struct dsm_page_info ret[2][WATCHED])
{
	for (int side = 0; side < 2; side++) {
		struct seg_slot *self = seg_self(rig_seg[0]), *other = seg_self(rig_seg[1]);
		const uint64_t off[WATCHED] = { span[0], span[1], seg_off(rig_seg[0], self),
						seg_off(rig_seg[1], other), rig_heap[0]->part };

		for (int i = 0; i < WATCHED; i++)
			assert_int_equal(dsm_page_info_get(node[side],
							   seg_at(rig_seg[side], off[i]),
							   &ret[side][i]),
					 0);
	}
}

static void small_blocks_need_no_network(void **state)
{
	struct dsm_page_info before[2][WATCHED], after[2][WATCHED];
	uint64_t off[2][20], span[2];

	(void)state;
	for (int i = 0; i < 40; i++)
		off[i % 2][i / 2] = rig_alloc(i % 2, 100);
	for (int side = 0; side < 2; side++)
		span[side] = off[side][0] / SEG_GRAIN * SEG_GRAIN;
	assert_int_not_equal(span[0], span[1]);
	look_at_pages(span, before);
	/* As many as several times a span, all freed again: what the nodes do in turns. */
	for (int i = 0; i < 4000; i++) {
		rig_free(i % 2, off[i % 2][i / 2 % 20]);
		off[i % 2][i / 2 % 20] = rig_alloc(i % 2, 100);
	}
	look_at_pages(span, after);
	for (int side = 0; side < 2; side++)
		for (int i = 0; i < WATCHED; i++) {
			assert_int_equal(before[side][i].state, after[side][i].state);
			assert_int_equal(before[side][i].version, after[side][i].version);
		}
	/* It would have been seen: */
	atomic_fetch_add((_Atomic uint64_t *)seg_at(rig_seg[1], span[0] + CLASS_REMOTE), 0);
	look_at_pages(span, after);
	assert_true(before[0][0].state != after[0][0].state ||
		    before[0][0].version != after[0][0].version);
	for (int i = 0; i < 40; i++)
		rig_free(i % 2, off[i % 2][i / 2]);
	rig_all_free();
}
#endif

#define BOTH                                                                                       \
	cmocka_unit_test(anybody_frees_what_somebody_allocated),                                   \
		cmocka_unit_test(the_spans_of_a_thread_that_ended_are_used_again),                 \
		cmocka_unit_test(a_word_gets_and_loses_its_block),                                 \
		cmocka_unit_test(threads_do_not_meet),                                             \
		cmocka_unit_test(a_child_goes_on_with_its_parents_heap),                           \
		cmocka_unit_test(a_full_heap_says_so_and_goes_on)

int main(void)
{
	const struct CMUnitTest host[] = { BOTH };
#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
	const struct CMUnitTest cluster[] = {
		BOTH,
		cmocka_unit_test(small_blocks_need_no_network),
	};
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
