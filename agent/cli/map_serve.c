// SPDX-License-Identifier: MIT
/* dsm map serve: a map of this process' own, answered for over connections. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <dsm/map_server.h>

#include "agent/cli/args.h"
#include "agent/cli/open.h"
#include "agent/cli/table.h"

#define LISTENER     "map"
#define CLIENTS	     1024u
#define CLIENTS_MOST 16384u
#define RING_MOST    (1u << 20)
#define LOOK_US	     200000 /* how often it looks whether it is to end */

enum { KEY_BUCKETS = ARGS_KEY, KEY_CLIENTS, KEY_RING_SIZE };

struct serve {
	struct cli *cli;
	const char *command;
	struct args_words words;
	const char *name;
	char uri[256]; /* of the segment where clients come */
	uint64_t buckets, clients, ring_size;

	struct opened front; /* that segment */
	bool made;	     /* by us: its name goes with us */
	dsm_segment_t *back; /* the table's, which has no name any more */
	dsm_map_t *map;
	dsm_map_server_t *server;
};

static volatile sig_atomic_t ended;

static void end(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

static error_t serve_option(int key, char *arg, struct argp_state *state)
{
	struct serve *s = state->input;

	switch (key) {
	case KEY_BUCKETS:
		if (args_number(arg, 1, 1ull << 32, &s->buckets) < 0)
			argp_error(state, "--buckets %s: a number of at least 1 is wanted", arg);
		return 0;
	case KEY_CLIENTS:
		if (args_number(arg, 1, CLIENTS_MOST, &s->clients) < 0)
			argp_error(state, "--clients %s: a number from 1 to %u is wanted", arg,
				   CLIENTS_MOST);
		return 0;
	case KEY_RING_SIZE:
		if (args_size(arg, &s->ring_size) || !s->ring_size || s->ring_size > RING_MOST)
			argp_error(state, "--ring-size %s: a size up to 1M is wanted", arg);
		return 0;
	default:
		return args_word(key, arg, state, &s->words);
	}
}

/* The segment where clients come: made, or opened when there is one. */
static int open_front(struct serve *s)
{
	struct dsm_segment_options options = { 0 };
	int err, code;

	(void)snprintf(s->uri, sizeof(s->uri), "%s%s", strchr(s->name, ':') ? "" : "shm:", s->name);
	if (!strncmp(s->uri, "dsm:", 4)) {
		code = open_context(s->cli, &s->front.ctx);
		if (code)
			return code;
		options.ctx = s->front.ctx;
	}
	err = dsm_segment_create(s->uri, &options, &s->front.segment);
	s->made = !err;
	if (err == -EEXIST)
		err = dsm_segment_open(s->uri, &options, &s->front.segment);
	return err ? open_explain(s->command, err) : CLI_OK;
}

/* The table: in a segment of which nobody else ever sees the name for long. */
static int open_back(struct serve *s)
{
	struct dsm_segment_options options = { .size = 16u << 20, .max_size = 1ull << 36 };
	struct dsm_map_options map = { .entries = s->buckets };
	char uri[64];
	int err;

	(void)snprintf(uri, sizeof(uri), "shm:map-serve-%d", (int)getpid());
	err = dsm_segment_create(uri, &options, &s->back);
	if (!err)
		err = dsm_segment_unlink(uri, NULL);
	if (!err)
		err = dsm_map_create(s->back, "table", &map, &s->map);
	return err ? open_explain(s->command, err) : CLI_OK;
}

static int serve_begin(struct serve *s)
{
	struct dsm_listener_options options = {
		.ring_size = (uint32_t)s->ring_size,
		.max_conns = (uint32_t)s->clients,
	};
	int code = open_front(s), err;

	if (!code)
		code = open_back(s);
	if (code)
		return code;
	err = dsm_map_server_create(s->front.segment, LISTENER, s->map, &options, &s->server);
	return err ? open_explain(s->command, err) : CLI_OK;
}

static void serve_end(struct serve *s)
{
	dsm_map_server_close(s->server);
	dsm_map_close(s->map);
	dsm_segment_close(s->back);
	if (s->made)
		(void)dsm_segment_unlink(s->uri, s->front.ctx);
	if (s->front.segment)
		open_close(&s->front);
}

static void tell(const struct serve *s)
{
	struct dsm_map_server_stat stat;

	dsm_map_server_stat(s->server, &stat);
	if (s->cli->json)
		doc_print(json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "uri", s->uri, "accepted",
				    (json_int_t)stat.accepted, "lost", (json_int_t)stat.lost,
				    "refused", (json_int_t)stat.refused, "requests",
				    (json_int_t)stat.requests, "batches",
				    (json_int_t)stat.batches));
	else
		printf("%s: %" PRIu64 " clients, of which %" PRIu64 " died and %" PRIu64
		       " were refused; %" PRIu64 " requests in %" PRIu64 " batches\n",
		       s->uri, stat.accepted, stat.lost, stat.refused, stat.requests, stat.batches);
}

static int serve_run(struct serve *s)
{
	struct sigaction action = { .sa_handler = end };
	int n = 0;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* What waits for it to be ready reads this. */
	if (!s->cli->json)
		printf("serving %s\n", s->uri);
	(void)fflush(stdout);
	while (!ended && (n >= 0 || n == -ETIMEDOUT))
		n = dsm_map_server_answer(s->server, LOOK_US);
	if (!ended)
		return open_explain(s->command, n);
	tell(s);
	return CLI_OK;
}

int cmd_map_serve(struct cli *cli, int argc, char **argv)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	static const struct argp_option options[] = {
		{ "buckets", KEY_BUCKETS, "N", 0, "Make room for N entries from the start", 0 },
		{ "clients", KEY_CLIENTS, "N", 0, "Clients at a time (1024)", 0 },
		{ "ring-size", KEY_RING_SIZE, "BYTES", 0,
		  "Of each of a client's two rings (16k); a request and an answer have less than "
		  "half of it",
		  0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = serve_option,
		.args_doc = "NAME",
		.children = children,
		.doc = "Keep a map in this process and answer for it, until it is ended by SIGINT "
		       "or "
		       "SIGTERM. Clients (`dsm map get`, set, del, cas, and programs by "
		       "dsm_map_client_open() in <dsm/map_server.h>) come to the "
		       "listener \"map\" in the segment NAME (shm:NAME where no kind is given), "
		       "which "
		       "is made when there is none, and is gone with the server then. They share "
		       "no table with it.",
	};
	struct serve s = {
		.cli = cli,
		.command = argv[0],
		.words = { cli, &s.name, 0, 1, 1 },
		.clients = CLIENTS,
		.ring_size = 16384,
	};
	int code;

	args_parse_own(argc, argv, &argp, &s);
	code = serve_begin(&s);
	if (!code)
		code = serve_run(&s);
	serve_end(&s);
	return code;
}
