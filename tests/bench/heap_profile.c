// SPDX-License-Identifier: MIT
/*
 * heap_profile STRATEGY [SLICES [COUNT]]: the trace of heap_trace.h cut into slices. A line for
 * each: pairs so far, nanoseconds of a pair, bytes the heap has, bytes in use, external and
 * internal fragmentation in percent.
 */
#include <dsm_heap.h>
#include <dsm_heap_report.h>
#include <unistd.h>

#include "tests/bench/measure.h"

typedef uint64_t block_t;

static dsm_heap_t *heap;

static void fail(void)
{
	fprintf(stderr, "heap_profile: %s\n", dsm_last_error());
	exit(1);
}

static block_t trace_alloc(size_t size)
{
	uint64_t off = dsm_heap_alloc(heap, size);

	if (!off)
		fail();
	return off;
}

static void trace_free(block_t block)
{
	if (dsm_heap_free(heap, block))
		fail();
}

static void *trace_ptr(block_t block)
{
	return dsm_heap_ptr(heap, block);
}

#define TRACE_HEAP
#include "tests/bench/heap_trace.h"

static block_t live[TRACE_LIVE];
static size_t asked[TRACE_LIVE], asked_bytes;

static void replace(uint64_t *x, size_t k)
{
	if (live[k])
		trace_free(live[k]);
	asked_bytes -= asked[k];
	asked[k] = trace_pick(x);
	asked_bytes += asked[k];
	live[k] = trace_alloc(asked[k]);
}

static void slice(uint64_t *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = (size_t)(trace_next(x) >> 20) % TRACE_LIVE;

		replace(x, k);
		*(volatile char *)trace_ptr(live[k]) = 1;
	}
}

int main(int argc, char **argv)
{
	struct dsm_segment_options so = { .size = 64u << 20 };
	struct dsm_heap_options ho = { .strategy = argc > 1 ? (uint32_t)atoi(argv[1]) : 0 };
	size_t slices = argc > 2 ? strtoul(argv[2], NULL, 10) : 40;
	size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : 50000;
	struct dsm_heap_report r;
	dsm_segment_t *seg;
	uint64_t x = 0x9E3779B97F4A7C16ull, start;
	char uri[64];

	(void)trace_churn; /* the whole trace at once is heap_bench's */
	(void)snprintf(uri, sizeof(uri), "shm:heap-profile-%d", getpid());
	if (dsm_segment_create(uri, &so, &seg) || dsm_heap_create(seg, &ho, &heap))
		fail();
	(void)dsm_segment_unlink(uri, NULL);
	for (size_t i = 0; i < TRACE_LIVE; i++)
		replace(&x, i);
	for (size_t s = 1; s <= slices; s++) {
		start = now_ns();
		slice(&x, count);
		start = now_ns() - start;
		if (dsm_heap_report(heap, &r))
			fail();
		printf("%zu %.2f %lu %lu %.3f %.3f\n", s * count, (double)start / (double)count,
		       (unsigned long)r.bytes, (unsigned long)r.used_bytes, 100 * r.external,
		       100 - 100 * (double)asked_bytes / (double)r.used_bytes);
	}
	return 0;
}
