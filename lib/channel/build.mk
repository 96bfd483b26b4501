# SPDX-License-Identifier: MIT
UNIT += test_slots test_channel test_channel_peer
test_slots_SRCS := tests/unit/test_slots.c
test_slots_LIBS := cmocka
test_channel_SRCS := tests/unit/test_channel.c tests/unit/channel_rig.c tests/unit/segment_rig.c
test_channel_LIBS := cmocka
test_channel_DEPS := $(B)/libdsm.a
test_channel_peer_SRCS := tests/unit/test_channel_peer.c tests/unit/channel_rig.c tests/unit/segment_rig.c
test_channel_peer_LIBS := cmocka
test_channel_peer_DEPS := $(B)/libdsm.a

TOOLS += channel_bench
channel_bench_SRCS := tests/bench/channel_bench.c
channel_bench_DEPS := $(B)/libdsm.a
