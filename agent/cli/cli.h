/* SPDX-License-Identifier: MIT */
/*
 * The `dsm` command. One file per noun; main.c finds the subcommand, its
 * function parses the words after it (args.h), talks to the agent
 * (session.h) and prints a table (table.h) or the JSON document as it came.
 */
#ifndef DSM_CLI_CLI_H
#define DSM_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes; documented in dsm(1). `dsm run` has more, see run.h. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,	   /* the agent refused, or the system did */
	CLI_USAGE = 2,	   /* wrong words */
	CLI_NO_AGENT = 3,  /* nobody serves the port, or it does not answer */
	CLI_NOT_FOUND = 4, /* no such region, page, node or segment */
	CLI_DAMAGED = 5,   /* something is there, and it is damaged */
};

#define CLI_PORT_DEFAULT 9900

struct cli {
	uint16_t port;
	bool port_given;    /* by flag or environment */
	const char *rundir; /* directory of the agents' sockets */
	bool json;
};

/* "dsm: " and the message and a newline to stderr; returns @code. */
int cli_error(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Each returns an exit code; argv[0] is "dsm NOUN VERB", for messages. */
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_node_list(struct cli *cli, int argc, char **argv);
int cmd_node_leave(struct cli *cli, int argc, char **argv);
int cmd_region_list(struct cli *cli, int argc, char **argv);
int cmd_region_create(struct cli *cli, int argc, char **argv);
int cmd_region_show(struct cli *cli, int argc, char **argv);
int cmd_region_delete(struct cli *cli, int argc, char **argv);
int cmd_page_list(struct cli *cli, int argc, char **argv);
int cmd_page_show(struct cli *cli, int argc, char **argv);
int cmd_lock_list(struct cli *cli, int argc, char **argv);
int cmd_barrier_list(struct cli *cli, int argc, char **argv);
int cmd_topic_list(struct cli *cli, int argc, char **argv);
int cmd_stats(struct cli *cli, int argc, char **argv);
int cmd_top(struct cli *cli, int argc, char **argv);
int cmd_events(struct cli *cli, int argc, char **argv);
int cmd_run(struct cli *cli, int argc, char **argv);
int cmd_segment_list(struct cli *cli, int argc, char **argv);
int cmd_segment_show(struct cli *cli, int argc, char **argv);
int cmd_segment_unlink(struct cli *cli, int argc, char **argv);
int cmd_heap_stat(struct cli *cli, int argc, char **argv);
int cmd_heap_dump(struct cli *cli, int argc, char **argv);
int cmd_heap_validate(struct cli *cli, int argc, char **argv);
int cmd_heap_map(struct cli *cli, int argc, char **argv);
int cmd_map_get(struct cli *cli, int argc, char **argv);
int cmd_map_set(struct cli *cli, int argc, char **argv);
int cmd_map_del(struct cli *cli, int argc, char **argv);
int cmd_map_cas(struct cli *cli, int argc, char **argv);
int cmd_map_list(struct cli *cli, int argc, char **argv);
int cmd_map_watch(struct cli *cli, int argc, char **argv);
int cmd_map_stat(struct cli *cli, int argc, char **argv);
int cmd_map_save(struct cli *cli, int argc, char **argv);
int cmd_map_load(struct cli *cli, int argc, char **argv);
int cmd_map_serve(struct cli *cli, int argc, char **argv);
int cmd_channel_list(struct cli *cli, int argc, char **argv);
int cmd_channel_stat(struct cli *cli, int argc, char **argv);
int cmd_channel_cat(struct cli *cli, int argc, char **argv);
int cmd_channel_tail(struct cli *cli, int argc, char **argv);
int cmd_channel_put(struct cli *cli, int argc, char **argv);
int cmd_channel_bench(struct cli *cli, int argc, char **argv);

#endif
