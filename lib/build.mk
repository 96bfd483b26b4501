# SPDX-License-Identifier: MIT
UFFD_PAGER_SRCS := $(wildcard agent/pager/uffd*.c)

UNIT += test_uffd_pager
test_uffd_pager_SRCS := tests/unit/test_uffd_pager.c tests/unit/uffd_puppet.c $(UFFD_PAGER_SRCS)
test_uffd_pager_LIBS := cmocka
