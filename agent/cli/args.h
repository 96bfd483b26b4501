/* SPDX-License-Identifier: MIT */
/* Words of a command line: options that every subcommand has, numbers, sizes. */
#ifndef DSM_CLI_ARGS_H
#define DSM_CLI_ARGS_H

#include <argp.h>
#include <stdint.h>

#include "agent/cli/cli.h"

/* --json, --port, --run-dir. As a child its input is the struct cli. */
extern const struct argp args_agent;

/* Keys of subcommands' own long options start here. */
#define ARGS_KEY 0x200

/*
 * For a subcommand whose own words are at most @max plain ones, at least
 * @min: parses the common options into @cli, and the words into @words. Ends
 * the program with CLI_USAGE when they are wrong, with 0 after --help.
 * @args_doc names the words ("NAME SIZE"), @doc says what the subcommand does.
 */
void args_parse(struct cli *cli, int argc, char **argv, const char *args_doc, const char *doc,
		const char **words, int min, int max);

/* For one with options of its own: its words, and what the common options say. */
struct args_words {
	struct cli *cli;
	const char **words; /* room for @max */
	int n, min, max;
};
/* What its parser does with all keys that are not its options'. */
error_t args_word(int key, char *arg, struct argp_state *state, struct args_words *w);

/* As args_parse() for one with options of its own: @own is its argp, which has args_agent as child. */
void args_parse_own(int argc, char **argv, const struct argp *own, void *input);

/* 0, or -EINVAL where @text is no decimal or 0x... number from @min to @max. */
int args_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Bytes: a number, or one with k, M, G or T after it (powers of 1024). 0 or -EINVAL. */
int args_size(const char *text, uint64_t *ret);

/*
 * DSM_PORT and the run directory, as every part of the project finds them.
 * Ends the program with CLI_USAGE for a bad DSM_PORT.
 */
void args_environment(struct cli *cli);

#endif
