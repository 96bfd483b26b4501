# SPDX-License-Identifier: MIT
# The tests turn the clock and look into the layout: they are linked with the library's objects.
MAP_RIG := tests/unit/map_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c

UNIT += test_map test_map_limits test_map_random test_map_kill
# Sanitizers make a hundred instructions of each.
ifeq ($(filter asan tsan,$(VARIANT)),)
UNIT += test_map_steps
endif
test_map_SRCS := tests/unit/test_map.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_LIBS := cmocka
test_map_limits_SRCS := tests/unit/test_map_limits.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_limits_LIBS := cmocka
test_map_random_SRCS := tests/unit/test_map_random.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_random_LIBS := cmocka
test_map_kill_SRCS := tests/unit/test_map_kill.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_kill_LIBS := cmocka
test_map_steps_SRCS := tests/unit/test_map_steps.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_steps_LIBS := cmocka
$(B)/test_map $(B)/test_map_random $(B)/test_map_kill: | $(B)/dsmd

TOOLS += map_bench floor_map_table floor_map_redis
map_bench_SRCS := tests/bench/map_bench.c
map_bench_DEPS := $(B)/libdsm.a
floor_map_table_SRCS := tests/bench/floor_map_table.c
floor_map_redis_SRCS := tests/bench/floor_map_redis.c

# A package that only `make bench` wants, so this is no part of TOOLS.
$(B)/floor_map_lmdb: tests/bench/floor_map_lmdb.c tests/bench/map_trace.h tests/bench/measure.h | build/.deps-bench
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CSTD) -O2 -Wall -Wextra -o $@ $< -llmdb
