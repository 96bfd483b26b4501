/* SPDX-License-Identifier: MIT */
/* Finds the subcommand, and everything that is said about all of them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/args.h"

static const struct command {
	const char *noun, *verb; /* verb NULL: the noun is a command by itself */
	int (*run)(struct cli *cli, int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "status", NULL, cmd_status, "this node and its cluster" },
	{ "node", "list", cmd_node_list, "the cluster's nodes" },
	{ "node", "leave", cmd_node_leave, "have this node leave: its pages are handed over" },
	{ "region", "list", cmd_region_list, "regions" },
	{ "region", "create", cmd_region_create, "make a named region" },
	{ "region", "show", cmd_region_show, "one region: what is allocated, what is here" },
	{ "region", "delete", cmd_region_delete, "delete a named region" },
	{ "page", "list", cmd_page_list, "runs of pages that this node knows" },
	{ "page", "show", cmd_page_show, "one page: state, home, owner, version" },
	{ "lock", "list", cmd_lock_list, "locks that this node knows" },
	{ "barrier", "list", cmd_barrier_list, "barriers somebody waits at" },
	{ "topic", "list", cmd_topic_list, "topics: who publishes and subscribes" },
	{ "stats", NULL, cmd_stats, "counters and latencies since the agent's start" },
	{ "top", NULL, cmd_top, "the agents of this machine, live" },
	{ "events", NULL, cmd_events, "the state, then every change" },
	{ "run", NULL, cmd_run, "start a program as N local nodes" },
	{ "segment", "list", cmd_segment_list, "segments of this machine, or of the cluster" },
	{ "segment", "show", cmd_segment_show, "one segment: sizes, participants, what is in it" },
	{ "segment", "unlink", cmd_segment_unlink, "remove a segment's name" },
	{ "heap", "stat", cmd_heap_stat, "a segment's heap: use, fragmentation, sizes" },
	{ "heap", "dump", cmd_heap_dump, "every block of a heap" },
	{ "heap", "validate", cmd_heap_validate, "look for damage in a heap" },
	{ "heap", "map", cmd_heap_map, "a picture of a heap's blocks" },
	{ "map", "get", cmd_map_get, "the value of a map's key" },
	{ "map", "set", cmd_map_set, "have a key mean a value" },
	{ "map", "del", cmd_map_del, "delete a key" },
	{ "map", "cas", cmd_map_cas, "have a key mean a value if it means another one" },
	{ "map", "list", cmd_map_list, "a map's keys and values" },
	{ "map", "watch", cmd_map_watch, "every change of a map, as it happens" },
	{ "map", "stat", cmd_map_stat, "a map as a whole" },
	{ "map", "save", cmd_map_save, "write a map to a file" },
	{ "map", "load", cmd_map_load, "set what a file says" },
	{ "map", "serve", cmd_map_serve, "keep a map and answer for it over connections" },
	{ "channel", "list", cmd_channel_list, "channels of a segment" },
	{ "channel", "stat", cmd_channel_stat, "a channel: its ends, what they write and read" },
	{ "channel", "cat", cmd_channel_cat, "the newest value of a channel" },
	{ "channel", "tail", cmd_channel_tail, "every new value of a channel, as it comes" },
	{ "channel", "put", cmd_channel_put, "have a channel have a value" },
	{ "channel", "bench", cmd_channel_bench, "how fast channels are here" },
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

int cli_error(int code, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("dsm: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

/* The list of commands, all or those of one noun. */
static void commands_print(FILE *out, const char *noun)
{
	char words[32];
	size_t i;

	for (i = 0; i < NCOMMANDS; i++) {
		if (noun && strcmp(noun, commands[i].noun))
			continue;
		snprintf(words, sizeof(words), "%s%s%s", commands[i].noun,
			 commands[i].verb ? " " : "", commands[i].verb ? commands[i].verb : "");
		fprintf(out, "  dsm %-16s %s\n", words, commands[i].summary);
	}
}

/* The commands stand after argp's list of options. */
static char *help_filter(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t size;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	out = open_memstream(&list, &size);
	if (!out)
		return NULL;
	fputs("Commands (each has --help):\n", out);
	commands_print(out, NULL);
	fputs("\nExit status: 0 done, 1 failed, 2 wrong usage, 3 no agent, 4 not found, 5 damaged.",
	      out);
	fclose(out);
	return list;
}

struct words {
	struct cli cli;
	int argc;
	char **argv; /* from the command's first word on */
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp says what it looks like */
static error_t main_option(int key, char *arg, struct argp_state *state)
{
	struct words *w = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &w->cli;
		return 0;
	case ARGP_KEY_ARG:
		(void)arg;
		w->argv = state->argv + state->next - 1;
		w->argc = state->argc - (state->next - 1);
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "a command is missing");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int noun_alone(const char *noun, const char *verb)
{
	bool help = verb && (!strcmp(verb, "--help") || !strcmp(verb, "-?"));

	if (!help && verb)
		cli_error(CLI_USAGE, "%s: no such command '%s'; there are:", noun, verb);
	else if (!help)
		cli_error(CLI_USAGE, "%s: a word is missing; there are:", noun);
	commands_print(help ? stdout : stderr, noun);
	return help ? CLI_OK : CLI_USAGE;
}

static int command_run(struct words *w)
{
	const char *noun = w->argv[0], *verb = w->argc > 1 ? w->argv[1] : NULL;
	const struct command *c;
	bool known = false;
	static char name[48];
	int skip;

	for (c = commands; c < commands + NCOMMANDS; c++) {
		if (strcmp(noun, c->noun))
			continue;
		known = true;
		if (c->verb && (!verb || strcmp(verb, c->verb)))
			continue;
		skip = c->verb ? 1 : 0;
		snprintf(name, sizeof(name), "dsm %s%s%s", noun, skip ? " " : "", skip ? verb : "");
		w->argv[skip] = name;
		return c->run(&w->cli, w->argc - skip, w->argv + skip);
	}
	if (known)
		return noun_alone(noun, verb);
	cli_error(CLI_USAGE, "no such command '%s'; there are:", noun);
	commands_print(stderr, NULL);
	return CLI_USAGE;
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = {
		.parser = main_option,
		.args_doc = "COMMAND [WORD...]",
		.children = children,
		.doc = "Look into and run DSM, one shared memory for several machines.\v ",
		.help_filter = help_filter,
	};
	struct words w = { 0 };
	int code;

	argp_program_version = "dsm " DSM_VERSION;
#ifndef DSM_MUTANT_CLI_USAGE_UNTOLD
	argp_err_exit_status = CLI_USAGE;
#endif
	args_environment(&w.cli);
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &w))
		return cli_error(CLI_FAILED, "no memory");
	code = command_run(&w);
	/* A full disk or a closed pipe must not look like success. */
	if (fflush(stdout) == EOF && !code)
		code = cli_error(CLI_FAILED, "standard output: %s", strerror(errno));
	return code;
}
