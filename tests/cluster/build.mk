# SPDX-License-Identifier: MIT
TOOLS += puppet

puppet_SRCS := tests/cluster/puppet.c
puppet_DEPS := $(B)/libdsm.a
