# SPDX-License-Identifier: MIT
# dsmd: everything of the agent but the command line.
PROGS += dsmd
dsmd_SRCS := $(wildcard agent/*.c agent/core/*.c agent/net/*.c agent/client/*.c agent/pager/*.c)
dsmd_LIBS := libuv jansson inih libnl-3.0 libnl-genl-3.0
# A fault passes through a dozen of the files, in a few calls each: optimised as one program, the agent is
# on fewer pages and in fewer calls. Tests link the same objects without that.
ifeq ($(VARIANT),release)
$(dsmd_SRCS:%.c=$(B)/%.o): CFLAGS += -flto=auto -ffat-lto-objects
$(B)/dsmd: LDFLAGS += $(OPT) -flto=auto
endif

NET_SRCS := $(wildcard agent/net/*.c) agent/listener.c agent/log.c
UNIT += test_wire test_link test_discover
test_discover_SRCS := tests/unit/test_discover.c $(NET_SRCS)
test_discover_LIBS := cmocka libuv
test_wire_SRCS := tests/unit/test_wire.c agent/net/wire.c agent/net/wire_rules.c
test_wire_LIBS := cmocka
test_link_SRCS := tests/unit/test_link.c $(NET_SRCS)
test_link_LIBS := cmocka libuv

UNIT += test_config test_stash
CONFIG_SRCS := agent/config.c agent/config_settings.c agent/net/addr.c
test_config_SRCS := tests/unit/test_config.c $(CONFIG_SRCS)
test_config_LIBS := cmocka inih
test_stash_SRCS := tests/unit/test_stash.c agent/stash.c agent/latency.c
test_stash_LIBS := cmocka

UNIT += test_kept_file
test_kept_file_SRCS := tests/unit/test_kept_file.c agent/kept_file.c
test_kept_file_LIBS := cmocka

# The shell and the core over a pager made of memory.
AGENT_RIG := $(filter-out agent/dsmd.c agent/config.c agent/pager/%,$(dsmd_SRCS))
UNIT += test_agent test_server test_server_pipes test_server_topic
test_agent_SRCS := tests/unit/test_agent.c tests/unit/agent_rig.c $(AGENT_RIG)
test_agent_LIBS := cmocka libuv jansson
test_server_SRCS := tests/unit/test_server.c tests/unit/agent_rig.c $(AGENT_RIG)
test_server_LIBS := cmocka libuv jansson
test_server_pipes_SRCS := tests/unit/test_server_pipes.c tests/unit/agent_rig.c $(AGENT_RIG)
test_server_pipes_LIBS := cmocka libuv jansson
test_server_topic_SRCS := tests/unit/test_server_topic.c tests/unit/agent_rig.c $(AGENT_RIG)
test_server_topic_LIBS := cmocka libuv jansson

UNIT += test_topic_kept
test_topic_kept_SRCS := tests/unit/test_topic_kept.c agent/client/topic_kept.c
test_topic_kept_LIBS := cmocka

UNIT += test_spin
test_spin_SRCS := tests/unit/test_spin.c agent/spin.c
test_spin_LIBS := cmocka

UNIT += test_priority
test_priority_SRCS := tests/unit/test_priority.c agent/priority.c agent/log.c
test_priority_LIBS := cmocka
