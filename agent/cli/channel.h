/* SPDX-License-Identifier: MIT */
/* What the channel commands share: their words and options, and channels by URI. */
#ifndef DSM_CLI_CHANNEL_H
#define DSM_CLI_CHANNEL_H

#include <dsm/channel.h>

#include "agent/cli/args.h"
#include "agent/cli/open.h"

/* "shm:NAME/CHANNEL" or "dsm:REGION/CHANNEL"; without "/CHANNEL" it is called so: */
#define CHANNEL_NAME_DEFAULT "channel"
#define CHANNEL_UNSET	     UINT64_MAX

enum channel_key {
	CHANNEL_FROM = ARGS_KEY,
	CHANNEL_COUNT,
	CHANNEL_TIMEOUT,
	CHANNEL_PRESENT,
	CHANNEL_INTERVAL,
	CHANNEL_SIZE,
};

/* All that any of the commands has; each lists those options that it understands. */
struct channel_words {
	struct args_words args;
	const char *words[2]; /* the URI, a value */
	enum dsm_channel_role from;
	uint64_t count, timeout_ms; /* CHANNEL_UNSET: no end, or the command's default */
	uint64_t interval_ms, size;
	bool present;
};

struct channeled {
	struct opened o;
	dsm_channel_t *channel;
};

/* The option --from, which most have. */
#define CHANNEL_OPTION_FROM                                                                        \
	{                                                                                          \
		"from", CHANNEL_FROM, "SEAT", 0, "Whose values: master (default) or slave", 0      \
	}

/* Parses as args_parse_own() does. */
void channel_parse(struct channel_words *w, int argc, char **argv,
		   const struct argp_option *options, const char *args_doc, const char *doc);

/*
 * The channel @uri as an observer of @from sees it. It is not waited for. 0 or an exit code: stderr
 * has been told by @command.
 */
int channel_observe(const struct cli *cli, const char *command, const char *uri,
		    enum dsm_channel_role from, struct channeled *ret);
/* Closes it; the exit code for @err, what a function of the library gave. */
int channel_done(const char *command, int err, struct channeled *c);

/* For handles that are no program's end: patient with whoever is not there. */
struct dsm_channel_options channel_options(enum dsm_channel_role role);

#endif
