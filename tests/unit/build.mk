# SPDX-License-Identifier: MIT
# Heaps by fit, and what looks into heaps: linked with the library's objects.
HEAP_TEST_RIG := tests/unit/lib_nodes.c tests/unit/segment_rig.c $(LIBDSM_SRCS)

UNIT += test_heap_fit
test_heap_fit_SRCS := tests/unit/test_heap_fit.c $(HEAP_TEST_RIG)
test_heap_fit_LIBS := cmocka
$(B)/test_heap_fit: | $(B)/dsmd

UNIT += test_heap_fit_kill
test_heap_fit_kill_SRCS := tests/unit/test_heap_fit_kill.c $(HEAP_TEST_RIG)
test_heap_fit_kill_LIBS := cmocka
$(B)/test_heap_fit_kill: | $(B)/dsmd

UNIT += test_heap_damage
test_heap_damage_SRCS := tests/unit/test_heap_damage.c tests/unit/segment_rig.c $(LIBDSM_SRCS)
test_heap_damage_LIBS := cmocka

# From C and C++.
UNIT += test_shm_heap
test_shm_heap_SRCS := tests/unit/test_shm_heap.c
test_shm_heap_LIBS := cmocka
test_shm_heap_DEPS := $(B)/tests/unit/shm_heap_cpp.o $(B)/libdsm.a
$(B)/tests/unit/shm_heap_cpp.o: tests/unit/shm_heap_cpp.cpp lib/include/shm_heap.h | build/.deps-test
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)g++ $(OPT) -fno-exceptions -fno-rtti -Wall -Wextra -Werror -fPIC -Ilib/include -c -o $@ $<
