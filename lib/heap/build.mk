# SPDX-License-Identifier: MIT
# The tests look inside: they are linked with the library's objects.
UNIT += test_heap test_heap_shared test_heap_model test_heap_kill
test_heap_SRCS := tests/unit/test_heap.c tests/unit/heap_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c $(LIBDSM_SRCS)
test_heap_LIBS := cmocka
test_heap_shared_SRCS := tests/unit/test_heap_shared.c tests/unit/heap_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c $(LIBDSM_SRCS)
test_heap_shared_LIBS := cmocka
test_heap_model_SRCS := tests/unit/test_heap_model.c tests/unit/heap_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c $(LIBDSM_SRCS)
test_heap_model_LIBS := cmocka
test_heap_kill_SRCS := tests/unit/test_heap_kill.c tests/unit/heap_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c $(LIBDSM_SRCS)
test_heap_kill_LIBS := cmocka
$(B)/test_heap $(B)/test_heap_shared $(B)/test_heap_model $(B)/test_heap_kill: | $(B)/dsmd
