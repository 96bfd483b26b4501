# SPDX-License-Identifier: MIT
# Heaps by fit, and what looks into heaps: linked with the library's objects.
HEAP_TEST_RIG := tests/unit/lib_nodes.c tests/unit/segment_rig.c $(LIBDSM_SRCS)

UNIT += test_heap_fit
test_heap_fit_SRCS := tests/unit/test_heap_fit.c $(HEAP_TEST_RIG)
test_heap_fit_LIBS := cmocka
$(B)/test_heap_fit: | $(B)/dsmd

UNIT += test_heap_fit_kill
test_heap_fit_kill_SRCS := tests/unit/test_heap_fit_kill.c tests/unit/segment_rig.c $(LIBDSM_SRCS)
test_heap_fit_kill_LIBS := cmocka
