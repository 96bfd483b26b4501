# SPDX-License-Identifier: MIT
# All four structures in one segment, and users that are killed: make test SUITES=kill
TOOLS += kill
kill_SRCS := tests/kill/main.c tests/kill/user.c tests/kill/verdict.c
kill_DEPS := $(B)/libdsm.a
