// SPDX-License-Identifier: MIT
/*
 * First, best and worst fit against a model that looks at every hole, under random operations
 * through two handles of a segment: in shared memory, and on two nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dsm/heap_report.h>
#include <errno.h>
#include <string.h>

#include "lib/heap/fit.h"
#include "tests/unit/lib_nodes.h"
#include "tests/unit/segment_rig.h"

#define LIVE 300

struct block {
	uint64_t off, size;
	uint8_t pattern;
};

static dsm_segment_t *seg[2];
static dsm_heap_t *heap[2];
static char uri[128];
static dsm_t *contexts[2]; /* NULL: shared memory */
static struct block live[LIVE];
static uint64_t x = 88172645463325252u;

static uint64_t next(void)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void begin(uint32_t strategy, uint32_t flags, uint64_t max)
{
	struct dsm_segment_options s = { .size = 1u << 20, .max_size = max };
	struct dsm_heap_options h = { .strategy = strategy, .flags = flags };

	memset(live, 0, sizeof(live));
	strcpy(uri, contexts[0] ? "dsm:fit" : rig_uri("fit"));
	(void)dsm_segment_unlink(uri, contexts[0]);
	for (int i = 0; i < 2; i++) {
		s.ctx = contexts[i];
		s.flags = i ? DSM_SEGMENT_EXISTING : 0;
		if (dsm_segment_create(uri, &s, &seg[i]) ||
		    (i ? dsm_heap_open(seg[i], &heap[i]) : dsm_heap_create(seg[i], &h, &heap[i])))
			fail_msg("%s", dsm_last_error());
	}
}

static void end(void)
{
	for (int i = 0; i < 2; i++) {
		dsm_heap_close(heap[i]);
		dsm_segment_close(seg[i]);
	}
	assert_int_equal(dsm_segment_unlink(uri, contexts[0]), 0);
}

static int fault_print(void *context, uint64_t off, const char *what)
{
	(void)context;
	print_error("%#lx: %s\n", (unsigned long)off, what);
	return 0;
}

static void whole(void)
{
	assert_int_equal(dsm_heap_validate(heap[next() % 2], fault_print, NULL), 0);
}

/* ------------------------------------------------------------ the model */

struct hole {
	uint64_t b, units; /* 0: none */
};

/* The hole that the strategy should take for @units; of equally small or large ones any will do. */
static struct hole hole_for(struct fit *f, uint64_t units)
{
	struct hole best = { 0 };

	assert_int_equal(fit_refresh(f), 0);
	for (uint32_t i = 0; i < f->n; i++) {
		const struct fit_arena *a = &f->arenas[i];
		uint64_t b = a->first, n;

		for (; b < a->end; b += n * FIT_UNIT) {
			uint64_t word = fit_read(f, b);

			n = fit_units(word);
			if (fit_flags(word) & FIT_USED || n < units)
				continue;
			if (!best.units || (f->strategy == DSM_HEAP_BEST_FIT && n < best.units) ||
			    (f->strategy == DSM_HEAP_WORST_FIT && n > best.units))
				best = (struct hole){ b, n };
		}
	}
	return best;
}

/* Size of the hole that @off came to lie in, before it did. */
static uint64_t units_at(struct fit *f, uint64_t b)
{
	return fit_units(fit_read(f, b));
}

static void alloc_as_expected(int side, struct block *block)
{
	struct fit *f = heap[side]->own;
	struct hole hole = hole_for(f, fit_units_for(block->size));
	uint32_t arenas = f->n;
	uint64_t taken, left;

	block->off = dsm_heap_alloc(heap[side], block->size);
	if (!block->off)
		fail_msg("%s", dsm_last_error());
	if (!hole.units) {
		assert_true(f->n > arenas);
		return;
	}
	assert_int_equal(f->n, arenas);
	taken = units_at(f, block->off - FIT_TAG);
	left = fit_read(f, block->off - FIT_TAG + taken * FIT_UNIT);
	if (!fit_by_size(f))
		assert_int_equal(block->off, hole.b + FIT_TAG);
	/* What it took and what is left behind it are the hole, which had another behind it never. */
	if (!(fit_flags(left) & FIT_USED))
		taken += fit_units(left);
	assert_int_equal(taken, hole.units);
}

/* ------------------------------------------------------------ random operations */

static uint64_t size_pick(void)
{
	uint64_t r = next(), base = 1ull << (r % 13);

	return r % 41 ? base + (r >> 32) % base : 20000 + (r >> 32) % 200000;
}

static void fill(struct block *b)
{
	b->pattern = (uint8_t)next();
	memset(dsm_heap_ptr(heap[next() % 2], b->off), b->pattern, b->size);
}

static void unharmed(const struct block *b, uint64_t size)
{
	const uint8_t *p = dsm_heap_ptr(heap[next() % 2], b->off);

	for (uint64_t i = 0; i < size; i++)
		if (p[i] != b->pattern)
			fail_msg("block %#lx of %lu bytes: byte %lu changed", (unsigned long)b->off,
				 (unsigned long)b->size, (unsigned long)i);
}

static void one_operation(bool model)
{
	int side = (int)(next() % 2);
	struct block *b = &live[next() % LIVE];
	uint64_t off, size, align;

	if (!b->off && next() % 8) {
		b->size = size_pick();
		if (model)
			alloc_as_expected(side, b);
		else
			b->off = dsm_heap_alloc(heap[side], b->size);
		assert_int_not_equal(b->off, 0);
	} else if (!b->off) {
		align = 16ull << (next() % 9);
		b->size = size_pick();
		b->off = dsm_heap_aligned_alloc(heap[side], align, b->size);
		assert_int_not_equal(b->off, 0);
		assert_int_equal(b->off % align, 0);
	} else if (next() % 4) {
		unharmed(b, b->size);
		assert_int_equal(dsm_heap_free(heap[side], b->off), 0);
		b->off = 0;
		return;
	} else {
		size = size_pick();
		off = dsm_heap_realloc(heap[side], b->off, size);
		assert_int_not_equal(off, 0);
		b->off = off;
		unharmed(b, size < b->size ? size : b->size);
		b->size = size;
	}
	assert_true(dsm_heap_usable_size(heap[side], b->off) >= b->size);
	fill(b);
}

static void random_operations(uint32_t strategy, uint32_t flags, int n)
{
	struct dsm_heap_report r;

	begin(strategy, flags, 256u << 20);
	for (int i = 0; i < n; i++) {
		one_operation(!(flags & DSM_HEAP_GUARDS));
		if (i % 500 == 499)
			whole();
	}
	whole();
	for (int i = 0; i < LIVE; i++)
		assert_int_equal(dsm_heap_free(heap[i % 2], live[i].off), 0);
	whole();
	assert_int_equal(dsm_heap_report(heap[1], &r), 0);
	assert_int_equal(r.used, 0);
	/* Nothing is left in pieces, and one arena at most is kept beside the others that are in use. */
	assert_int_equal(r.free, r.runs);
	assert_true(r.runs <= 2);
	end();
}

static int operations(void)
{
	return contexts[0] ? 600 : 20000;
}

static void first_fit_takes_the_lowest_hole(void **state)
{
	(void)state;
	random_operations(DSM_HEAP_FIRST_FIT, 0, operations());
}

static void best_fit_takes_the_smallest_hole(void **state)
{
	(void)state;
	random_operations(DSM_HEAP_BEST_FIT, 0, operations());
}

static void worst_fit_takes_the_largest_hole(void **state)
{
	(void)state;
	random_operations(DSM_HEAP_WORST_FIT, 0, operations());
}

static void guards_and_poison_change_no_rule(void **state)
{
	const uint32_t flags = DSM_HEAP_GUARDS | DSM_HEAP_POISON | DSM_HEAP_LOG;

	(void)state;
	for (uint32_t s = DSM_HEAP_FIRST_FIT; s <= DSM_HEAP_WORST_FIT; s++)
		random_operations(s, flags, operations() / 5);
}

/* ------------------------------------------------------------ edges */

static void what_is_no_block_is_refused(void **state)
{
	(void)state;
	for (uint32_t s = DSM_HEAP_FIRST_FIT; s <= DSM_HEAP_WORST_FIT; s++) {
		uint64_t a, b, c;

		begin(s, 0, 256u << 20);
		a = dsm_heap_alloc(heap[0], 100);
		b = dsm_heap_alloc(heap[0], 100);
		c = dsm_heap_alloc(heap[0], 100);
		assert_true(a && b && c);
		assert_int_equal(dsm_heap_free(heap[1], a + 16), -EINVAL);
		assert_int_equal(dsm_heap_free(heap[1], a + 1), -EINVAL);
		assert_int_equal(dsm_heap_free(heap[1], 16), -EINVAL);
		assert_int_equal(dsm_heap_free(heap[1], UINT64_MAX - 7), -EINVAL);
		assert_int_equal(dsm_heap_free(heap[1], b), 0);
		assert_int_equal(dsm_heap_free(heap[0], b), -EALREADY);
		/* Also when it is part of a larger free place by now. */
		assert_int_equal(dsm_heap_free(heap[0], a), 0);
		assert_int_equal(dsm_heap_free(heap[1], b), -EALREADY);
		assert_int_equal(dsm_heap_free(heap[1], a), -EALREADY);
		assert_int_equal(dsm_heap_usable_size(heap[0], b), 0);
		errno = 0;
		assert_int_equal(dsm_heap_alloc(heap[0], 0), 0);
		assert_int_equal(errno, EINVAL);
		assert_int_equal(dsm_heap_alloc(heap[0], SIZE_MAX), 0);
		assert_int_equal(errno, ENOMEM);
		whole();
		end();
	}
}

static void a_full_heap_says_so_and_goes_on(void **state)
{
	(void)state;
	for (uint32_t s = DSM_HEAP_FIRST_FIT; s <= DSM_HEAP_WORST_FIT; s++) {
		uint64_t blocks[600], n = 0;

		begin(s, 0, 4u << 20);
		while (n < 600 && (blocks[n] = dsm_heap_alloc(heap[n % 2], 10000)))
			n++;
		assert_int_equal(errno, ENOMEM);
		assert_in_range(n, 330, 430);
		whole();
		for (uint64_t i = 0; i < n; i++)
			assert_int_equal(dsm_heap_free(heap[i % 2], blocks[i]), 0);
		whole();
		assert_int_not_equal(dsm_heap_alloc(heap[0], 500000), 0);
		end();
	}
}

static void words_and_blocks_move_together(void **state)
{
	(void)state;
	for (uint32_t s = DSM_HEAP_FIRST_FIT; s <= DSM_HEAP_WORST_FIT; s++) {
		uint64_t at, *word, off;

		begin(s, 0, 256u << 20);
		at = dsm_heap_calloc(heap[0], 1, 8);
		word = dsm_heap_ptr(heap[0], at);
		assert_int_equal(dsm_heap_alloc_to(heap[0], 100, word), 0);
		off = *(uint64_t *)dsm_heap_ptr(heap[1], at);
		assert_true(dsm_heap_usable_size(heap[1], off) >= 100);
		assert_int_equal(dsm_heap_free_from(heap[1], dsm_heap_ptr(heap[1], at)), 0);
		assert_int_equal(*word, 0);
		assert_int_equal(dsm_heap_free(heap[0], off), -EALREADY);
		assert_int_equal(dsm_heap_free_from(heap[1], dsm_heap_ptr(heap[1], at)), 0);
		end();
	}
}

struct holder {
	struct seg_lock *locks;
	int n;
};

/* Called between two arenas' locks: takes all that a thread can hold. */
static int take_all(void *context, const struct heap_place *p)
{
	struct holder *h = context;

	(void)p;
	while (h->n < SEG_HELD_MAX && !seg_lock(seg[0], &h->locks[h->n], SEG_LAYER_TOP))
		h->n++;
	return 0;
}

static void a_walk_that_gets_no_lock_ends_with_the_error(void **state)
{
	struct dsm_heap_report report;
	struct holder h = { 0 };

	(void)state;
	begin(DSM_HEAP_BEST_FIT, 0, 8u << 20);
	h.locks = dsm_heap_ptr(heap[0], dsm_heap_calloc(heap[0], SEG_HELD_MAX, sizeof(*h.locks)));
	assert_int_equal(heap[0]->ops->walk(heap[0], take_all, &h), -EDEADLK);
	assert_int_equal(dsm_heap_report(heap[0], &report), -EDEADLK);
	while (h.n)
		seg_unlock(seg[0], &h.locks[--h.n]);
	assert_int_equal(dsm_heap_report(heap[0], &report), 0);
	end();
}

#define BOTH                                                                                       \
	cmocka_unit_test(first_fit_takes_the_lowest_hole),                                         \
		cmocka_unit_test(best_fit_takes_the_smallest_hole),                                \
		cmocka_unit_test(worst_fit_takes_the_largest_hole),                                \
		cmocka_unit_test(guards_and_poison_change_no_rule),                                \
		cmocka_unit_test(words_and_blocks_move_together)

#ifndef __SANITIZE_THREAD__ /* the memory of two nodes does not fit beside it */
static int open_cluster(void **state)
{
	int err = nodes_setup(state);

	contexts[0] = node[0];
	contexts[1] = node[1];
	return err;
}

static int close_cluster(void **state)
{
	contexts[0] = contexts[1] = NULL;
	return nodes_teardown(state);
}
#endif

int main(void)
{
	const struct CMUnitTest host[] = {
		BOTH,
		cmocka_unit_test(what_is_no_block_is_refused),
		cmocka_unit_test(a_full_heap_says_so_and_goes_on),
		cmocka_unit_test(a_walk_that_gets_no_lock_ends_with_the_error),
	};
	int failed = cmocka_run_group_tests(host, NULL, NULL);
#ifndef __SANITIZE_THREAD__
	const struct CMUnitTest cluster[] = { BOTH };

	failed += cmocka_run_group_tests(cluster, open_cluster, close_cluster);
#endif
	return failed;
}
