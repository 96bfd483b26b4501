# SPDX-License-Identifier: MIT
RING_RIG := tests/unit/ring_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c

UNIT += test_ring test_conn test_ring_kill test_ring_damage test_map_serve
test_ring_SRCS := tests/unit/test_ring.c $(RING_RIG)
test_ring_LIBS := cmocka
test_ring_DEPS := $(B)/libdsm.a
test_conn_SRCS := tests/unit/test_conn.c $(RING_RIG)
test_conn_LIBS := cmocka
test_conn_DEPS := $(B)/libdsm.a
# It has the library die in the middle: it is linked with its objects.
test_ring_kill_SRCS := tests/unit/test_ring_kill.c $(RING_RIG) $(LIBDSM_SRCS)
test_ring_kill_LIBS := cmocka
# It looks into the layout.
test_ring_damage_SRCS := tests/unit/test_ring_damage.c tests/unit/ring_use.c $(RING_RIG) $(LIBDSM_SRCS)
test_ring_damage_LIBS := cmocka
test_map_serve_SRCS := tests/unit/test_map_serve.c $(RING_RIG)
test_map_serve_LIBS := cmocka
test_map_serve_DEPS := $(B)/libdsm.a
$(B)/test_ring $(B)/test_conn $(B)/test_ring_kill $(B)/test_ring_damage $(B)/test_map_serve: | $(B)/dsmd

TOOLS += ring_bench floor_ring
floor_ring_SRCS := tests/bench/floor_ring.c
ring_bench_SRCS := tests/bench/ring_bench.c
ring_bench_DEPS := $(B)/libdsm.a
