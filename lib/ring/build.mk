# SPDX-License-Identifier: MIT
RING_RIG := tests/unit/ring_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c

UNIT += test_ring
test_ring_SRCS := tests/unit/test_ring.c $(RING_RIG)
test_ring_LIBS := cmocka
test_ring_DEPS := $(B)/libdsm.a
$(B)/test_ring: | $(B)/dsmd

TOOLS += ring_bench
ring_bench_SRCS := tests/bench/ring_bench.c
ring_bench_DEPS := $(B)/libdsm.a
