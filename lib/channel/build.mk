# SPDX-License-Identifier: MIT
UNIT += test_slots test_channel test_channel_peer
test_slots_SRCS := tests/unit/test_slots.c
test_slots_LIBS := cmocka
test_channel_SRCS := tests/unit/test_channel.c tests/unit/idle_cost.c tests/unit/channel_rig.c tests/unit/segment_rig.c
test_channel_LIBS := cmocka
test_channel_DEPS := $(B)/libdsm.a
test_channel_peer_SRCS := tests/unit/test_channel_peer.c tests/unit/channel_rig.c tests/unit/segment_rig.c
test_channel_peer_LIBS := cmocka
test_channel_peer_DEPS := $(B)/libdsm.a
# The memory of two nodes is more than ThreadSanitizer leaves free.
ifneq ($(VARIANT),tsan)
UNIT += test_channel_nodes
endif
test_channel_nodes_SRCS := tests/unit/test_channel_nodes.c tests/unit/idle_cost.c tests/unit/lib_nodes.c agent/pager/uffd_probe.c
test_channel_nodes_LIBS := cmocka
test_channel_nodes_DEPS := $(B)/libdsm.a
$(B)/test_channel_nodes: | $(B)/dsmd

TOOLS += channel_bench
channel_bench_SRCS := tests/bench/channel_bench.c
channel_bench_DEPS := $(B)/libdsm.a
