// SPDX-License-Identifier: MIT
/* dsm map set, cas. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/args.h"
#include "agent/cli/map.h"
#include "agent/cli/table.h"

enum { KEY_TTL = ARGS_KEY, KEY_ADD, KEY_VERSION };

struct set {
	struct cli *cli;
	const char *words[4];
	int n, min, max; /* words */
	uint64_t ttl_ms, version;
	bool add, by_version;
};

static error_t set_option(int key, char *arg, struct argp_state *state)
{
	struct set *s = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = s->cli;
		return 0;
	case KEY_TTL:
		if (args_number(arg, 1, UINT64_MAX / 1000000, &s->ttl_ms) < 0)
			argp_error(state, "--ttl %s: milliseconds are wanted", arg);
		return 0;
	case KEY_ADD:
		s->add = true;
		return 0;
	case KEY_VERSION:
		if (args_number(arg, 0, UINT64_MAX, &s->version) < 0)
			argp_error(state, "--version %s: a number is wanted", arg);
		s->by_version = true;
		s->min = s->max = 3;
		return 0;
	case ARGP_KEY_ARG:
		if (s->n == 4)
			argp_error(state, "'%s' is one word too many", arg);
		s->words[s->n++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (s->n < s->min)
			argp_error(state, "a word is missing");
		if (s->n > s->max)
			argp_error(state, "'%s' is one word too many", s->words[s->n - 1]);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What came of it; the library words what is rare, this what is usual. */
static int set_done(struct set *s, const char *command, int err, uint64_t version, struct mapped *m)
{
	if (!err && s->cli->json)
		doc_print(
			json_pack("{s:s,s:I}", "key", s->words[1], "version", (json_int_t)version));
	if (err != -EEXIST && err != -ESTALE && err != -ENOENT)
		return map_done(command, err, m);
	(void)map_done(command, 0, m);
	if (err == -ENOENT)
		return cli_error(CLI_NOT_FOUND, "%s: no key '%s'", command, s->words[1]);
	return cli_error(CLI_FAILED, "%s: '%s' %s, in version %llu", command, s->words[1],
			 err == -EEXIST ? "is there" : "is another", (unsigned long long)version);
}

static struct dsm_map_request request_of(const struct set *s, uint32_t op, const char *value)
{
	return (struct dsm_map_request){
		.op = op,
		.key = s->words[1],
		.key_size = strlen(s->words[1]),
		.value = value,
		.value_size = strlen(value),
		.ttl_ms = s->ttl_ms,
		.version = s->version,
	};
}

int cmd_map_set(struct cli *cli, int argc, char **argv)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	static const struct argp_option options[] = {
		{ "ttl", KEY_TTL, "MS", 0, "Until so many milliseconds from now", 0 },
		{ "add", KEY_ADD, NULL, 0, "Only if the key is absent, else exit status 1", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = set_option,
		.args_doc = "URI KEY VALUE",
		.children = children,
		.doc = "Have a key mean a value. The segment and the map are made when there are "
		       "none.",
	};
	struct set s = { .cli = cli, .min = 3, .max = 3 };
	struct dsm_map_request q;
	uint64_t version = 0;
	struct mapped m;
	int err, code;

	args_parse_own(argc, argv, &argp, &s);
	code = map_reach(cli, argv[0], s.words[0], true, &m);
	if (code)
		return code;
	if (m.client) {
		q = request_of(&s, s.add ? DSM_MAP_OP_ADD : DSM_MAP_OP_SET, s.words[2]);
		code = map_ask(argv[0], &m, &q, &err);
		return code ? code : set_done(&s, argv[0], err, q.version, &m);
	}
	err = (s.add ? dsm_map_add : dsm_map_set_ttl)(m.map, s.words[1], strlen(s.words[1]),
						      s.words[2], strlen(s.words[2]), s.ttl_ms,
						      &version);
	return set_done(&s, argv[0], err, version, &m);
}

/* By value: the version that had it is what the server compares. */
static int cas_served(struct set *s, const char *command, struct mapped *m)
{
	struct dsm_map_request q;
	struct dsm_map_entry e;
	int err = 0, code = 0;

	if (!s->by_version) {
		code = map_ask_value(command, m, s->words[1], &e, &err);
		if (code || err)
			return code ? code : set_done(s, command, err, 0, m);
		if (e.value_size != strlen(s->words[2]) ||
		    memcmp(e.value, s->words[2], e.value_size) != 0)
			err = -ESTALE;
		free((void *)e.value);
		if (err)
			return set_done(s, command, err, e.version, m);
		s->version = e.version;
	}
	q = request_of(s, DSM_MAP_OP_CAS, s->words[s->n - 1]);
	code = map_ask(command, m, &q, &err);
	return code ? code : set_done(s, command, err, q.version, m);
}

int cmd_map_cas(struct cli *cli, int argc, char **argv)
{
	static const struct argp_child children[] = { { &args_agent, 0, NULL, 0 }, { 0 } };
	static const struct argp_option options[] = {
		{ "version", KEY_VERSION, "N", 0,
		  "Compare the version, not the value (0: absent); there is no OLD then", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = set_option,
		.args_doc = "URI KEY OLD NEW",
		.children = children,
		.doc = "Have a key mean NEW if it means OLD. Exit status 1: it means something "
		       "else, "
		       "4: it is absent.",
	};
	struct set s = { .cli = cli, .min = 4, .max = 4 };
	uint64_t version = 0;
	const char *new;
	struct mapped m;
	int err, code;

	args_parse_own(argc, argv, &argp, &s);
	code = map_reach(cli, argv[0], s.words[0], false, &m);
	if (code)
		return code;
	if (m.client)
		return cas_served(&s, argv[0], &m);
	new = s.words[s.n - 1];
	if (s.by_version)
		err = dsm_map_cas(m.map, s.words[1], strlen(s.words[1]), s.version, new,
				  strlen(new), &version);
	else
		err = dsm_map_cas_value(m.map, s.words[1], strlen(s.words[1]), s.words[2],
					strlen(s.words[2]), new, strlen(new), &version);
	return set_done(&s, argv[0], err, version, &m);
}
