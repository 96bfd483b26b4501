# SPDX-License-Identifier: MIT
# The tests look inside: they are linked with the library's objects.
UNIT += test_segment test_segment_kill test_segment_dead
# The memory of two nodes is more than ThreadSanitizer leaves free.
ifneq ($(VARIANT),tsan)
UNIT += test_pool_full
endif
test_pool_full_SRCS := tests/unit/test_pool_full.c tests/unit/lib_nodes.c
test_pool_full_LIBS := cmocka
test_pool_full_DEPS := $(B)/libdsm.a
UNIT += test_seg_spin
test_seg_spin_SRCS := tests/unit/test_seg_spin.c $(LIBDSM_SRCS)
test_seg_spin_LIBS := cmocka
test_segment_SRCS := tests/unit/test_segment.c tests/unit/lib_nodes.c tests/unit/segment_rig.c $(LIBDSM_SRCS)
test_segment_LIBS := cmocka
test_segment_kill_SRCS := tests/unit/test_segment_kill.c tests/unit/lib_nodes.c tests/unit/segment_rig.c $(LIBDSM_SRCS)
test_segment_kill_LIBS := cmocka
test_segment_dead_SRCS := tests/unit/test_segment_dead.c tests/unit/segment_rig.c $(LIBDSM_SRCS)
test_segment_dead_LIBS := cmocka
$(B)/test_segment $(B)/test_segment_kill $(B)/test_pool_full: | $(B)/dsmd
