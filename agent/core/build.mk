# SPDX-License-Identifier: MIT
CORE_SRCS := $(wildcard agent/core/*.c)
