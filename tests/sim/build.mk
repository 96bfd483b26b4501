# SPDX-License-Identifier: MIT
TOOLS += sim
sim_SRCS := $(wildcard tests/sim/*.c) $(CORE_SRCS) agent/net/wire.c agent/net/wire_rules.c
