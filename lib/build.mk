# SPDX-License-Identifier: MIT
# libdsm: the shared library with its soname, and the archive.
LIBDSM_SRCS := $(sort $(wildcard lib/*.c lib/segment/*.c lib/heap/*.c lib/map/*.c lib/ring/*.c lib/channel/*.c))
LIBDSM_OBJS := $(LIBDSM_SRCS:%.c=$(B)/%.o)
-include $(LIBDSM_OBJS:.o=.d)

LIBRARIES += $(B)/libdsm.so.0 $(B)/libdsm.so $(B)/libdsm.a

$(B)/libdsm.so.0: $(LIBDSM_OBJS) lib/libdsm.map
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,libdsm.so.0 -Wl,--version-script=lib/libdsm.map \
		-o $@ $(LIBDSM_OBJS)

$(B)/libdsm.so: $(B)/libdsm.so.0
	$(Q)ln -sf libdsm.so.0 $@

# One object with dsm_* (and shm_heap_*) as its only global names, like the shared library.
$(B)/lib/libdsm.o: $(LIBDSM_OBJS)
	$(call say,LD)
	$(Q)$(CC) $(filter -fsanitize=%,$(LDFLAGS)) -r -nostdlib -o $@ $(LIBDSM_OBJS)
	$(Q)objcopy --wildcard --keep-global-symbol='dsm_*' --keep-global-symbol='shm_heap_*' $@

$(B)/libdsm.a: $(B)/lib/libdsm.o
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $<

UFFD_PAGER_SRCS := $(wildcard agent/pager/uffd*.c)

UFFD_RIG_SRCS := tests/unit/uffd_rig.c tests/unit/uffd_puppet.c $(UFFD_PAGER_SRCS)

UNIT += test_uffd_pager test_uffd_many
test_uffd_pager_SRCS := tests/unit/test_uffd_pager.c $(UFFD_RIG_SRCS)
test_uffd_pager_LIBS := cmocka
test_uffd_many_SRCS := tests/unit/test_uffd_many.c $(UFFD_RIG_SRCS)
test_uffd_many_LIBS := cmocka

UNIT += test_lib_threads
test_lib_threads_SRCS := tests/unit/test_lib_threads.c tests/unit/lib_nodes.c
test_lib_threads_LIBS := cmocka
test_lib_threads_DEPS := $(B)/libdsm.a
# The memory of two nodes is more than ThreadSanitizer leaves free.
ifneq ($(VARIANT),tsan)
UNIT += test_lib test_lib_process test_lib_list test_lib_pool test_topic
endif
test_lib_SRCS := tests/unit/test_lib.c tests/unit/lib_nodes.c
test_lib_LIBS := cmocka
test_lib_DEPS := $(B)/libdsm.a
test_lib_process_SRCS := tests/unit/test_lib_process.c tests/unit/lib_nodes.c agent/pager/uffd_probe.c
test_lib_process_LIBS := cmocka
test_lib_process_DEPS := $(B)/libdsm.a
test_lib_list_SRCS := tests/unit/test_lib_list.c tests/unit/lib_nodes.c
test_lib_list_LIBS := cmocka
test_lib_list_DEPS := $(B)/libdsm.a
test_lib_pool_SRCS := tests/unit/test_lib_pool.c tests/unit/lib_nodes.c
test_lib_pool_LIBS := cmocka
test_lib_pool_DEPS := $(B)/libdsm.a
test_topic_SRCS := tests/unit/test_topic.c tests/unit/lib_nodes.c agent/pager/uffd_probe.c $(filter-out lib/node_heap.c lib/simple.c lib/list.c,$(wildcard lib/*.c))
test_topic_LIBS := cmocka
$(B)/test_lib $(B)/test_lib_process $(B)/test_lib_list $(B)/test_lib_pool $(B)/test_lib_threads $(B)/test_topic: | $(B)/dsmd

TOOLS += uffd_pager
uffd_pager_SRCS := tests/bench/uffd_pager.c tests/unit/uffd_puppet.c $(UFFD_PAGER_SRCS)
