# SPDX-License-Identifier: MIT
TOOLS += sim
sim_SRCS := $(wildcard tests/sim/*.c) $(CORE_SRCS)
