# SPDX-License-Identifier: MIT
# The tests turn the clock and look into the layout: they are linked with the library's objects.
MAP_RIG := tests/unit/map_rig.c tests/unit/segment_rig.c tests/unit/lib_nodes.c

UNIT += test_map test_map_random test_map_kill
# Sanitizers make a hundred instructions of each.
ifeq ($(filter asan tsan,$(VARIANT)),)
UNIT += test_map_steps
endif
test_map_SRCS := tests/unit/test_map.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_LIBS := cmocka
test_map_random_SRCS := tests/unit/test_map_random.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_random_LIBS := cmocka
test_map_kill_SRCS := tests/unit/test_map_kill.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_kill_LIBS := cmocka
test_map_steps_SRCS := tests/unit/test_map_steps.c $(MAP_RIG) $(LIBDSM_SRCS)
test_map_steps_LIBS := cmocka
$(B)/test_map $(B)/test_map_random $(B)/test_map_kill: | $(B)/dsmd
