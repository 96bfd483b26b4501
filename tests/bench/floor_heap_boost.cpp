// SPDX-License-Identifier: MIT
/*
 * floor_heap_boost CPU,CPU: Boost's managed_shared_memory (best fit in a red-black tree, one
 * lock) with the trace of heap_trace.h, in one process and in two at once.
 */
#include <boost/interprocess/managed_shared_memory.hpp>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace bi = boost::interprocess;
typedef char *block_t;

static bi::managed_shared_memory *memory;

static block_t trace_alloc(size_t size)
{
	return static_cast<char *>(memory->allocate(size));
}

static void trace_free(block_t block)
{
	memory->deallocate(block);
}

static void *trace_ptr(block_t block)
{
	return block;
}

#define TRACE_HEAP
#include "tests/bench/heap_trace.h"

static const size_t COUNT = 500000;

int main(int argc, char **argv)
{
	int cpus[2] = { 0, 1 };
	char name[64];
	void *shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			    0);
	double *other = static_cast<double *>(shared), own;
	pid_t child;

	if (argc > 1)
		(void)std::sscanf(argv[1], "%d,%d", &cpus[0], &cpus[1]);
	(void)std::snprintf(name, sizeof(name), "heap-boost-%d", getpid());
	bi::shared_memory_object::remove(name);
	memory = new bi::managed_shared_memory(bi::create_only, name, 64u << 20);
	pin(cpus[0]);
	std::printf("boost_pair %.3f ns\n", trace_churn(1, COUNT));
	(void)std::fflush(stdout);
	child = fork();
	pin(cpus[!child]);
	if (!child)
		memory = new bi::managed_shared_memory(bi::open_only, name);
	own = trace_churn(child ? 1 : 2, COUNT);
	if (!child) {
		*other = own;
		_exit(0);
	}
	(void)waitpid(child, nullptr, 0);
	std::printf("boost_pair_2p %.3f ns\n", (own + *other) / 2);
	bi::shared_memory_object::remove(name);
	return 0;
}
