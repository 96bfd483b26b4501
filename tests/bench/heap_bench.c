// SPDX-License-Identifier: MIT
/*
 * heap_bench FIGURE CPU,CPU [STRATEGY [COUNT]]: heaps with the trace of heap_trace.h, in nanoseconds.
 *
 *	pair	one process
 *	pair_2p	two processes at once, on one heap
 *	remote	one process allocates, another one frees
 *
 * STRATEGY is a number of enum dsm_heap_strategy.
 */
#include <dsm_heap.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/measure.h"

typedef uint64_t block_t;

static dsm_heap_t *heap;

static block_t trace_alloc(size_t size)
{
	uint64_t off = dsm_heap_alloc(heap, size);

	if (!off)
		fprintf(stderr, "heap_bench: %s\n", dsm_last_error());
	return off;
}

static void trace_free(block_t block)
{
	if (dsm_heap_free(heap, block))
		fprintf(stderr, "heap_bench: %s\n", dsm_last_error());
}

static void *trace_ptr(block_t block)
{
	return dsm_heap_ptr(heap, block);
}

#define TRACE_HEAP
#include "tests/bench/heap_trace.h"

struct both {
	double other;
	_Alignas(4096) volatile block_t box[TRACE_BOX];
};

static int cpus[2] = { 0, 1 };
static size_t count = 3000000;
static struct both *both;

static void run_pair(void)
{
	pin(cpus[0]);
	(void)trace_churn(1, count / 4);
	printf("heap_pair %.3f ns\n", trace_churn(1, count));
}

static void run_pair_2p(void)
{
	pid_t child = fork();
	double own;

	pin(cpus[!child]);
	own = trace_churn(child ? 1 : 2, count);
	if (!child) {
		both->other = own;
		exit(0);
	}
	if (waitpid(child, NULL, 0) != child)
		die("waitpid");
	printf("heap_pair_2p %.3f ns\n", (own + both->other) / 2);
}

static void run_remote(void)
{
	pid_t child = fork();

	pin(cpus[!child]);
	if (!child) {
		trace_take(both->box, count);
		exit(0);
	}
	printf("heap_remote_free %.3f ns\n", trace_give(both->box, count));
	if (waitpid(child, NULL, 0) != child)
		die("waitpid");
}

static void make_heap(const char *uri, const char *strategy)
{
	struct dsm_segment_options so = { .size = 64u << 20 };
	struct dsm_heap_options ho = { .strategy = (uint32_t)atoi(strategy) };
	dsm_segment_t *seg;

	if (dsm_segment_create(uri, &so, &seg) || dsm_heap_create(seg, &ho, &heap)) {
		fprintf(stderr, "heap_bench: %s\n", dsm_last_error());
		exit(1);
	}
	(void)dsm_segment_unlink(uri, NULL);
	both = mmap(NULL, sizeof(*both), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (both == MAP_FAILED)
		die("mmap");
}

int main(int argc, char **argv)
{
	char uri[64];

	if (argc < 3 || sscanf(argv[2], "%d,%d", &cpus[0], &cpus[1]) != 2) {
		fprintf(stderr, "usage: heap_bench FIGURE CPU,CPU [STRATEGY [COUNT]]\n");
		return 2;
	}
	if (argc > 4)
		count = strtoul(argv[4], NULL, 10);
	(void)snprintf(uri, sizeof(uri), "shm:heap-bench-%d", getpid());
	make_heap(uri, argc > 3 ? argv[3] : "0");
	if (!strcmp(argv[1], "pair"))
		run_pair();
	else if (!strcmp(argv[1], "pair_2p"))
		run_pair_2p();
	else if (!strcmp(argv[1], "remote"))
		run_remote();
	else
		return 2;
	return 0;
}
