# SPDX-License-Identifier: MIT
PROGS += dsm
UNIT += test_query test_cli

dsm_SRCS := $(addprefix agent/cli/,main.c args.c session.c table.c node.c region.c page.c page_list.c sync.c \
	stats.c screen.c top.c events.c run.c run_options.c run_child.c run_node.c run_network.c run_output.c run_guard.c \
	open.c segment.c heap.c heap_map.c map_serve.c map_served.c map.c map_bytes.c map_set.c map_watch.c map_file.c \
	channel.c channel_stat.c channel_value.c channel_bench.c)
dsm_LIBS := jansson
dsm_DEPS := $(B)/libdsm.a

test_query_SRCS := tests/unit/test_query.c tests/unit/played_core.c $(addprefix agent/client/,query.c query_json.c \
	query_node.c query_memory.c query_page.c query_sync.c query_events.c)
test_query_LIBS := cmocka jansson

test_cli_SRCS := tests/unit/test_cli.c $(addprefix agent/cli/,args.c table.c run_output.c)
test_cli_LIBS := cmocka jansson
