/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/args.h"

enum { KEY_RUN_DIR = 0x100 };

static const struct argp_option agent_options[] = {
	{ "json", 'j', NULL, 0, "Print JSON", 90 },
	{ "port", 'p', "PORT", 0, "TCP port of the agent (DSM_PORT, else 9900)", 90 },
	{ "run-dir", KEY_RUN_DIR, "DIR", 0, "Directory of the agents' sockets (DSM_RUNDIR)", 90 },
	{ 0 },
};

int args_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10);
	if (errno || *end || n < min || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

int args_size(const char *text, uint64_t *ret)
{
	static const char units[] = "kmgt";
	unsigned long long n;
	const char *unit;
	char *end;
	int shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end | 32);
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (int)(unit - units + 1);
	}
	if (n > UINT64_MAX >> shift)
		return -EINVAL;
	*ret = n << shift;
	return 0;
}

static error_t agent_option(int key, char *arg, struct argp_state *state)
{
	struct cli *cli = state->input;
	uint64_t n = 0;

	switch (key) {
	case 'j':
		cli->json = true;
		return 0;
	case 'p':
		if (args_number(arg, 1, 65535, &n) < 0)
			argp_error(state, "--port %s: a number from 1 to 65535 is wanted", arg);
		cli->port = (uint16_t)n;
		cli->port_given = true;
		return 0;
	case KEY_RUN_DIR:
		if (!*arg)
			argp_error(state, "--run-dir: the name of a directory is wanted");
		cli->rundir = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp args_agent = { .options = agent_options, .parser = agent_option };

error_t args_word(int key, char *arg, struct argp_state *state, struct args_words *w)
{
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = w->cli;
		return 0;
	case ARGP_KEY_ARG:
		if (w->n == w->max)
			argp_error(state, "'%s' is one word too many", arg);
		w->words[w->n++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (w->n < w->min)
			argp_error(state, "a word is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t words_only(int key, char *arg, struct argp_state *state)
{
	return args_word(key, arg, state, state->input);
}

void args_parse(struct cli *cli, int argc, char **argv, const char *args_doc, const char *doc,
		const char **words, int min, int max)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	const struct argp own = {
		.parser = words_only,
		.args_doc = args_doc,
		.doc = doc,
		.children = children,
	};
	struct args_words w = { .cli = cli, .words = words, .min = min, .max = max };

	args_parse_own(argc, argv, &own, &w);
}

void args_parse_own(int argc, char **argv, const struct argp *own, void *input)
{
	argp_err_exit_status = CLI_USAGE;
	if (argp_parse(own, argc, argv, 0, NULL, input))
		exit(cli_error(CLI_FAILED, "%s: no memory", argv[0]));
}

void args_environment(struct cli *cli)
{
	const char *port = getenv("DSM_PORT"), *dir = getenv("DSM_RUNDIR");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	static char text[4096];
	uint64_t n;

	cli->port = CLI_PORT_DEFAULT;
	if (port && *port) {
		if (args_number(port, 1, 65535, &n) < 0)
			exit(cli_error(CLI_USAGE, "DSM_PORT=%s: a number from 1 to 65535 is wanted",
				       port));
		cli->port = (uint16_t)n;
		cli->port_given = true;
	}
	if (dir && *dir) {
		cli->rundir = dir;
	} else if (!geteuid()) {
		cli->rundir = "/run/dsm";
	} else {
		if (runtime && *runtime)
			snprintf(text, sizeof(text), "%s/dsm", runtime);
		else
			snprintf(text, sizeof(text), "/tmp/dsm-%u", (unsigned int)geteuid());
		cli->rundir = text;
	}
}
