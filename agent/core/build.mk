# SPDX-License-Identifier: MIT
CORE_SRCS := $(wildcard agent/core/*.c)

UNIT += test_core
test_core_SRCS := tests/unit/test_core.c tests/unit/core_rig.c $(CORE_SRCS)
test_core_LIBS := cmocka
