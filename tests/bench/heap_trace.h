/* SPDX-License-Identifier: MIT */
/*
 * The trace that heaps are measured with: sizes from 16 to 4095, each doubling as often, 4096
 * live blocks of which any may be replaced next, one byte of each touched. For C and C++; who
 * includes it defines TRACE_HEAP before, and
 *
 *	typedef ... block_t;			what names a block
 *	static block_t trace_alloc(size_t size);
 *	static void trace_free(block_t block);
 *	static void *trace_ptr(block_t block);
 */
#ifndef DSM_BENCH_HEAP_TRACE_H
#define DSM_BENCH_HEAP_TRACE_H

#include <sched.h>

#include "tests/bench/measure.h"

#ifndef TRACE_HEAP /* the C library's */
typedef char *block_t;

static inline block_t trace_alloc(size_t size)
{
	return (block_t)malloc(size);
}

static inline void trace_free(block_t block)
{
	free(block);
}

static inline void *trace_ptr(block_t block)
{
	return block;
}
#endif

#define TRACE_LIVE 4096u
#define TRACE_BOX  256u

static inline uint64_t trace_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static inline size_t trace_pick(uint64_t *x)
{
	uint64_t r = trace_next(x);
	size_t base = (size_t)16 << r % 8;

	return base + (size_t)((r >> 32) % base);
}

/* Nanoseconds of a pair of free and allocate. */
static inline double trace_churn(uint64_t seed, size_t n)
{
	static block_t live[TRACE_LIVE];
	uint64_t x = seed * 0x9E3779B97F4A7C15ull + 1, start;

	for (size_t i = 0; i < TRACE_LIVE; i++)
		live[i] = trace_alloc(trace_pick(&x));
	start = now_ns();
	for (size_t i = 0; i < n; i++) {
		size_t k = (size_t)(trace_next(&x) >> 20) % TRACE_LIVE;

		trace_free(live[k]);
		live[k] = trace_alloc(trace_pick(&x));
		*(volatile char *)trace_ptr(live[k]) = 1;
	}
	start = now_ns() - start;
	for (size_t i = 0; i < TRACE_LIVE; i++)
		trace_free(live[i]);
	return (double)start / (double)n;
}

/* Waits a moment for the other side, which may need this very cpu. */
static inline void trace_relax(unsigned int *looks)
{
	if (++*looks % 256 == 0)
		(void)sched_yield();
	else
		__builtin_ia32_pause();
}

/* One side allocates and puts the blocks into @box, where the other one takes them to free them. */
static inline double trace_give(volatile block_t *box, size_t n)
{
	uint64_t x = 7, start = now_ns();

	for (size_t i = 0; i < n; i++) {
		volatile block_t *at = &box[i % TRACE_BOX];
		block_t b = trace_alloc(trace_pick(&x));
		unsigned int looks = 0;

		*(volatile char *)trace_ptr(b) = 1;
		while (*at)
			trace_relax(&looks);
		__atomic_store_n(at, b, __ATOMIC_RELEASE);
	}
	return (double)(now_ns() - start) / (double)n;
}

static inline void trace_take(volatile block_t *box, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		volatile block_t *at = &box[i % TRACE_BOX];
		unsigned int looks = 0;
		block_t b;

		while (!(b = __atomic_load_n(at, __ATOMIC_ACQUIRE)))
			trace_relax(&looks);
		__atomic_store_n(at, (block_t)0, __ATOMIC_RELEASE);
		trace_free(b);
	}
}

#endif
