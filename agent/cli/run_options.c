/* SPDX-License-Identifier: MIT */
/* dsm run: its command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/run.h"

enum {
	KEY_PAGER = ARGS_KEY,
	KEY_CHUNKS,
	KEY_BASE_PORT,
	KEY_TIMEOUT,
	KEY_GRACE,
	KEY_LOG_LEVEL,
	KEY_NETNS
};

static double seconds_parse(const char *name, const char *arg, struct argp_state *state)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (end == arg || *end || !(seconds >= 0 && seconds <= 1e6))
		argp_error(state, "--%s %s: seconds from 0 to 1000000 are wanted", name, arg);
	return seconds;
}

static error_t run_option(int key, char *arg, struct argp_state *state)
{
	struct run *run = state->input;
	uint64_t n = 0;

	switch (key) {
	case 'n':
		if (args_number(arg, 1, RUN_NODES_MAX, &n) < 0)
			argp_error(state, "-n %s: a number from 1 to %d is wanted", arg,
				   RUN_NODES_MAX);
		run->count = (unsigned int)n;
		return 0;
	case KEY_PAGER:
		if (strcmp(arg, "kmod") && strcmp(arg, "uffd") && strcmp(arg, "auto"))
			argp_error(state, "--pager %s: kmod, uffd or auto is wanted", arg);
		run->pager = arg;
		return 0;
	case KEY_CHUNKS:
		run->chunks = arg;
		return 0;
	case KEY_BASE_PORT:
		if (args_number(arg, 1, 65535, &run->base_port) < 0)
			argp_error(state, "--base-port %s: a number from 1 to 65535 is wanted",
				   arg);
		return 0;
	case KEY_TIMEOUT:
		run->timeout = seconds_parse("timeout", arg, state);
		return 0;
	case KEY_GRACE:
		run->grace = seconds_parse("grace", arg, state);
		return 0;
	case KEY_NETNS:
		run->netns = true;
		return 0;
	case KEY_LOG_LEVEL:
		run->log_level = arg;
		return 0;
	case ARGP_KEY_ARG:
		run->argv = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!run->argv)
			argp_error(state, "the PROGRAM is missing");
		if (!run->count)
			argp_error(state, "-n N is missing: how many nodes?");
		if (run->base_port && run->base_port + run->count - 1 > 65535)
			argp_error(state, "--base-port: %u ports from %u on end above 65535",
				   run->count, (unsigned int)run->base_port);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "nodes", 'n', "N", 0, "How many nodes (1 to 64)", 0 },
	{ "pager", KEY_PAGER, "KIND", 0, "kmod, uffd or auto", 0 },
	{ "chunks", KEY_CHUNKS, "N", 0, "4 KiB chunks each node donates, or a size like 512M", 0 },
	{ "base-port", KEY_BASE_PORT, "PORT", 0, "TCP ports from here on (free ones are found)",
	  0 },
	{ "netns", KEY_NETNS, NULL, 0, "A network namespace for each node, on one bridge (root)",
	  0 },
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0, "End the programs after this time", 0 },
	{ "grace", KEY_GRACE, "SECONDS", 0, "When one fails, the others have so long to end (10)",
	  0 },
	{ "log-level", KEY_LOG_LEVEL, "LEVEL", 0,
	  "Of the agents: debug, info, warn (default), error", 0 },
	{ 0 },
};

int cmd_run(struct cli *cli, int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = run_option,
		.args_doc = "-- PROGRAM [ARG...]",
		.doc = "Start PROGRAM as N nodes of a cluster of its own on this machine.\v"
		       "Each line of output begins with the node's number: [2] ... . In every ARG "
		       "%p "
		       "stands for the TCP port of the node's agent (%%p for %p itself). Programs "
		       "find "
		       "DSM_PORT, DSM_RUNDIR, DSM_NODE_INDEX (from 0) and DSM_NODE_COUNT in their "
		       "environment. The exit status is the first one of a program that is not 0, "
		       "128 + N "
		       "for one that signal N ended, 124 after --timeout, 125 when a node does not "
		       "start, "
		       "126 and 127 when PROGRAM cannot be run or found.",
	};
	struct run run = { .grace = 10, .guard = -1, .signals = -1, .bridge = -1 };

	(void)cli;
	argp_err_exit_status = CLI_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &run))
		return cli_error(CLI_FAILED, "no memory");
	return run_all(&run);
}
