// SPDX-License-Identifier: MIT
/*
 * floor_heap_mi CPU,CPU: mimalloc with the trace of heap_trace.h: in one thread, and with a thread
 * that frees what another one allocates.
 */
#include <mimalloc.h>
#include <pthread.h>

typedef char *block_t;

#include "tests/bench/measure.h"

static block_t trace_alloc(size_t size)
{
	return mi_malloc(size);
}

static void trace_free(block_t block)
{
	mi_free(block);
}

static void *trace_ptr(block_t block)
{
	return block;
}

#define TRACE_HEAP
#include "tests/bench/heap_trace.h"

#define COUNT 3000000u

static int cpus[2] = { 0, 1 };
static volatile block_t box[TRACE_BOX];

static void *take(void *unused)
{
	pin(cpus[1]);
	trace_take(box, COUNT);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t taker;

	if (argc > 1)
		(void)sscanf(argv[1], "%d,%d", &cpus[0], &cpus[1]);
	pin(cpus[0]);
	(void)trace_churn(1, COUNT / 4);
	printf("mimalloc_pair %.3f ns\n", trace_churn(1, COUNT));
	if (pthread_create(&taker, NULL, take, NULL))
		die("pthread_create");
	printf("mimalloc_remote %.3f ns\n", trace_give(box, COUNT));
	pthread_join(taker, NULL);
	return 0;
}
