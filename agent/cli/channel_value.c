// SPDX-License-Identifier: MIT
/* dsm channel cat, tail, put: values of a channel. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/channel.h"
#include "agent/cli/map.h"
#include "agent/cli/table.h"

/* In a cluster the newest value comes to this node after somebody here wants it. */
#define ARRIVAL_US 1000000

static json_t *value_json(uint64_t number, const void *bytes, int size)
{
	return json_pack("{s:I,s:o}", "number", (json_int_t)number, "value",
			 bytes_json(bytes, (size_t)size));
}

static int64_t microseconds(uint64_t ms, int64_t otherwise)
{
	return ms == CHANNEL_UNSET ? otherwise : (int64_t)ms * 1000;
}

/* The library says of who came too late that nothing came in time: here nothing is there. */
static int nothing(const char *command, const char *what, struct channeled *c)
{
	(void)channel_done(command, 0, c);
	return cli_error(CLI_FAILED, "%s: %s", command, what);
}

int cmd_channel_cat(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option options[] = {
		CHANNEL_OPTION_FROM,
		{ "timeout", CHANNEL_TIMEOUT, "MS", 0,
		  "Wait so many milliseconds for a value where there is none (0; dsm: 1000)", 0 },
		{ 0 },
	};
	struct channel_words w = { .args = { .cli = cli, .min = 1, .max = 1 } };
	struct channeled c;
	uint64_t number;
	char *buffer;
	int n, code;

	channel_parse(&w, argc, argv, options, "URI",
		      "Print the newest value of a channel (shm:NAME/CHANNEL or "
		      "dsm:REGION/CHANNEL; the channel is called \"channel\" where only a segment "
		      "is given) as it is. Exit status 1: there is none.");
	code = channel_observe(cli, argv[0], w.words[0], w.from, &c);
	if (code)
		return code;
	buffer = malloc(DSM_CHANNEL_SIZE_MAX);
	if (!buffer)
		return nothing(argv[0], strerror(ENOMEM), &c);
	n = dsm_channel_read_timed(c.channel, buffer, DSM_CHANNEL_SIZE_MAX,
				   microseconds(w.timeout_ms, c.o.ctx ? ARRIVAL_US : 0), &number);
	if (n >= 0 && cli->json)
		doc_print(value_json(number, buffer, n));
	else if (n >= 0)
		(void)fwrite(buffer, 1, (size_t)n, stdout);
	free(buffer);
	if (n == -EAGAIN || n == -ETIMEDOUT)
		return nothing(argv[0], "nothing was written yet", &c);
	return channel_done(argv[0], n, &c);
}

static void value_print(uint64_t number, const void *bytes, int size, uint64_t missed, bool json)
{
	json_t *o;

	if (json) {
		o = value_json(number, bytes, size);
		json_object_set_new(o, "missed", json_integer((json_int_t)missed));
		json_dumpf(o, stdout, JSON_COMPACT);
		json_decref(o);
	} else {
		bytes_print(stdout, bytes, (size_t)size, false);
	}
	putchar('\n');
	/* Who reads it wants it now. */
	(void)fflush(stdout);
}

static int tail_run(const struct channel_words *w, dsm_channel_t *channel, char *buffer)
{
	int64_t timeout_us = microseconds(w->timeout_ms, -1);
	uint64_t number, last = 0;
	int n = 0;

	/* What is there counts as seen, but where it is wanted. */
	if (!w->present)
		n = dsm_channel_read(channel, buffer, DSM_CHANNEL_SIZE_MAX, &last);
	if (n < 0 && n != -ENODATA)
		return n;
	for (uint64_t i = 0; i < w->count && !ferror(stdout); i++) {
		n = dsm_channel_read_timed(channel, buffer, DSM_CHANNEL_SIZE_MAX, timeout_us,
					   &number);
		if (n < 0)
			return n;
		value_print(number, buffer, n, last ? number - last - 1 : 0, w->args.cli->json);
		last = number;
	}
	return 0;
}

int cmd_channel_tail(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option options[] = {
		CHANNEL_OPTION_FROM,
		{ "count", CHANNEL_COUNT, "N", 0, "End after N values", 0 },
		{ "timeout", CHANNEL_TIMEOUT, "MS", 0,
		  "End when none comes for so many milliseconds, with exit status 1", 0 },
		{ "present", CHANNEL_PRESENT, NULL, 0, "First print the one that is there", 0 },
		{ 0 },
	};
	struct channel_words w = { .args = { .cli = cli, .min = 1, .max = 1 } };
	struct channeled c;
	char *buffer, text[64];
	int err, code;

	channel_parse(&w, argc, argv, options, "URI",
		      "Print every new value of a channel as it comes, one a line. Values that are "
		      "replaced before they were read are missed.");
	code = channel_observe(cli, argv[0], w.words[0], w.from, &c);
	if (code)
		return code;
	buffer = malloc(DSM_CHANNEL_SIZE_MAX);
	if (!buffer)
		return nothing(argv[0], strerror(ENOMEM), &c);
	err = tail_run(&w, c.channel, buffer);
	free(buffer);
	if (err != -ETIMEDOUT && err != -EAGAIN)
		return channel_done(argv[0], err, &c);
	(void)snprintf(text, sizeof(text), "no new value for %" PRIu64 " ms", w.timeout_ms);
	return nothing(argv[0], text, &c);
}

/* "-": all of standard input, up to one byte more than a value may have. */
static size_t value_bytes(const char *word, char *buffer, const char **ret)
{
	*ret = word;
	if (strcmp(word, "-"))
		return strlen(word);
	*ret = buffer;
	return fread(buffer, 1, DSM_CHANNEL_SIZE_MAX + 1, stdin);
}

static int put(const struct channel_words *w, struct channeled *c, const char *name, char *buffer)
{
	struct dsm_channel_options options = channel_options(w->from);
	const char *bytes;
	size_t size = value_bytes(w->words[1], buffer, &bytes);
	int err;

	if (ferror(stdin))
		return -EIO;
	options.size = (uint32_t)w->size;
	err = dsm_channel_open(c->o.segment, name, &options, &c->channel);
	if (!err)
		err = dsm_channel_write(c->channel, bytes, size);
	if (!err && w->args.cli->json)
		doc_print(json_pack("{s:s,s:I}", "uri", w->words[0], "written", (json_int_t)size));
	return err;
}

int cmd_channel_put(struct cli *cli, int argc, char **argv)
{
	static const struct argp_option options[] = {
		CHANNEL_OPTION_FROM,
		{ "size", CHANNEL_SIZE, "BYTES", 0,
		  "Most bytes of a value, where the channel is made (4k)", 0 },
		{ 0 },
	};
	struct channel_words w = { .args = { .cli = cli, .min = 2, .max = 2 } };
	struct channeled c = { 0 };
	char segment[256], *buffer;
	const char *name;
	int err, code;

	channel_parse(&w, argc, argv, options, "URI VALUE",
		      "Take a seat of a channel, write VALUE (\"-\": standard input) and leave. As "
		      "master, segment and channel are made when there are none. Exit status 1: "
		      "somebody sits there.");
	name = open_split(w.words[0], segment, CHANNEL_NAME_DEFAULT);
	code = w.from == DSM_CHANNEL_MASTER ? open_or_make(cli, argv[0], segment, &c.o)
					    : open_segment(cli, segment, &c.o);
	if (code)
		return code;
	buffer = malloc(DSM_CHANNEL_SIZE_MAX + 1);
	if (!buffer)
		return nothing(argv[0], strerror(ENOMEM), &c);
	err = put(&w, &c, name, buffer);
	free(buffer);
	if (err == -EIO)
		return nothing(argv[0], "standard input cannot be read", &c);
	return channel_done(argv[0], err, &c);
}
