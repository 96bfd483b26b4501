# SPDX-License-Identifier: MIT
UNIT += test_slots test_channel
test_slots_SRCS := tests/unit/test_slots.c
test_slots_LIBS := cmocka
test_channel_SRCS := tests/unit/test_channel.c tests/unit/channel_rig.c tests/unit/segment_rig.c
test_channel_LIBS := cmocka
test_channel_DEPS := $(B)/libdsm.a
