# SPDX-License-Identifier: MIT
TOOLS += floor_remote floor_mutex dsm_bench heap_bench

floor_remote_SRCS := tests/bench/floor_remote.c tests/bench/floor_net.c
floor_mutex_SRCS := tests/bench/floor_mutex.c
dsm_bench_SRCS := tests/bench/dsm_bench.c tests/bench/turn.c tests/bench/figure_page.c tests/bench/figure_sync.c
dsm_bench_DEPS := $(B)/libdsm.a

# MPI is wanted by `make bench` alone, so this is no part of TOOLS.
$(B)/floor_heat_mpi: tests/bench/floor_heat_mpi.c | build/.deps-bench
	@mkdir -p $(@D)
	mpicc $(CSTD) -O3 -march=native -Wall -Wextra -o $@ $<

heap_bench_SRCS := tests/bench/heap_bench.c
heap_bench_DEPS := $(B)/libdsm.a

# So are the heaps that ours is measured beside.
$(B)/floor_heap_mi: tests/bench/floor_heap_mi.c tests/bench/heap_trace.h tests/bench/measure.h | build/.deps-bench
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CSTD) -O2 -Wall -Wextra -pthread -o $@ $< -lmimalloc

$(B)/floor_heap_boost: tests/bench/floor_heap_boost.cpp tests/bench/heap_trace.h tests/bench/measure.h | build/.deps-bench
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) -O2 -Wall -Wextra -pthread -o $@ $< -lrt

# Inside libdsm: its own sources, as the archive shows only what programs may use.
TOOLS += topic_bench
topic_bench_SRCS := tests/bench/topic_bench.c $(filter-out lib/node_heap.c lib/simple.c lib/list.c,$(wildcard lib/*.c))

TOOLS += heap_profile
heap_profile_SRCS := tests/bench/heap_profile.c
heap_profile_DEPS := $(B)/libdsm.a
