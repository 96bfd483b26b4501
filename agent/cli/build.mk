# SPDX-License-Identifier: MIT
UNIT += test_query

test_query_SRCS := tests/unit/test_query.c agent/client/query.c agent/client/query_json.c \
	agent/client/query_node.c agent/client/query_memory.c agent/client/query_sync.c \
	agent/client/query_events.c
test_query_LIBS := cmocka jansson
