# SPDX-License-Identifier: MIT
# dsmd: everything of the agent but the command line.
PROGS += dsmd
dsmd_SRCS := $(wildcard agent/*.c agent/core/*.c agent/net/*.c agent/client/*.c agent/pager/*.c)
dsmd_LIBS := libuv jansson inih libnl-3.0 libnl-genl-3.0
ifeq ($(wildcard agent/pager/kmod.c),)
dsmd_LDLIBS := -Wl,--defsym=pager_kmod=pager_uffd
endif
