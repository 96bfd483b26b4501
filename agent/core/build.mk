# SPDX-License-Identifier: MIT
CORE_SRCS := $(wildcard agent/core/*.c)

UNIT += test_core test_core_topic test_core_restart test_core_deadlock
test_core_SRCS := tests/unit/test_core.c tests/unit/core_rig.c $(CORE_SRCS)
test_core_LIBS := cmocka
test_core_topic_SRCS := tests/unit/test_core_topic.c tests/unit/core_rig.c $(CORE_SRCS)
test_core_topic_LIBS := cmocka
test_core_restart_SRCS := tests/unit/test_core_restart.c tests/unit/core_rig.c $(CORE_SRCS)
test_core_restart_LIBS := cmocka
test_core_deadlock_SRCS := tests/unit/test_core_deadlock.c tests/unit/core_rig.c $(CORE_SRCS)
test_core_deadlock_LIBS := cmocka
