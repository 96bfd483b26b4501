# SPDX-License-Identifier: MIT
TOOLS += litmus
litmus_SRCS := tests/litmus/litmus.c
litmus_DEPS := $(B)/libdsm.a
$(B)/litmus: | $(B)/dsmd
