// SPDX-License-Identifier: MIT
/* What the channel commands share. */
#include <errno.h>
#include <string.h>

#include "agent/cli/channel.h"

static error_t seat_option(struct channel_words *w, const char *arg, struct argp_state *state)
{
	if (!strcmp(arg, "master"))
		w->from = DSM_CHANNEL_MASTER;
	else if (!strcmp(arg, "slave"))
		w->from = DSM_CHANNEL_SLAVE;
	else
		argp_error(state, "--from %s: master or slave is wanted", arg);
	return 0;
}

/* An option that is a number. */
static error_t number_option(struct channel_words *w, int key, const char *arg,
			     struct argp_state *state)
{
	switch (key) {
	case CHANNEL_COUNT:
		if (args_number(arg, 1, UINT64_MAX, &w->count) < 0)
			argp_error(state, "--count %s: a number from 1 on is wanted", arg);
		return 0;
	case CHANNEL_TIMEOUT:
		if (args_number(arg, 0, INT64_MAX / 1000, &w->timeout_ms) < 0)
			argp_error(state, "--timeout %s: milliseconds are wanted", arg);
		return 0;
	case CHANNEL_INTERVAL:
		if (args_number(arg, 1, 3600000, &w->interval_ms) < 0)
			argp_error(state, "--interval %s: milliseconds from 1 on are wanted", arg);
		return 0;
	case CHANNEL_SIZE:
		if (args_size(arg, &w->size) || !w->size || w->size > DSM_CHANNEL_SIZE_MAX)
			argp_error(state, "--size %s: a size up to 1M is wanted", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t channel_option(int key, char *arg, struct argp_state *state)
{
	struct channel_words *w = state->input;
	error_t err;

	switch (key) {
	case CHANNEL_FROM:
		return seat_option(w, arg, state);
	case CHANNEL_PRESENT:
		w->present = true;
		return 0;
	default:
		err = number_option(w, key, arg, state);
		return err == ARGP_ERR_UNKNOWN ? args_word(key, arg, state, &w->args) : err;
	}
}

void channel_parse(struct channel_words *w, int argc, char **argv,
		   const struct argp_option *options, const char *args_doc, const char *doc)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	struct argp argp = {
		.options = options,
		.parser = channel_option,
		.args_doc = args_doc,
		.children = children,
		.doc = doc,
	};

	w->args.words = w->words;
	w->from = DSM_CHANNEL_MASTER;
	w->count = w->timeout_ms = CHANNEL_UNSET;
	args_parse_own(argc, argv, &argp, w);
}

struct dsm_channel_options channel_options(enum dsm_channel_role role)
{
	struct dsm_channel_options o = DSM_CHANNEL_DEFAULTS;

	o.role = role;
	o.stale = DSM_CHANNEL_NEVER;
	o.attempts = 1; /* one look is enough: a command says at once what there is not */
	return o;
}

int channel_observe(const struct cli *cli, const char *command, const char *uri,
		    enum dsm_channel_role from, struct channeled *ret)
{
	struct dsm_channel_options options = channel_options(DSM_CHANNEL_OBSERVER);
	struct channeled c = { 0 };
	char segment[256];
	const char *name = open_split(uri, segment, CHANNEL_NAME_DEFAULT);
	int err, code = open_segment(cli, segment, &c.o);

	if (code)
		return code;
	options.observe = from;
	err = dsm_channel_open(c.o.segment, name, &options, &c.channel);
	if (err)
		return channel_done(command, err, &c);
	*ret = c;
	return CLI_OK;
}

int channel_done(const char *command, int err, struct channeled *c)
{
	int code = err < 0 ? open_explain(command, err) : CLI_OK;

	dsm_channel_close(c->channel);
	open_close(&c->o);
	return code;
}
