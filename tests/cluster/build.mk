# SPDX-License-Identifier: MIT
TOOLS += puppet topic_puppet

puppet_SRCS := tests/cluster/puppet.c
puppet_DEPS := $(B)/libdsm.a
# Inside libdsm: its own sources, as the archive shows only what programs may use.
topic_puppet_SRCS := tests/cluster/topic_puppet.c $(filter-out lib/node_heap.c lib/simple.c lib/list.c,$(wildcard lib/*.c))

TOOLS += heap_sample
heap_sample_SRCS := tests/cluster/heap_sample.c
heap_sample_DEPS := $(B)/libdsm.a
